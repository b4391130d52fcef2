# What the flake gives as `lib`.
{ self, nixpkgs }:
{
  mkCluster = import ./cluster.nix { inherit self nixpkgs; };
  mkJob = import ./job.nix { inherit self; };
  # An inventory's errors, warnings, hosts and servers, without nixpkgs.
  readInventory = import ./inventory.nix;
}
