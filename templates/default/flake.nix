{
  description = "A cluster of floe";

  inputs = {
    floe.url = "github:floe-cluster/floe";
    nixpkgs.follows = "floe/nixpkgs";
  };

  outputs =
    { floe, ... }:
    let
      cluster = floe.lib.mkCluster {
        inventory = ./hosts.nix;
        modules = [ ./common.nix ];
      };
    in
    {
      inherit (cluster) nixosConfigurations colmena;
    };
}
