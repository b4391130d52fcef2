# Machines that floe's modules accept, with a part of what they give; and machines that they refuse, with a part of what they say.
{ self, lib }:
let
  server = {
    services.floe = {
      enable = true;
      server.enable = true;
      server.keyringKeyFile = "/run/secrets/kek";
    };
  };
  client = {
    services.floe = {
      enable = true;
      client = {
        enable = true;
        servers = [ "10.0.0.1" ];
      };
      joinTokenFile = "/run/secrets/token";
    };
  };
  founder = {
    services.floe = {
      enable = true;
      bindAddress = "10.0.0.1";
      server = {
        enable = true;
        keyringKeyFile = "/run/secrets/kek";
        bootstrapExpect = 3;
        bootstrapSecretFile = "/run/secrets/bootstrap";
        retryJoin = [
          "10.0.0.1"
          "10.0.0.2"
          "10.0.0.3"
        ];
      };
    };
  };
  floe = settings: { services.floe = settings; };
  # The secrets' options of sops-nix and of agenix, as far as our examples write to them, with where the files are when the machine runs.
  secretsOf = tool: folder: options: {
    options.${tool} = {
      defaultSopsFile = lib.mkOption { type = lib.types.path; };
      secrets = lib.mkOption {
        default = { };
        type = lib.types.attrsOf (
          lib.types.submodule (
            { name, ... }:
            {
              options = options // {
                path = lib.mkOption {
                  type = lib.types.str;
                  default = "${folder}/${name}";
                };
              };
            }
          )
        );
      };
    };
  };
  withSecrets =
    { tool, example }:
    {
      imports = [
        tool
        example
        {
          services.floe = {
            enable = true;
            bindAddress = "10.0.0.1";
            server = {
              inherit (founder.services.floe.server) enable bootstrapExpect retryJoin;
            };
          };
        }
      ];
    };
  both = one: settings: {
    imports = [
      one
      (floe settings)
    ];
  };
