# The scenarios: each a test of NixOS' test driver, as testers.runNixOSTest takes it. NAME.nix says which machines there are, NAME.py what is done
# with them, after what all scripts have in common. README.md says where they run.
{ self }:
let
  # Machines of an inventory, with what all of them have here.
  cluster =
    inventory:
    (self.lib.mkCluster {
      inventory = {
        cluster = {
          name = "test";
          # As files that were brought there. They are there after a reboot, as those of sops-nix and agenix are.
          bootstrapSecretFile = "/var/lib/secrets/bootstrap";
          joinTokenFile = "/var/lib/secrets/join-token";
          keyringKeyFile = "/var/lib/secrets/keyring-key";
        }
        // inventory.cluster or { };
        inherit (inventory) hosts;
      };
      modules = [ ./common.nix ];
    }).nodes;
  # One machine, a server and a client in one.
  alone = cluster {
    cluster.keyringKeyFile = null;
    hosts.machine = {
      address = "192.168.1.1";
      role = "both";
    };
  };
  scenario = name: {
    inherit name;
    nodes = import (./. + "/${name}.nix") { inherit cluster alone; };
    testScript = builtins.readFile ./common.py + builtins.readFile (./. + "/${name}.py");
  };
in
builtins.listToAttrs (
  map
    (name: {
      inherit name;
      value = scenario name;
    })
    [
      "bridge-network"
      "gpu-cdi"
      "grow"
      "jobs-declared"
      "quorum-loss"
      "raft"
      "secrets"
      "single"
      "snapshot-restore"
      "switch-keeps-tasks"
    ]
)
