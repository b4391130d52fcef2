# What cannot work, said when the system is evaluated: the option's name first, then what to do.
{ config, lib, ... }:
let
  cfg = config.services.floe;
  inherit (import ./types.nix { inherit lib; }) inStore placeText;
  bindAddress = placeText cfg.bindAddress;
  inherit (cfg) server client;
  inherit (cfg.snapshots) bucket;
  keys = lib.importJSON ./keys.json;
  expect = if server.bootstrapExpect == null then 1 else server.bootstrapExpect;
  check = assertion: option: words: {
    inherit assertion;
    message = "services.floe.${option}: ${words}";
  };

  # Every value below a set, with its name.
  leaves =
    prefix: value:
    if builtins.isAttrs value then
      builtins.concatMap (name: leaves (prefix ++ [ name ]) value.${name}) (builtins.attrNames value)
    else
      [
        {
          path = prefix;
          inherit value;
        }
      ];
  dotted = builtins.concatStringsSep ".";
  # As the agent counts: a key at the top, or the whole name of one further down.
  refusals = map (path: builtins.head (builtins.split "\\." path)) keys.notYet;
  prefixes = path: builtins.genList (n: dotted (lib.take (n + 1) path)) (builtins.length path);
  settings = leaves [ ] cfg.settings;
  notYet = builtins.concatMap (
    leaf: builtins.filter (p: builtins.elem p keys.notYet) (prefixes leaf.path)
  ) settings;
  unknown = builtins.filter (
    name: !(builtins.elem name keys.known) && !(builtins.elem name refusals)
  ) (builtins.attrNames cfg.settings);
  isSecret =
    leaf: leaf.path != [ ] && builtins.match ".*(_file|token|secret)" (lib.last leaf.path) != null;
  isInline = job: builtins.isAttrs job && job.type or "" != "derivation";
  jobs = builtins.attrNames cfg.jobs;
  named = words: names: "${builtins.concatStringsSep ", " names} ${words}";
  misnamed = builtins.filter (name: builtins.match "[a-zA-Z0-9._-]+" name == null) jobs;
  wrapped = builtins.filter (name: isInline cfg.jobs.${name} && cfg.jobs.${name} ? job) jobs;
  strange = builtins.filter (
    name:
    !(isInline cfg.jobs.${name})
    && builtins.match ".*\\.(nix|hcl|nomad|json)" (toString cfg.jobs.${name}) == null
  ) jobs;
  outside = builtins.filter (
    name: builtins.isString cfg.jobs.${name} && !(inStore cfg.jobs.${name})
  ) jobs;
  stored = builtins.filter (
    leaf: isSecret leaf && builtins.isString leaf.value && inStore leaf.value
  ) settings;