in
{
  accepted = {
    # What nobody enabled leaves nothing behind; the unit is looked at in the others.
    a-server-alone = {
      module = server;
      gives = {
        configuration = {
          name = "here";
          data_dir = "/var/lib/floe";
          bind_addr = "127.0.0.1";
          server.enabled = true;
          server.bootstrap_expect = "nothing";
          client = "nothing";
          region = "nothing";
          join_token_file = "nothing";
          snapshot = "nothing";
          keyring.credential.name = "keyring-key";
        };
        unit.serviceConfig = {
          Type = "notify";
          User = "floe";
          KillMode = "process";
          CapabilityBoundingSet = "";
          LoadCredential = [ "keyring-key:/run/secrets/kek" ];
          SetCredential = [ ];
        };
        users.users.floe.isSystemUser = true;
        networking.firewall.allowedTCPPorts = [ ];
        warnings = [ ];
      };
    };
    gpus = {
      module = {
        imports = [ (both client { client.gpu.enable = true; }) ];
        services.xserver.videoDrivers = [ "nvidia" ];
      };
      gives = {
        hardware.nvidia-container-toolkit.enable = true;
        unit = {
          wants = [
            "network-online.target"
            "nvidia-container-toolkit-cdi-generator.service"
          ];
          after = [
            "network-online.target"
            "firewall.service"
            "nftables.service"
            "nvidia-container-toolkit-cdi-generator.service"
          ];
          requires = [ ];
        };
        configuration.client.cdi_spec_dirs = "nothing";
      };
    };
    gpus-of-a-data-centre = {
      module = {
        imports = [ (both client { client.gpu.enable = true; }) ];
        hardware.nvidia.datacenter.enable = true;
      };
      gives.hardware.nvidia-container-toolkit.enable = true;
    };
    secrets-by-sops-nix = {
      module = withSecrets {
        tool = secretsOf "sops" "/run/secrets" { };
        example = ../../hosts/secrets/sops-nix.nix;
      };
      gives.unit.serviceConfig.LoadCredential = [
        "bootstrap-secret:/run/secrets/floe-bootstrap"
        "keyring-key:/run/secrets/floe-keyring-key"
      ];
    };
    secrets-by-agenix = {
      module = withSecrets {
        tool = secretsOf "age" "/run/agenix" {
          file = lib.mkOption { type = lib.types.path; };
        };
        example = ../../hosts/secrets/agenix.nix;
      };
      gives.unit.serviceConfig.LoadCredential = [
        "bootstrap-secret:/run/agenix/floe-bootstrap"
        "keyring-key:/run/agenix/floe-keyring-key"
      ];
    };
    a-client = {
      module = both client {
        client = {
          nodeClass = "big";
          nodePool = "edge";
          meta.rack = "r1";
          reserved = {
            cpu = 500;
            memory = 512;
            disk = 1024;
            ports = "22";
          };
          openDynamicPorts = true;
          rawExec = true;
          advertiseAddress.interface = "enp7s0";
        };
        bindAddress = "10.0.0.0/16";
        openFirewall = true;
        logLevel = "debug";
      };
      gives = {
        configuration = {
          server = "nothing";
          join_token_file = "/run/credentials/floe.service/join-token";
          bind_addr = "10.0.0.0/16";
          log_level = "debug";
          client = {
            enabled = true;
            servers = [ "10.0.0.1" ];
            node_class = "big";
            node_pool = "edge";
            meta.rack = "r1";
            raw_exec = true;
            advertise_ip = "{{ GetInterfaceIP \"enp7s0\" }}";
            reserved = {
              cpu = 500;
              memory = 512;
              disk = 1024;
              reserved_ports = "22";
            };
          };
        };
        unit.serviceConfig = {
          User = "nothing";
          Delegate = true;
          KillMode = "process";
          LoadCredential = [ "join-token:/run/secrets/token" ];
          SetCredential = [ "join-token:\\n" ];
        };
        networking.firewall = {
          allowedTCPPorts = [ 4647 ];
          allowedTCPPortRanges = [
            {
              from = 20000;
              to = 32000;
            }
          ];
        };
      };
    };
    founders = {
      module =
        both founder {
          firewallPeers = [
            "10.0.0.2"
            "fd00::3"
          ];
          region = "eu";
          datacenter = "fsn1";
          advertiseAddress = "192.0.2.1:14647";
          snapshots = {
            directory = "/var/backups/floe";
            interval = "1h";
            retain = 30;
            prefix = "prod";
            bucket = {
              name = "backups";
              region = "fsn1";
              endpoint = "https://fsn1.your-objectstorage.com";
              keyPrefix = "floe";
              accessKeyIdFile = "/run/secrets/s3-id";
              secretAccessKeyFile = "/run/secrets/s3-key";
            };
          };
          settings.autopilot.dead_server_timeout = "1h";
          settings.server.num_schedulers = 1;
        }
        // {
          networking.nftables.enable = true;
        };
      gives = {
        configuration = {
          region = "eu";
          datacenter = "fsn1";
          bind_addr = "10.0.0.1";
          advertise.rpc = "192.0.2.1:14647";
          autopilot.dead_server_timeout = "1h";
          server = {
            num_schedulers = 1;
            bootstrap_expect = 3;
            bootstrap_secret_file = "/run/credentials/floe.service/bootstrap-secret";
            retry_join = [
              "10.0.0.1"
              "10.0.0.2"
              "10.0.0.3"
            ];
          };
          snapshot = {
            interval = "1h";
            retain = 30;
            prefix = "prod";
            local_storage.path = "/var/backups/floe";
            aws_storage = {
              s3_bucket = "backups";
              s3_key_prefix = "floe";
              access_key_id_file = "/run/credentials/floe.service/s3-key-id";
              secret_access_key_file = "/run/credentials/floe.service/s3-key";
            };
          };
        };
        unit.serviceConfig.ReadWritePaths = [ "/var/backups/floe" ];
        networking.firewall.extraInputRules = "ip saddr { 10.0.0.2 } tcp dport 4647 accept comment \"floe\"\nip6 saddr { fd00::3 } tcp dport 4647 accept comment \"floe\"";
      };
    };
    both-at-once = {
      module = both server {
        client.enable = true;
        settings.client.min_dynamic_port = 25000;
        client.openDynamicPorts = true;
      };
      gives = {
        configuration.server.enabled = true;
        configuration.client.enabled = true;
        unit.serviceConfig.User = "nothing";
        networking.firewall.allowedUDPPortRanges = [
          {
            from = 25000;
            to = 32000;
          }
        ];
      };
    };
    an-even-number-is-warned-of = {
      module = both founder {
        server.bootstrapExpect = lib.mkForce 2;
      };
      gives.warnings = [
        "services.floe.server.bootstrapExpect: 2 servers tolerate no more failures than 1; take one more or one less"
      ];
    };
    # Where secrets come from is nobody's business: these are the paths that sops-nix and agenix give.
    secrets-of-sops-and-agenix = {
      module = both client { joinTokenFile = lib.mkForce "/run/agenix/floe-token"; };
      gives.unit.serviceConfig.LoadCredential = [ "join-token:/run/agenix/floe-token" ];
    };
    # What was declared once and is no longer is stopped, so a server has the unit without jobs, too.
    a-server-without-jobs = {
      module = server;
      gives.jobs = [
        "job"
        "reconcile"
        "-address"
        "http://127.0.0.1:4646"
        "-owner"
        "here"
        "-prune"
        "-wait"
        "10m"
      ];
    };
    a-client-without-jobs = {
      module = client;
      gives.jobs = "nothing";
    };
    declared-jobs = {
      module =
        { pkgs, ... }:
        {
          imports = [
            client
            {
              services.floe.jobs.packaged = self.lib.mkJob {
                inherit pkgs;
                job = import ../demo.nix { };
              };
            }
          ];
          services.floe = {
            jobs = {
              demo = ../demo.nix;
              report = {
                type = "batch";
                group.all.task.count = {
                  driver = "exec";
                  config.command = "/bin/true";
                };
              };
            };
            jobsOwner = "production";
            pruneJobs = false;
            ports.http = 14646;
          };
        };
      gives = {
        jobs = [
          "job"
          "reconcile"
          "-address"
          "http://127.0.0.1:14646"
          "-owner"
          "production"
          "-wait"
          "10m"
        ];
        warnings = [ ];
      };
    };
  };

  refused = {
    nothing-to-do = {
      module = floe { enable = true; };
      says = "services.floe.enable: the agent has nothing to do: set services.floe.server.enable";
    };
    a-client-without-servers = {
      module = both client { client.servers = lib.mkForce [ ]; };
      says = "services.floe.client.servers: is empty, so this client finds nobody";
    };
    a-client-without-token = {
      module = both client { joinTokenFile = lib.mkForce null; };
      says = "services.floe.joinTokenFile: is missing: a client is let into the cluster by a token";
    };
    founders-without-secret = {
      module = both founder { server.bootstrapSecretFile = lib.mkForce null; };
      says = "services.floe.server.bootstrapSecretFile: is missing: 3 servers begin the cluster together";
    };
    a-secret-for-nobody = {
      module = both server { server.bootstrapSecretFile = "/run/secrets/bootstrap"; };
      says = "services.floe.server.bootstrapExpect: is 1, so there is nobody to share";
    };
    founders-that-are-not-named = {
      module = both founder { server.retryJoin = lib.mkForce [ "10.0.0.1" ]; };
      says = "services.floe.server.retryJoin: names 1 servers, but services.floe.server.bootstrapExpect is 3";
    };
    founders-that-nobody-reaches = {
      module = both founder { bindAddress = lib.mkForce "127.0.0.1"; };
      says = "services.floe.bindAddress: is 127.0.0.1, where the other servers cannot reach this one";
    };
    joining-without-token = {
      module = both server { server.retryJoin = [ "10.0.0.1" ]; };
      says = "services.floe.joinTokenFile: is missing: services.floe.server.retryJoin names servers to join";
    };
    everywhere-and-nowhere = {
      module = both server { bindAddress = "0.0.0.0"; };
      says = "services.floe.advertiseAddress: is missing: services.floe.bindAddress is 0.0.0.0";
    };
    one-port-for-two = {
      module = both server { ports.rpc = 4646; };
      says = "services.floe.ports.rpc: is the port of the HTTP API, too";
    };
    peers-without-nftables = {
      module = both server { firewallPeers = [ "10.0.0.2" ]; };
      says = "services.floe.firewallPeers: needs networking.nftables.enable = true";
    };
    a-clients-keyring = {
      module = both client { server.keyringKeyFile = "/run/secrets/kek"; };
      says = "services.floe.server.keyringKeyFile: is for servers";
    };
    a-clients-snapshots = {
      module = both client { snapshots.directory = "/var/backups"; };
      says = "services.floe.snapshots: are kept by servers";
    };
    snapshots-nowhere = {
      module = both server { snapshots.retain = 3; };
      says = "services.floe.snapshots.directory: is missing, and so is services.floe.snapshots.bucket.name";
    };
    a-bucket-without-region = {
      module = both server {
        snapshots.bucket = {
          name = "b";
          accessKeyIdFile = "/a";
          secretAccessKeyFile = "/b";
        };
      };
      says = "services.floe.snapshots.bucket.region: is missing";
    };
    a-bucket-without-key = {
      module = both server {
        snapshots.bucket = {
          name = "b";
          region = "r";
          accessKeyIdFile = "/a";
        };
      };
      says = "services.floe.snapshots.bucket.accessKeyIdFile: or secretAccessKeyFile is missing";
    };
    a-key-without-bucket = {
      module = both server { snapshots.bucket.region = "r"; };
      says = "services.floe.snapshots.bucket.name: is missing, but other options of the bucket are set";
    };
    another-data-folder = {
      module = both server { settings.data_dir = "/srv/floe"; };
      says = "services.floe.settings.data_dir: is /var/lib/floe, which systemd makes and guards";
    };
    what-is-not-supported-yet = {
      module = both server { settings.telemetry.publish_node_metrics = true; };
      says = "services.floe.settings: not supported yet: telemetry; take it out";
    };
    what-is-not-supported-yet-further-down = {
      module = both server { settings.tls.verify_server_hostname = true; };
      says = "services.floe.settings: not supported yet: tls.verify_server_hostname";
    };
    a-key-that-nobody-knows = {
      module = both server { settings.datacentre = "x"; };
      says = "services.floe.settings: the agent has no datacentre; it knows advertise, autopilot";
    };
    a-secret-in-the-store = {
      module = both server { settings.keyring.transit.token_file = "${builtins.storeDir}/abc-token"; };
      says = "services.floe.settings: keyring.transit.token_file lies in the store, where everybody can read it";
    };
    gpus-without-a-driver = {
      module = both client { client.gpu.enable = true; };
      says = "services.floe.client.gpu.enable: this machine has no driver for GPUs: set services.xserver.videoDrivers";
    };
    gpus-without-a-client = {
      module = {
        imports = [ (both server { client.gpu.enable = true; }) ];
        services.xserver.videoDrivers = [ "nvidia" ];
      };
      says = "services.floe.client.gpu.enable: is for machines that run tasks";
    };
    servers-for-no-client = {
      module = both server { client.servers = [ "10.0.0.1" ]; };
      says = "services.floe.client.servers: is set, but services.floe.client.enable is not";
    };
    a-jobs-name-that-is-no-files = {
      module = both server { jobs."a/b".group = { }; };
      says = "services.floe.jobs: a/b cannot be the name of a file";
    };
    a-job-in-a-job = {
      module = both server { jobs.web.job.web = { }; };
      says = "services.floe.jobs: web has a job inside: write only what stands in job.NAME";
    };
    a-job-of-no-known-kind = {
      module = both server { jobs.web = ./cases.txt; };
      says = "services.floe.jobs: web is no .nix, .hcl, .nomad or .json file";
    };
    a-job-outside-of-the-store = {
      module = both server { jobs.web = "/etc/web.hcl"; };
      says = "services.floe.jobs: web is a path in quotes";
    };
    a-secret-for-no-server = {
      module = both client { server.retryJoin = [ "10.0.0.1" ]; };
      says = "services.floe.server.enable: is not set, but other options of services.floe.server are";
    };
  };
}
