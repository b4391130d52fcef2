# Three small cloud servers that decide, and a dedicated one that runs the work. Put the cloud servers into a network (10.0.0.0/16, with a subnet
# 10.0.0.0/24), and join it to a vSwitch (subnet 10.0.1.0/24, VLAN 4000) that the dedicated server is in.
{
  cluster = {
    name = "mine";
    datacenter = "fsn1";
    bootstrapSecretFile = "/etc/floe/bootstrap-secret";
    joinTokenFile = "/etc/floe/join-token";
    keyringKeyFile = "/etc/floe/keyring-key";
  };

  hosts = {
    control-1 = {
      address = "10.0.0.2";
      publicAddress = "203.0.113.2";
      role = "server";
      hardware = "cloud.nix";
      hetzner.kind = "cloud";
    };
    control-2 = {
      address = "10.0.0.3";
      publicAddress = "203.0.113.3";
      role = "server";
      hardware = "cloud.nix";
      hetzner.kind = "cloud";
    };
    control-3 = {
      address = "10.0.0.4";
      publicAddress = "203.0.113.4";
      role = "server";
      hardware = "cloud.nix";
      hetzner.kind = "cloud";
    };
    worker-1 = {
      address = "10.0.1.2";
      publicAddress = "198.51.100.10";
      role = "client";
      hardware = "dedicated.nix";
      hetzner = {
        kind = "dedicated";
        ipv6 = "2001:db8:1::1/64";
        vlan = 4000;
        gateway = "10.0.1.1";
      };
    };
  };
}
