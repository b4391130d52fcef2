# A server's secrets by sops-nix: a module for mkCluster beside sops-nix's own. secrets.yaml is what sops made.
{ config, ... }:
let
  inherit (config.sops) secrets;
in
{
  sops.defaultSopsFile = ./secrets.yaml;
  sops.secrets.floe-bootstrap = { };
  sops.secrets.floe-keyring-key = { };

  services.floe.server.bootstrapSecretFile = secrets.floe-bootstrap.path;
  services.floe.server.keyringKeyFile = secrets.floe-keyring-key.path;
}
