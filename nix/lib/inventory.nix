# An inventory, checked and completed. Plain Nix without nixpkgs, so that floe's own evaluator can run it, too.
#
# Takes what an inventory file holds, and gives:
#   errors    everything that is wrong, each with the host's name and what to do; nothing else is of use until this is empty
#   warnings  what is allowed and unwise
#   cluster   with its defaults
#   hosts     by name, each with its defaults and with `name`, `isServer`, `isClient`
#   servers   the names of those that are servers, in order
inventory:
let
  inherit (builtins)
    all
    attrNames
    concatMap
    concatStringsSep
    elem
    filter
    isAttrs
    isBool
    isList
    isString
    length
    match
    ;

  clusterKeys = {
    name = "";
    region = "global";
    datacenter = "dc1";
    rpcPort = 4647;
    evenServers = false;
    bootstrapSecretFile = "/etc/floe/bootstrap-secret";
    joinTokenFile = "/etc/floe/join-token";
    keyringKeyFile = null;
    stateVersion = "26.05";
  };
  hostKeys = {
    address = null;
    publicAddress = null;
    role = null;
    datacenter = null;
    region = null;
    pool = null;
    class = null;
    tags = [ ];
    meta = { };
    gpu = false;
    system = "x86_64-linux";
    hardware = null;
    targetHost = null;
    targetUser = "root";
    hetzner = null;
  };
  hetznerKeys = {
    kind = null;
    ipv6 = null;
    vlan = null;
    gateway = null;
  };
  roles = [
    "server"
    "client"
    "both"
  ];
  notYet = [
    "gpu"
    "wireguard"
  ];

  show = value: if isString value then "\"${value}\"" else builtins.toJSON value;
  list = concatStringsSep ", ";
  when = condition: text: if condition then [ text ] else [ ];
  has = set: key: set ? ${key} && set.${key} != null;
  unknown =
    what: known: set:
    map (
      key:
      if elem key notYet && !(known ? ${key}) then
        "${what}.${key}: not supported yet; take it out"
      else
        "${what}.${key}: there is no such key; take it out, or one of ${list (attrNames known)}"
    ) (filter (key: !(known ? ${key})) (attrNames set));

  ipv4 = "(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(\\.(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])){3}";
  isAddress =
    text: isString text && (match ipv4 text != null || match "[0-9a-fA-F]*:[0-9a-fA-F:]*" text != null);
  isName = text: match "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?" text != null;
  isFile = text: isString text && match "/.*" text != null && match "/nix/store/.*" text == null;

  given = if isAttrs inventory then inventory else { };
  givenCluster = if isAttrs (given.cluster or null) then given.cluster else { };
  givenHosts = if isAttrs (given.hosts or null) then given.hosts else { };
  names = attrNames givenHosts;

  cluster = clusterKeys // givenCluster;
  hosts = builtins.mapAttrs (
    name: host:
    let
      h = hostKeys // (if isAttrs host then host else { });
    in
    h
    // {
      inherit name;
      datacenter = if h.datacenter == null then cluster.datacenter else h.datacenter;
      region = if h.region == null then cluster.region else h.region;
      targetHost =
        if h.targetHost != null then
          h.targetHost
        else if h.publicAddress != null then
          h.publicAddress
        else
          h.address;
      isServer = h.role == "server" || h.role == "both";
      isClient = h.role == "client" || h.role == "both";
    }
  ) givenHosts;
  servers = filter (name: hosts.${name}.isServer) names;
  count = length servers;

  # One value on several hosts, where each must have its own.
  shared =
    key:
    let
      with' = filter (name: isAttrs givenHosts.${name} && has givenHosts.${name} key) names;
      value = name: givenHosts.${name}.${key};
      pairs = concatMap (
        name:
        map (other: { inherit name other; }) (
          filter (other: other > name && show (value other) == show (value name)) with'
        )
      ) with';
    in
    map (
      p:
      "hosts.${p.other}.${key}: ${show (value p.other)} is the ${key} of ${p.name}, too; give each host its own"
    ) pairs;

  hostErrors =
    name:
    let
      host = givenHosts.${name};
      at = "hosts.${name}";
      text = key: when (has host key && !(isString host.${key})) "${at}.${key}: write a string";
      region = host.region or cluster.region;
    in
    when (!(isName name))
      "${at}: a host's name has small letters, digits and -, at most 63, as it becomes the machine's name"
    ++ (
      if !(isAttrs host) then
        [ "${at}: write a set, such as { address = \"10.0.0.1\"; role = \"client\"; }" ]
      else
        unknown at hostKeys host
        ++ when (!(has host "role")) "${at}.role: is missing; give one of ${list roles}"
        ++ when (
          has host "role" && !(elem host.role roles)
        ) "${at}.role: ${show host.role} is no role; give one of ${list roles}"
        ++ when (
          !(has host "address")
        ) "${at}.address: is missing; give the IP address at which the other hosts reach it"
        ++ when (
          has host "address" && !(isAddress host.address)
        ) "${at}.address: ${show host.address} is no IP address; names can be given as targetHost"
        ++ when (
          has host "publicAddress" && !(isAddress host.publicAddress)
        ) "${at}.publicAddress: ${show host.publicAddress} is no IP address"
        ++
          when (region != cluster.region)
            "${at}.region: not supported yet: several regions in one inventory; the cluster's is ${show cluster.region}"
        ++ when (!(isBool (host.gpu or false))) "${at}.gpu: ${show host.gpu} is neither true nor false"
        ++
          when (host.gpu or false == true && host.role or null == "server")
            "${at}.gpu: is for hosts that run tasks, and this one is a server alone; take it out, or make it both"
        ++ concatMap text [
          "datacenter"
          "pool"
          "class"
          "hardware"
          "targetHost"
          "targetUser"
          "system"
        ]
        ++ when (
          !(isList (host.tags or [ ])) || !(all isString (host.tags or [ ]))
        ) "${at}.tags: write a list of strings"
        ++ when (
          !(isAttrs (host.meta or { })) || !(all (k: isString host.meta.${k}) (attrNames (host.meta or { })))
        ) "${at}.meta: write a set of strings"
        ++ when (
          host ? hetzner && host.hetzner != null && !(isAttrs host.hetzner)
        ) "${at}.hetzner: write a set, such as { kind = \"cloud\"; }"
        ++ (
          if isAttrs (host.hetzner or null) then
            unknown "${at}.hetzner" hetznerKeys host.hetzner
            ++ when (
              !(elem (host.hetzner.kind or null) [
                "cloud"
                "dedicated"
              ])
            ) "${at}.hetzner.kind: give cloud or dedicated"
            ++
              when ((host.hetzner.kind or null) == "dedicated" && !(has host.hetzner "ipv6"))
                "${at}.hetzner.ipv6: is missing; a dedicated server's IPv6 address is not found by itself, give one of its network with /64"
            ++ when (
              has host.hetzner "vlan"
              && !(builtins.isInt host.hetzner.vlan && host.hetzner.vlan >= 4000 && host.hetzner.vlan <= 4091)
            ) "${at}.hetzner.vlan: give the number of the vSwitch, 4000 to 4091"
            ++
              concatMap
                (
                  key:
                  when (
                    (host.hetzner.kind or null) == "cloud" && has host.hetzner key
                  ) "${at}.hetzner.${key}: is for dedicated servers; take it out"
                )
                [
                  "ipv6"
                  "vlan"
                  "gateway"
                ]
          else
            [ ]
        )
    );

  clusterErrors =
    unknown "cluster" clusterKeys givenCluster
    ++ when (
      !(isString cluster.name && isName cluster.name)
    ) "cluster.name: is missing or no name; give one with small letters, digits and -"
    ++ concatMap (key: when (!(isString cluster.${key})) "cluster.${key}: write a string") [
      "region"
      "datacenter"
      "stateVersion"
    ]
    ++ when (!(isBool cluster.evenServers)) "cluster.evenServers: write true or false"
    ++ when (
      !(builtins.isInt cluster.rpcPort && cluster.rpcPort >= 1024 && cluster.rpcPort <= 65535)
    ) "cluster.rpcPort: give a port from 1024 to 65535"
    ++
      concatMap
        (
          key:
          when (cluster.${key} != null && !(isFile cluster.${key}))
            "cluster.${key}: ${show cluster.${key}} is no file at run time; give an absolute path, as a string, outside of the store: everybody can read what is in the store"
        )
        [
          "bootstrapSecretFile"
          "joinTokenFile"
          "keyringKeyFile"
        ]
    ++ when (
      names != [ ] && count == 0
    ) "hosts: none is a server; give one host the role server or both"
    ++ when (
      count > 7
    ) "hosts: ${toString count} are servers, and at most 7 begin a cluster; make some of them clients"
    ++
      when (count > 0 && count - 2 * (count / 2) == 0 && cluster.evenServers != true)
        "hosts: ${toString count} are servers (${list servers}), which tolerate no more failures than ${toString (count - 1)}; take one more or one less, or acknowledge it: cluster.evenServers = true";
in
{
  inherit cluster hosts servers;
  errors =
    if !(isAttrs inventory) then
      [ "an inventory is a set: { cluster = { name = \"...\"; }; hosts = { ... }; }" ]
    else
      unknown "inventory" {
        cluster = null;
        hosts = null;
      } inventory
      ++ when (
        !(isAttrs (given.cluster or null))
      ) "cluster: is missing; write cluster = { name = \"...\"; }"
      ++ when (
        !(isAttrs (given.hosts or null)) || names == [ ]
      ) "hosts: is missing or empty; write hosts = { NAME = { address = \"...\"; role = \"both\"; }; }"
      ++ (if isAttrs (given.cluster or null) then clusterErrors else [ ])
      ++ concatMap hostErrors names
      ++ shared "address"
      ++ shared "publicAddress"
      ++ shared "targetHost";
  warnings = when (
    count > 0 && count - 2 * (count / 2) == 0
  ) "${toString count} servers tolerate no more failures than ${toString (count - 1)}";
}
