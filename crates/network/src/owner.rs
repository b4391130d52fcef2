//! The owner: the one thread that changes the network, and the state that it keeps.
//!
//! In: commands by a bounded channel. Out: an answer to each. Attaching works through the kernel step by
//! step; whatever step fails, everything before it is undone before the error is answered. When nobody
//! waits for the answer any more, an attachment just made is undone too, since nobody would detach it.

use std::collections::{BTreeMap, BTreeSet};

use nix::errno::Errno;
use tokio::sync::{mpsc, oneshot};

use crate::attachment::{AttachRequest, Attachment, INTERFACE, Link, Port, check_id, check_ports};
use crate::config::NetworkConfig;
use crate::conntrack::Stale;
use crate::error::{AttachError, KernelError, NetworkError, PortHolder};
use crate::host;
use crate::inventory::{Audit, Inventory, compare};
use crate::janitor::{Janitor, Retired};
use crate::kernel::{self, Kernel};
use crate::names;
use crate::netns::{self, Namespace};
use crate::pool::AddressPool;
use crate::ports::PortTable;

/// How many names are tried for a link before giving up; a second one is already next to never needed.
const NAME_ATTEMPTS: u32 = 8;

/// What the owner can be asked for.
pub(crate) enum Command {
    Attach(AttachRequest, oneshot::Sender<Result<Attachment, AttachError>>),
    AttachNone(String, oneshot::Sender<Result<Attachment, AttachError>>),
    Detach(String, oneshot::Sender<Result<(), NetworkError>>),
    Attachments(oneshot::Sender<Vec<Attachment>>),
    Audit(oneshot::Sender<Result<Audit, NetworkError>>),
    Settle(oneshot::Sender<()>),
    Close(oneshot::Sender<Result<(), NetworkError>>),
}

/// An attachment and its ports in the form in which they are used.
pub(crate) struct Held {
    pub(crate) attachment: Attachment,
    pub(crate) ports: Vec<Port>,
}

/// The state of the network.
pub(crate) struct Owner {
    pub(crate) config: NetworkConfig,
    pub(crate) kernel: Kernel,
    pub(crate) janitor: Janitor,
    pub(crate) pool: AddressPool,
    pub(crate) ports: PortTable,
    pub(crate) held: BTreeMap<String, Held>,
    /// Links that are on their way out; their names cannot be used yet.
    pub(crate) retiring: BTreeSet<String>,
    /// What `ip_forward` was before we changed it.
    pub(crate) ip_forward_before: Option<String>,
}

