//! Join tokens: made, used once, forgotten when they expire; the servers that began the cluster; and who is not let in any more.

use super::writer::Writer;
use crate::{
    command::{NodeStatusUpdate, Outcome, Refusal},
    tokens::{FOUNDING_TIME, Founding, JoinRole, JoinToken, MAX_FOUNDERS, MAX_JOIN_TOKENS, MAX_REFUSED_AGENTS},
};
use floe_model::{NodeStatus, Timestamp};
use std::{collections::BTreeSet, sync::Arc};

impl Writer<'_> {
    pub(super) fn create_join_token(&mut self, hash: &str, role: JoinRole, expires: Timestamp) -> Result<Outcome, Refusal> {
        self.keep_token(JoinToken { hash: hash.to_owned(), role, expires, used_by: String::new() })
    }

    fn keep_token(&mut self, token: JoinToken) -> Result<Outcome, Refusal> {
        let over = self.state.join_tokens.values().filter(|t| t.expires <= self.now).map(|t| t.hash.clone());
        for hash in over.collect::<Vec<_>>() {
            self.state.join_tokens.remove(&hash);
        }
        if self.state.join_tokens.len() >= MAX_JOIN_TOKENS && !self.state.join_tokens.contains_key(&token.hash) {
            return Err(Refusal::TooManyJoinTokens);
        }
        self.state.join_tokens.insert(token.hash.clone(), Arc::new(token));
        Ok(Outcome::Done)
    }

    pub(super) fn begin_founding(&mut self, founders: &BTreeSet<String>) -> Result<Outcome, Refusal> {
        if founders.len() > MAX_FOUNDERS {
            return Err(Refusal::TooManyFounders(founders.len()));
        }
        // Once a cluster: who asks again had lost the answer.
        if self.state.founding.is_none() {
            self.state.founding = Some(Arc::new(Founding { founders: founders.clone(), until: self.now.plus(FOUNDING_TIME) }));
        }
        Ok(Outcome::Done)
    }

    /// The token counts as used by the one whose it is, so it lets nobody else in.
    pub(super) fn admit_founder(&mut self, hash: &str, id: &str) -> Result<Outcome, Refusal> {
        let expires = self.state.founder_until(id, self.now)?;
        self.keep_token(JoinToken { hash: hash.to_owned(), role: JoinRole::Server, expires, used_by: id.to_owned() })
    }

    pub(super) fn refuse_agent(&mut self, id: &str) -> Result<Outcome, Refusal> {
        self.check_room_for_refused(id)?;
        self.state.refused_agents.insert(id.to_owned(), ());
        Ok(Outcome::Done)
    }

    fn check_room_for_refused(&self, id: &str) -> Result<(), Refusal> {
        let remembered = self.state.refused_agents.len() + self.state.refused_clients.len();
        let is_full = remembered >= MAX_REFUSED_AGENTS && !self.state.is_agent_refused(id);
        if is_full { Err(Refusal::TooManyRefusedAgents) } else { Ok(()) }
    }

    /// What ran on the client's node is placed elsewhere at once: nobody hears of the node any more.
    pub(super) fn refuse_client(&mut self, id: &str) -> Result<Outcome, Refusal> {
        self.check_room_for_refused(id)?;
        self.state.refused_clients.insert(id.to_owned(), ());
        let message = "Node's certificate revoked".to_owned();
        self.update_node_status(&[NodeStatusUpdate { id: id.into(), status: NodeStatus::Down, message }])
    }

    pub(super) fn accept_server(&mut self, id: &str) -> Result<Outcome, Refusal> {
        self.state.refused_agents.remove(id);
        Ok(Outcome::Done)
    }

    pub(super) fn use_join_token(&mut self, hash: &str, role: JoinRole, id: &str) -> Result<Outcome, Refusal> {
        if self.state.is_agent_refused(id) {
            return Err(Refusal::AgentRefused(id.to_owned()));
        }
        let token = self.state.join_tokens.get(hash).ok_or(Refusal::JoinTokenUnknown)?;
        if token.expires <= self.now {
            return Err(Refusal::JoinTokenExpired);
        }
        if token.role != role {
            return Err(Refusal::JoinTokenRole { wanted: role, given: token.role });
        }
        if !token.used_by.is_empty() && token.used_by != id {
            return Err(Refusal::JoinTokenUsed(token.used_by.clone()));
        }
        let used = JoinToken { used_by: id.to_owned(), ..(**token).clone() };
        self.state.join_tokens.insert(hash.to_owned(), Arc::new(used));
        Ok(Outcome::Done)
    }
}
