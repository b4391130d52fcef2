# Tests of the modules and of the inventory, by evaluation: what they give, and what they refuse with which words. A failure stops the evaluation.
# What is derived from each is handed on, for the checks that need a machine: the agent itself reads the configurations, systemd the units.
{
  self,
  nixpkgs,
  pkgs,
}:
let
  inherit (nixpkgs) lib;
  system = pkgs.stdenv.hostPlatform.system;
  base = {
    nixpkgs.hostPlatform = system;
    system.stateVersion = "26.05";
    networking.hostName = "here";
    imports = [ ../../hosts/hardware/example.nix ];
  };
  machine =
    module:
    nixpkgs.lib.nixosSystem {
      modules = [
        self.nixosModules.default
        base
        module
      ];
    };
  cases = import ./cases.nix { inherit self lib; };
  inventories = import ./inventories.nix { inherit self lib; };

  machines = builtins.mapAttrs (_: case: (machine case.module).config) cases.accepted;
  all = machines // builtins.mapAttrs (_: host: host.config) self.nixosConfigurations;
  configurations = builtins.mapAttrs (_: config: config.services.floe.configuration) all;
  units = builtins.mapAttrs (
    _: config: import ./unit.nix { inherit lib; } config.systemd.services.floe
  ) all;
  jobUnits = builtins.mapAttrs (
    _: config: import ./unit.nix { inherit lib; } config.systemd.services.floe-jobs
  ) (lib.filterAttrs (_: config: config.systemd.services ? floe-jobs) all);
  jobTexts = builtins.foldl' (found: config: found // config.services.floe.jobTexts) { } (
    builtins.attrValues all
  );
  # What a unit's command is given, without the store's paths at both ends.
  arguments =
    service:
    let
      words = builtins.filter builtins.isString (builtins.split " " service.serviceConfig.ExecStart);
    in
    lib.take (builtins.length words - 2) (builtins.tail words);
  failed = config: map (a: a.message) (builtins.filter (a: !a.assertion) config.assertions);

  # The values of a set that differ from what is expected, each with its name.
  differences =
    path: expected: found:
    builtins.concatMap (
      name:
      let
        at = path ++ [ name ];
        e = expected.${name};
        f = found.${name} or "nothing";
      in
      if builtins.isAttrs e && builtins.isAttrs f then
        differences at e f
      else if e == f || (e == "nothing" && !(found ? ${name})) then
        [ ]
      else
        [ "${builtins.concatStringsSep "." at} is ${builtins.toJSON f} and not ${builtins.toJSON e}" ]
    ) (builtins.attrNames expected);
  contains =
    words: text:
    builtins.match ".*${lib.escapeRegex words}.*" (builtins.replaceStrings [ "\n" ] [ " " ] text)
    != null;
  saysNothingElse = name: words: texts: {
    ok = builtins.length texts == 1 && contains words (builtins.head texts);
    what = "${name}: it should say \"${words}\" and nothing else, and it says: ${builtins.toJSON texts}";
  };

  problems =
    builtins.concatMap (
      name:
      let
        config = machines.${name};
        view = {
          inherit (config.services.floe) configuration;
          inherit (config) networking users hardware;
          unit = config.systemd.services.floe;
          inherit (config) warnings;
        }
        // lib.optionalAttrs (config.systemd.services ? floe-jobs) {
          jobs = arguments config.systemd.services.floe-jobs;
        };
      in
      map (m: "${name}: it is refused: ${m}") (failed config)
      ++ map (d: "${name}: ${d}") (differences [ ] cases.accepted.${name}.gives view)
    ) (builtins.attrNames machines)
    ++ builtins.concatMap (
      name:
      let
        result = saysNothingElse name cases.refused.${name}.says (
          failed (machine cases.refused.${name}.module).config
        );
      in
      lib.optional (!result.ok) result.what
    ) (builtins.attrNames cases.refused)
    ++ inventories.problems saysNothingElse;
in
if problems != [ ] then
  throw "\n${builtins.concatStringsSep "\n" problems}"
else
  pkgs.runCommand "floe-module-tests" {
    passthru = {
      inherit
        configurations
        units
        jobUnits
        jobTexts
        ;
      scenarios = builtins.mapAttrs (
        name: test:
        import ./lane.nix { inherit lib pkgs; } (test // { inherit (self.checks.${system}.${name}) nodes; })
      ) (import ../../nixos-tests { inherit self; });
      count =
        builtins.length (builtins.attrNames cases.accepted)
        + builtins.length (builtins.attrNames cases.refused)
        + inventories.count;
    };
  } "touch $out"
