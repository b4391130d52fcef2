# Every setting of an agent. What is not commented out is what most nodes need; a commented line shows the default, or a value to start from.
# Start it with: floe agent -config examples/agent.hcl
# A folder of .hcl and .json files works too: they are laid over each other in order of name. Flags win over files.

# The agent's state: its identity (secret), the server's log and snapshots, the client's allocations. One agent at a time.
data_dir = "/var/lib/floe"

# name       = "the host's name"
# region     = "global"
# datacenter = "dc1"
# bind_addr  = "127.0.0.1" # where the RPC port listens; the HTTP API, which has no access control yet, stays on loopback
# log_level  = "info"      # error, warn, info, debug, trace
# log_json   = false

# Lets this machine into a cluster at its first start: what floe server token printed. Not needed any more once the machine has an identity.
# join_token_file = "/etc/floe/token"

# tls {
#   rpc = true # false: agents speak in the clear, which is refused anywhere but on loopback; with -dev the default is false
# }

# Where others reach this agent, when that is not where it listens: an address, with a port if that is another one, too. This one, bind_addr and
# client.advertise_ip may also be a network of which this machine has one address ("10.0.0.0/16"), or an interface ("{{ GetInterfaceIP \"enp7s0\" }}").
# advertise {
#   rpc = "192.0.2.1"
# }

# ports {
#   http = 4646
#   rpc  = 4647
# }

server {
  enabled = true
  # bootstrap_expect = 1 # this many servers begin the cluster together, at most 7; with 1 the first one makes it, and the others join with tokens
  # bootstrap_secret_file = "" # what they share when they are several: floe server bootstrap-secret

  # Servers of the cluster, host or host:port: whom to join, and where to look when addresses have changed.
  # retry_join = ["192.0.2.1", "192.0.2.2:4647"]
  # server_join {
  #   retry_join = [] # the same list; both are taken
  # }

  # num_schedulers          = 2     # workers; the default is the number of cores
  # raft_multiplier         = 1     # how much slower the servers are to call an election, 1 to 10: for networks and machines that are slow
  # min_heartbeat_ttl       = "4s" # how often a node is heard of at least; more nodes stretch it
  # heartbeat_grace         = "5s" # how much longer than that a node may be silent before it counts as down
  # eval_gc_threshold       = "1h"  # how long what is over can still be looked at
  # batch_eval_gc_threshold = "24h"
  # job_gc_threshold        = "4h"
  # node_gc_threshold       = "24h"
  # deployment_gc_threshold = "1h"

  # root_key_rotation_threshold = "720h" # how long a root key is active; the next one is made half that time before
  # root_key_gc_threshold       = "1h"   # how long an inactive one is kept with which nothing is sealed
}

# What looks after the servers.
# autopilot {
#   server_stabilization_time = "10s"   # how long a new server must be healthy before it votes
#   last_contact_threshold    = "200ms" # a server that answered longer ago than this is not healthy
#   max_trailing_logs         = 250     # one that lacks more entries than this is not healthy either
#   cleanup_dead_servers      = true    # remove dead servers
#   dead_server_timeout       = "24h"   # how long a server must be silent to be dead; one that comes back is taken in again
#   min_quorum                = 0       # removing dead servers leaves at least this many voters
# }

# The server that leads keeps a snapshot of the cluster each interval, checks it, and removes the oldest. docs/guide/backup.md says how to restore one.
# snapshot {
#   interval = "1h"
#   retain   = 30     # how many are kept
#   prefix   = "floe" # what their names begin with
#   local_storage {
#     path = "/var/backups/floe" # on every server, or a folder that all servers share
#   }
#   # A bucket of Amazon S3, or of any store that speaks S3. Both may be there.
#   aws_storage {
#     s3_bucket           = "my-backups"
#     s3_region           = "fsn1"
#     s3_endpoint         = "https://fsn1.your-objectstorage.com" # absent: Amazon's, of the region
#     s3_key_prefix       = "floe/prod" # what comes before the names, as a folder
#     s3_force_path_style = true # https://store/bucket/... in place of https://bucket.store/...; absent: true with an endpoint, false without

