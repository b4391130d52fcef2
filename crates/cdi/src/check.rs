//! Rules of a file: its version, names, bounds. What is wrong here makes the whole file unusable.

use crate::specification::{MAX_LIST, MAX_TEXT_BYTES, RawDevice, RawEdits, RawHook, RawMount, RawNode};
use std::collections::{BTreeMap, BTreeSet};

/// The versions that are understood, by their first two numbers.
const VERSIONS: &[&str] = &["0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "1.0", "1.1"];

pub(crate) fn version(text: &str) -> Result<(), String> {
    let understood = text.rsplit_once('.').is_some_and(|(first, last)| VERSIONS.contains(&first) && is_number(last));
    if understood { Ok(()) } else { Err(format!("cdiVersion {} is not understood: 0.3.0 to 1.1.0 are", quoted(text))) }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit())
}

pub(crate) fn devices(devices: &[RawDevice]) -> Result<(), String> {
    bounded("devices", devices.len())?;
    if devices.is_empty() {
        return Err("has no devices".to_owned());
    }
    let mut names = BTreeSet::new();
    for device in devices {
        let name = &device.name;
        let within = |why: String| format!("device {}: {why}", quoted(name));
        if !is_name(name, "_-.:", char::is_alphanumeric) {
            return Err(within("its name must be letters, digits, and _ - . : between them".to_owned()));
        }
        if !names.insert(name) {
            return Err(within("is there more than once".to_owned()));
        }
        annotations(&device.annotations).map_err(within)?;
        edits(&device.container_edits).map_err(within)?;
    }
    Ok(())
}

/// A vendor, class or device: begins and ends with what `edge` allows, with those and `inner` between.
pub(crate) fn is_name(text: &str, inner: &str, edge: fn(char) -> bool) -> bool {
    let ascii = text.is_ascii() && !text.is_empty() && text.len() <= 253;
    let end = text.chars().next_back().is_some_and(char::is_alphanumeric);
    ascii && text.chars().next().is_some_and(edge) && end && text.chars().all(|c| c.is_alphanumeric() || inner.contains(c))
}

pub(crate) fn annotations(annotations: &BTreeMap<String, String>) -> Result<(), String> {
    bounded("annotations", annotations.len())?;
    annotations.iter().try_for_each(|(key, value)| text("annotation", key).and_then(|()| text("annotation", value)))
}

pub(crate) fn edits(edits: &RawEdits) -> Result<(), String> {
    let RawEdits { env, device_nodes, net_devices, mounts, hooks, additional_gids, intel_rdt: _ } = edits;
    for (what, len) in [
        ("env", env.len()),
        ("deviceNodes", device_nodes.len()),
        ("netDevices", net_devices.len()),
        ("mounts", mounts.len()),
        ("hooks", hooks.len()),
        ("additionalGids", additional_gids.len()),
    ] {
        bounded(what, len)?;
    }
    env.iter().try_for_each(|e| variable(e))?;
    device_nodes.iter().try_for_each(node)?;
    mounts.iter().try_for_each(mount)?;
    hooks.iter().try_for_each(hook)
}

fn variable(variable: &str) -> Result<(), String> {
    text("env", variable)?;
    match variable.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(()),
        _ => Err(format!("env {} must be NAME=value", quoted(variable))),
    }
}

fn node(node: &RawNode) -> Result<(), String> {
    let RawNode { path, host_path, kind, permissions, .. } = node;
    absolute("path of a device node", path)?;
    if !host_path.is_empty() {
        absolute("hostPath of a device node", host_path)?;
    }
    if !["", "b", "c", "u", "p"].contains(&kind.as_str()) {
        return Err(format!("device node {}: type {} must be b, c, u or p", quoted(path), quoted(kind)));
    }
    if !permissions.chars().all(|c| "rwm".contains(c)) || permissions.len() > 3 {
        return Err(format!("device node {}: permissions {} must be of r, w and m", quoted(path), quoted(permissions)));
    }
    Ok(())
}

fn mount(mount: &RawMount) -> Result<(), String> {
    let RawMount { host_path, container_path, options, kind } = mount;
    bounded("options", options.len())?;
    text("type of a mount", kind)?;
    options.iter().try_for_each(|o| text("option of a mount", o))?;
    absolute("hostPath of a mount", host_path)?;
    absolute("containerPath of a mount", container_path)
}

fn hook(hook: &RawHook) -> Result<(), String> {
    let RawHook { hook_name, path, args, env, timeout } = hook;
    const NAMES: &[&str] = &["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    if !NAMES.contains(&hook_name.as_str()) {
        return Err(format!("hook {} is unknown", quoted(hook_name)));
    }
    absolute("path of a hook", path)?;
    bounded("args", args.len())?;
    bounded("env", env.len())?;
    args.iter().try_for_each(|a| text("argument of a hook", a))?;
    env.iter().try_for_each(|e| variable(e))?;
    if timeout.is_some_and(|t| t <= 0) {
        return Err(format!("hook {}: timeout must be more than 0 seconds", quoted(path)));
    }
    Ok(())
}

fn bounded(what: &str, len: usize) -> Result<(), String> {
    if len > MAX_LIST { Err(format!("{what} must be at most {MAX_LIST} (there are {len})")) } else { Ok(()) }
}

fn text(what: &str, text: &str) -> Result<(), String> {
    if text.len() > MAX_TEXT_BYTES || text.contains('\0') {
        return Err(format!("{what} {} must be at most {MAX_TEXT_BYTES} bytes, without NUL", quoted(text)));
    }
    Ok(())
}

fn absolute(what: &str, path: &str) -> Result<(), String> {
    text(what, path)?;
    if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err(format!("{what} {} must be absolute, without '..'", quoted(path)));
    }
    Ok(())
}

/// A text of the file, cut to a length that can be shown.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 64;
    let cut: String = text.chars().take(SHOWN).collect();
    if cut.len() < text.len() { format!("{cut:?}...") } else { format!("{cut:?}") }
}
