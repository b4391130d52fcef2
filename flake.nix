{
  description = "floe, a NixOS-native cluster appliance";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      forSystems = f: lib.genAttrs systems (system: f nixpkgs.legacyPackages.${system});
      ours = import ./nix/lib { inherit self nixpkgs; };
      # The inventories that come along, each as the configurations of its hosts.
      clusters = builtins.mapAttrs (_: inventory: ours.mkCluster { inherit inventory; }) {
        single = ./hosts/single.nix;
        trio = ./hosts/trio.nix;
        hetzner = ./hosts/hetzner.nix;
      };
      # What runs on machines: here on those of tests/lanes, and on NixOS in those of its own test driver.
      scenarios = import ./nixos-tests { inherit self; };
      # A module with this flake's floe, unless somebody names another one.
      withPackage = file: {
        imports = [
          file
          (
            { lib, pkgs, ... }:
            {
              key = "floe-package";
              services.floe.package = lib.mkDefault self.packages.${pkgs.stdenv.hostPlatform.system}.floe;
            }
          )
        ];
      };
    in
    {
      lib = ours;

      packages = forSystems (
        pkgs:
        let
          floe = pkgs.callPackage ./nix/package.nix {
            tests = self.checks.${pkgs.stdenv.hostPlatform.system};
          };
        in
        {
          inherit floe;
          default = floe;
        }
      );

      overlays.default = final: _: { floe = final.callPackage ./nix/package.nix { }; };

      nixosModules = {
        default = withPackage ./modules;
        server = withPackage ./modules/server.nix;
        client = withPackage ./modules/client.nix;
        gpu = withPackage ./modules/gpu.nix;
        hetzner = ./modules/hetzner.nix;
      };

      nixosConfigurations = lib.foldl' (all: cluster: all // cluster.nixosConfigurations) { } (
        builtins.attrValues clusters
      );

      checks = forSystems (
        pkgs:
        builtins.mapAttrs (_: pkgs.testers.runNixOSTest) scenarios
        // {
          modules = import ./nix/tests { inherit self nixpkgs pkgs; };
          formatting = pkgs.runCommand "floe-nix-formatting" { nativeBuildInputs = [ pkgs.nixfmt ]; } ''
            cd ${./.}
            find flake.nix hosts modules nix nixos-tests templates -name '*.nix' -exec nixfmt --check {} +
            touch $out
          '';
          dead-code = pkgs.runCommand "floe-nix-dead-code" { nativeBuildInputs = [ pkgs.deadnix ]; } ''
            cd ${./.}
            deadnix --fail flake.nix hosts modules nix/*.nix nix/lib nix/tests nixos-tests templates
            touch $out
          '';
        }
      );

      devShells = forSystems (pkgs: {
        default = pkgs.mkShell {
          inputsFrom = [ self.packages.${pkgs.stdenv.hostPlatform.system}.floe ];
          packages = [
            pkgs.busybox
            pkgs.cargo
            pkgs.clippy
            pkgs.deadnix
            pkgs.nixfmt
            pkgs.rust-analyzer
            pkgs.rustc
            pkgs.rustfmt
          ];
        };
      });

      formatter = forSystems (pkgs: pkgs.nixfmt-tree);

      apps = forSystems (
        pkgs:
        let
          inherit (self.packages.${pkgs.stdenv.hostPlatform.system}) floe;
          demo = pkgs.writeShellApplication {
            name = "floe-demo";
            runtimeInputs = [ floe ];
            # A page on port 8080 until Ctrl-C, in a container of its own; nothing is left afterwards.
            text = ''
              if [ "$(id -u)" != 0 ]; then
                echo "the demo makes a container and a network, which needs root: sudo nix run .#demo" >&2
                exit 1
              fi
              exec floe up ${./nix}/demo.nix -var busybox=${lib.getExe pkgs.busybox} "$@"
            '';
          };
          app = package: description: {
            type = "app";
            program = lib.getExe package;
            meta = { inherit description; };
          };
        in
        {
          default = app floe "floe's command line and agent";
          demo = app demo "a node on this machine with one job on it, until Ctrl-C";
        }
      );

      templates = {
        default = {
          path = ./templates/default;
          description = "a cluster: an inventory, and the configuration of its machines";
        };
        hetzner = {
          path = ./templates/hetzner;
          description = "a cluster at Hetzner, with disks that disko makes";
        };
      };
    };
}
