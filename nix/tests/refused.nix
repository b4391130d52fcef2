# What must be refused by the type of an option, or by the evaluation itself: `machine SETTINGS` and `cluster INVENTORY` evaluate one.
{
  machine ? null,
  cluster ? null,
  kind ? null,
}:
let
  lib = import ../stub/lib;
  pkgsFor = system: import ../stub/pkgs.nix { inherit lib pkgsFor system; };
  nixpkgs = {
    lib = lib // {
      nixosSystem =
        {
          modules,
          specialArgs ? { },
        }:
        import ../stub/nixos {
          inherit
            lib
            pkgsFor
            modules
            specialArgs
            ;
          system = null;
        };
    };
    legacyPackages.x86_64-linux = pkgsFor "x86_64-linux";
  };
  package = {
    services.floe.package = (pkgsFor "x86_64-linux").callPackage ../package.nix { };
  };
  self.nixosModules = {
    default.imports = [
      ../../modules
      package
    ];
    hetzner = ../../modules/hetzner.nix;
  };
  base = {
    nixpkgs.hostPlatform = "x86_64-linux";
    system.stateVersion = "26.05";
  };
  one =
    (nixpkgs.lib.nixosSystem {
      modules = [
        self.nixosModules.default
        base
      ]
      ++ (if kind == "hetzner" then [ ../../modules/hetzner.nix ] else [ ])
      ++ [ machine ];
    }).config.system.build.toplevel.drvPath;
  clusterOf = (import ../lib { inherit self nixpkgs; }).mkCluster;
  many =
    builtins.mapAttrs (_: c: c.config.system.build.toplevel.drvPath)
      (clusterOf cluster).nixosConfigurations;
in
if cluster != null then many else one
