//! Backups: one is taken of what is there, and restored later, in pieces through the log, while everything goes on and fails.
//!
//! For who reads and writes, a restore writes all keys at once: what the backup has of each.

use crate::{clients::read, executor::Owner, plan::Fault, world::World};
use floe_consensus::Consensus;
use floe_history::{Call, RegisterInput, RegisterOutput};
use floe_state::archive::{self, Origin};
use std::{collections::BTreeMap, rc::Rc, time::Duration};
use tokio::time::{sleep, timeout};

/// After this long nobody waits for a restore any more.
const PATIENCE: Duration = Duration::from_secs(60);
/// Who restores, to the history.
const OPERATOR: u64 = u64::MAX - 1;
/// Into how many pieces a backup is cut at most.
const PIECES: u64 = 6;

/// What was kept.
#[derive(Clone)]
pub(crate) struct Backup {
    bytes: Vec<u8>,
    /// What stands under each key in it.
    values: BTreeMap<String, Option<String>>,
}

impl World {
    /// Keeps what a server shows to a linearizable read.
    async fn back_up(self: &Rc<Self>, owner: Owner, server: &Consensus) -> Option<Backup> {
        let (asked, cluster_id) = (server.clone(), server.cluster()?.to_string());
        let ask = async move { asked.linearizable().await.ok() };
        let view = Rc::clone(&self.executor).ask(owner, ask).await??;
        let bytes = archive::encode(&view, Origin { cluster_id, ..Origin::default() }).ok()?;
        let values = self.keys().into_iter().map(|key| (key.clone(), read(&view, &key).0)).collect();
        self.trace.say(format_args!("a backup is taken at entry {}", view.log_index()));
        Some(Backup { bytes, values })
    }

    /// Takes a backup, or restores one that was taken before.
    pub(crate) async fn restore(self: Rc<Self>, name: String, owner: Owner, server: Consensus) {
        let kept = self.pick(&self.backups.borrow());
        self.busy.set(self.busy.get() + 1);
        match kept.filter(|_| self.below(3) > 0) {
            None => {
                if let Some(backup) = self.back_up(owner, &server).await {
                    self.backups.borrow_mut().push(backup);
                }
            }
            Some(backup) => drop(self.put_back(&name, owner, server, backup).await),
        }
        self.busy.set(self.busy.get() - 1);
    }

    /// Restores a backup, if need be of this moment.
    pub(crate) async fn back_up_and_restore(self: Rc<Self>, name: String, owner: Owner, server: Consensus) {
        self.busy.set(self.busy.get() + 1);
        let kept = self.pick(&self.backups.borrow());
        let backup = match kept {
            Some(backup) => Some(backup),
            None => self.back_up(owner, &server).await,
        };
        if let Some(backup) = backup {
            self.put_back(&name, owner, server, backup).await;
        }
        self.busy.set(self.busy.get() - 1);
    }

    /// Keeps what the leader has, if one is there.
    pub(crate) async fn back_up_the_leader(self: &Rc<Self>) -> Option<Backup> {
        let (owner, server) = self.server(&self.leading()?)?;
        self.back_up(owner, &server).await
    }

    /// Restores a backup when nothing fails any more. True when it is done.
    pub(crate) async fn put_back_at_last(self: &Rc<Self>, backup: Backup) -> bool {
        let Some((name, (owner, server))) = self.leading().and_then(|name| Some((name.clone(), self.server(&name)?))) else { return false };
        let done = self.put_back(&name, owner, server, backup).await;
        // The entry is looked at when this instant is over.
        sleep(Duration::from_millis(1)).await;
        self.observer.borrow().check_restores(self);
        done
    }

    async fn put_back(self: &Rc<Self>, name: &str, owner: Owner, server: Consensus, backup: Backup) -> bool {
        self.trace.count(Fault::Restore.name());
        self.trace.say(format_args!("a backup is restored at {name}"));
        let wish = |(key, value): (&String, &Option<String>)| {
            let call = self.clients.of(key, |history| history.call(OPERATOR, RegisterInput::Write(value.clone())));
            (key.clone(), call)
        };
        let calls: Vec<(String, Call)> = backup.values.iter().map(wish).collect();
        let piece = backup.bytes.len() / usize::try_from(1 + self.below(PIECES)).unwrap_or(1) + 1;
        let ask = async move { floe_server::restore_by_pieces(&server, backup.bytes.into(), true, piece).await };
        let done = timeout(PATIENCE, Rc::clone(&self.executor).ask(owner, ask)).await;
        match done {
            Ok(Some(Ok(restored))) => {
                self.trace.say(format_args!("the backup was restored at {name}: {restored:?}"));
                self.trace.count("restored");
                calls.into_iter().for_each(|(key, call)| self.clients.of(&key, |history| history.answer(call, RegisterOutput::Written)));
                self.observer.borrow_mut().told_restored(restored);
                true
            }
            // It may be done all the same, later.
            other => {
                self.trace.count("restore in doubt");
                let why = other.ok().flatten().and_then(Result::err).map(|error| error.to_string());
                self.trace.say(format_args!("nobody knows whether the backup was restored at {name}: {why:?}"));
                false
            }
        }
    }
}
