# What mkCluster makes of the inventories that come along, and that others are refused.
{ self, lib }:
let
  host = address: {
    inherit address;
    role = "server";
  };
  only = hosts: {
    cluster.name = "test";
    inherit hosts;
  };
  refused = import ./refused-inventories.nix { inherit lib; };

  trio = self.lib.mkCluster { inventory = ../../hosts/trio.nix; };
  hetzner = self.lib.mkCluster { inventory = ../../hosts/hetzner.nix; };
  single = self.lib.mkCluster { inventory = ../../hosts/single.nix; };
  acknowledged = self.lib.readInventory (
    only {
      a = host "10.0.0.1";
      b = host "10.0.0.2";
    }
    // {
      cluster = {
        name = "test";
        evenServers = true;
      };
    }
  );
  three = trio.nixosConfigurations.three.config;
  worker = hetzner.nixosConfigurations.worker-1.config;
  solo = single.nixosConfigurations.solo.config;
  expected = {
    trio-names = {
      found = builtins.attrNames trio.nixosConfigurations;
      is = [
        "one"
        "three"
        "two"
      ];
    };
    trio-joins = {
      found = three.services.floe.configuration.server;
      is = {
        enabled = true;
        bootstrap_expect = 3;
        bootstrap_secret_file = "/run/credentials/floe.service/bootstrap-secret";
        retry_join = [
          "10.0.0.1:4647"
          "10.0.0.3:4647"
          "10.0.0.2:4647"
        ];
      };
    };
    trio-peers = {
      found = three.services.floe.firewallPeers;
      is = [
        "10.0.0.1"
        "10.0.0.2"
      ];
    };
    trio-hosts = {
      found = three.networking.hosts;
      is = {
        "10.0.0.1" = [ "one" ];
        "10.0.0.2" = [ "two" ];
        "10.0.0.3" = [ "three" ];
      };
    };
    trio-meta = {
      found = three.services.floe.configuration.client.meta;
      is = {
        rack = "r2";
        tags = "backup";
      };
    };
    single-begins-alone = {
      found = solo.services.floe.configuration.server;
      is.enabled = true;
    };
    single-needs-no-token = {
      found = solo.services.floe.joinTokenFile;
      is = null;
    };
    worker-asks-the-servers = {
      found = worker.services.floe.configuration.client.servers;
      is = [
        "10.0.0.2:4647"
        "10.0.0.3:4647"
        "10.0.0.4:4647"
      ];
    };
    worker-vlan = {
      found = {
        inherit (worker.systemd.network.networks."20-vswitch") address linkConfig;
        inherit (worker.systemd.network.netdevs."20-vswitch") vlanConfig;
      };
      is = {
        address = [ "10.0.1.2/24" ];
        linkConfig.MTUBytes = "1400";
        vlanConfig.Id = 4000;
      };
    };
    colmena-deployment = {
      found = hetzner.colmena.worker-1.deployment;
      is = {
        targetHost = "198.51.100.10";
        targetUser = "root";
        tags = [ "client" ];
      };
    };
    deploy-rs-nodes = {
      found =
        builtins.mapAttrs (_: n: n.hostname + n.profiles.system.path)
          (hetzner.deploy (system: c: system + c.config.networking.hostName)).nodes;
      is = builtins.mapAttrs (name: h: h.targetHost + "x86_64-linux" + name) hetzner.inventory.hosts;
    };
    acknowledged-is-warned-of = {
      found = { inherit (acknowledged) errors warnings; };
      is = {
        errors = [ ];
        warnings = [ "2 servers tolerate no more failures than 1" ];
      };
    };
    ipv6-is-written-with-brackets = {
      found =
        (self.lib.mkCluster {
          inventory = only {
            a = host "fd00::1";
            b = host "fd00::2" // {
              role = "client";
            };
          };
          modules = [ ../../hosts/hardware/example.nix ];
        }).nixosConfigurations.b.config.services.floe.client.servers;
      is = [ "[fd00::1]:4647" ];
    };
  };
in
{
  count =
    builtins.length (builtins.attrNames refused) + builtins.length (builtins.attrNames expected);
  problems =
    saysNothingElse:
    builtins.concatMap (
      name:
      let
        result =
          saysNothingElse name refused.${name}.says
            (self.lib.readInventory refused.${name}.inventory).errors;
      in
      lib.optional (!result.ok) result.what
    ) (builtins.attrNames refused)
    ++ builtins.concatMap (
      name:
      let
        e = expected.${name};
      in
      lib.optional (e.found != e.is) "${name}: ${builtins.toJSON e.found} is not ${builtins.toJSON e.is}"
    ) (builtins.attrNames expected);
}
