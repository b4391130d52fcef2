# What `nix run .#demo` runs: a page on port 8080. On NixOS there is no /usr/bin/busybox, so where it is comes from outside.
{
  busybox ? "/usr/bin/busybox",
}:
{
  job.demo = {
    type = "service";
    datacenters = [ "*" ];

    group.web = {
      network = {
        mode = "bridge";
        port.http = {
          static = 8080;
          to = 8080;
        };
      };

      service = {
        name = "demo";
        provider = "nomad";
        port = "http";
      };

      task.server = {
        driver = "exec";
        config = {
          command = busybox;
          args = [
            "httpd"
            "-f"
            "-p"
            "\${NOMAD_PORT_http}"
            "-h"
            "/local/www"
          ];
        };
        template = {
          data = "<!doctype html><title>floe</title><h1>It runs.</h1>";
          destination = "local/www/index.html";
        };
        resources = {
          cpu = 100;
          memory = 64;
        };
      };
    };
  };
}
