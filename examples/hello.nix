# A page on port 8080 of every node that runs it. Run it with: floe job run hello.nix
{
  job.hello = {
    type = "service";
    datacenters = [ "*" ];

    # How a new version replaces the old: one at a time, each healthy for a second first.
    update = {
      max_parallel = 1;
      min_healthy_time = "1s";
    };

    group.web = {
      count = 1;

      network = {
        mode = "bridge";
        port.http = {
          static = 8080;
          to = 8080;
        };
      };

      service = {
        name = "hello";
        provider = "nomad";
        port = "http";
        tags = [ "http" ];
      };

      task.server = {
        driver = "exec";

        config = {
          command = "/usr/bin/busybox";
          args = [ "httpd" "-f" "-v" "-p" "\${NOMAD_PORT_http}" "-h" "/local/www" ];
        };

        template = {
          data = builtins.readFile ./hello/index.html.tmpl;
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
