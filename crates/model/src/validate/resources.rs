//! Rules of what a task asks of its node.

use super::{MAX_AMOUNT, MAX_DEVICE_COUNT, MAX_DEVICES, constraint, names};
use crate::{
    device::DeviceName,
    report::{Report, labelled, quoted},
    resources::{MIN_CPU_MHZ, MIN_MEMORY_MB, NumaResource, RequestedDevice, Resources},
};

pub(super) fn resources(report: &mut Report, resources: &Resources) {
    let Resources {
        cpu,
        cores,
        memory_mb,
        memory_max_mb,
        secrets_mb,
        devices,
        numa,
        // Left over from before groups had networks and disks; `support` refuses them.
        disk_mb: _,
        networks: _,
        iops: _,
    } = resources;
    let (cpu, cores, memory) = (cpu.unwrap_or(0), cores.unwrap_or(0), memory_mb.unwrap_or(0));
    report.between("cores", cores, 0, MAX_AMOUNT, "");
    if cores > 0 && cpu > 0 {
        report.say(format_args!("cpu ({cpu} MHz) and cores ({cores}) exclude each other; keep one of them"));
    } else if cores <= 0 {
        report.between("cpu", cpu, MIN_CPU_MHZ, MAX_AMOUNT, " MHz");
    }
    report.between("memory", memory, MIN_MEMORY_MB, MAX_AMOUNT, " MB");
    let most = memory_max_mb.unwrap_or(0);
    report.between("memory_max", most, -1, MAX_AMOUNT, " MB");
    if most > 0 && most < memory {
        report.say(format_args!("memory_max ({most} MB) must be at least memory ({memory} MB); raise it or remove it"));
    }
    report.between("secrets", secrets_mb.unwrap_or(0), 0, MAX_AMOUNT, " MB");
    if report.list_of("devices", devices.len(), MAX_DEVICES) {
        for (i, d) in devices.iter().enumerate() {
            report.within(labelled("device", &d.name, i), |r| device(r, d));
        }
    }
    if let Some(NumaResource { affinity, devices: _ }) = numa {
        report.within("numa", |r| {
            r.word("affinity", affinity, &["none", "prefer", "require"]);
            if cores <= 0 && affinity != "none" {
                r.say("numa needs whole cores; set cores, or set affinity to \"none\"");
            }
        });
    }
}

fn device(report: &mut Report, device: &RequestedDevice) {
    let RequestedDevice { name, count, constraints, affinities } = device;
    names::name(report, "name", name);
    if !name.is_empty() && DeviceName::parse(name).is_none() {
        report.say("name must be \"type\", \"vendor/type\" or \"vendor/type/name\", for example \"nvidia/gpu\"");
    }
    match count {
        Some(0) => report.say("count must be at least 1 (it is 0); remove the device if none is needed"),
        Some(n) if *n > MAX_DEVICE_COUNT => report.say(format_args!("count must be at most {MAX_DEVICE_COUNT} (it is {n})")),
        _ => {}
    }
    constraint::task_constraints(report, constraints);
    constraint::affinities(report, affinities);
    let targets = constraints.iter().map(|c| (&c.l_target, &c.r_target)).chain(affinities.iter().map(|a| (&a.l_target, &a.r_target)));
    // Of the node a job speaks in its other constraints; here it would never hold.
    for target in targets.flat_map(|(l, r)| [l, r]).filter(|t| t.starts_with("${") && !is_device_target(t)) {
        report.say(format_args!(
            "attribute {} is not of a device; use ${{device.model}}, ${{device.vendor}}, ${{device.type}}, ${{device.ids}} or ${{device.attr.NAME}}",
            quoted(target)
        ));
    }
}

/// Whether a constraint's target speaks of a device.
fn is_device_target(target: &str) -> bool {
    let name = target.strip_prefix("${device.").and_then(|t| t.strip_suffix('}')).unwrap_or_default();
    matches!(name, "model" | "vendor" | "type" | "ids") || name.strip_prefix("attr.").is_some_and(|key| !key.is_empty())
}
