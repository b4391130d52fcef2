# The part of nixpkgs' lib that floe's Nix code uses, and nothing else: what is used beyond it fails in the checks, and is then added here on purpose.
let
  basics = import ./basics.nix;
  modules = import ./modules.nix { inherit basics; };
  types = import ./types.nix { inherit basics modules; };
in
rec {
  inherit types;
  inherit (types) mkOptionType;
  inherit (modules) evalModules;
  inherit (basics)
    mkOption
    mkIf
    mkMerge
    mkOverride
    mkOptionDefault
    mkDefault
    mkForce
    ;
  inherit (builtins)
    all
    any
    attrNames
    attrValues
    concatMap
    concatStringsSep
    elem
    elemAt
    filter
    foldl'
    hasAttr
    head
    isAttrs
    isList
    isString
    length
    listToAttrs
    mapAttrs
    match
    readFile
    tail
    ;

  mkEnableOption =
    name:
    mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether to enable ${name}.";
    };
  literalExpression = text: {
    _type = "literalExpression";
    inherit text;
  };

  id = x: x;
  mod = a: b: a - b * (a / b);
  last = list: builtins.elemAt list (builtins.length list - 1);
  take =
    count: list:
    builtins.genList (builtins.elemAt list) (
      if count < builtins.length list then count else builtins.length list
    );
  optional = condition: value: if condition then [ value ] else [ ];
  optionals = condition: list: if condition then list else [ ];
  optionalAttrs = condition: set: if condition then set else { };
  optionalString = condition: text: if condition then text else "";
  nameValuePair = name: value: { inherit name value; };
  mapAttrsToList = f: set: map (name: f name set.${name}) (builtins.attrNames set);
  mapAttrs' = f: set: builtins.listToAttrs (mapAttrsToList f set);
  concatMapStringsSep =
    separator: f: list:
    builtins.concatStringsSep separator (map f list);
  filterAttrs =
    keep: set: builtins.listToAttrs (concatMapAttrNames (name: keep name set.${name}) set);
  concatMapAttrNames =
    keep: set:
    builtins.concatMap (name: if keep name then [ (nameValuePair name set.${name}) ] else [ ]) (
      builtins.attrNames set
    );
  genAttrs =
    names: f:
    builtins.listToAttrs (
      map (name: {
        inherit name;
        value = f name;
      }) names
    );
  recursiveUpdate =
    base: over:
    base
    // builtins.mapAttrs (
      name: value:
      if
        builtins.isAttrs value
        && builtins.isAttrs (base.${name} or null)
        && value.type or "" != "derivation"
      then
        recursiveUpdate base.${name} value
      else
        value
    ) over;
  hasPrefix = prefix: text: builtins.substring 0 (builtins.stringLength prefix) text == prefix;
  hasSuffix =
    suffix: text:
    let
      long = builtins.stringLength text;
      short = builtins.stringLength suffix;
    in
    long >= short && builtins.substring (long - short) short text == suffix;
  removeSuffix =
    suffix: text:
    if hasSuffix suffix text then
      builtins.substring 0 (builtins.stringLength text - builtins.stringLength suffix) text
    else
      text;
  escapeRegex =
    let
      signs = [
        "\\"
        "["
        "]"
        "{"
        "}"
        "("
        ")"
        "^"
        "$"
        "?"
        "*"
        "+"
        "|"
        "."
      ];
    in
    builtins.replaceStrings signs (map (sign: "\\${sign}") signs);
  importJSON = file: builtins.fromJSON (builtins.readFile file);
  importTOML = file: builtins.fromTOML (builtins.readFile file);
  getExe = package: "${package}/bin/${package.meta.mainProgram}";
  getExe' = package: name: "${package}/bin/${name}";
  licenses = {
    asl20 = "Apache-2.0";
    mit = "MIT";
  };
  platforms.linux = [
    "x86_64-linux"
    "aarch64-linux"
  ];
  cleanSource = source: source;
}
