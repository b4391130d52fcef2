{
  description = "A stand-in for disko: its module takes devices and does nothing with them";

  inputs.nixpkgs.url = "path:../stub";

  outputs = _: {
    nixosModules.disko =
      { lib, ... }:
      {
        options.disko.devices = lib.mkOption {
          type = lib.types.anything;
          default = { };
        };
      };
  };
}
