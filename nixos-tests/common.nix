# What all machines of the scenarios have beside what the inventory says.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.floe;
  # A page on a port of the node. `floe job run` takes such a job as JSON, too.
  web = count: {
    job.web = {
      group.web = {
        inherit count;
        network = {
          mode = "bridge";
          port.http.static = 8080;
        };
        # Nobody needs to wait for it.
        update.min_healthy_time = "1s";
        restart = {
          attempts = 10;
          interval = "5m";
          delay = "1s";
          mode = "delay";
        };
        task.server = {
          driver = "exec";
          config = {
            command = lib.getExe pkgs.busybox;
            args = [
              "httpd"
              "-f"
              "-p"
              "\${NOMAD_PORT_http}"
              "-h"
              "/local"
            ];
          };
          template = {
            data = "hello";
            destination = "local/index.html";
          };
          resources = {
            cpu = 100;
            memory = 32;
          };
        };
      };
    };
  };
in
{
  services.floe = {
    # The default route of a test's machine leads to the test driver, and its address there is the same on all.
    client.advertiseAddress = lib.mkIf cfg.client.enable cfg.bindAddress;
    # A new server votes sooner than it would where nobody waits for a test.
    settings.autopilot.server_stabilization_time = "2s";
  };
  environment.etc = {
    "jobs/web.json".text = builtins.toJSON (web 1);
    "jobs/web-twice.json".text = builtins.toJSON (web 2);
  };
}
