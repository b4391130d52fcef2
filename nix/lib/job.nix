# lib.mkJob: a job that is written in Nix, as the file that `floe job run` takes; floe says what is wrong with it when it is built.
{ self }:
{
  # Of the machine that builds it.
  pkgs,
  # As in a .nix job file: { job.NAME = { ... }; }.
  job,
}:
let
  names = builtins.attrNames (job.job or { });
  name =
    if builtins.length names == 1 then
      builtins.head names
    else
      throw "lib.mkJob: a file holds one job, { job.NAME = { ... }; }, and this one holds ${toString (builtins.length names)}";
  json = pkgs.writeText "${name}.json" (builtins.toJSON job);
in
pkgs.runCommand "${name}.json"
  { nativeBuildInputs = [ self.packages.${pkgs.stdenv.hostPlatform.system}.floe ]; }
  ''
    floe job validate ${json}
    cp ${json} $out
  ''
