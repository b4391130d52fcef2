# The part of nixpkgs' lib that floe's evaluator offers to job files as the
# argument `lib`. `primitives` holds what is written in Rust.
primitives:
let
  inherit (builtins)
    attrNames
    concatMap
    concatStringsSep
    elem
    elemAt
    filter
    foldl'
    genList
    hasAttr
    head
    isAttrs
    isList
    isString
    length
    listToAttrs
    map
    mapAttrs
    match
    replaceStrings
    stringLength
    tail
    ;

  lib = primitives // {
    inherit (builtins)
      add
      all
      any
      attrNames
      attrValues
      bitAnd
      bitOr
      bitXor
      catAttrs
      ceil
      compareVersions
      concatLists
      concatMap
      concatStringsSep
      deepSeq
      elem
      elemAt
      filter
      floor
      foldl'
      fromJSON
      functionArgs
      genList
      getAttr
      groupBy
      hasAttr
      head
      intersectAttrs
      isAttrs
      isBool
      isFloat
      isFunction
      isInt
      isList
      isPath
      isString
      length
      lessThan
      listToAttrs
      mapAttrs
      partition
      readFile
      removeAttrs
      replaceStrings
      seq
      sort
      splitVersion
      stringLength
      sub
      substring
      tail
      toJSON
      trace
      tryEval
      typeOf
      zipAttrsWith
      ;
    inherit map;

    # functions
    id = x: x;
    const = x: _: x;
    flip =
      f: a: b:
      f b a;
    pipe = value: functions: foldl' (acc: f: f acc) value functions;
    throwIf = condition: message: if condition then throw message else x: x;
    throwIfNot = condition: message: if condition then x: x else throw message;
    assertMsg = condition: message: condition || throw message;
    warn = builtins.warn;

    # numbers and Booleans
    min = a: b: if a < b then a else b;
    max = a: b: if a > b then a else b;
    mod = a: b: a - b * (a / b);
    boolToString = value: if value then "true" else "false";
    and = a: b: a && b;
    or = a: b: a || b;
    xor = a: b: a != b;
    toIntBase10 = text: lib.toInt (head (match "[[:space:]]*0*([0-9]+)[[:space:]]*" text));

    # lists
    optional = condition: item: if condition then [ item ] else [ ];
    optionals = condition: items: if condition then items else [ ];
    singleton = item: [ item ];
    toList = value: if isList value then value else [ value ];
    range = first: last: if first > last then [ ] else genList (n: first + n) (last - first + 1);
    replicate = count: item: genList (_: item) count;
    last =
      items: if items == [ ] then throw "lib.last: the list is empty" else elemAt items (length items - 1);
    init =
      items:
      if items == [ ] then throw "lib.init: the list is empty" else lib.take (length items - 1) items;
    take = count: items: genList (elemAt items) (lib.max 0 (lib.min count (length items)));
    drop =
      count: items:
      let
        skipped = lib.max 0 (lib.min count (length items));
      in
      genList (n: elemAt items (skipped + n)) (length items - skipped);
    sublist = start: count: items: lib.take count (lib.drop start items);
    reverseList =
      items:
      let
        count = length items;
      in
      genList (n: elemAt items (count - n - 1)) count;
    imap0 = f: items: genList (n: f n (elemAt items n)) (length items);
    imap1 = f: items: genList (n: f (n + 1) (elemAt items n)) (length items);
    forEach = items: f: map f items;
    foldr =
      f: start: items:
      foldl' (acc: item: f item acc) start (lib.reverseList items);
    foldl = foldl';
    fold = lib.foldr;
    flatten = value: if isList value then concatMap lib.flatten value else [ value ];
    unique = items: foldl' (acc: item: if elem item acc then acc else acc ++ [ item ]) [ ] items;
    allUnique = items: length (lib.unique items) == length items;
    remove = item: filter (other: other != item);
    subtractLists = unwanted: filter (item: !(elem item unwanted));
    intersectLists = wanted: filter (item: elem item wanted);
    count = test: items: length (filter test items);
    findFirst =
      test: default: items:
      let
        found = filter test items;
      in
      if found == [ ] then default else head found;
    zipListsWith =
      f: a: b:
      genList (n: f (elemAt a n) (elemAt b n)) (lib.min (length a) (length b));
    zipLists = lib.zipListsWith (fst: snd: { inherit fst snd; });
    sortOn = key: builtins.sort (a: b: key a < key b);
    naturalSort = builtins.sort (a: b: builtins.compareVersions a b < 0);
    cartesianProduct =
      sets:
      foldl' (
        rows: name: concatMap (row: map (value: row // { ${name} = value; }) sets.${name}) rows
      ) [ { } ] (attrNames sets);

    # sets
    optionalAttrs = condition: set: if condition then set else { };
    nameValuePair = name: value: { inherit name value; };
    attrsToList = set: map (name: lib.nameValuePair name set.${name}) (attrNames set);
    mapAttrs' = f: set: listToAttrs (map (name: f name set.${name}) (attrNames set));
    mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
    concatMapAttrs = f: set: foldl' (acc: name: acc // f name set.${name}) { } (attrNames set);
    mergeAttrsList = foldl' (acc: set: acc // set) { };
    filterAttrs =
      test: set:
      listToAttrs (
        concatMap (
          name: if test name set.${name} then [ (lib.nameValuePair name set.${name}) ] else [ ]
        ) (attrNames set)
      );
    genAttrs = names: f: listToAttrs (map (name: lib.nameValuePair name (f name)) names);
    getAttrs = names: set: lib.genAttrs names (name: set.${name});
    attrByPath =
      path: default: set:
      if path == [ ] then
        set
      else if isAttrs set && hasAttr (head path) set then
        lib.attrByPath (tail path) default set.${head path}
      else
        default;
    hasAttrByPath =
      path: set:
      path == [ ]
      || (isAttrs set && hasAttr (head path) set && lib.hasAttrByPath (tail path) set.${head path});
    getAttrFromPath =
      path: set:
      if lib.hasAttrByPath path set then
        lib.attrByPath path null set
      else
        throw "lib.getAttrFromPath: the set has no attribute '${concatStringsSep "." path}'";
    setAttrByPath =
      path: value:
      if path == [ ] then value else { ${head path} = lib.setAttrByPath (tail path) value; };
    recursiveUpdateUntil =
      stop: left: right:
      let
        merge =
          path: a: b:
          a
          // mapAttrs (
            name: value:
            let
              here = path ++ [ name ];
            in
            if !(hasAttr name a) || stop here a.${name} value then value else merge here a.${name} value
          ) b;
      in
      merge [ ] left right;
    recursiveUpdate = lib.recursiveUpdateUntil (_: a: b: !(isAttrs a && isAttrs b));
    foldlAttrs =
      f: start: set:
      foldl' (acc: name: f acc name set.${name}) start (attrNames set);

    # strings
    optionalString = condition: text: if condition then text else "";
    concatStrings = concatStringsSep "";
    concatMapStrings = f: items: concatStringsSep "" (map f items);
    concatMapStringsSep =
      separator: f: items:
      concatStringsSep separator (map f items);
    concatImapStringsSep =
      separator: f: items:
      concatStringsSep separator (lib.imap1 f items);
    concatMapAttrsStringSep =
      separator: f: set:
      concatStringsSep separator (lib.mapAttrsToList f set);
    concatLines = items: concatStringsSep "" (map (line: line + "\n") items);
    intersperse =
      separator: items:
      if length items < 2 then
        items
      else
        tail (concatMap (item: [ separator item ]) items);
    stringToCharacters = text: concatMap (part: if isList part then part else [ ]) (builtins.split "(.)" text);
    escapeShellArg =
      value:
      let
        text = toString value;
      in
      if match "[[:alnum:],._+:@%/-]+" text != null then
        text
      else
        "'${replaceStrings [ "'" ] [ "'\\''" ] text}'";
    escapeShellArgs = lib.concatMapStringsSep " " lib.escapeShellArg;
    fixedWidthString =
      width: filler: text:
      if stringLength text >= width then text else lib.fixedWidthString width filler (filler + text);
    fixedWidthNumber = width: number: lib.fixedWidthString width "0" (toString number);
    trim = text: head (match "[[:space:]]*(|.*[^[:space:]])[[:space:]]*" text);
    versionOlder = a: b: builtins.compareVersions b a > 0;
    versionAtLeast = a: b: !(lib.versionOlder a b);
  };
in
lib
