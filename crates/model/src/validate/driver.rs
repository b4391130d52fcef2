//! Rules of the `config` block of the drivers that floe ships. Other drivers judge their own.

use super::{MAX_ARGUMENT_BYTES, MAX_LIST};
use crate::{
    Value,
    report::{Report, quoted},
    wire::nearest,
};
use std::collections::BTreeMap;

/// What a key of `config` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Texts,
    Integer,
    Flag,
    /// A number, or a text such as "64m".
    Size,
    TextMap,
    /// A block, or a list of blocks.
    Blocks,
}

const EXEC: &[(&str, Kind)] = &[
    ("command", Kind::Text),
    ("args", Kind::Texts),
    ("work_dir", Kind::Text),
    ("pid_mode", Kind::Text),
    ("ipc_mode", Kind::Text),
    ("cap_add", Kind::Texts),
    ("cap_drop", Kind::Texts),
];

const RAW_EXEC: &[(&str, Kind)] = &[
    ("command", Kind::Text),
    ("args", Kind::Texts),
    ("work_dir", Kind::Text),
    ("cgroup_v2_override", Kind::Text),
    ("cgroup_v1_override", Kind::TextMap),
    ("oom_score_adj", Kind::Integer),
    ("denied_envvars", Kind::Texts),
];

/// The drivers that run images of containers. Each has its own names for the same things.
const IMAGE_DRIVERS: [&str; 3] = ["docker", "podman", "oci"];

/// What all of them know. `support` says which of these floe acts on.
const IMAGE: &[(&str, Kind)] = &[
    ("image", Kind::Text),
    ("command", Kind::Text),
    ("args", Kind::Texts),
    ("entrypoint", Kind::Texts),
    ("work_dir", Kind::Text),
    ("working_dir", Kind::Text),
    ("hostname", Kind::Text),
    ("labels", Kind::TextMap),
    ("readonly_rootfs", Kind::Flag),
    ("cap_add", Kind::Texts),
    ("cap_drop", Kind::Texts),
    ("ulimit", Kind::TextMap),
    ("shm_size", Kind::Size),
    ("sysctl", Kind::TextMap),
    ("tmpfs", Kind::Texts),
    ("volumes", Kind::Texts),
    ("mount", Kind::Blocks),
    ("mounts", Kind::Blocks),
    ("dns", Kind::Texts),
    ("dns_servers", Kind::Texts),
    ("dns_search_domains", Kind::Texts),
    ("dns_options", Kind::Texts),
    ("extra_hosts", Kind::Texts),
    ("ports", Kind::Texts),
    ("auth", Kind::Blocks),
    ("auth_soft_fail", Kind::Flag),
    ("image_pull_timeout", Kind::Text),
    ("force_pull", Kind::Flag),
    ("network_mode", Kind::Text),
    ("privileged", Kind::Flag),
    ("init", Kind::Flag),
    ("init_path", Kind::Text),
    ("interactive", Kind::Flag),
    ("tty", Kind::Flag),
    ("load", Kind::Text),
    ("logging", Kind::Blocks),
    ("devices", Kind::Blocks),
    ("apparmor_profile", Kind::Text),
    ("arch", Kind::Text),
    ("advertise_ipv6_address", Kind::Flag),
    ("cgroupns", Kind::Text),
    ("container_exists_attempts", Kind::Integer),
    ("cpu_cfs_period", Kind::Integer),
    ("cpu_hard_limit", Kind::Flag),
    ("cpuset_cpus", Kind::Text),
    ("group_add", Kind::Texts),
    ("healthchecks", Kind::Blocks),
    ("ipc_mode", Kind::Text),
    ("ipv4_address", Kind::Text),
    ("ipv6_address", Kind::Text),
    ("isolation", Kind::Text),
    ("mac_address", Kind::Text),
    ("memory_hard_limit", Kind::Integer),
    ("memory_reservation", Kind::Size),
    ("memory_swap", Kind::Size),
    ("memory_swappiness", Kind::Integer),
    ("network_aliases", Kind::Texts),
    ("oom_score_adj", Kind::Integer),
    ("os", Kind::Text),
    ("pid_mode", Kind::Text),
    ("pids_limit", Kind::Integer),
    ("port_map", Kind::Blocks),
    ("runtime", Kind::Text),
    ("security_opt", Kind::Texts),
    ("selinux_opts", Kind::Texts),
    ("socket", Kind::Text),
    ("static_ips", Kind::Texts),
    ("static_mac", Kind::Text),
    ("storage_opt", Kind::TextMap),
    ("userns", Kind::Text),
    ("userns_mode", Kind::Text),
    ("uts_mode", Kind::Text),
    ("variant", Kind::Text),
    ("volume_driver", Kind::Text),
];

/// Whether a driver runs images.
pub(crate) fn runs_images(driver: &str) -> bool {
    IMAGE_DRIVERS.contains(&driver)
}

