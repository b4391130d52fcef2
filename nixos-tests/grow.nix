# One server; then, by another declaration, three; then the second of them a client, too. Each machine has its host of each inventory, and
# `declaration` says which one counts: what a change of the inventory and a switch make.
{ cluster, ... }:
let
  server = address: {
    inherit address;
    role = "server";
  };
  one.server1 = server "192.168.1.1";
  three = one // {
    server2 = server "192.168.1.2";
    server3 = server "192.168.1.3";
  };
  both = three // {
    server2 = three.server2 // {
      role = "both";
    };
  };
  inventories = {
    one = cluster { hosts = one; };
    three = cluster { hosts = three; };
    both = cluster { hosts = both; };
  };
  machine =
    name:
    { config, lib, ... }:
    let
      hosts = lib.filterAttrs (_: host: host != null) (
        builtins.mapAttrs (_: nodes: nodes.${name} or null) inventories
      );
    in
    {
      imports = builtins.concatMap (host: host.imports) (builtins.attrValues hosts);
      options.declaration = lib.mkOption {
        type = lib.types.enum (builtins.attrNames inventories);
        default = "one";
        description = "Which inventory counts.";
      };
      config = lib.mkMerge (
        [
          {
            specialisation = lib.genAttrs [ "three" "both" ] (declaration: {
              configuration = { inherit declaration; };
            });
          }
        ]
        ++ lib.mapAttrsToList (
          declaration: host: lib.mkIf (config.declaration == declaration) host.config
        ) hosts
      );
    };
in
builtins.mapAttrs (name: _: machine name) three
