# What the modules make for the machines of tests/lanes/units.py: of an inventory, with the addresses that those machines have.
{ self, lib }:
let
  cluster = self.lib.mkCluster {
    inventory = {
      cluster = {
        name = "lane";
        bootstrapSecretFile = "/run/secrets/floe-bootstrap";
        joinTokenFile = "/run/secrets/floe-join-token";
        keyringKeyFile = "/run/secrets/floe-kek";
      };
      hosts = {
        one = {
          address = "192.168.1.1";
          role = "server";
        };
        two = {
          address = "192.168.1.2";
          role = "server";
        };
        three = {
          address = "192.168.1.3";
          role = "both";
        };
        four = {
          address = "192.168.1.4";
          role = "client";
        };
      };
    };
    modules = [
      ../../hosts/hardware/example.nix
      # A new server votes sooner than it would where nobody waits for a test.
      { services.floe.settings.autopilot.server_stabilization_time = "2s"; }
    ];
  };
in
builtins.mapAttrs (
  _:
  { config, ... }:
  {
    unit = import ./unit.nix { inherit lib; } config.systemd.services.floe;
    jobsUnit =
      if config.systemd.services ? floe-jobs then
        import ./unit.nix { inherit lib; } config.systemd.services.floe-jobs
      else
        null;
    inherit (config.services.floe) configuration;
    address = config.services.floe.bindAddress;
    user = config.users.users ? floe;
    rules = config.networking.firewall.extraInputRules;
  }
) cluster.nixosConfigurations
