# A service of NixOS as the text of its unit, as NixOS writes it down: for systemd-analyze, which looks at it without NixOS, and for tests/lanes. Keys
# with X- are for a switch: systemd passes over them.
{ lib }:
service:
let
  text =
    value:
    if value == true then
      "true"
    else if value == false then
      "false"
    else
      toString value;
  line = name: value: "${name}=${text value}";
  lines =
    section:
    builtins.concatLists (
      lib.mapAttrsToList (
        name: value: if builtins.isList value then map (line name) value else [ (line name value) ]
      ) section
    );
  list = name: values: lib.optional (values != [ ]) "${name}=${builtins.concatStringsSep " " values}";
in
builtins.concatStringsSep "\n" (
  [ "[Unit]" ]
  ++ [ "Description=${service.description}" ]
  ++ list "Wants" service.wants
  ++ list "After" service.after
  ++ list "Requires" service.requires
  ++ [
    "StartLimitIntervalSec=${toString service.startLimitIntervalSec}"
  ]
  ++ list "X-Restart-Triggers" (map toString service.restartTriggers)
  ++ [ "[Service]" ]
  ++ lib.optional (!service.stopIfChanged) "X-StopIfChanged=false"
  ++ lines service.serviceConfig
  ++ [ "" ]
)
