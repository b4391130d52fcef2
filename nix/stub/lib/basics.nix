# What modules say: options, conditions, priorities; and what the module system needs to speak of them.
rec {
  defaultPriority = 100;

  mkOption = attrs: attrs // { _type = "option"; };
  mkIf = condition: content: {
    _type = "if";
    inherit condition content;
  };
  mkMerge = contents: {
    _type = "merge";
    inherit contents;
  };
  mkOverride = priority: content: {
    _type = "override";
    inherit priority content;
  };
  mkOptionDefault = mkOverride 1500;
  mkDefault = mkOverride 1000;
  mkForce = mkOverride 50;

  showPath = builtins.concatStringsSep ".";
  kindOf =
    value:
    {
      int = "an integer";
      bool = "a boolean";
      string = "a string";
      path = "a path";
      null = "null";
      set = if value.type or "" == "derivation" then "a package" else "a set";
      list = "a list";
      lambda = "a function";
      float = "a floating point number";
    }
    .${builtins.typeOf value};

  # Each once, in the order of the first; by a set, for lists may be long.
  unique =
    list:
    builtins.attrNames (
      builtins.listToAttrs (
        map (name: {
          inherit name;
          value = null;
        }) list
      )
    );

  # The one value that all definitions agree on.
  mergeEqual =
    path: definitions:
    let
      first = builtins.head definitions;
      other = builtins.filter (d: d.value != first.value) definitions;
    in
    if other == [ ] then
      first.value
    else
      throw "The option `${showPath path}' has conflicting definition values: in `${first.file}' and in `${(builtins.head other).file}'";

  anyType = {
    _type = "option-type";
    description = "anything";
    check = _: true;
    merge = mergeEqual;
  };
}
