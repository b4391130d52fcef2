# lib.mkCluster: from an inventory to the configuration of each of its hosts, and to what deploys them.
{
  self,
  nixpkgs,
}:
{
  # A file that holds an inventory, or the inventory itself; then `hardware` of a host needs `root`.
  inventory,
  # The folder to which `hardware` of a host is relative.
  root ? (if builtins.isAttrs inventory then null else builtins.dirOf inventory),
  # Modules for every host.
  modules ? [ ],
  # The nixpkgs of the hosts.
  nixpkgs' ? nixpkgs,
  # For those modules.
  specialArgs ? { },
}:
let
  inherit (nixpkgs') lib;
  read = if builtins.isAttrs inventory then inventory else import inventory;
  checked = import ./inventory.nix read;
  found =
    if checked.errors == [ ] then
      checked
    else
      throw "\nThe inventory${
        if builtins.isAttrs inventory then "" else " ${baseNameOf inventory}"
      } cannot be used:\n${lib.concatMapStringsSep "\n" (e: "- ${e}") checked.errors}";
  inherit (found) cluster hosts servers;
  count = builtins.length servers;
  addressOf = name: hosts.${name}.address;
  addresses = map addressOf servers;
  isIpv6 = address: builtins.match ".*:.*" address != null;
  withPort =
    address: "${if isIpv6 address then "[${address}]" else address}:${toString cluster.rpcPort}";
  serverList = map withPort addresses;

  # What the inventory says about one host. The host's own modules may say otherwise.
  hostModule = host: {
    _file = if builtins.isAttrs inventory then "<inventory>" else toString inventory;
    imports = [
      self.nixosModules.default
    ]
    ++ lib.optional (host.hetzner != null) self.nixosModules.hetzner;
    config = {
      system.stateVersion = lib.mkDefault cluster.stateVersion;
      networking.hostName = host.name;
      networking.nftables.enable = lib.mkDefault true;
      networking.hosts = builtins.listToAttrs (
        map (name: {
          name = addressOf name;
          value = [ name ];
        }) (builtins.attrNames hosts)
      );
      services.openssh.enable = lib.mkDefault true;
      services.floe = lib.mkMerge [
        {
          enable = true;
          inherit (host) region datacenter;
          bindAddress = lib.mkDefault host.address;
          ports.rpc = cluster.rpcPort;
          firewallPeers = lib.mkDefault (
            builtins.filter (a: a != host.address) (map addressOf (builtins.attrNames hosts))
          );
          server.enable = host.isServer;
          client.enable = host.isClient;
        }
        (lib.mkIf (count > 1 || !host.isServer) { joinTokenFile = lib.mkDefault cluster.joinTokenFile; })
        (lib.mkIf host.isServer {
          server.keyringKeyFile = lib.mkIf (cluster.keyringKeyFile != null) (
            lib.mkDefault cluster.keyringKeyFile
          );
        })
        (lib.mkIf (host.isServer && count > 1) {
          server = {
            bootstrapExpect = count;
            bootstrapSecretFile = lib.mkDefault cluster.bootstrapSecretFile;
            retryJoin = serverList;
          };
        })
        (lib.mkIf host.isClient {
          client = {
            # Services are reached where the cluster's own traffic goes: the default route of a machine in the cloud leads to the public network.
            advertiseAddress = lib.mkIf (!lib.hasPrefix "127." host.address) (lib.mkDefault host.address);
            nodeClass = host.class;
            nodePool = host.pool;
            gpu.enable = lib.mkIf host.gpu true;
            meta =
              host.meta
              // lib.optionalAttrs (host.tags != [ ]) { tags = builtins.concatStringsSep "," host.tags; };
          };
        })
        (lib.mkIf (host.isClient && !host.isServer) { client.servers = serverList; })
      ];
    }
    // lib.optionalAttrs (host.hetzner != null) {
      floe.hetzner = {
        inherit (host.hetzner) kind;
        ipv6 = host.hetzner.ipv6 or null;
        vlan = host.hetzner.vlan or null;
        privateGateway = host.hetzner.gateway or null;
        privateAddress = host.address;
      };
    };
  };

  hardware =
    host:
    if host.hardware == null then
      [ ]
    else if root == null then
      throw "hosts.${host.name}.hardware: ${host.hardware} is relative to the inventory's file; give mkCluster the file, or root"
    else if builtins.pathExists (root + "/${host.hardware}") then
      [ (root + "/${host.hardware}") ]
    else
      throw "hosts.${host.name}.hardware: there is no file ${host.hardware} beside the inventory (a flake sees only what git knows: git add it)";

  modulesOf =
    host:
    [
      (hostModule host)
      { nixpkgs.hostPlatform = lib.mkDefault host.system; }
    ]
    ++ hardware host
    ++ modules;
  nixosConfigurations = builtins.mapAttrs (
    _: host:
    nixpkgs'.lib.nixosSystem {
      inherit specialArgs;
      modules = modulesOf host;
    }
  ) hosts;
in
{
  inherit nixosConfigurations;
  inherit (found) warnings;
  inventory = { inherit cluster hosts servers; };

  # For NixOS' tests: each host as a module, without hardware and nixpkgs, which the test gives. Its address must be the one that the test gives, too.
  nodes = builtins.mapAttrs (
    _: host:
    let
      module = hostModule host;
    in
    module // { imports = module.imports ++ modules; }
  ) hosts;

  # For colmena's makeHive: the same modules, and where each host is.
  colmena = {
    meta = {
      nixpkgs = nixpkgs'.legacyPackages.${hosts.${builtins.head (builtins.attrNames hosts)}.system};
      nodeNixpkgs = builtins.mapAttrs (_: host: nixpkgs'.legacyPackages.${host.system}) hosts;
      inherit specialArgs;
    };
  }
  // builtins.mapAttrs (_: host: {
    imports = modulesOf host;
    deployment = {
      inherit (host) targetHost targetUser;
      tags = host.tags ++ [ host.role ];
    };
  }) hosts;

  # For deploy-rs, given its activate.nixos of a system: `deploy = cluster.deploy (system: deploy-rs.lib.${system}.activate.nixos);`
  deploy = activateFor: {
    nodes = builtins.mapAttrs (name: host: {
      hostname = host.targetHost;
      sshUser = host.targetUser;
      profiles.system = {
        user = "root";
        path = activateFor host.system nixosConfigurations.${name};
      };
    }) hosts;
  };
}
