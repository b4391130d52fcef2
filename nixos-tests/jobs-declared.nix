# One machine that declares a job, then another edition of it, then none.
{ alone, ... }:
let
  sweep = priority: {
    inherit priority;
    group.sweep = {
      count = 0;
      task.sweep = {
        driver = "exec";
        config.command = "/bin/true";
      };
    };
  };
in
{
  machine =
    { lib, ... }:
    {
      imports = [ alone.machine ];
      services.floe.jobs.sweep = sweep 50;
      specialisation = {
        edited.configuration.services.floe.jobs = lib.mkForce { sweep = sweep 70; };
        none.configuration.services.floe.jobs = lib.mkForce { };
        taken.configuration.services.floe.jobs = lib.mkForce { web = sweep 50; };
      };
    };
}
