//! Processors.

use std::fs;

/// Megahertz of a core where the machine does not say.
const UNKNOWN_MHZ: u64 = 1_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cpu {
    pub(super) cores: usize,
    pub(super) mhz: u64,
    pub(super) model: String,
}

impl Cpu {
    pub(super) fn total_mhz(&self) -> i64 {
        i64::try_from(self.mhz.saturating_mul(self.cores as u64)).unwrap_or(i64::MAX)
    }

    pub(super) fn attributes(&self) -> Vec<(&'static str, String)> {
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        vec![
            ("cpu.arch", arch.to_owned()),
            ("cpu.frequency", self.mhz.to_string()),
            ("cpu.modelname", self.model.clone()),
            ("cpu.numcores", self.cores.to_string()),
            ("cpu.totalcompute", self.total_mhz().to_string()),
            ("cpu.usablecompute", self.total_mhz().to_string()),
        ]
    }
}

pub(super) fn read() -> Cpu {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let max = fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq").unwrap_or_default();
    parse(&info, &max)
}

/// From `/proc/cpuinfo`, and the highest frequency in kilohertz where the kernel knows it.
fn parse(info: &str, max_khz: &str) -> Cpu {
    let field =
        |name: &str| info.lines().filter_map(|l| l.split_once(':')).find(|(k, _)| k.trim() == name).map(|(_, v)| v.trim().to_owned());
    let cores = info.lines().filter(|l| l.split(':').next().is_some_and(|k| k.trim() == "processor")).count();
    let from_max = max_khz.trim().parse::<u64>().ok().map(|khz| khz / 1000);
    // A whole number is precise enough: shares are relative.
    let from_info = field("cpu MHz").and_then(|v| v.split('.').next()?.parse::<u64>().ok());
    Cpu {
        cores: cores.max(1),
        mhz: from_max.or(from_info).filter(|m| *m > 0).unwrap_or(UNKNOWN_MHZ),
        model: field("model name").unwrap_or_else(|| "unknown".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sources_are_read_and_neither_is_needed() {
        let info = "processor\t: 0\nmodel name\t: Some CPU @ 2.00GHz\ncpu MHz\t\t: 2000.123\n\nprocessor\t: 1\ncpu MHz\t\t: 1999.0\n";
        assert_eq!(parse(info, ""), Cpu { cores: 2, mhz: 2000, model: "Some CPU @ 2.00GHz".to_owned() });
        assert_eq!(parse(info, "3500000\n").total_mhz(), 7000);
        assert_eq!(parse("", "").total_mhz(), 1000);
    }
}
