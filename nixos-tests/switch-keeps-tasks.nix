# One machine with a task, and what a switch can change about it: nothing of floe's, floe's settings, floe itself.
{ alone, ... }:
{
  machine =
    {
      config,
      lib,
      pkgs,
      ...
    }:
    let
      inherit (config.services.floe) package;
      # Another package, as a newer version is one; what is in it is the same.
      next = pkgs.runCommand "floe-next" { meta.mainProgram = "floe"; } ''
        install -D ${lib.getExe package} $out/bin/floe
      '';
    in
    {
      imports = [ alone.machine ];
      specialisation = {
        other.configuration.environment.etc."other".text = "not floe's";
        settings.configuration.services.floe.logLevel = "debug";
        version.configuration.services.floe.package = lib.mkForce next;
      };
    };
}
