# The packages and builders that floe's Nix code names. Each gives a derivation that can be evaluated, and that would fail if anybody built it.
{
  lib,
  pkgsFor,
  system,
}:
let
  fake =
    name: args:
    derivation {
      inherit name system;
      builder = "/floe-stub-builds-nothing";
      inputs = builtins.toJSON (args.inputs or [ ]);
    }
    // {
      meta = args.meta or { };
      passthru = args.passthru or { };
    }
    // (args.passthru or { });
  self = {
    inherit lib system;
    stdenv = {
      hostPlatform = {
        inherit system;
        canExecute = _: true;
      };
      buildPlatform.canExecute = other: other.system == system;
    };
    callPackage =
      file: over:
      let
        f = if builtins.isFunction file then file else import file;
        wanted = builtins.functionArgs f;
        found = builtins.mapAttrs (
          name: isOptional:
          over.${name} or self.${name}
            or (if isOptional then null else throw "the stub of nixpkgs has no package `${name}'")
        ) wanted;
      in
      f (lib.filterAttrs (name: _: over ? ${name} || self ? ${name} || !wanted.${name}) found);
    rustPlatform = {
      buildRustPackage =
        {
          pname,
          version,
          src,
          cargoLock,
          meta ? { },
          passthru ? { },
          nativeBuildInputs ? [ ],
          buildInputs ? [ ],
          nativeInstallCheckInputs ? [ ],
          cargoBuildFlags ? [ ],
          doCheck ? true,
          doInstallCheck ? false,
          postInstall ? "",
          buildType ? "release",
        }:
        assert builtins.pathExists cargoLock.lockFile;
        fake "${pname}-${version}" {
          inherit meta passthru;
          inputs = map toString (nativeBuildInputs ++ buildInputs ++ nativeInstallCheckInputs);
        };
      bindgenHook = fake "bindgen-hook" { };
    };
    mkShell =
      {
        packages ? [ ],
        inputsFrom ? [ ],
        shellHook ? "",
      }:
      fake "shell" { inputs = map toString (packages ++ inputsFrom); };
    runCommand =
      name: env: script:
      fake name {
        inputs = [
          script
        ]
        ++ map toString (
          builtins.attrValues (
            removeAttrs env [
              "meta"
              "passthru"
            ]
          )
        );
        passthru = env.passthru or { };
        meta = env.meta or { };
      };
    writeText = name: text: fake name { inputs = [ text ]; };
    writeShellApplication =
      {
        name,
        text,
        runtimeInputs ? [ ],
      }:
      fake name {
        inputs = [ text ] ++ map toString runtimeInputs;
        meta.mainProgram = name;
      };
    # The test driver's machines, evaluated: numbered by their names' order, each with the address of its number. Nothing boots.
    testers.runNixOSTest =
      {
        name,
        nodes,
        testScript,
      }:
      let
        before = node: builtins.filter (other: other < node) (builtins.attrNames nodes);
        address = node: "192.168.1.${toString (builtins.length (before node) + 1)}";
        machine =
          node: module:
          (import ./nixos {
            inherit lib pkgsFor system;
            specialArgs = { };
            modules = [
              module
              {
                networking.hostName = lib.mkDefault node;
                networking.primaryIPAddress = address node;
                system.stateVersion = lib.mkOptionDefault "test";
              }
            ];
          }).config;
        machines = builtins.mapAttrs machine nodes;
      in
      fake "vm-test-run-${name}" {
        inputs = [ testScript ] ++ map (m: toString m.system.build.toplevel) (builtins.attrValues machines);
        passthru.nodes = machines;
      };
    formats.json =
      _:
      let
        json = lib.types.nullOr (
          lib.types.mkOptionType {
            name = "json";
            description = "JSON value";
            check =
              v:
              builtins.elem (builtins.typeOf v) [
                "bool"
                "int"
                "float"
                "string"
                "set"
                "list"
                "path"
              ];
            merge =
              path: definitions:
              let
                all = kind: builtins.all (d: builtins.typeOf d.value == kind) definitions;
              in
              if all "set" then
                (lib.types.attrsOf json).merge path definitions
              else if all "list" then
                (lib.types.listOf json).merge path definitions
              else
                lib.types.anything.merge path definitions;
          }
        );
      in
      {
        type = json // {
          item = json;
        };
        generate = name: value: self.writeText name (builtins.toJSON value);
      };
  }
  // lib.genAttrs [
    "busybox"
    "cargo"
    "clippy"
    "deadnix"
    "libseccomp"
    "nixfmt"
    "nixfmt-tree"
    "pkg-config"
    "installShellFiles"
    "rust-analyzer"
    "rustc"
    "rustfmt"
    "versionCheckHook"
  ] (name: fake name { meta.mainProgram = name; });
in
self
