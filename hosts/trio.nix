# Three machines that are servers and clients at once: any one of them may fail.
{
  cluster = {
    name = "trio";
    datacenter = "home";
    bootstrapSecretFile = "/run/secrets/floe-bootstrap";
    joinTokenFile = "/run/secrets/floe-join-token";
    keyringKeyFile = "/run/secrets/floe-kek";
  };

  hosts = {
    one = {
      address = "10.0.0.1";
      role = "both";
      hardware = "hardware/example.nix";
    };
    two = {
      address = "10.0.0.2";
      role = "both";
      hardware = "hardware/example.nix";
    };
    three = {
      address = "10.0.0.3";
      role = "both";
      hardware = "hardware/example.nix";
      tags = [ "backup" ];
      meta.rack = "r2";
    };
  };
}