#     # The keys, in two files with nothing else in them; or in one as other tools have it. A name without / is one of $CREDENTIALS_DIRECTORY.
#     access_key_id_file     = "/etc/floe/s3-key-id"
#     secret_access_key_file = "/etc/floe/s3-key"
#     credentials_file       = "" # [default], aws_access_key_id = ..., aws_secret_access_key = ...
#     ca_cert                = "" # the authority of the store's certificate (PEM); absent: those of the system
#   }
# }

# The keys that wrap the cluster's root keys, so that the log and snapshots hold them and whoever copies those has nothing. Every server needs one
# that opens what the others wrapped, kept outside of data_dir. docs/guide/key-encryption-keys.md says which to take. One with active set to false opens
# what it wrapped before, and wraps nothing new.
# keyring "file" {
#   active = true
#   path   = "/run/keys/floe-kek" # 32 random bytes, mode 0600: floe server keyring-key -out FILE
# }
# keyring "credential" {
#   name = "floe-kek" # the same as a credential of systemd (LoadCredential, LoadCredentialEncrypted)
# }
# keyring "age" {
#   recipients    = ["age1..."]     # X25519 keys of age-keygen; one whose identity is in a safe is a way back
#   identity_file = "/run/keys/age" # what opens; without it, this server only wraps
# }
# keyring "transit" {
#   address    = "https://vault:8200" # Vault or OpenBao
#   key_name   = "floe"
#   mount_path = "transit"
#   token_file = "/run/keys/vault-token" # read at every call
#   namespace  = ""
#   ca_cert    = ""                      # PEM; absent: the system's authorities
# }

client {
  enabled = true
  # servers    = ["127.0.0.1:4647"] # some of the servers, host or host:port; for an agent without the server part
  # node_class = ""
  # node_pool  = "default"
  # cdi_spec_dirs = ["/etc/cdi", "/var/run/cdi"] # what vendors' tools write about devices; the later counts
  # raw_exec   = false # tasks without a container, with the agent's rights

  # meta {
  #   rack = "r1" # jobs see it as ${meta.rack}
  # }

  # What the node has; absent: what is found.
  # cpu_total_compute = 8000 # MHz
  # memory_total_mb   = 16384
  # disk_total_mb     = 100000

  # What jobs do not get.
  # reserved {
  #   cpu            = 500 # MHz
  #   memory         = 512 # MiB
  #   disk           = 1024 # MiB
  #   reserved_ports = "22,80,8500-8600"
  # }

  # min_dynamic_port            = 20000
  # max_dynamic_port            = 32000
  # advertise_ip                = "192.0.2.1" # absent: the address of the default route
  # bridge_network_name         = "floe" # the nftables table has the same name
  # bridge_network_subnet       = "172.26.64.0/20"
  # bridge_network_hairpin_mode = true # an allocation reaches itself through its own port
  # netns_dir                   = "/run/floe/netns"
  # cgroup_parent               = "floe.slice"

  # Images of containers: docs/guide/images.md.
  # images {
  #   gc_delay   = "1h"           # unused images stay so long
  #   max_mb     = 20480          # as much as all may have, unpacked
  #   sources    = ["/nix/store"] # folders that oci: and docker-archive: may name
  #   host_paths = false          # whether volumes may name folders of the host
  #   registry "docker.io" {
  #     mirrors       = [] # https://host[:port], asked first
  #     insecure      = false # plain HTTP; only for networks that nobody else is on
  #     ca_cert       = "" # a PEM file of the authorities that count, instead of the system's
  #     username      = ""
  #     password_file = ""
  #   }
  # }
}

# plugin "raw_exec" {
#   config {
#     enabled = false # the same as client.raw_exec
#   }
# }
