# A test of nixos-tests, as the machines of tests/lanes need it: its script, and of each machine and of each of its second configurations what NixOS
# would build of it. It is given as data, and the lane puts it where NixOS would.
{ lib, pkgs }:
test:
let
  # The text would be without these.
  unwritten = [
    "before"
    "environment"
    "partOf"
    "path"
    "reloadTriggers"
    "unitConfig"
  ];
  unit =
    service:
    assert builtins.all (name: service.${name} == [ ] || service.${name} == { }) unwritten;
    assert service.restartIfChanged && !service.reloadIfChanged;
    import ./unit.nix { inherit lib; } service;
  # A path as a name; nothing of it is built.
  plain = package: builtins.unsafeDiscardStringContext (toString package);
  numbers = builtins.concatStringsSep ", ";
  ranges = map (range: "${toString range.from}-${toString range.to}");
  open = protocol: ports: lib.optional (ports != [ ]) "${protocol} dport { ${numbers ports} } accept";

  # NixOS' firewall, as far as floe's modules write to it: who was not let in stays outside.
  firewall =
    { allowedTCPPorts, ... }@given:
    builtins.concatStringsSep "\n" (
      [
        "table inet nixos-fw"
        "delete table inet nixos-fw"
        "table inet nixos-fw {"
        "chain input {"
        "type filter hook input priority filter; policy drop;"
        "iifname lo accept"
        "ct state { established, related } accept"
        "icmp type echo-request accept"
      ]
      ++ open "tcp" (map toString allowedTCPPorts ++ ranges given.allowedTCPPortRanges)
      ++ open "udp" (ranges given.allowedUDPPortRanges)
      ++ [
        given.extraInputRules
        "}"
        "}"
        ""
      ]
    );

  etc =
    config: name: file:
    if file.text != null then
      file.text
    # It is made by a build, which asks the agent; nothing is built here, and the agent looks at it when it starts.
    else if name == "floe/agent.json" then
      builtins.toJSON config.services.floe.configuration
    else
      throw "environment.etc.\"${name}\": the lane takes texts only";

  # What is built of services.floe.jobs: by its path in the store, the texts of the files in it.
  folders =
    cfg:
    assert builtins.attrNames cfg.jobs == builtins.attrNames cfg.jobTexts;
    {
      ${plain cfg.jobsFolder} = lib.mapAttrs' (
        name: text: lib.nameValuePair "${name}.json" text
      ) cfg.jobTexts;
    };

  system =
    config:
    assert config.networking.firewall.enable;
    {
      etc = builtins.mapAttrs (etc config) config.environment.etc;
      units = lib.mapAttrs' (
        name: service:
        lib.nameValuePair "${name}.service" {
          text = unit service;
          inherit (service) wantedBy;
        }
      ) config.systemd.services;
      users = builtins.attrNames config.users.users;
      tmpfiles = config.systemd.tmpfiles.rules;
      firewall = firewall config.networking.firewall;
      folders = lib.optionalAttrs (config.systemd.services ? floe-jobs) (folders config.services.floe);
      # What is in everybody's path.
      path = map plain config.environment.systemPackages;
      # What the store holds, by the path of the package: the name of its program.
      store = builtins.listToAttrs (
        map (package: lib.nameValuePair (plain package) package.meta.mainProgram) (
          config.environment.systemPackages ++ [ pkgs.busybox ]
        )
      );
    };

  machine = config: {
    address = config.networking.primaryIPAddress;
    # Where the inventory says that others reach it.
    declared = config.services.floe.bindAddress;
    systems = {
      base = system config;
    }
    // builtins.mapAttrs (_: special: system special.configuration) config.specialisation;
  };
in
{
  script = test.testScript;
  machines = builtins.mapAttrs (_: machine) test.nodes;
}
