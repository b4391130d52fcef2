let
  task = name: { driver = "exec"; config = { command = "/bin/${name}"; mount = [ { type = "bind"; } ]; }; };
in
{
  job.plain = {
    type = "batch";
    group.g = {
      constraint = [ { attribute = "\${attr.kernel.name}"; value = "linux"; } { distinct_hosts = true; } ];
      service = [ { name = "a"; check = { type = "http"; path = "/"; interval = "10s"; timeout = "2s"; header.Accept = [ "x" ]; }; } ];
      volume.data = { type = "host"; source = "data"; };
      task = builtins.listToAttrs (map (name: { inherit name; value = task name; }) [ "one" "two" ]);
    };
  };
}
