# A machine that is a server. With client.nix beside it, it is both.
{ lib, ... }:
{
  imports = [ ./default.nix ];
  services.floe = {
    enable = lib.mkDefault true;
    server.enable = lib.mkDefault true;
  };
}
