# Inventories that are refused, and with which words; and what mkCluster makes of those that come along.
{ self, lib }:
let
  host = address: {
    inherit address;
    role = "server";
  };
  good = {
    cluster.name = "test";
    hosts = {
      a = host "10.0.0.1";
      b = host "10.0.0.2";
      c = host "10.0.0.3";
    };
  };
  with' = change: lib.recursiveUpdate good change;
  only = hosts: {
    cluster.name = "test";
    inherit hosts;
  };
  refused = {
    two-hosts-with-one-address = {
      inventory = with' {
        hosts.b.address = "10.0.0.1";
        hosts.b.targetHost = "b.example";
      };
      says = "hosts.b.address: \"10.0.0.1\" is the address of a, too; give each host its own";
    };
    two-hosts-in-one-place = {
      inventory = with' {
        hosts.a.targetHost = "x";
        hosts.b.targetHost = "x";
      };
      says = "hosts.b.targetHost: \"x\" is the targetHost of a, too";
    };
    an-even-number = {
      inventory = only {
        a = host "10.0.0.1";
        b = host "10.0.0.2";
      };
      says = "hosts: 2 are servers (a, b), which tolerate no more failures than 1; take one more or one less, or acknowledge it: cluster.evenServers = true";
    };
    too-many = {
      inventory = only (
        lib.genAttrs [
          "a"
          "b"
          "c"
          "d"
          "e"
          "f"
          "g"
          "h"
          "i"
        ] (n: host "fd00::${n}")
        // {
          # "g", "h" and "i" are no digits of an address.
          g = host "fd00::10";
          h = host "fd00::11";
          i = host "fd00::12";
        }
      );
      says = "hosts: 9 are servers, and at most 7 begin a cluster";
    };
    no-server = {
      inventory = only {
        a = host "10.0.0.1" // {
          role = "client";
        };
      };
      says = "hosts: none is a server; give one host the role server or both";
    };
    an-unknown-role = {
      inventory = with' {
        hosts.d = host "10.0.0.4" // {
          role = "sever";
        };
      };
      says = "hosts.d.role: \"sever\" is no role; give one of server, client, both";
    };
    no-role = {
      inventory = with' { hosts.d.address = "10.0.0.4"; };
      says = "hosts.d.role: is missing";
    };
    no-address = {
      inventory = with' { hosts.d.role = "client"; };
      says = "hosts.d.address: is missing; give the IP address";
    };
    a-name-for-an-address = {
      inventory = with' { hosts.a.address = "a.example"; };
      says = "hosts.a.address: \"a.example\" is no IP address";
    };
    an-address-that-cannot-be = {
      inventory = with' { hosts.a.address = "10.0.0.256"; };
      says = "hosts.a.address: \"10.0.0.256\" is no IP address";
    };
    a-host-that-cannot-be-called-so = {
      inventory = with' {
        hosts.Web_1 = host "10.0.0.4" // {
          role = "client";
        };
      };
      says = "hosts.Web_1: a host's name has small letters";
    };
    an-unknown-key = {
      inventory = with' { hosts.a.adress = "10.0.0.9"; };
      says = "hosts.a.adress: there is no such key; take it out, or one of address, class";
    };
    an-unknown-key-of-the-cluster = {
      inventory = with' { cluster.nmae = "x"; };
      says = "cluster.nmae: there is no such key";
    };
    wireguard = {
      inventory = with' { cluster.wireguard = true; };
      says = "cluster.wireguard: not supported yet";
    };
    gpus = {
      inventory = with' { hosts.a.gpu = true; };
      says = "hosts.a.gpu: not supported yet";
    };
    several-regions = {
      inventory = with' { hosts.a.region = "us"; };
      says = "hosts.a.region: not supported yet: several regions";
    };
    a-secret-in-the-store = {
      inventory = with' { cluster.joinTokenFile = "/nix/store/abc-token"; };
      says = "cluster.joinTokenFile: \"/nix/store/abc-token\" is no file at run time";
    };
    no-cluster = {
      inventory = removeAttrs good [ "cluster" ];
      says = "cluster: is missing";
    };
    no-hosts = {
      inventory = removeAttrs good [ "hosts" ];
      says = "hosts: is missing or empty";
    };
    no-inventory = {
      inventory = [ ];
      says = "an inventory is a set";
    };
    a-host-that-is-no-set = {
      inventory = with' { hosts.a = "10.0.0.1"; } // {
        cluster.name = "test";
        cluster.evenServers = true;
      };
      says = "hosts.a: write a set";
    };
    dedicated-without-ipv6 = {
      inventory = with' { hosts.a.hetzner.kind = "dedicated"; };
      says = "hosts.a.hetzner.ipv6: is missing";
    };
    a-cloud-server-with-vlan = {
      inventory = with' {
        hosts.a.hetzner = {
          kind = "cloud";
          vlan = 4000;
        };
      };
      says = "hosts.a.hetzner.vlan: is for dedicated servers";
    };
    a-vlan-that-cannot-be = {
      inventory = with' {
        hosts.a.hetzner = {
          kind = "dedicated";
          ipv6 = "2001:db8::1/64";
          vlan = 1;
        };
      };
      says = "hosts.a.hetzner.vlan: give the number of the vSwitch";
    };
  };

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
