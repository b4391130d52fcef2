# What other machines may reach. Ports of tasks in bridge networks are translated before the firewall looks, so they are open as soon as a job has them.
{ config, lib, ... }:
let
  cfg = config.services.floe;
  client = cfg.configuration.client or { };
  dynamic = {
    from = client.min_dynamic_port or 20000;
    to = client.max_dynamic_port or 32000;
  };
  isIpv6 = address: builtins.match ".*:.*" address != null;
  rule =
    family: peers:
    lib.optional (peers != [ ])
      "${family} saddr { ${builtins.concatStringsSep ", " peers} } tcp dport ${toString cfg.ports.rpc} accept comment \"floe\"";
in
{
  config = lib.mkIf cfg.enable {
    networking.firewall = {
      allowedTCPPorts = lib.optional cfg.openFirewall cfg.ports.rpc;
      allowedTCPPortRanges = lib.optional (cfg.client.enable && cfg.client.openDynamicPorts) dynamic;
      allowedUDPPortRanges = lib.optional (cfg.client.enable && cfg.client.openDynamicPorts) dynamic;
      extraInputRules = lib.mkIf (cfg.firewallPeers != [ ]) (
        builtins.concatStringsSep "\n" (
          rule "ip" (builtins.filter (a: !isIpv6 a) cfg.firewallPeers)
          ++ rule "ip6" (builtins.filter isIpv6 cfg.firewallPeers)
        )
      );
    };
    # What a client's tasks need of the kernel; NixOS loads no module by itself once it has booted, where that is locked.
    boot.kernelModules = lib.mkIf cfg.client.enable [
      "bridge"
      "nf_nat"
      "nf_tables"
      "overlay"
      "veth"
    ];
  };
}
