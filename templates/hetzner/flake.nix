{
  description = "A cluster of floe at Hetzner";

  inputs = {
    floe.url = "github:floe-cluster/floe";
    nixpkgs.follows = "floe/nixpkgs";
    disko.url = "github:nix-community/disko";
    disko.inputs.nixpkgs.follows = "nixpkgs";
  };

  outputs =
    { floe, disko, ... }:
    let
      cluster = floe.lib.mkCluster {
        inventory = ./hosts.nix;
        modules = [
          disko.nixosModules.disko
          ./common.nix
        ];
      };
    in
    {
      inherit (cluster) nixosConfigurations colmena;
    };
}
