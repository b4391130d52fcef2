# Types that several options share.
{ lib }:
let
  inherit (lib) types;
  inStore = text: lib.hasPrefix builtins.storeDir text;
in
{
  # A file that is there when the machine runs: a secret in the store could be read by everybody, and copied with every closure.
  runtimeFile = lib.mkOptionType {
    name = "runtimeFile";
    description = "absolute path of a file that is there when the machine runs, as a string: not a path literal and nothing below ${builtins.storeDir}, for everybody can read what is in the store; take what sops-nix or agenix gives, such as config.sops.secrets.NAME.path";
    check = value: builtins.isString value && lib.hasPrefix "/" value && !inStore value;
    merge = lib.types.str.merge;
  };

  # How long: as the agent reads it, so with a unit.
  duration = types.strMatching "([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h))+";

  # An address, or a host's name, with or without a port.
  address = types.strMatching "[^[:space:]]+";

  # Where this machine is: an address, the network that its address is in, or the interface that has it. The agent finds it when it starts.
  place = types.either types.nonEmptyStr (
    types.submodule {
      options.interface = lib.mkOption {
        type = types.strMatching "[^[:space:]\"/]{1,15}";
        example = "enp7s0";
        description = "The interface that has the address; it must have one, or one of IPv4.";
      };
    }
  );

  # As the agent reads it.
  placeText =
    place: if builtins.isAttrs place then "{{ GetInterfaceIP \"${place.interface}\" }}" else place;

  inherit inStore;
}
