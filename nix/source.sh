# shellcheck shell=bash
# For scripts beside this one: copies what Nix needs of this tree to a disk of memory, which goes with the script, and sets
#   work  a folder of the script's own
#   src   the flake, as nix takes it
#   stub  our stand-in for nixpkgs, the same way
work=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")" floe-nix.XXXXXX)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
# What nix copies into its store on every command is there, too.
export HOME=$work/home XDG_CACHE_HOME=$work/cache NIX_CONFIG="store = $work/store"
mkdir -p "$HOME" "$work/src"
# What git knows or would take: neither builds nor editors' files.
git ls-files -z --cached --others --exclude-standard -- flake.nix flake.lock nix nixos-tests modules hosts templates Cargo.toml Cargo.lock |
  while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done | xargs -0 cp --parents -t "$work/src"
# shellcheck disable=SC2034 # for whoever reads this file
src=path:$work/src stub=path:$work/src/nix/stub
