# Exactly the NixOS options that floe's modules, hosts and templates write to, with NixOS' types as far as those catch mistakes.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  option = type: default: mkOption { inherit type default; };
  strings = option (types.listOf types.str) [ ];
  # Values of a unit's section: what systemd understands when it is written down.
  scalar = types.oneOf [
    types.bool
    types.int
    types.str
    types.path
    types.package
  ];
  section = option (types.attrsOf (types.either scalar (types.listOf scalar))) { };
  unit = {
    options = {
      enable = option types.bool true;
      description = option types.str "";
      documentation = strings;
      after = strings;
      before = strings;
      wants = strings;
      requires = strings;
      wantedBy = strings;
      partOf = strings;
      unitConfig = section;
      serviceConfig = section;
      sliceConfig = section;
      environment = option (types.attrsOf (types.nullOr types.str)) { };
      path = option (types.listOf (types.either types.package types.str)) [ ];
      restartTriggers = option (types.listOf types.anything) [ ];
      reloadTriggers = option (types.listOf types.anything) [ ];
      restartIfChanged = option types.bool true;
      reloadIfChanged = option types.bool false;
      stopIfChanged = option types.bool true;
      startLimitIntervalSec = mkOption {
        type = types.int;
        default = 10;
      };
      startLimitBurst = mkOption {
        type = types.int;
        default = 5;
      };
    };
  };
  network = {
    options = {
      enable = option types.bool true;
      matchConfig = section;
      linkConfig = section;
      networkConfig = section;
      netdevConfig = section;
      vlanConfig = section;
      dhcpV4Config = section;
      address = strings;
      gateway = strings;
      vlan = strings;
      routes = option (types.listOf (types.attrsOf scalar)) [ ];
    };
  };
  etc = {
    options = {
      enable = option types.bool true;
      # One of the two is given; NixOS makes a file of a text.
      source = option (types.nullOr types.path) null;
      text = option (types.nullOr types.lines) null;
      mode = option types.str "symlink";
    };
  };
  portRange = {
    options = {
      from = mkOption { type = types.port; };
      to = mkOption { type = types.port; };
    };
  };
  user = {
    options = {
      isSystemUser = option types.bool false;
      group = option types.str "";
      description = option types.str "";
      home = option types.path "/var/empty";
      openssh.authorizedKeys.keys = strings;
    };
  };
in
{
  options = {
    assertions = option (types.listOf (
      types.submodule {
        options = {
          assertion = mkOption { type = types.bool; };
          message = mkOption { type = types.str; };
        };
      }
    )) [ ];
    warnings = strings;
    nixpkgs.hostPlatform = mkOption { type = types.str; };
    nixpkgs.overlays = option (types.listOf types.raw) [ ];
    system.stateVersion = mkOption { type = types.str; };
    boot = {
      kernelModules = strings;
      kernelParams = strings;
      initrd.availableKernelModules = strings;
      kernel.sysctl = option (types.attrsOf (
        types.oneOf [
          types.bool
          types.int
          types.str
        ]
      )) { };
      swraid.mdadmConf = option types.lines "";
      loader.grub = {
        enable = option types.bool true;
        device = option types.str "";
        efiSupport = option types.bool false;
        efiInstallAsRemovable = option types.bool false;
      };
    };
    fileSystems = option (types.attrsOf (
      types.submodule {
        options = {
          device = mkOption { type = types.str; };
          fsType = option types.str "auto";
          options = option (types.listOf types.str) [ "defaults" ];
        };
      }
    )) { };
    environment.etc = option (types.attrsOf (types.submodule etc)) { };
    environment.systemPackages = option (types.listOf types.package) [ ];
    # A second configuration of the machine beside this one; ./default.nix evaluates it.
    specialisation = option (types.attrsOf (
      types.submodule { options.configuration = mkOption { type = types.raw; }; }
    )) { };
    hardware.nvidia-container-toolkit = {
      enable = option types.bool false;
      suppressNvidiaDriverAssertion = option types.bool false;
    };
    hardware.nvidia.datacenter.enable = option types.bool false;
    networking = {
      hostName = option (types.strMatching "|[[:alnum:]]([[:alnum:]_-]{0,61}[[:alnum:]])?") "nixos";
      hosts = option (types.attrsOf (types.listOf types.str)) { };
      # Of the machines of NixOS' tests.
      primaryIPAddress = option types.str "";
      useNetworkd = option types.bool false;
      useDHCP = option types.bool true;
      nftables.enable = option types.bool false;
      firewall = {
        enable = option types.bool true;
        allowedTCPPorts = option (types.listOf types.port) [ ];
        allowedTCPPortRanges = option (types.listOf (types.submodule portRange)) [ ];
        allowedUDPPortRanges = option (types.listOf (types.submodule portRange)) [ ];
        extraInputRules = option types.lines "";
      };
    };
    services.openssh.enable = option types.bool false;
    services.qemuGuest.enable = option types.bool false;
    services.xserver.videoDrivers = strings;
    systemd = {
      services = option (types.attrsOf (types.submodule unit)) { };
      slices = option (types.attrsOf (types.submodule unit)) { };
      tmpfiles.rules = strings;
      network = {
        enable = option types.bool false;
        networks = option (types.attrsOf (types.submodule network)) { };
        netdevs = option (types.attrsOf (types.submodule network)) { };
      };
    };
    users.users = option (types.attrsOf (types.submodule user)) { };
    users.groups = option (types.attrsOf (
      types.submodule { options.gid = option (types.nullOr types.int) null; }
    )) { };
  };
}
