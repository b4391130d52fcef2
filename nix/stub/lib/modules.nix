# A small module system with the rules of NixOS': declarations, definitions with conditions and priorities, merging by type. What it does not have, it
# refuses; a definition of an option that nobody declared is an error.
{ basics }:
let
  inherit (basics) showPath unique;

  isModule = m: builtins.isAttrs m && (m ? options || m ? config);
  special = [
    "_file"
    "key"
    "imports"
    "options"
    "config"
    "freeformType"
    "meta"
  ];

  # A module as a record: what it declares, what it defines, what it imports.
  normal =
    file: m:
    if isModule m then
      let
        other = builtins.filter (n: !builtins.elem n special) (builtins.attrNames m);
      in
      if other != [ ] then
        throw "Module `${file}' has an unsupported attribute `${builtins.head other}': put it under `config'"
      else
        {
          file = m._file or file;
          options = m.options or { };
          config = m.config or { };
          freeform = m.freeformType or null;
        }
    else
      {
        file = m._file or file;
        options = { };
        config = builtins.removeAttrs m special;
        freeform = m.freeformType or null;
      };

  # All modules that these import, each file once, in the order in which they are met.
  collect =
    args: modules:
    let
      visit =
        seen: origin: m:
        let
          isFile = builtins.isPath m || builtins.isString m;
          file = if isFile then toString m else origin;
          key = if isFile then file else (m.key or null);
          loaded = if isFile then import m else m;
          body = if builtins.isFunction loaded then loaded (call loaded) else loaded;
          known =
            if builtins.isAttrs body then
              body
            else
              throw "Module `${file}' is neither a set nor a function that returns one";
          here = {
            inherit file;
            module = normal file known;
          };
          inner =
            builtins.foldl'
              (
                state: child:
                let
                  next = visit state.seen (known._file or file) child;
                in
                {
                  inherit (next) seen;
                  found = state.found ++ next.found;
                }
              )
              {
                seen = seen ++ (if key == null then [ ] else [ key ]);
                found = [ ];
              }
              (known.imports or [ ]);
        in
        if key != null && builtins.elem key seen then
          {
            inherit seen;
            found = [ ];
          }
        else
          {
            inherit (inner) seen;
            found = inner.found ++ [ here.module ];
          };
      # A function gets what it names; everything when it names nothing.
      call =
        f:
        let
          wanted = builtins.functionArgs f;
          missing = builtins.filter (n: !(args ? ${n}) && !wanted.${n}) (builtins.attrNames wanted);
        in
        if missing == [ ] then
          args
        else
          throw "A module wants the argument `${builtins.head missing}', which it is not given";
    in
    (builtins.foldl'
      (
        state: m:
        let
          next = visit state.seen "<inline>" m;
        in
        {
          inherit (next) seen;
          found = state.found ++ next.found;
        }
      )
      {
        seen = [ ];
        found = [ ];
      }
      modules
    ).found;

  # Conditions, priorities and several definitions in one move down to the attributes, without being looked at: a condition may depend on a sibling.
  pushDown =
    value:
    if value._type or "" == "merge" then
      builtins.concatMap pushDown value.contents
    else if value._type or "" == "if" then
      map (builtins.mapAttrs (_: v: basics.mkIf value.condition v)) (pushDown value.content)
    else if value._type or "" == "override" then
      map (builtins.mapAttrs (_: v: basics.mkOverride value.priority v)) (pushDown value.content)
    else
      [ value ];

  # What is left of a definition once its conditions are known.
  discharge =
    priority: value:
    if value._type or "" == "merge" then
      builtins.concatMap (discharge priority) value.contents
    else if value._type or "" == "if" then
      if !builtins.isBool value.condition then
        throw "mkIf wants a boolean"
      else if value.condition then
        discharge priority value.content
      else
        [ ]
    else if value._type or "" == "override" then
      discharge value.priority value.content
    else if value._type or "" == "order" then
      discharge priority value.content
    else
      [ { inherit priority value; } ];

  isOption = o: o._type or "" == "option";

  # Two modules may declare into one set, but one option only once.
  mergeDeclarations =
    path: declarations:
    let
      names = unique (builtins.concatMap (d: builtins.attrNames d.options) declarations);
      one =
        name:
        let
          here = builtins.concatMap (
            d:
            if d.options ? ${name} then
              [
                {
                  inherit (d) file;
                  options = d.options.${name};
                }
              ]
            else
              [ ]
          ) declarations;
          leaves = builtins.filter (d: isOption d.options) here;
        in
        if leaves == [ ] then
          mergeDeclarations (path ++ [ name ]) here
        else if builtins.length here > 1 then
          throw "The option `${showPath (path ++ [ name ])}' is declared more than once: in ${
            builtins.concatStringsSep " and " (map (d: d.file) here)
          }"
        else
          (builtins.head leaves).options;
    in
    builtins.listToAttrs (
      map (name: {
        inherit name;
        value = one name;
      }) names
    );

  # The values at a path: of the options that are declared there, and of what a freeform type takes.
  evalTree =
    path: freeform: declared: definitions:
    let
      pushed = builtins.concatMap (
        d:
        map
          (value: {
            inherit (d) file;
            inherit value;
          })
          (
            let
              found = pushDown d.value;
              wrong = builtins.filter (v: !builtins.isAttrs v) found;
            in
            if wrong == [ ] then
              found
            else
              throw "The option `${showPath path}' is a set of options, but `${d.file}' defines it as ${basics.kindOf (builtins.head wrong)}"
          )
      ) definitions;
      under =
        name:
        builtins.concatMap (
          d:
          if d.value ? ${name} then
            [
              {
                inherit (d) file;
                value = d.value.${name};
              }
            ]
          else
            [ ]
        ) pushed;
      values = builtins.mapAttrs (
        name: option:
        if isOption option then
          evalOption (path ++ [ name ]) option (under name)
        else
          evalTree (path ++ [ name ]) null option (under name)
      ) declared;
      extra = builtins.filter (name: !(declared ? ${name})) (
        unique (builtins.concatMap (d: builtins.attrNames d.value) pushed)
      );
      stray = builtins.head extra;
      free = builtins.listToAttrs (
        builtins.concatMap (
          name:
          let
            found = dischargeAll (under name);
          in
          if found == [ ] then
            [ ]
          else
            [
              {
                inherit name;
                value = freeform.item.merge (path ++ [ name ]) found;
              }
            ]
        ) extra
      );
    in
    if extra != [ ] && freeform == null then
      throw "The option `${showPath (path ++ [ stray ])}' does not exist. It is defined in `${(builtins.head (under stray)).file}'"
    else
      values // free;

  # The definitions that count: those that hold, of the strongest priority.
  dischargeAll =
    definitions:
    let
      all = builtins.concatMap (
        d:
        map (r: {
          inherit (d) file;
          inherit (r) value priority;
        }) (discharge basics.defaultPriority d.value)
      ) definitions;
      strongest = builtins.foldl' (least: d: if d.priority < least then d.priority else least) 9999 all;
    in
    builtins.filter (d: d.priority == strongest) all;

  evalOption =
    path: option: definitions:
    let
      standard =
        if option ? default then
          [
            {
              file = "the option's default";
              value = basics.mkOverride 1500 option.default;
            }
          ]
        else
          [ ];
      found = dischargeAll (definitions ++ standard);
      type = option.type or basics.anyType;
      merged =
        if found == [ ] then
          if type ? emptyValue then
            type.emptyValue
          else
            throw "The option `${showPath path}' was accessed but has no value defined. Try setting the option."
        else if option.readOnly or false && builtins.length found > 1 then
          throw "The option `${showPath path}' is read-only, but it is set in `${(builtins.head definitions).file}'"
        else
          type.merge path found;
    in
    (option.apply or (x: x)) merged;

  evalModules =
    {
      modules,
      specialArgs ? { },
      prefix ? [ ],
    }:
    let
      args = specialArgs // {
        inherit config options;
      };
      found = collect args modules;
      options = mergeDeclarations prefix (map (m: { inherit (m) file options; }) found);
      freeforms = builtins.filter (f: f != null) (map (m: m.freeform) found);
      freeform = if freeforms == [ ] then null else builtins.head freeforms;
      config = evalTree prefix freeform options (
        map (m: {
          inherit (m) file;
          value = m.config;
        }) found
      );
    in
    {
      inherit config options;
    };
in
{
  inherit evalModules dischargeAll pushDown;
}
