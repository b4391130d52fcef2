//! The part of a plan that changes the servers, one at a time.

use super::{Action, Planner, ids_of, joins, moves, words};
use crate::{declared::Host, matching::Matched, running::Running};

/// A member of the agreement, as it stands after the steps so far.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Its id; `None` for one that joins by a step of this plan.
    pub(super) id: Option<String>,
    pub(super) name: String,
    pub(super) address: String,
    pub(super) is_voter: bool,
    pub(super) is_leader: bool,
    pub(super) is_healthy: bool,
    /// The host of the inventory that it is and stays a server as.
    pub(super) host: Option<String>,
}

/// The members after the steps so far.
pub(super) struct Members {
    all: Vec<Member>,
}

impl Members {
    pub(super) fn new(running: &Running, matched: &Matched<'_>) -> Self {
        let host_of = |id: &str| {
            let mut stays = matched.pairs.iter().filter(|p| p.host.role.is_server());
            stays.find(|p| p.server.is_some_and(|s| s.id == id)).map(|p| p.host.name.clone())
        };
        let member = |s: &crate::Server| Member {
            id: Some(s.id.clone()),
            name: s.name.clone(),
            address: s.address.clone(),
            is_voter: s.is_voter,
            is_leader: s.is_leader,
            is_healthy: s.is_healthy,
            host: host_of(&s.id),
        };
        let mut all: Vec<Member> = running.servers.iter().map(member).collect();
        all.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Members { all }
    }

    pub(super) fn voters(&self) -> impl Iterator<Item = &Member> {
        self.all.iter().filter(|m| m.is_voter)
    }

    pub(super) fn leader(&self) -> Option<&Member> {
        self.all.iter().find(|m| m.is_leader)
    }

    /// Those that are no server of the inventory.
    pub(super) fn leavers(&self) -> impl Iterator<Item = &Member> {
        self.all.iter().filter(|m| m.host.is_none())
    }

    /// A host's agent is now where and what it is declared to be, and well.
    pub(super) fn settle(&mut self, host: &Host, place: &str) {
        self.change(&host.name, |m| (m.name, m.address, m.is_healthy) = (host.name.clone(), place.to_owned(), true));
    }

    fn change(&mut self, host: &str, change: impl Fn(&mut Member)) {
        self.all.iter_mut().filter(|m| m.host.as_deref() == Some(host)).for_each(change);
    }

    fn remove(&mut self, member: &Member) {
        self.all.retain(|m| m.id != member.id || m.host != member.host);
    }

    /// Has the first voter that stays and satisfies `is_good` lead; says who, unless there is none.
    fn hand_over(&mut self, is_good: impl Fn(&Member) -> bool) -> Option<Member> {
        let can = |m: &&Member| m.is_voter && m.is_healthy && !m.is_leader && m.host.is_some() && is_good(m);
        let to = self.all.iter().find(can)?.clone();
        for member in &mut self.all {
            member.is_leader = member.id == to.id && member.host == to.host;
        }
        Some(to)
    }
}

