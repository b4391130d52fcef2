# The agent's configuration, made of the options: exactly the keys that the agent knows, and none for what is not set.
{ config, lib, ... }:
let
  cfg = config.services.floe;
  # Without what is null, and without sets in which nothing is left.
  clean =
    value:
    if builtins.isAttrs value then
      lib.filterAttrs (_: v: v != null && v != { }) (builtins.mapAttrs (_: clean) value)
    else
      value;
  given = list: if list == [ ] then null else list;
  credential = name: file: if file == null then null else "/run/credentials/floe.service/${name}";
  inherit (cfg) server client snapshots;
  inherit (import ./types.nix { inherit lib; }) placeText;
  place = value: if value == null then null else placeText value;

  fromServer = {
    server = {
      enabled = true;
      bootstrap_expect = server.bootstrapExpect;
      bootstrap_secret_file = credential "bootstrap-secret" server.bootstrapSecretFile;
      retry_join = given server.retryJoin;
    };
    keyring = if server.keyringKeyFile == null then null else { credential.name = "keyring-key"; };
    snapshot = {
      inherit (snapshots) interval retain prefix;
      local_storage.path = snapshots.directory;
      aws_storage = {
        s3_bucket = snapshots.bucket.name;
        s3_region = snapshots.bucket.region;
        s3_endpoint = snapshots.bucket.endpoint;
        s3_key_prefix = snapshots.bucket.keyPrefix;
        access_key_id_file = credential "s3-key-id" snapshots.bucket.accessKeyIdFile;
        secret_access_key_file = credential "s3-key" snapshots.bucket.secretAccessKeyFile;
      };
    };
  };

  fromClient.client = {
    enabled = true;
    servers = given client.servers;
    node_class = client.nodeClass;
    node_pool = client.nodePool;
    inherit (client) meta;
    raw_exec = client.rawExec;
    advertise_ip = place client.advertiseAddress;
    reserved = {
      inherit (client.reserved) cpu memory disk;
      reserved_ports = client.reserved.ports;
    };
  };

  base = {
    # StateDirectory= makes it, with the right owner.
    data_dir = "/var/lib/floe";
    inherit (cfg) name region datacenter;
    bind_addr = place cfg.bindAddress;
    advertise.rpc = place cfg.advertiseAddress;
    inherit (cfg) ports;
    log_level = cfg.logLevel;
    join_token_file = credential "join-token" cfg.joinTokenFile;
  };
in
{
  config.services.floe.configuration = lib.mkIf cfg.enable (
    builtins.foldl' lib.recursiveUpdate { } [
      (clean base)
      (lib.optionalAttrs server.enable (clean fromServer))
      (lib.optionalAttrs client.enable (clean fromClient))
      cfg.settings
    ]
  );
}
