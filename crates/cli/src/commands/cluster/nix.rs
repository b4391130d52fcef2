//! Nix itself, for inventories that need more than floe's own evaluator: it makes data of the file, and the rules stay floe's.

use anyhow::{Context, bail};
use std::{
    io::{ErrorKind, Read},
    path::Path,
    process::{Command, Stdio},
};

/// The data of an inventory, as JSON. `why` says what floe's own evaluator lacks.
pub(super) fn evaluate(file: &Path, why: &str) -> anyhow::Result<String> {
    let path = file.canonicalize().with_context(|| format!("find {}", file.display()))?;
    let path = path.to_str().with_context(|| format!("{} is no text", path.display()))?;
    let mut nix = Command::new("nix");
    nix.args(["--extra-experimental-features", "nix-command", "eval", "--json", "--impure", "--expr", &expression(path)]);
    // What Nix says goes to whoever waits for it: it may be fetching something.
    let started = nix.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "{}: only Nix can evaluate this, and there is no nix here: {why}\nInstall it (https://nixos.org/download), or write the inventory as \
             plain data: no nixpkgs, no arguments but lib, files as strings, everything in its folder",
            file.display()
        ),
        Err(error) => return Err(error).context("start nix"),
    };
    let mut text = String::new();
    let limit = floe_inventory::read::MAX_DATA_BYTES as u64 + 1;
    let read = child.stdout.take().map(|out| out.take(limit).read_to_string(&mut text));
    // Whatever it still had to say was too much.
    let is_cut = text.len() as u64 == limit;
    if is_cut {
        let _ = child.kill();
    }
    let status = child.wait().context("wait for nix")?;
    read.transpose().with_context(|| format!("read what nix made of {}", file.display()))?;
    if is_cut {
        bail!("{}: nix made more than {} bytes of it", file.display(), floe_inventory::read::MAX_DATA_BYTES);
    }
    if !status.success() {
        bail!("{}: only Nix can evaluate this ({why}), and nix eval failed: see above ({status})", file.display());
    }
    Ok(text)
}

/// The file's value, called with what nixpkgs has where it is a function that asks for that.
fn expression(path: &str) -> String {
    let path = path.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$");
    format!(
        "let
  file = import (/. + \"{path}\");
  args = builtins.functionArgs file;
  all = {{ lib = import <nixpkgs/lib>; pkgs = import <nixpkgs> {{ }}; }};
in
if builtins.isFunction file then file (if args == {{ }} then all else builtins.intersectAttrs args all) else file"
    )
}
