//! What real Nix offers and this evaluator refuses, because it needs the store,
//! the network, the machine or the clock. Refused where used, not where named.

/// In full; each is an attribute of `builtins`.
pub(super) const NAMES: &[&str] = &[
    "builtins.addDrvOutputDependencies",
    "builtins.appendContext",
    "builtins.break",
    "builtins.convertHash",
    "builtins.currentSystem",
    "builtins.currentTime",
    "builtins.derivation",
    "builtins.derivationStrict",
    "builtins.exec",
    "builtins.fetchClosure",
    "builtins.fetchGit",
    "builtins.fetchMercurial",
    "builtins.fetchTarball",
    "builtins.fetchTree",
    "builtins.fetchurl",
    "builtins.filterSource",
    "builtins.findFile",
    "builtins.flakeRefToString",
    "builtins.fromTOML",
    "builtins.genericClosure",
    "builtins.getContext",
    "builtins.getEnv",
    "builtins.getFlake",
    "builtins.hashFile",
    "builtins.importNative",
    "builtins.nixPath",
    "builtins.nixVersion",
    "builtins.outputOf",
    "builtins.parseFlakeRef",
    "builtins.path",
    "builtins.placeholder",
    "builtins.readDir",
    "builtins.readFileType",
    "builtins.scopedImport",
    "builtins.storeDir",
    "builtins.storePath",
    "builtins.toFile",
    "builtins.toPath",
    "builtins.toXML",
    "builtins.unsafeDiscardOutputDependency",
    "builtins.unsafeGetAttrPos",
];

/// Those that Nix also binds without `builtins.`.
const GLOBALS: [&str; 11] = [
    "break",
    "derivation",
    "derivationStrict",
    "fetchGit",
    "fetchMercurial",
    "fetchTarball",
    "fetchTree",
    "fromTOML",
    "placeholder",
    "scopedImport",
    "fetchurl",
];

/// The refused function that the bare `name` means.
pub(crate) fn refused_global(name: &str) -> Option<&str> {
    GLOBALS.contains(&name).then_some(name)
}

/// The message for `what`.
pub(crate) fn refusal(what: &str) -> String {
    format!("not supported in floe's evaluator: {what}; render the file with `nix eval --json` and submit the JSON")
}
