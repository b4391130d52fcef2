# The unit that brings services.floe.jobs to the cluster. What is to be done floe itself finds out (`floe job reconcile`): here is only the folder of files.
# It is there on every server, also one without jobs: the last one that was taken out is stopped, too.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.floe;
  isInline = job: builtins.isAttrs job && job.type or "" != "derivation";
  ending = file: builtins.head (builtins.match ".*\\.(nix|hcl|nomad|json)" (toString file));
  copy =
    name: job:
    if isInline job then
      "cp ${pkgs.writeText "${name}.json" cfg.jobTexts.${name}} $out/${name}.json"
    else
      "cp ${job} $out/${name}.${ending job}";
  # A job with an error fails the build, not the switch.
  canAsk = pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform;
  folder = pkgs.runCommand "floe-jobs" { } ''
    mkdir $out
    ${builtins.concatStringsSep "\n" (lib.mapAttrsToList copy cfg.jobs)}
    for file in $out/*; do
      [ ! -e "$file" ] || ${
        if canAsk then "${lib.getExe cfg.package} job validate \"$file\"" else "true"
      }
    done
  '';
in
{
  config = lib.mkIf (cfg.enable && (cfg.server.enable || cfg.jobs != { })) {
    services.floe.jobsFolder = folder;
    services.floe.jobTexts = builtins.mapAttrs (name: job: builtins.toJSON { job.${name} = job; }) (
      lib.filterAttrs (_: isInline) cfg.jobs
    );

    systemd.services.floe-jobs = {
      description = "floe's declared jobs";
      wantedBy = [ "multi-user.target" ];
      wants = [ "floe.service" ];
      after = [ "floe.service" ];
      # Five times in an hour; then it has failed.
      startLimitIntervalSec = 3600;
      serviceConfig = import ./sandbox.nix // {
        # A switch does not wait for it: a cluster that begins waits for its other servers, which are switched later.
        Type = "exec";
        RemainAfterExit = true;
        ExecStart = builtins.concatStringsSep " " (
          [
            "${lib.getExe cfg.package} job reconcile"
            "-address http://127.0.0.1:${toString cfg.ports.http}"
            "-owner ${cfg.jobsOwner}"
          ]
          ++ lib.optional cfg.pruneJobs "-prune"
          ++ [ "-wait 10m ${cfg.jobsFolder}" ]
        );
        Restart = "on-failure";
        RestartSec = 30;
        # It reads files and speaks with the agent, and needs nothing else.
        DynamicUser = true;
        IPAddressAllow = "localhost";
        IPAddressDeny = "any";
        RestrictAddressFamilies = "AF_INET AF_INET6";
        UMask = "0077";
      };
    };
  };
}
