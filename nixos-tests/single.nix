# One machine, a server and a client in one.
{ cluster }:
cluster {
  cluster.keyringKeyFile = null;
  hosts.machine = {
    address = "192.168.1.1";
    role = "both";
  };
}
