# Three servers, of which two will be lost, and a client.
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
    server2 = {
      address = "192.168.1.3";
      role = "server";
    };
    server3 = {
      address = "192.168.1.4";
      role = "server";
    };
  };
}
