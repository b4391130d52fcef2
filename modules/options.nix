# What can be said about a machine's agent. An option is here when floe acts on it today; everything else that the agent knows goes into `settings`.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib)
    literalExpression
    mkEnableOption
    mkOption
    types
    ;
  inherit (import ./types.nix { inherit lib; })
    runtimeFile
    duration
    address
    place
    ;
  cfg = config.services.floe;
  json = pkgs.formats.json { };
  maybe =
    type: example: description:
    mkOption {
      type = types.nullOr type;
      default = null;
      inherit example description;
    };
in
{
  options.services.floe = {
    enable = mkEnableOption "floe's agent";

    package = mkOption {
      type = types.package;
      defaultText = literalExpression "the flake's packages.<system>.floe";
      description = "The floe that runs. The same one is in the system's path.";
    };

    name = mkOption {
      type = types.strMatching "[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?";
      default = config.networking.hostName;
      defaultText = literalExpression "config.networking.hostName";
      example = "web-1";
      description = "What this machine is called in the cluster.";
    };

    region =
      maybe types.nonEmptyStr "eu"
        "The cluster's region; floe's default is `global`. All machines of a cluster have the same.";
    datacenter =
      maybe types.nonEmptyStr "fsn1"
        "The datacenter that jobs ask for; floe's default is `dc1`.";

    bindAddress = mkOption {
      type = place;
      default = "127.0.0.1";
      example = {
        interface = "enp7s0";
      };
      description = ''
        The address at which other agents reach this one: its RPC port listens there. Given by itself, by the network that it is in (`10.0.0.0/16`), or
        by its interface; the agent finds it when it starts. With the default this machine is alone.
        The HTTP API stays on 127.0.0.1 whatever this says, because it has no access control yet.
      '';
    };

    advertiseAddress =
      maybe place "192.0.2.1"
        "Where others reach the RPC port, when that is not where it listens: an address, with a port if that is another one, too; or the network or interface that has it, as for `bindAddress`.";

    ports = {
      http = mkOption {
        type = types.ints.between 1024 65535;
        default = 4646;
        description = "The port of the HTTP API, on 127.0.0.1.";
      };
      rpc = mkOption {
        type = types.ints.between 1024 65535;
        default = 4647;
        description = "The port on which agents speak with each other, over TLS with certificates at both ends.";
      };
    };

    openFirewall = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether to open the RPC port to everybody. See {option}`services.floe.firewallPeers` for fewer.";
    };

    firewallPeers = mkOption {
      type = types.listOf types.nonEmptyStr;
      default = [ ];
      example = [
        "10.0.0.2"
        "10.0.0.0/24"
      ];
      description = "Addresses and networks to which the RPC port is opened, and to nobody else. Needs {option}`networking.nftables.enable`.";
    };

    joinTokenFile =
      maybe runtimeFile "/run/secrets/floe-join-token"
        "The file with the token that lets this machine into a cluster (`floe server token`). Once it is in, the file may be empty or gone.";

    logLevel = mkOption {
      type = types.enum [
        "error"
        "warn"
        "info"
        "debug"
        "trace"
      ];
      default = "info";
      description = "How much the agent says about itself in the journal.";
    };

    server = {
      enable = mkEnableOption "the server part: it keeps the cluster's state, and decides";
      bootstrapExpect =
        maybe (types.ints.between 1 7) 3
          "How many servers begin the cluster together. It is looked at only until this server is in a cluster.";
      bootstrapSecretFile =
        maybe runtimeFile "/run/secrets/floe-bootstrap"
          "The file with what those servers share (`floe server bootstrap-secret`), the same on all. Once they are in a cluster, it may be empty or gone.";
      retryJoin = mkOption {
        type = types.listOf address;
        default = [ ];
        example = [
          "10.0.0.1"
          "10.0.0.2"
          "10.0.0.3"
        ];
        description = "All servers of the cluster, on each of them: whom to join, and where to look when addresses have changed.";
      };
      keyringKeyFile =
        maybe runtimeFile "/run/secrets/floe-kek"
          "The file with the key that wraps the cluster's root keys: 32 random bytes (`floe server keyring-key -out FILE`), kept away from the data. Others (age, Vault) go into `settings.keyring`.";
    };

    client = {
      enable = mkEnableOption "the client part: it runs tasks, and needs root for it";
      servers = mkOption {
        type = types.listOf address;
        default = [ ];
        example = [ "10.0.0.1" ];
        description = "Some of the cluster's servers, for a machine that is none itself.";
      };
      nodeClass = maybe types.nonEmptyStr "big" "A class that jobs can ask for.";
      nodePool =
        maybe types.nonEmptyStr "edge"
          "The pool that this node is in; floe's default is `default`.";
      meta = mkOption {
        type = types.attrsOf types.str;
        default = { };
        example = {
          rack = "r1";
        };
        description = "What jobs see as `\${meta.NAME}`.";
      };
      rawExec = mkOption {
        type = types.bool;
        default = false;
        description = "Whether tasks may run without a container, with the agent's rights. Who may submit jobs is root here, then.";
      };
      advertiseAddress =
        maybe place "10.0.0.0/16"
          "The address of this node's services, or the network or interface that has it, as for `bindAddress`; found when it is not set: that of the default route.";
      openDynamicPorts = mkOption {
        type = types.bool;
        default = false;
        description = "Whether to open the ports that tasks in the host's network get (20000 to 32000, or as `settings.client` says). Ports of bridge networks are open anyway.";
      };
      reserved = {
        cpu = maybe types.ints.unsigned 500 "What jobs do not get of the processors, in MHz.";
        memory = maybe types.ints.unsigned 512 "What jobs do not get of the memory, in MiB.";
        disk = maybe types.ints.unsigned 1024 "What jobs do not get of the disk, in MiB.";
        ports = maybe types.nonEmptyStr "22,80,8500-8600" "Ports that jobs do not get.";
      };
    };

    snapshots = {
      directory =
        maybe (types.strMatching "/.*") "/var/backups/floe"
          "The folder in which the server that leads keeps snapshots of the cluster. It is made when it is not there.";
      interval = maybe duration "1h" "How often one is made.";
      retain = maybe (types.ints.between 1 65535) 30 "How many are kept.";
      prefix = maybe types.nonEmptyStr "floe" "What their names begin with.";
      bucket = {
        name =
          maybe types.nonEmptyStr "my-backups"
            "The bucket of a store that speaks S3 in which snapshots are kept.";
        region = maybe types.nonEmptyStr "fsn1" "The bucket's region.";
        endpoint =
          maybe types.nonEmptyStr "https://fsn1.your-objectstorage.com"
            "The store; Amazon's when it is not set.";
        keyPrefix = maybe types.nonEmptyStr "floe/prod" "What comes before the names, as a folder.";
        accessKeyIdFile = maybe runtimeFile "/run/secrets/floe-s3-id" "The file with the id of the key.";
        secretAccessKeyFile = maybe runtimeFile "/run/secrets/floe-s3-key" "The file with the key.";
      };
    };

    jobs = mkOption {
      type = types.attrsOf (types.either types.path (types.attrsOf types.anything));
      default = { };
      example = literalExpression ''
        {
          web = ./web.hcl;
          report = {
            type = "batch";
            group.all.task.count = {
              driver = "exec";
              config.command = lib.getExe pkgs.hello;
            };
          };
        }
      '';
      description = ''
        Jobs that the cluster is to run: each is a file (`.nix`, `.hcl` or `.json`), or what stands in a file's `job.NAME`. They are brought to the
        cluster after each switch and each boot by the unit `floe-jobs`. They are in the store, so everybody can read them.
      '';
    };

    jobsOwner = mkOption {
      type = types.strMatching "[a-zA-Z0-9._-]{1,64}";
      default = cfg.name;
      defaultText = literalExpression "config.services.floe.name";
      example = "production";
      description = ''
        Whose {option}`services.floe.jobs` are. This machine changes and stops jobs of this owner only, and refuses to touch what others declared or
        somebody ran by hand. Machines that declare the very same jobs may have the same owner; others must not, for each would stop the other's jobs.
      '';
    };

    pruneJobs = mkOption {
      type = types.bool;
      default = true;
      description = "Whether jobs of {option}`services.floe.jobsOwner` are stopped that are not in {option}`services.floe.jobs` any more.";
    };

    settings = mkOption {
      type = types.submodule {
        freeformType = json.type;
      };
      default = { };
      example = {
        autopilot.dead_server_timeout = "1h";
      };
      description = ''
        More of the agent's configuration, with the agent's own names: `examples/agent.hcl` has all. It is laid over what the other options make.
        It is in the store, so everybody can read it: secrets are named by files.
      '';
    };

    jobTexts = mkOption {
      type = types.attrsOf types.str;
      internal = true;
      default = { };
      description = "The jobs that are written in Nix, as files of JSON.";
    };

    jobsFolder = mkOption {
      type = types.package;
      internal = true;
      description = "All declared jobs, as files.";
    };

    configuration = mkOption {
      type = types.submodule { freeformType = json.type; };
      internal = true;
      description = "The agent's configuration as it is written down.";
    };
  };
}
