# lib.nixosSystem: floe's modules beside declarations of the NixOS options that they write to. Failed assertions stop it with NixOS' words.
{
  lib,
  pkgsFor,
  modules,
  specialArgs,
  system,
}:
let
  systemOf =
    modules:
    let
      evaluated = lib.evalModules {
        modules = [
          ./options.nix
          { config = lib.optionalAttrs (system != null) { nixpkgs.hostPlatform = lib.mkDefault system; }; }
        ]
        ++ modules;
        specialArgs = {
          inherit lib;
          pkgs = pkgsFor evaluated.config.nixpkgs.hostPlatform;
        }
        // specialArgs;
      };
      inherit (evaluated) config;
      failed = map (a: a.message) (builtins.filter (a: !a.assertion) config.assertions);
      # The same machine with more said about it; it has no second configurations itself.
      specialisation = builtins.mapAttrs (_: special: {
        inherit
          (systemOf (
            modules
            ++ [
              special.configuration
              { specialisation = lib.mkForce { }; }
            ]
          ))
          config
          ;
      }) config.specialisation;
      # What a build would need of the machine; every value that floe's modules give is looked at.
      used = builtins.toJSON {
        inherit (config)
          boot
          environment
          networking
          systemd
          users
          hardware
          warnings
          ;
        specialisation = map (special: toString special.config.system.build.toplevel) (
          builtins.attrValues specialisation
        );
      };
    in
    {
      inherit (evaluated) options;
      config = config // {
        specialisation = builtins.mapAttrs (_: special: { configuration = special.config; }) specialisation;
        system = config.system // {
          build.toplevel =
            if failed != [ ] then
              throw "\nFailed assertions:\n${lib.concatMapStringsSep "\n" (m: "- ${m}") failed}"
            else
              derivation {
                name = "nixos-system-${config.networking.hostName}-${config.system.stateVersion}";
                system = config.nixpkgs.hostPlatform;
                builder = "/floe-stub-builds-nothing";
                used = builtins.unsafeDiscardStringContext used;
              };
        };
      };
    };
in
systemOf modules