impl Owner {
    /// Works until the network is closed or nobody holds a handle any more. In the latter case
    /// everything stays in the kernel: workloads outlive the agent.
    pub(crate) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(command) = commands.blocking_recv() {
            match command {
                Command::Attach(request, reply) => {
                    let attached = self.attach(&request);
                    self.answer_attach(attached, reply);
                }
                Command::AttachNone(id, reply) => {
                    let attached = self.attach_none(&id);
                    self.answer_attach(attached, reply);
                }
                Command::Detach(id, reply) => answer(reply, self.detach(&id)),
                Command::Attachments(reply) => {
                    answer(reply, self.held.values().map(|h| h.attachment.clone()).collect());
                }
                Command::Audit(reply) => answer(reply, self.audit()),
                Command::Settle(reply) => self.janitor.settle(reply),
                Command::Close(reply) => return answer(reply, self.close()),
            }
        }
    }

    fn answer_attach(&mut self, attached: Result<Attachment, AttachError>, reply: oneshot::Sender<Result<Attachment, AttachError>>) {
        if let Err(Ok(attachment)) = reply.send(attached) {
            tracing::info!(id = attachment.id, "nobody waits for this attachment any more: undone");
            if let Err(error) = self.detach(&attachment.id) {
                tracing::warn!(%error, "an attachment nobody waits for could not be undone");
            }
        }
    }

    fn attach(&mut self, request: &AttachRequest) -> Result<Attachment, AttachError> {
        self.check_new(&request.id)?;
        let ports = check_ports(&request.id, &request.ports)?;
        self.reclaim();
        self.ports.take(&request.id, &ports).map_err(|conflict| AttachError::PortInUse {
            port: conflict.port.host_port,
            protocol: conflict.port.protocol,
            host_ip: conflict.port.host_ip.map(Into::into),
            holder: PortHolder::Allocation(conflict.holder),
        })?;
        let attached = self.attach_with_ports(request, &ports);
        if attached.is_err() {
            self.ports.release(&request.id, &ports);
        }
        attached
    }

    fn attach_with_ports(&mut self, request: &AttachRequest, ports: &[Port]) -> Result<Attachment, AttachError> {
        ports.iter().try_for_each(host::probe)?;
        let address =
            self.pool.take().ok_or_else(|| AttachError::Exhausted { subnet: self.config.subnet, capacity: self.pool.capacity() })?;
        let link = Link {
            interface: INTERFACE.into(),
            host_interface: names::host_interface(&request.id, 0),
            address,
            gateway: self.config.subnet.gateway(),
            prefix_len: self.config.subnet.prefix_len(),
        };
        let mut attachment =
            Attachment { id: request.id.clone(), netns: self.config.netns_dir.join(&request.id), link: None, ports: request.ports.clone() };
        match self.build(&mut attachment, link, ports) {
            Ok(()) => {
                self.janitor.forget(Stale::by_publishing(ports));
                let held = Held { attachment: attachment.clone(), ports: ports.to_vec() };
                self.held.insert(request.id.clone(), held);
                Ok(attachment)
            }
            Err(error) => {
                self.undo(&attachment);
                if attachment.link.is_none() {
                    self.pool.release(address);
                }
                // The kernel says so with "exchange full".
                if error.is(Errno::EXFULL) {
                    return Err(AttachError::BridgeFull { bridge: self.config.bridge.clone() });
                }
                Err(error.into())
            }
        }
    }

    /// Makes everything of an attachment in the kernel. `attachment.link` is set as soon as there is a
    /// link to be undone.
    fn build(&mut self, attachment: &mut Attachment, link: Link, ports: &[Port]) -> Result<(), KernelError> {
        let mut netns = netns::create(&attachment.netns)?;
        let link = self.connect(attachment, link, &mut netns)?;
        if ports.is_empty() {
            return Ok(());
        }
        let elements = kernel::elements(&attachment.id, &link, ports);
        self.kernel.add_port_maps(&self.config.table, &elements)
    }

    /// Makes the link under the first name that is free.
    fn connect(&mut self, attachment: &mut Attachment, mut link: Link, netns: &mut Namespace) -> Result<Link, KernelError> {
        let missing = || KernelError::refused(format!("find the bridge {}", self.config.bridge), Errno::ENODEV);
        let bridge = self.kernel.find_link(&self.config.bridge)?.ok_or_else(missing)?.index;
        let mut taken = KernelError::refused("find a free name for a link", Errno::EEXIST);
        for attempt in 0..NAME_ATTEMPTS {
            link.host_interface = names::host_interface(&attachment.id, attempt);
            if self.is_name_taken(&link.host_interface) {
                continue;
            }
            match self.kernel.connect(&self.config, attachment, &link, bridge, netns) {
                Err(e) if e.is(Errno::EEXIST) => taken = e,
                outcome => {
                    // Whether or not it worked out, something under this name may be there.
                    attachment.link = Some(link.clone());
                    return outcome.map(|()| link);
                }
            }
        }
        Err(taken)
    }

    fn is_name_taken(&self, name: &str) -> bool {
        let has = |held: &Held| held.attachment.link.as_ref().is_some_and(|l| l.host_interface == name);
        self.retiring.contains(name) || self.held.values().any(has)
    }

    fn attach_none(&mut self, id: &str) -> Result<Attachment, AttachError> {
        self.check_new(id)?;
        let path = self.config.netns_dir.join(id);
        let attachment = Attachment { id: id.to_owned(), netns: path, link: None, ports: Vec::new() };
        let made = netns::create(&attachment.netns).and_then(|mut netns| kernel::furnish(&mut netns.channel, None));
        if let Err(error) = made {
            self.undo(&attachment);
            return Err(error.into());
        }
        let held = Held { attachment: attachment.clone(), ports: Vec::new() };
        self.held.insert(id.to_owned(), held);
        Ok(attachment)
    }

    fn check_new(&self, id: &str) -> Result<(), AttachError> {
        check_id(id)?;
        if self.held.contains_key(id) { Err(AttachError::Attached(id.into())) } else { Ok(()) }
    }

    /// Removes what is left of an attachment that failed half-way; its port maps were not added.
    fn undo(&mut self, attachment: &Attachment) {
        if let Err(error) = netns::remove(&attachment.netns) {
            tracing::warn!(%error, id = attachment.id, "half an attachment could not be removed");
        }
        if let Some(link) = &attachment.link {
            self.retire(link);
        }
    }

    fn detach(&mut self, id: &str) -> Result<(), NetworkError> {
        check_id(id)?;
        let Some(Held { attachment, ports }) = self.held.get(id) else {
            // Not ours to know; a name may be left over all the same.
            return Ok(netns::remove(&self.config.netns_dir.join(id))?);
        };
        if let Some(link) = attachment.link.as_ref().filter(|_| !ports.is_empty()) {
            let elements = kernel::elements(id, link, ports);
            self.kernel.delete_port_maps(&self.config.table, &elements)?;
        }
        netns::remove(&attachment.netns)?;
        if let Some(Held { attachment, ports }) = self.held.remove(id) {
            self.ports.release(id, &ports);
            if let Some(link) = &attachment.link {
                self.retire(link);
            }
        }
        Ok(())
    }

    pub(crate) fn retire(&mut self, link: &Link) {
        self.retiring.insert(link.host_interface.clone());
        let host_interface = link.host_interface.clone();
        self.janitor.retire(Retired { host_interface, address: Some(link.address) });
    }

    /// Takes back the addresses and names of links that are gone by now.
    fn reclaim(&mut self) {
        for retired in self.janitor.gone() {
            self.retiring.remove(&retired.host_interface);
            if let Some(address) = retired.address {
                self.pool.release(address);
            }
        }
    }

    fn audit(&mut self) -> Result<Audit, NetworkError> {
        let inventory = Inventory::take(&mut self.kernel, &self.config)?;
        let held = self.held.values().map(|h| (&h.attachment, h.ports.as_slice()));
        Ok(compare(inventory, held, &self.retiring))
    }

    /// Removes everything of ours. All of it is tried; the first error is returned.
    fn close(&mut self) -> Result<(), NetworkError> {
        let mut outcomes = vec![self.kernel.delete_table(&self.config.table)];
        for name in netns::list(&self.config.netns_dir)? {
            outcomes.push(netns::remove(&self.config.netns_dir.join(name)));
        }
        for held in std::mem::take(&mut self.held).into_values() {
            if let Some(link) = &held.attachment.link {
                self.retire(link);
            }
        }
        let (done, settled) = oneshot::channel();
        self.janitor.settle(done);
        // An error means that the janitor is gone; then the bridge's deletion has to do.
        drop(settled.blocking_recv());
        outcomes.push(self.kernel.delete_link(&self.config.bridge));
        if let Some(before) = self.ip_forward_before.take() {
            outcomes.push(host::set_sysctl("ip_forward", &before).map(drop));
        }
        if let Err(error) = std::fs::remove_dir(&self.config.netns_dir) {
            tracing::debug!(%error, "the directory of the namespaces stays");
        }
        Ok(outcomes.into_iter().collect::<Result<(), KernelError>>()?)
    }
}

/// Answers; whoever asked may have stopped waiting, and then nobody needs it.
fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    drop(reply.send(value));
}
