//! Brings the kernel to what it should hold: at the agent's start, after a reboot, after a crash.
//!
//! Everything here may be repeated at any time. What is right stays untouched, so traffic of known
//! attachments goes on.

use std::collections::{BTreeMap, BTreeSet};

use crate::attachment::{Attachment, Link};
use crate::config::NetworkConfig;
use crate::error::{KernelError, OpenError};
use crate::host;
use crate::janitor::{Janitor, Retired};
use crate::kernel::{self, Kernel};
use crate::netns::{self, Namespace};
use crate::nft;
use crate::owner::{Held, Owner};
use crate::plan::{self, Broken, BrokenReason, Observed, Wiring};
use crate::rtnl;

/// What opening the network found and did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenReport {
    /// Known attachments that cannot be used any longer: their tasks must be started again.
    pub broken: Vec<Broken>,
    /// Known attachments that were repaired, and what was wrong.
    pub repaired: Vec<Repaired>,
    /// Links and namespaces that belonged to nobody and were removed.
    pub removed: Vec<String>,
    /// What may keep packets from arriving, with the remedy, for the operator.
    pub warnings: Vec<String>,
}

/// A known attachment that was repaired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// The attachment's id.
    pub id: String,
    /// What was wrong.
    pub what: &'static str,
}

/// Opens the network on the calling thread, which belongs to it from then on.
pub(crate) fn open(config: NetworkConfig, known: &[Attachment]) -> Result<(Owner, OpenReport), OpenError> {
    config.validate()?;
    if let Some(missing) = host::missing_capabilities() {
        return Err(OpenError::Permission { missing });
    }
    if let Some(path) = &config.host_netns {
        netns::enter_host(path).map_err(|source| OpenError::HostNamespace { path: path.clone(), source })?;
    }
    let mut kernel = Kernel::open()?;
    let host = set_bridge_right(&mut kernel, &config)?;
    let ip_forward_before = host::set_sysctl("ip_forward", "1")?;
    // Lets the host reach published ports by 127.0.0.1; the guard chain keeps allocations from it.
    host::set_sysctl(&format!("conf/{}/route_localnet", config.bridge), "1")?;
    netns::prepare(&config.netns_dir)?;
    let admission = plan::admit(&config, known);
    let mut owner = Owner {
        janitor: Janitor::start()?,
        kernel,
        pool: admission.pool,
        ports: admission.ports,
        held: BTreeMap::new(),
        retiring: BTreeSet::new(),
        ip_forward_before,
        config,
    };
    let mut report = OpenReport { broken: admission.broken, ..OpenReport::default() };
    for (attachment, ports) in admission.admitted {
        owner.restore(Held { attachment, ports }, &host, &mut report);
    }
    owner.remove_leaks(&mut report)?;
    owner.rebuild_table()?;
    report.warnings = owner.warnings()?;
    Ok((owner, report))
}

/// Checks the subnet, sets the bridge right, and returns what the host looks like after that.
fn set_bridge_right(kernel: &mut Kernel, config: &NetworkConfig) -> Result<Observed, OpenError> {
    let host = kernel.observe()?;
    if let Some(other) = plan::overlap(config, &host) {
        return Err(OpenError::Overlap { subnet: config.subnet, other });
    }
    let steps = plan::bridge_steps(config, &host)?;
    if steps.is_empty() {
        return Ok(host);
    }
    for step in &steps {
        kernel.set_bridge(config, step)?;
    }
    Ok(kernel.observe()?)
}

impl Owner {
    /// Takes over a known attachment, repaired where it must be, or reports it as broken and gives up
    /// what it holds.
    fn restore(&mut self, held: Held, host: &Observed, report: &mut OpenReport) {
        let id = held.attachment.id.clone();
        let reason = match self.check(&held.attachment, host) {
            Ok(Some(what)) => {
                report.repaired.push(Repaired { id: id.clone(), what });
                None
            }
            Ok(None) => None,
            Err(reason) => Some(reason),
        };
        let Some(reason) = reason else {
            self.held.insert(id, held);
            return;
        };
        self.ports.release(&id, &held.ports);
        // Its link may still exist; then the address is free when the link has gone.
        match &held.attachment.link {
            Some(link) if host.link(&link.host_interface).is_some() => self.retire(link),
            Some(link) => self.pool.release(link.address),
            None => {}
        }
        report.broken.push(Broken { id, reason });
    }

