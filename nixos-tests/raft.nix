# Three servers, which begin the cluster together, and two clients. Addresses are in the order of the names, as NixOS' test driver gives them.
{ cluster, ... }:
cluster {
  hosts = {
    client1 = {
      address = "192.168.1.1";
      role = "client";
    };
    client2 = {
      address = "192.168.1.2";
      role = "client";
    };
    server1 = {
      address = "192.168.1.3";
      role = "server";
    };
    server2 = {
      address = "192.168.1.4";
      role = "server";
    };
    server3 = {
      address = "192.168.1.5";
      role = "server";
    };
  };
}
