{
  description = "A stand-in for nixpkgs: the module system, declarations of the NixOS options that floe's modules write to, and derivations that are never built";

  outputs =
    _:
    let
      lib = import ./lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      pkgsFor = system: import ./pkgs.nix { inherit lib pkgsFor system; };
    in
    {
      legacyPackages = lib.genAttrs systems pkgsFor;
      lib = lib // {
        nixosSystem =
          {
            modules,
            specialArgs ? { },
            system ? null,
          }:
          import ./nixos {
            inherit
              lib
              pkgsFor
              modules
              specialArgs
              system
              ;
          };
      };
    };
}
