# Inventories that are refused, each for one reason, and with which words. The modules' tests ask Nix, and crates/inventory floe's own evaluator.
{ lib }:
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
in
{
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
  gpus-of-a-server = {
    inventory = with' {
      hosts.a.gpu = true;
      hosts.a.role = "server";
    };
    says = "hosts.a.gpu: is for hosts that run tasks";
  };
  gpus-that-are-counted = {
    inventory = with' { hosts.a.gpu = 2; };
    says = "hosts.a.gpu: 2 is neither true nor false";
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
  a-datacenter-that-is-no-string = {
    inventory = with' { cluster.datacenter = 1; };
    says = "cluster.datacenter: write a string";
  };
  a-path-for-hardware = {
    inventory = with' { hosts.a.hardware = [ "one.nix" ]; };
    says = "hosts.a.hardware: write a string";
  };
}
