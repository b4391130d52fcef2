# A server that loses its disk, and a client.
{ cluster, ... }:
cluster {
  hosts = {
    client1 = {
      address = "192.168.1.1";
      role = "client";
    };
    server1 = {
      address = "192.168.1.2";
      role = "server";
    };
  };
}
