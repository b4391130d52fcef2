# The types of options that floe's modules use, with NixOS' names. `merge` checks each definition, so no wrong value is ever seen.
{ basics, modules }:
let
  inherit (basics) showPath kindOf mergeEqual;

  type =
    {
      name,
      description,
      check,
      merge ? mergeEqual,
      ...
    }@given:
    given
    // {
      _type = "option-type";
      merge =
        path: definitions:
        let
          wrong = builtins.filter (d: !check d.value) definitions;
          first = builtins.head wrong;
        in
        if wrong == [ ] then
          merge path definitions
        else
          throw "A definition for option `${showPath path}' is not of type `${description}'. In `${first.file}': ${kindOf first.value}${shown first.value}";
    };

  shown =
    value:
    if builtins.isString value || builtins.isInt value || builtins.isBool value then
      " ${builtins.toJSON value}"
    else
      "";
  inRange =
    low: high: value:
    builtins.isInt value && value >= low && value <= high;
  isPackage = value: value.type or "" == "derivation";
  # What a set of sets means as options: every attribute is merged by itself, and one whose conditions do not hold is not there.
  mergeAttrs =
    item: path: definitions:
    let
      pushed = builtins.concatMap (
        d:
        map (value: {
          inherit (d) file;
          inherit value;
        }) (modules.pushDown d.value)
      ) definitions;
      names = basics.unique (builtins.concatMap (d: builtins.attrNames d.value) pushed);
    in
    builtins.listToAttrs (
      builtins.concatMap (
        name:
        let
          found = modules.dischargeAll (
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
            ) pushed
          );
        in
        if found == [ ] then
          [ ]
        else
          [
            {
              inherit name;
              value = item.merge (path ++ [ name ]) found;
            }
          ]
      ) names
    );
in
rec {
  mkOptionType = type;
  addCheck =
    inner: check:
    type (
      inner
      // {
        check = value: inner.check value && check value;
      }
    );

  anything = type {
    name = "anything";
    description = "anything";
    check = _: true;
    merge =
      path: definitions:
      if builtins.all (d: builtins.isAttrs d.value && !isPackage d.value) definitions then
        mergeAttrs anything path definitions
      else
        mergeEqual path definitions;
  };
  raw = type {
    name = "raw";
    description = "raw value";
    check = _: true;
  };
  bool = type {
    name = "bool";
    description = "boolean";
    check = builtins.isBool;
  };
  int = type {
    name = "int";
    description = "signed integer";
    check = builtins.isInt;
  };
  ints = {
    between =
      low: high:
      type {
        name = "intBetween";
        description = "integer between ${toString low} and ${toString high} (both inclusive)";
        check = inRange low high;
      };
    unsigned = type {
      name = "unsignedInt";
      description = "unsigned integer, meaning >=0";
      check = value: builtins.isInt value && value >= 0;
    };
    positive = type {
      name = "positiveInt";
      description = "positive integer, meaning >0";
      check = value: builtins.isInt value && value > 0;
    };
  };
  port = type {
    name = "port";
    description = "16 bit unsigned integer; between 0 and 65535 (both inclusive)";
    check = inRange 0 65535;
  };
  str = type {
    name = "str";
    description = "string";
    check = builtins.isString;
  };
  nonEmptyStr = type {
    name = "nonEmptyStr";
    description = "non-empty string";
    check = value: builtins.isString value && builtins.match "[[:space:]]*" value == null;
  };
  strMatching =
    pattern:
    type {
      name = "strMatching";
      description = "string matching the pattern ${pattern}";
      check = value: builtins.isString value && builtins.match pattern value != null;
    };
  lines = type {
    name = "lines";
    description = "strings concatenated with \"\\n\"";
    check = builtins.isString;
    merge = _: definitions: builtins.concatStringsSep "\n" (map (d: d.value) definitions);
  };
  path = type {
    name = "path";
    description = "path";
    check =
      value:
      builtins.isPath value
      || isPackage value
      || (builtins.isString value && builtins.substring 0 1 value == "/");
  };
  package = type {
    name = "package";
    description = "package";
    check = isPackage;
  };
  enum =
    values:
    type {
      name = "enum";
      description = "one of ${builtins.concatStringsSep ", " (map builtins.toJSON values)}";
      check = value: builtins.elem value values;
    };
  nullOr =
    inner:
    type {
      name = "nullOr";
      description = "null or ${inner.description}";
      check = value: value == null || inner.check value;
      merge =
        path: definitions:
        if builtins.all (d: d.value == null) definitions then
          null
        else if builtins.any (d: d.value == null) definitions then
          mergeEqual path definitions
        else
          inner.merge path definitions;
    };
  either =
    one: other:
    type {
      name = "either";
      description = "${one.description} or ${other.description}";
      check = value: one.check value || other.check value;
      merge =
        path: definitions:
        (if builtins.all (d: one.check d.value) definitions then one else other).merge path definitions;
    };
  oneOf = many: builtins.foldl' either (builtins.head many) (builtins.tail many);
  listOf =
    inner:
    type {
      name = "listOf";
      description = "list of ${inner.description}";
      check = builtins.isList;
      emptyValue = [ ];
      merge =
        path: definitions:
        builtins.concatMap (
          d:
          builtins.concatMap (
            value:
            let
              found = modules.dischargeAll [
                {
                  inherit (d) file;
                  inherit value;
                }
              ];
            in
            if found == [ ] then [ ] else [ (inner.merge path found) ]
          ) d.value
        ) definitions;
    };
  attrsOf =
    inner:
    type {
      name = "attrsOf";
      description = "attribute set of ${inner.description}";
      check = builtins.isAttrs;
      emptyValue = { };
      merge = mergeAttrs inner;
      item = inner;
    };
  attrs = anything;
  # A set with options of its own; the modules are told which name it has.
  submodule =
    module:
    let
      own = if builtins.isList module then module else [ module ];
    in
    type {
      name = "submodule";
      description = "submodule";
      check = value: builtins.isAttrs value || builtins.isFunction value || builtins.isPath value;
      merge =
        path: definitions:
        (modules.evalModules {
          prefix = path;
          specialArgs = {
            name = builtins.elemAt path (builtins.length path - 1);
            lib = throw "floe's submodules take lib from around them";
          };
          modules =
            own
            ++ map (
              d:
              if builtins.isAttrs d.value && !(d.value ? imports) then
                {
                  _file = d.file;
                  config = d.value;
                }
              else
                d.value
            ) definitions;
        }).config;
    };
}
