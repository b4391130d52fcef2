# A machine that runs tasks. With server.nix beside it, it is both.
{ lib, ... }:
{
  imports = [ ./default.nix ];
  services.floe = {
    enable = lib.mkDefault true;
    client.enable = lib.mkDefault true;
  };
}