pub(super) fn config(report: &mut Report, driver: &str, config: &BTreeMap<String, Value>) {
    let known = match driver {
        "exec" => EXEC,
        "raw_exec" => RAW_EXEC,
        driver if runs_images(driver) => IMAGE,
        _ => return,
    };
    report.within("config", |r| {
        for (key, value) in config {
            match known.iter().find(|(name, _)| name == key) {
                Some((_, kind)) => typed(r, key, *kind, value),
                None => unknown(r, driver, key, known),
            }
        }
        if runs_images(driver) {
            image(r, config.get("image"));
            return;
        }
        command(r, config.get("command"));
        for (field, words) in [("pid_mode", &["private", "host"]), ("ipc_mode", &["private", "host"])] {
            if let Some(Value::String(word)) = config.get(field).filter(|_| driver == "exec") {
                r.word(field, word, words);
            }
        }
    });
}

fn unknown(report: &mut Report, driver: &str, key: &str, known: &[(&str, Kind)]) {
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    match nearest(key, &names) {
        Some(near) => report.say(format_args!("{} is unknown to driver {driver:?}; did you mean {near:?}?", quoted(key))),
        None => report.say(format_args!("{} is unknown to driver {driver:?}; use one of: {}", quoted(key), names.join(", "))),
    }
}

fn command(report: &mut Report, value: Option<&Value>) {
    match value {
        None | Some(Value::Null) => report.say("command is missing; name the program to run, for example \"/bin/sleep\""),
        Some(Value::String(s)) if s.is_empty() => report.say("command is empty; name the program to run, for example \"/bin/sleep\""),
        Some(_) => {}
    }
}

fn image(report: &mut Report, value: Option<&Value>) {
    match value {
        None | Some(Value::Null) => report.say("image is missing; name one, for example \"docker.io/library/nginx:1.29\""),
        Some(Value::String(s)) if s.is_empty() => report.say("image is empty; name one, for example \"docker.io/library/nginx:1.29\""),
        Some(_) => {}
    }
}

/// `null` is the same as absent.
fn typed(report: &mut Report, key: &str, kind: Kind, value: &Value) {
    match (kind, value) {
        (_, Value::Null) => {}
        (Kind::Text, Value::String(s)) => argument(report, key, s),
        (Kind::Texts, Value::Array(items)) if items.len() > MAX_LIST => {
            report.say(format_args!("{key} may have at most {MAX_LIST} items (there are {}); pass a file instead", items.len()));
        }
        (Kind::Texts, Value::Array(items)) => {
            for (i, item) in items.iter().enumerate() {
                match item {
                    Value::String(s) => argument(report, key, s),
                    other => report.say(format_args!("{key}: item {} must be text ({}); put it in quotes", i + 1, found(other))),
                }
            }
        }
        (Kind::Integer, Value::Number(n)) if n.is_i64() => {}
        (Kind::Flag, Value::Bool(_)) | (Kind::Blocks, Value::Object(_)) => {}
        (Kind::Size, Value::Number(n)) if n.is_u64() => {}
        (Kind::Size, Value::String(s)) => argument(report, key, s),
        (Kind::Blocks, Value::Array(items)) if items.len() <= MAX_LIST && items.iter().all(Value::is_object) => {}
        (Kind::TextMap, Value::Object(map)) => text_map(report, key, map),
        // A block that is written once may come as a list of one.
        (Kind::TextMap, Value::Array(items)) if items.len() == 1 && items.iter().all(Value::is_object) => {
            items.iter().filter_map(Value::as_object).for_each(|map| text_map(report, key, map));
        }
        (kind, other) => {
            let wanted = match kind {
                Kind::Text => "text",
                Kind::Texts => "a list of texts",
                Kind::Integer => "a whole number",
                Kind::Flag => "true or false",
                Kind::Size => "a number of bytes, or a text such as \"64m\"",
                Kind::TextMap => "a map of texts",
                Kind::Blocks => "a block, or at most 1000 of them",
            };
            report.say(format_args!("{key} must be {wanted} ({}); rewrite it", found(other)));
        }
    }
}

fn text_map(report: &mut Report, key: &str, map: &serde_json::Map<String, Value>) {
    for (k, item) in map.iter().filter(|(_, v)| !v.is_string()) {
        report.say(format_args!("{key}: {} must be text ({}); put it in quotes", quoted(k), found(item)));
    }
}

fn argument(report: &mut Report, key: &str, text: &str) {
    if text.contains('\0') {
        report.say(format_args!("{key}: {} must not hold NUL; remove it", quoted(text)));
    }
    if text.len() > MAX_ARGUMENT_BYTES {
        report.say(format_args!("{key} must be at most {MAX_ARGUMENT_BYTES} bytes an item (it is {}); pass a file instead", text.len()));
    }
}

fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "it is null",
        Value::Bool(_) => "it is true or false",
        Value::Number(_) => "it is a number",
        Value::String(_) => "it is text",
        Value::Array(_) => "it is a list",
        Value::Object(_) => "it is a block",
    }
}