in
{
  config = lib.mkIf cfg.enable {
    assertions = [
      (check (server.enable || client.enable) "enable"
        "the agent has nothing to do: set services.floe.server.enable, services.floe.client.enable or both"
      )
      (check (
        client.enable -> server.enable || client.servers != [ ]
      ) "client.servers" "is empty, so this client finds nobody: name the address of one or more servers")
      (check (client.servers != [ ] -> client.enable) "client.servers"
        "is set, but services.floe.client.enable is not: enable the client, or take the servers out"
      )
      (check
        (
          server.retryJoin != [ ] || server.bootstrapSecretFile != null || server.bootstrapExpect != null
          -> server.enable
        )
        "server.enable"
        "is not set, but other options of services.floe.server are: enable the server, or take them out"
      )
      (check (expect > 1 -> server.bootstrapSecretFile != null) "server.bootstrapSecretFile"
        "is missing: ${toString expect} servers begin the cluster together and know each other by a secret; make one (floe server bootstrap-secret), and name its file here on all of them"
      )
      (check (server.bootstrapSecretFile != null -> expect > 1) "server.bootstrapExpect"
        "is ${toString expect}, so there is nobody to share services.floe.server.bootstrapSecretFile with: set the number of servers that begin the cluster, or take the secret out"
      )
      (check (expect > 1 -> builtins.length server.retryJoin >= expect) "server.retryJoin"
        "names ${toString (builtins.length server.retryJoin)} servers, but services.floe.server.bootstrapExpect is ${toString expect}: name all of them, on all of them"
      )
      (check (expect > 1 -> !lib.hasPrefix "127." bindAddress) "bindAddress"
        "is ${bindAddress}, where the other servers cannot reach this one: set the address that they know it by"
      )
      (check (server.enable && expect == 1 && server.retryJoin != [ ] -> cfg.joinTokenFile != null)
        "joinTokenFile"
        "is missing: services.floe.server.retryJoin names servers to join, and they let nobody in without a token (floe server token); to begin a new cluster with this server, take retryJoin out"
      )
      (check (client.enable && !server.enable -> cfg.joinTokenFile != null) "joinTokenFile"
        "is missing: a client is let into the cluster by a token; name the file that holds what floe server token printed (it may be gone once the machine is in)"
      )
      (check
        (
          !(builtins.elem bindAddress [
            "0.0.0.0"
            "::"
          ])
          || cfg.advertiseAddress != null
        )
        "advertiseAddress"
        "is missing: services.floe.bindAddress is ${bindAddress}, which does not say where others reach this agent"
      )
      (check (
        cfg.ports.http != cfg.ports.rpc
      ) "ports.rpc" "is the port of the HTTP API, too: take another one")
      (check (cfg.firewallPeers != [ ] -> config.networking.nftables.enable) "firewallPeers"
        "needs networking.nftables.enable = true; or set services.floe.openFirewall, which lets everybody reach the RPC port"
      )
      (check (
        server.keyringKeyFile != null -> server.enable
      ) "server.keyringKeyFile" "is for servers: set services.floe.server.enable, or take it out")
      (check (
        cfg.snapshots.directory != null || bucket.name != null -> server.enable
      ) "snapshots" "are kept by servers: set services.floe.server.enable, or take them out")
      (check
        (
          cfg.snapshots.interval != null || cfg.snapshots.retain != null || cfg.snapshots.prefix != null
          -> cfg.snapshots.directory != null || bucket.name != null
        )
        "snapshots.directory"
        "is missing, and so is services.floe.snapshots.bucket.name: nothing says where snapshots are kept"
      )
      (check (bucket.name != null -> bucket.region != null) "snapshots.bucket.region"
        "is missing: a store without regions says which name it takes, often us-east-1"
      )
      (check (bucket.name != null -> bucket.accessKeyIdFile != null && bucket.secretAccessKeyFile != null)
        "snapshots.bucket.accessKeyIdFile"
        "or secretAccessKeyFile is missing: name the files with the two halves of the key"
      )
      (check (
        bucket.name == null
        ->
          bucket.region == null
          && bucket.endpoint == null
          && bucket.accessKeyIdFile == null
          && bucket.secretAccessKeyFile == null
      ) "snapshots.bucket.name" "is missing, but other options of the bucket are set")
      (check (
        (cfg.settings.data_dir or "/var/lib/floe") == "/var/lib/floe"
      ) "settings.data_dir" "is /var/lib/floe, which systemd makes and guards; mount another disk there")
      (check (
        notYet == [ ]
      ) "settings" "not supported yet: ${builtins.concatStringsSep ", " notYet}; take it out")
      (check (unknown == [ ]) "settings"
        "the agent has no ${builtins.concatStringsSep ", " unknown}; it knows ${builtins.concatStringsSep ", " keys.known}"
      )
      (check (misnamed == [ ]) "jobs" (
        named "cannot be the name of a file: write letters, digits, '.', '_' and '-', and another id into a file" misnamed
      ))
      (check (wrapped == [ ]) "jobs" (
        named "has a job inside: write only what stands in job.NAME, or name the file" wrapped
      ))
      (check (strange == [ ]) "jobs" (
        named "is no .nix, .hcl, .nomad or .json file, so nobody knows how to read it" strange
      ))
      (check (outside == [ ]) "jobs" (
        named "is a path in quotes, which is not there when the system is built: write it without quotes, as ./web.hcl" outside
      ))
      (check (stored == [ ]) "settings"
        "${
          builtins.concatStringsSep ", " (map (leaf: dotted leaf.path) stored)
        } lies in the store, where everybody can read it: name a file that is there when the machine runs"
      )
    ];

    warnings =
      lib.optional (server.enable && expect > 1 && lib.mod expect 2 == 0)
        "services.floe.server.bootstrapExpect: ${toString expect} servers tolerate no more failures than ${toString (expect - 1)}; take one more or one less"
      ++
        lib.optional
          (
            server.enable
            && cfg.joinTokenFile == null
            && expect == 1
            && server.keyringKeyFile == null
            && !(cfg.settings ? keyring)
          )
          "services.floe.server.keyringKeyFile: without it a backup does not hold what clients trust; docs/guide/key-encryption-keys.md says which key to take";
  };
}
