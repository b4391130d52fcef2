# The cluster: which machines there are, where they are, and what each of them is (server, client or both).
{
  cluster = {
    name = "mine";
    # Secrets are files that are on the machines, not here: floe server bootstrap-secret and floe server keyring-key make them.
    bootstrapSecretFile = "/etc/floe/bootstrap-secret";
    keyringKeyFile = "/etc/floe/keyring-key";
  };

  hosts = {
    one = {
      address = "10.0.0.1";
      role = "both";
      hardware = "hardware/one.nix";
    };
    two = {
      address = "10.0.0.2";
      role = "both";
      hardware = "hardware/two.nix";
    };
    three = {
      address = "10.0.0.3";
      role = "both";
      hardware = "hardware/three.nix";
    };
  };
}
