# At Hetzner: three small cloud servers decide, two dedicated ones run the work, all in one private network (10.0.0.0/16). The cloud servers have
# addresses of 10.0.0.0/24, and the dedicated ones reach that from 10.0.1.0/24, through the VLAN of a vSwitch.
{
  cluster = {
    name = "hetzner";
    datacenter = "fsn1";
    bootstrapSecretFile = "/run/secrets/floe-bootstrap";
    joinTokenFile = "/run/secrets/floe-join-token";
    keyringKeyFile = "/run/secrets/floe-kek";
  };

  hosts = {
    control-1 = {
      address = "10.0.0.2";
      publicAddress = "203.0.113.2";
      role = "server";
      hardware = "hardware/example.nix";
      hetzner.kind = "cloud";
    };
    control-2 = {
      address = "10.0.0.3";
      publicAddress = "203.0.113.3";
      role = "server";
      hardware = "hardware/example.nix";
      hetzner.kind = "cloud";
    };
    control-3 = {
      address = "10.0.0.4";
      publicAddress = "203.0.113.4";
      role = "server";
      hardware = "hardware/example.nix";
      hetzner.kind = "cloud";
    };
    worker-1 = {
      address = "10.0.1.2";
      publicAddress = "198.51.100.10";
      role = "client";
      class = "dedicated";
      hardware = "hardware/example.nix";
      hetzner = {
        kind = "dedicated";
        ipv6 = "2001:db8:1::1/64";
        vlan = 4000;
        gateway = "10.0.1.1";
      };
    };
    worker-2 = {
      address = "10.0.1.3";
      publicAddress = "198.51.100.20";
      role = "client";
      class = "dedicated";
      hardware = "hardware/example.nix";
      hetzner = {
        kind = "dedicated";
        ipv6 = "2001:db8:2::1/64";
        vlan = 4000;
        gateway = "10.0.1.1";
      };
    };
  };
}
