# The unit that runs the agent. One agent a machine, so one unit: a server without a client has no rights at all; a client needs root, and has what of it
# it uses. Tasks are held by processes of their own and outlive the unit (KillMode=process), so a switch restarts the agent and touches no task.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.floe;
  isClient = cfg.client.enable;
  json = pkgs.formats.json { };
  written = json.generate "floe-agent.json" cfg.configuration;
  # The agent itself says what is wrong with a configuration, when the system is built and not when it starts.
  canAsk = pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform;
  checked = pkgs.runCommand "floe-agent.json" { } ''
    cp ${written} agent.json
    ${lib.getExe cfg.package} config validate agent.json
    cp agent.json $out
  '';
  file = if canAsk then checked else written;

  # What may be gone once the machine is in its cluster is empty then; without SetCredential= the unit would not start.
  optional = name: path: lib.optional (path != null) { inherit name path; };
  loseable =
    optional "join-token" cfg.joinTokenFile
    ++ lib.optionals cfg.server.enable (optional "bootstrap-secret" cfg.server.bootstrapSecretFile);
  needed = lib.optionals cfg.server.enable (
    optional "keyring-key" cfg.server.keyringKeyFile
    ++ optional "s3-key-id" cfg.snapshots.bucket.accessKeyIdFile
    ++ optional "s3-key" cfg.snapshots.bucket.secretAccessKeyFile
  );

  # Nothing that a server does needs more than its state, its sockets and its secrets.
  serverOnly = import ./sandbox.nix // {
    User = "floe";
    Group = "floe";
    AmbientCapabilities = "";
    RestrictAddressFamilies = [
      "AF_INET"
      "AF_INET6"
      "AF_UNIX"
    ];
    ReadWritePaths = lib.optional (cfg.snapshots.directory != null) cfg.snapshots.directory;
  };

  # A client makes namespaces, mounts, cgroups and networks. It is in the machine's own mount namespace (nothing that would give it another one is set),
  # because tasks and network namespaces outlive it and the next agent must find them. Filters on system calls would be its tasks', too.
  withClient = {
    CapabilityBoundingSet = map (name: "CAP_${name}") [
      "AUDIT_WRITE"
      "BPF"
      "CHOWN"
      "DAC_OVERRIDE"
      "DAC_READ_SEARCH"
      "FOWNER"
      "FSETID"
      "IPC_LOCK"
      "KILL"
      "MKNOD"
      "NET_ADMIN"
      "NET_BIND_SERVICE"
      "NET_RAW"
      "SETFCAP"
      "SETGID"
      "SETPCAP"
      "SETUID"
      "SYS_ADMIN"
      "SYS_CHROOT"
      "SYS_NICE"
      "SYS_PTRACE"
      "SYS_RESOURCE"
    ];
    Delegate = true;
    # The last to go when memory runs out; tasks and their shims have scores of their own.
    OOMScoreAdjust = -900;
    TasksMax = "infinity";
  };
in
{
  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ];
    environment.etc."floe/agent.json".source = file;

    users = lib.mkIf (!isClient) {
      users.floe = {
        isSystemUser = true;
        group = "floe";
        description = "floe's servers";
        home = "/var/lib/floe";
      };
      groups.floe = { };
    };

    systemd.tmpfiles.rules =
      let
        owner = if isClient then "root root" else "floe floe";
      in
      lib.optional (cfg.snapshots.directory != null) "d ${cfg.snapshots.directory} 0700 ${owner} -";

    systemd.services.floe = {
      description = "floe agent (${
        if !isClient then
          "server"
        else if cfg.server.enable then
          "server and client"
        else
          "client"
      })";
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-online.target" ];
      after = [
        "network-online.target"
        "firewall.service"
        "nftables.service"
      ];
      restartTriggers = [ file ];
      # Stopped and started in one go, with what the new system says: the time in which nobody watches the tasks is short.
      stopIfChanged = false;
      # An agent that cannot start yet, for its disk is full or a secret is late, tries again for as long as it takes.
      startLimitIntervalSec = 0;
      serviceConfig = {
        Type = "notify";
        NotifyAccess = "main";
        ExecStart = "${lib.getExe cfg.package} agent -config /etc/floe/agent.json";
        Restart = "on-failure";
        RestartSec = 2;
        # A long log is read before it is ready.
        TimeoutStartSec = "5min";
        WatchdogSec = 60;
        WatchdogSignal = "SIGKILL";
        KillMode = "process";
        KillSignal = "SIGTERM";
        StateDirectory = "floe";
        StateDirectoryMode = "0700";
        UMask = "0077";
        LimitNOFILE = 65536;
        LoadCredential = map (c: "${c.name}:${c.path}") (loseable ++ needed);
        SetCredential = map (c: "${c.name}:\\n") loseable;
      }
      // (if isClient then withClient else serverOnly);
    };
  };
}
