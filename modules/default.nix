# services.floe: an agent of floe on this machine, as a server, as a client, or as both. Options are declared in options.nix; settings.nix makes the
# agent's configuration of them, unit.nix what runs it, jobs.nix brings jobs to the cluster, checks.nix says what cannot work.
{
  imports = [
    ./options.nix
    ./settings.nix
    ./unit.nix
    ./jobs.nix
    ./network.nix
    ./checks.nix
    ./gpu.nix
  ];
}