    /// Looks into an attachment's namespace and repairs what is wrong; says what that was.
    fn check(&mut self, attachment: &Attachment, host: &Observed) -> Result<Option<&'static str>, BrokenReason> {
        let broken = |error: KernelError| {
            let cause = std::error::Error::source(&error).map(|source| format!(": {source}"));
            BrokenReason::Repair(format!("{error}{}", cause.unwrap_or_default()))
        };
        let netns = netns::open(&attachment.netns).map_err(broken)?;
        let mut netns = netns.ok_or(BrokenReason::NamespaceGone)?;
        let Some(link) = &attachment.link else {
            kernel::furnish(&mut netns.channel, None).map_err(broken)?;
            return Ok(None);
        };
        let inside = kernel::observe(&mut netns.channel).map_err(broken)?;
        let wiring = plan::wiring(&self.config, link, host, &inside);
        self.repair(attachment, link, wiring, host, &mut netns).map_err(broken)
    }

    fn repair(
        &mut self,
        attachment: &Attachment,
        link: &Link,
        wiring: Wiring,
        host: &Observed,
        netns: &mut Namespace,
    ) -> Result<Option<&'static str>, KernelError> {
        let bridge = host.link(&self.config.bridge).map_or(0, |bridge| bridge.index);
        match wiring {
            Wiring::Intact => Ok(None),
            Wiring::Reconfigure(what) => {
                self.kernel.reconnect(&self.config, attachment, link, bridge, netns)?;
                Ok(Some(what))
            }
            Wiring::Rebuild(what) => {
                self.kernel.delete_link(&link.host_interface)?;
                match netns.channel.call(&[rtnl::delete_link(&link.interface)]) {
                    Err(e) if e.is(nix::errno::Errno::ENODEV) => {}
                    other => other?,
                }
                self.kernel.connect(&self.config, attachment, link, bridge, netns)?;
                Ok(Some(what))
            }
        }
    }

    /// Removes namespaces and links that no attachment uses. The links go with the namespaces, in the
    /// kernel's own time.
    fn remove_leaks(&mut self, report: &mut OpenReport) -> Result<(), KernelError> {
        // Before the namespaces go, since links go with them.
        let host = self.kernel.observe()?;
        for name in netns::list(&self.config.netns_dir)? {
            if !self.held.contains_key(&name) {
                netns::remove(&self.config.netns_dir.join(&name))?;
                report.removed.push(format!("the network namespace {name}"));
            }
        }
        let links = self.held.values().filter_map(|held| held.attachment.link.as_ref());
        let keep: BTreeSet<&str> = links.map(|link| link.host_interface.as_str()).chain(self.retiring.iter().map(String::as_str)).collect();
        let leaked = plan::leaked_links(&self.config, &host, &keep);
        for host_interface in leaked {
            report.removed.push(format!("the link {host_interface}"));
            self.retiring.insert(host_interface.clone());
            self.janitor.retire(Retired { host_interface, address: None });
        }
        Ok(())
    }

    fn rebuild_table(&mut self) -> Result<(), KernelError> {
        let elements: Vec<_> = self
            .held
            .values()
            .filter_map(|held| Some((held, held.attachment.link.as_ref()?)))
            .flat_map(|(held, link)| kernel::elements(&held.attachment.id, link, &held.ports))
            .collect();
        self.kernel.rebuild_table(&self.config, &elements)
    }

    fn warnings(&mut self) -> Result<Vec<String>, KernelError> {
        let chains = self.kernel.forward_chains()?;
        let legacy = host::legacy_tables();
        Ok(nft::warnings(&chains, &self.config.table, &self.config.bridge, &legacy))
    }
}