impl Planner<'_> {
    /// Members that do not answer and are not declared. They go first: each of them makes the others more needed.
    pub(super) fn remove_dead(&mut self) {
        let dead: Vec<Member> = self.members.leavers().filter(|m| !m.is_healthy).cloned().collect();
        for member in dead {
            self.remove(&member);
        }
    }

    /// Servers that have joined and do not vote yet.
    pub(super) fn await_votes(&mut self) {
        for server in self.declared.servers() {
            let waits = |m: &&Member| m.host.as_deref() == Some(&server.name) && !m.is_voter;
            if let Some(id) = self.members.all.iter().find(waits).and_then(|m| m.id.clone()) {
                self.members.change(&server.name, |m| m.is_voter = true);
                self.push(Action::AwaitVote { host: server.name.clone(), id }, words::await_vote(server));
            }
        }
    }

    /// Servers that stay and change, or whose lists do because another one joins or moves: first those that stay where they are, for they
    /// must know where the others come to; among them the leader last.
    pub(super) fn switch_servers(&mut self) {
        let is_server = |n: usize| self.matched.pairs.get(n).is_some_and(|p| p.host.role.is_server());
        let comes = self.matched.pairs.iter().any(|p| p.host.role.is_server() && joins(p));
        let lists = comes || self.changes().iter().any(|(n, changes)| is_server(*n) && moves(changes));
        let stays = |n: &usize| self.matched.pairs.get(*n).is_some_and(|p| p.host.role.is_server() && !joins(p));
        let mut switched: Vec<_> = self.changes().into_iter().filter(|(n, c)| stays(n) && (lists || !c.is_empty())).collect();
        let leader = self.members.leader().and_then(|m| m.host.clone());
        let name = |n: usize| self.matched.pairs.get(n).map(|p| p.host.name.as_str());
        switched.sort_by_key(|(n, c)| (moves(c), name(*n) == leader.as_deref(), *n));
        for (n, changes) in switched {
            let Some(pair) = self.matched.pairs.get(n) else { continue };
            let (host, ids, old) = (pair.host, ids_of(pair), pair.server.map(|s| s.address.as_str()));
            if self.members.leader().is_some_and(|m| m.host.as_deref() == Some(&host.name)) {
                // Rather to one that has been switched: it leads on for longer.
                let done = self.done.clone();
                let has_been = |m: &Member| m.host.as_deref().is_some_and(|h| done.contains(h));
                if let Some(to) = self.members.hand_over(has_been).or_else(|| self.members.hand_over(|_| true)) {
                    self.push(Action::HandOver { to: to.name.clone() }, words::hand_over(&host.name, &to, "restarts"));
                }
            }
            let words = words::switch(self.declared, host, &changes, old);
            self.members.settle(host, &self.declared.place(host));
            self.done.insert(&host.name);
            self.push(Action::Switch { host: host.name.clone(), ids, changes }, words);
        }
    }

    /// Servers join and go in turns, so that there are never fewer than declared, nor more than one beyond what is needed for that.
    pub(super) fn grow_and_shrink(&mut self) {
        let target = self.declared.servers().count();
        let mut joining: Vec<usize> = (0..self.matched.pairs.len()).collect();
        joining.retain(|n| self.matched.pairs.get(*n).is_some_and(|p| p.host.role.is_server() && joins(p)));
        // New machines first: those that are clients have work to lose.
        joining.sort_by_key(|n| self.matched.pairs.get(*n).is_some_and(|p| p.node.is_some()));
        let mut joining = joining.into_iter().peekable();
        loop {
            let voters = self.members.voters().count();
            let leaver = self.members.leavers().min_by_key(|m| (m.is_leader, m.is_voter)).cloned();
            match (joining.peek().copied(), leaver) {
                (Some(n), leaver) if voters <= target || leaver.is_none() => {
                    joining.next();
                    self.join(n);
                }
                (_, Some(leaver)) => self.remove(&leaver),
                (_, None) => return,
            }
        }
    }

    fn join(&mut self, n: usize) {
        let Some(pair) = self.matched.pairs.get(n) else { return };
        let (host, was_client) = (pair.host, pair.node.filter(|n| n.is_live()));
        let forgets = was_client.map(|n| n.id.clone()).into_iter().collect();
        let words = words::join_server(self.declared, host, was_client);
        self.members.all.push(Member {
            id: None,
            name: host.name.clone(),
            address: self.declared.place(host),
            is_voter: true,
            is_leader: false,
            is_healthy: true,
            host: Some(host.name.clone()),
        });
        self.done.insert(&host.name);
        self.push(Action::Join { host: host.name.clone(), role: host.role, forgets }, words);
    }

    /// Removes a member for good, after it has handed over.
    fn remove(&mut self, member: &Member) {
        let Some(id) = member.id.clone() else { return };
        if member.is_leader
            && let Some(to) = self.members.hand_over(|_| true)
        {
            self.push(Action::HandOver { to: to.name.clone() }, words::hand_over(&member.name, &to, "is to go"));
        }
        self.members.remove(member);
        let comes_back = self.declared.hosts.get(&member.name).filter(|host| member.is_healthy && !host.role.is_server());
        self.push(Action::RemoveServer { id, name: member.name.clone() }, words::remove_server(member, comes_back));
    }
}
