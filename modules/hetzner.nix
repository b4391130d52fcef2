# The network of a machine at Hetzner: cloud servers with their private network, and dedicated servers with a VLAN of a vSwitch.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.floe.hetzner;
  isCloud = cfg.kind == "cloud";
  hasVlan = !isCloud && cfg.vlan != null;
in
{
  options.floe.hetzner = {
    kind = mkOption {
      type = types.enum [
        "cloud"
        "dedicated"
      ];
      example = "cloud";
      description = "Whether this is a server of Hetzner's cloud, or a dedicated one.";
    };
    ipv6 = mkOption {
      type = types.nullOr (types.strMatching "[0-9a-fA-F:]+/[0-9]+");
      default = null;
      example = "2001:db8::1/64";
      description = "The machine's public IPv6 address with its prefix. A dedicated server has none without it.";
    };
    vlan = mkOption {
      type = types.nullOr (types.ints.between 4000 4091);
      default = null;
      example = 4000;
      description = "The VLAN of a vSwitch, by which a dedicated server reaches the cloud's private network.";
    };
    privateAddress = mkOption {
      type = types.nullOr types.nonEmptyStr;
      default = null;
      example = "10.0.1.2";
      description = "The machine's address in the private network.";
    };
    privatePrefixLength = mkOption {
      type = types.ints.between 8 30;
      default = 24;
      description = "How long the prefix of the vSwitch's network is.";
    };
    privateNetwork = mkOption {
      type = types.strMatching "[0-9.]+/[0-9]+";
      default = "10.0.0.0/16";
      description = "The whole private network; a dedicated server reaches what is beyond its own part through that part's first address.";
    };
    privateGateway = mkOption {
      type = types.nullOr types.nonEmptyStr;
      default = null;
      example = "10.0.1.1";
      description = "The first address of the vSwitch's network.";
    };
  };

  config = {
    assertions = [
      {
        assertion = !isCloud -> cfg.ipv6 != null;
        message = "floe.hetzner.ipv6: is missing: a dedicated server's IPv6 address is not found by itself; give one of its network with /64";
      }
      {
        assertion = cfg.ipv6 != null -> !isCloud;
        message = "floe.hetzner.ipv6: is for dedicated servers, which have one interface; set a cloud server's with systemd.network, for the interface that is its public one";
      }
      {
        assertion = cfg.vlan != null -> !isCloud;
        message = "floe.hetzner.vlan: is for dedicated servers; a cloud server is put into the network in Hetzner's console";
      }
      {
        assertion = hasVlan -> cfg.privateAddress != null;
        message = "floe.hetzner.privateAddress: is missing: a VLAN of a vSwitch gives no addresses by itself";
      }
    ];
    networking.useNetworkd = true;
    networking.useDHCP = false;
    services.qemuGuest.enable = lib.mkIf isCloud true;
    boot.initrd.availableKernelModules =
      if isCloud then
        [
          "virtio_pci"
          "virtio_scsi"
        ]
      else
        [
          "ahci"
          "nvme"
          "xhci_pci"
        ];
    systemd.network = {
      enable = true;
      # The cloud's DHCP gives each interface its address, its routes and its MTU: 1500 outside, 1450 in the private network. Which is which, nobody
      # needs to know by name.
      networks."10-uplink" = {
        matchConfig.Name = "en* eth0";
        networkConfig = {
          DHCP = "ipv4";
          IPv6AcceptRA = false;
        };
        dhcpV4Config.UseMTU = true;
        address = lib.optional (!isCloud && cfg.ipv6 != null) cfg.ipv6;
        gateway = lib.optional (!isCloud) "fe80::1";
        vlan = lib.optional hasVlan "vswitch";
      };
      netdevs = lib.mkIf hasVlan {
        "20-vswitch" = {
          netdevConfig = {
            Name = "vswitch";
            Kind = "vlan";
            MTUBytes = "1400";
          };
          vlanConfig.Id = cfg.vlan;
        };
      };
      networks."20-vswitch" = lib.mkIf hasVlan {
        matchConfig.Name = "vswitch";
        linkConfig.MTUBytes = "1400";
        address = [ "${toString cfg.privateAddress}/${toString cfg.privatePrefixLength}" ];
        routes = lib.optional (cfg.privateGateway != null) {
          Destination = cfg.privateNetwork;
          Gateway = cfg.privateGateway;
        };
      };
    };
  };
}
