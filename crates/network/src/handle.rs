//! The handle that the rest of the agent holds: asks the owner and waits for its answer.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::attachment::{AttachRequest, Attachment};
use crate::config::NetworkConfig;
use crate::error::{AttachError, KernelError, NetworkError, OpenError, Unavailable};
use crate::inventory::Audit;
use crate::open::{OpenReport, open};
use crate::owner::Command;

/// How many requests may wait for the owner; at the bound, callers wait for their turn.
const WAITING_REQUESTS: usize = 64;
/// How long a request may take, the wait for its turn included.
const REQUEST_DEADLINE: Duration = Duration::from_secs(60);

/// The node's allocation network. Clones share it; when the last one is dropped its threads end and
/// everything stays in the kernel, because workloads outlive the agent.
#[derive(Debug, Clone)]
pub struct Network {
    commands: mpsc::Sender<Command>,
}

impl Network {
    /// Makes the kernel hold what it should: the bridge, the sysctls, the table with the port maps of the
    /// `known` attachments, each of them repaired where that is possible, and nothing else of ours.
    /// Traffic of attachments that are in order is not interrupted. Attachments reported as broken are
    /// not part of the network any longer; detaching them is harmless.
    ///
    /// # Errors
    /// When the configuration makes no sense, a capability or a kernel feature is missing, the subnet
    /// overlaps with another network of the host, or the kernel refuses something.
    pub async fn open(config: NetworkConfig, known: &[Attachment]) -> Result<(Self, OpenReport), OpenError> {
        let (commands, inbox) = mpsc::channel(WAITING_REQUESTS);
        let (reply, answer) = oneshot::channel();
        let known = known.to_vec();
        std::thread::Builder::new()
            .name("floe-network".into())
            .spawn(move || match open(config, &known) {
                Ok((owner, report)) => {
                    if reply.send(Ok(report)).is_ok() {
                        owner.run(inbox);
                    }
                }
                // Nobody may be waiting any more.
                Err(error) => drop(reply.send(Err(error))),
            })
            .map_err(|e| KernelError::refused("start the network's thread", e))?;
        let report = answer.await.map_err(|_| Unavailable::Closed)??;
        Ok((Self { commands }, report))
    }

    /// Makes a namespace on the bridge and publishes its ports. When this fails, or when the returned
    /// future is dropped before it is done, nothing of the attachment remains.
    ///
    /// # Errors
    /// When the request makes no sense, a port is taken, no address is left, or the kernel refuses.
    pub async fn attach(&self, request: AttachRequest) -> Result<Attachment, AttachError> {
        self.ask(|reply| Command::Attach(request, reply)).await?
    }

    /// Makes a namespace that has nothing but its loopback.
    ///
    /// # Errors
    /// When the id is not usable or taken, or the kernel refuses.
    pub async fn attach_none(&self, id: &str) -> Result<Attachment, AttachError> {
        self.ask(|reply| Command::AttachNone(id.to_owned(), reply)).await?
    }

    /// Unpublishes an attachment's ports and gives up its namespace; both are done when this returns.
    /// The link follows when the kernel has collected the namespace, or after a grace period when
    /// something still holds it; until then its address is not used again. Connections of the
    /// allocation are forgotten in the background. Detaching what is not attached is no error.
    ///
    /// # Errors
    /// When the kernel refuses; then it can be repeated.
    pub async fn detach(&self, id: &str) -> Result<(), NetworkError> {
        self.ask(|reply| Command::Detach(id.to_owned(), reply)).await?
    }

    /// The attachments, by id.
    ///
    /// # Errors
    /// When the network does not answer.
    pub async fn attachments(&self) -> Result<Vec<Attachment>, NetworkError> {
        Ok(self.ask(Command::Attachments).await?)
    }

    /// Compares what is in the kernel with what should be.
    ///
    /// # Errors
    /// When the kernel or the network does not answer.
    pub async fn audit(&self) -> Result<Audit, NetworkError> {
        self.ask(Command::Audit).await?
    }

    /// Waits until the links of everything detached so far are gone.
    ///
    /// # Errors
    /// When the network does not answer in time.
    pub async fn settle(&self) -> Result<(), NetworkError> {
        Ok(self.ask(Command::Settle).await?)
    }

    /// Removes the bridge, the table, all namespaces and all links, and sets `ip_forward` back when this
    /// network changed it (a network opened by an earlier process did not). For the development mode;
    /// an agent that only restarts drops its handle instead. Later requests fail as closed.
    ///
    /// # Errors
    /// The first thing that could not be removed; the rest was tried all the same.
    pub async fn close(&self) -> Result<(), NetworkError> {
        self.ask(Command::Close).await?
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let asking = async {
            self.commands.send(command(reply)).await.map_err(|_| Unavailable::Closed)?;
            answer.await.map_err(|_| Unavailable::Closed)
        };
        timeout(REQUEST_DEADLINE, asking).await.map_err(|_| Unavailable::Deadline(REQUEST_DEADLINE))?
    }
}
