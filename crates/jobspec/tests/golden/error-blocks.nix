{
  job.web = {
    datacentres = [ "dc1" ];
    group.g = {
      count = "three";
      network = [ { mode = "bridge"; port.http = 80; } ];
      task.t = { driver = "exec"; kill_timeout = 5; };
    };
  };
}
