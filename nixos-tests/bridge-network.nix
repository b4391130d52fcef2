# Two machines, and a job on each that asks the other one's.
{ cluster, ... }:
let
  nodes = cluster {
    cluster.keyringKeyFile = null;
    hosts = {
      left = {
        address = "192.168.1.1";
        role = "both";
      };
      right = {
        address = "192.168.1.2";
        role = "client";
      };
    };
  };
  # In a network of its own it asks a port of the other machine until somebody answers, and serves the answer.
  job =
    busybox: here: there:
    let
      serve = "exec ${busybox} httpd -f -p 8081 -h /local";
    in
    {
      job.${here} = {
        group.one = {
          network = {
            mode = "bridge";
            port = {
              http.static = 8080;
              answer.static = 8081;
            };
          };
          constraint = {
            attribute = "\${node.unique.name}";
            value = here;
          };
          task.serve = {
            driver = "exec";
            config = {
              command = busybox;
              args = [
                "httpd"
                "-f"
                "-p"
                "8080"
                "-h"
                "/local"
              ];
            };
            template = {
              data = here;
              destination = "local/index.html";
            };
            resources = {
              cpu = 50;
              memory = 32;
            };
          };
          task.ask = {
            driver = "exec";
            config = {
              command = busybox;
              args = [
                "sh"
                "-c"
                "until ${busybox} wget -q -O /local/index.html http://${there}:8080/; do ${busybox} sleep 1; done; ${serve}"
              ];
            };
            resources = {
              cpu = 50;
              memory = 32;
            };
          };
        };
      };
    };
in
builtins.mapAttrs (
  _: node:
  { lib, pkgs, ... }:
  {
    imports = [ node ];
    environment.etc = {
      "jobs/left.json".text = builtins.toJSON (job (lib.getExe pkgs.busybox) "left" "192.168.1.2");
      "jobs/right.json".text = builtins.toJSON (job (lib.getExe pkgs.busybox) "right" "192.168.1.1");
    };
  }
) nodes
