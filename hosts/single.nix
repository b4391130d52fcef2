# One machine that is server and client. It grows by more hosts and a switch.
{
  cluster.name = "single";

  hosts.solo = {
    address = "192.0.2.10";
    role = "both";
    hardware = "hardware/example.nix";
  };
}
