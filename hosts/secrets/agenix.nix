# A server's secrets by agenix: a module for mkCluster beside agenix' own. The .age files are what `agenix -e` made.
{ config, ... }:
let
  inherit (config.age) secrets;
in
{
  age.secrets.floe-bootstrap.file = ./floe-bootstrap.age;
  age.secrets.floe-keyring-key.file = ./floe-keyring-key.age;

  services.floe.server.bootstrapSecretFile = secrets.floe-bootstrap.path;
  services.floe.server.keyringKeyFile = secrets.floe-keyring-key.path;
}
