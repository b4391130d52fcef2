# A server and a client, with secrets in plain files, as sops-nix and agenix put them there.
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
