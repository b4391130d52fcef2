//! What of the state a backup holds: the rows that people and the scheduler made.
//!
//! The rest belongs to the cluster itself and not to what it runs: how far it has applied its log, which version of commands it writes, which join
//! tokens were used, its authorities, and its root keys. Some of that a backup holds, too, for a cluster that begins with it. Two states with the same content have the same digest, in whatever cluster they are and however they came to it.

use crate::{Digest, State, table::Rows};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// How many rows a table has, and how large they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableSize {
    /// The table.
    pub name: &'static str,
    /// Its rows.
    pub rows: u64,
    /// What they take as MessagePack, in bytes, each written out on its own: jobs that allocations share are counted with each.
    pub bytes: u64,
}

impl State {
    /// The content alone. What belongs to the cluster itself is as in a state that nothing was applied to.
    #[must_use]
    pub fn content(&self) -> State {
        State {
            jobs: self.jobs.clone(),
            job_versions: self.job_versions.clone(),
            submissions: self.submissions.clone(),
            nodes: self.nodes.clone(),
            allocs: self.allocs.clone(),
            evals: self.evals.clone(),
            deployments: self.deployments.clone(),
            services: self.services.clone(),
            variables: self.variables.clone(),
            derived: self.derived.clone(),
            ..State::default()
        }
    }

    /// What goes into a backup: everything but join tokens, who began the cluster, and the pieces of another backup.
    pub(crate) fn for_backup(&self) -> State {
        State { join_tokens: Rows::default(), founding: None, staging: None, ..self.clone() }
    }

    /// The highest index that any row was changed at.
    pub(crate) fn newest_row(&self) -> u64 {
        let jobs = self.jobs.values().chain(self.job_versions.values()).map(|j| j.modify_index);
        let nodes = self.nodes.values().map(|n| n.modify_index);
        let allocs = self.allocs.values().map(|a| a.modify_index.max(a.alloc_modify_index));
        let evals = self.evals.values().map(|e| e.modify_index);
        let deployments = self.deployments.values().map(|d| d.modify_index);
        let services = self.services.values().map(|s| s.modify_index);
        let variables = self.variables.values().map(|v| v.modify_index);
        let keys = self.root_keys.values().map(|k| k.modify_index);
        jobs.chain(nodes).chain(allocs).chain(evals).chain(deployments).chain(services).chain(variables).chain(keys).max().unwrap_or(0)
    }

    /// The digest of the content: of all tables that have rows, by their names, so that a table that a later version adds changes nothing as
    /// long as it is empty.
    pub fn content_digest(&self) -> Digest {
        let rows: BTreeSet<&str> = self.lens().into_iter().filter(|(_, rows)| *rows > 0).map(|(name, _)| name).collect();
        let tables: Vec<_> = self.table_digests().into_iter().filter(|(name, _)| rows.contains(name)).collect();
        Digest::of(&tables)
    }

    /// Whether nothing would be lost if the content were replaced: no jobs, no allocations, no deployments, no variables. Nodes come back by
    /// themselves.
    pub fn is_empty(&self) -> bool {
        [self.jobs.len(), self.allocs.len(), self.deployments.len(), self.variables.len()] == [0; 4]
    }

    /// The rows of each table by its name.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.lens().into_iter().map(|(name, rows)| (name.to_owned(), rows as u64)).collect()
    }

    /// The rows of each table with their sizes.
    pub fn sizes(&self) -> Vec<TableSize> {
        let bytes = [
            measure(self.jobs.values()),
            measure(self.job_versions.values()),
            measure(self.submissions.values()),
            measure(self.nodes.values()),
            measure(self.allocs.values()),
            measure(self.evals.values()),
            measure(self.deployments.values()),
            measure(self.services.values()),
            measure(self.variables.values()),
        ];
        self.lens().into_iter().zip(bytes).map(|((name, rows), bytes)| TableSize { name, rows: rows as u64, bytes }).collect()
    }

    fn lens(&self) -> [(&'static str, usize); 9] {
        [
            ("jobs", self.jobs.len()),
            ("job_versions", self.job_versions.len()),
            ("submissions", self.submissions.len()),
            ("nodes", self.nodes.len()),
            ("allocs", self.allocs.len()),
            ("evals", self.evals.len()),
            ("deployments", self.deployments.len()),
            ("services", self.services.len()),
            ("variables", self.variables.len()),
        ]
    }
}

/// How many bytes the rows take.
fn measure<'a, T: Serialize + 'a>(rows: impl Iterator<Item = &'a std::sync::Arc<T>>) -> u64 {
    let mut count = Count(0);
    for row in rows {
        row.serialize(&mut rmp_serde::Serializer::new(&mut count).with_struct_map())
            .expect("invariant: the model's types encode, and counting does not fail");
    }
    count.0
}

struct Count(u64);

impl std::io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_content_but_what_belongs_to_the_cluster() {
        let state = State::default();
        let content: BTreeSet<&str> = state.lens().into_iter().map(|(name, _)| name).collect();
        let rest: Vec<&str> = state.table_digests().into_iter().map(|(name, _)| name).filter(|name| !content.contains(name)).collect();
        let kept =
            ["join_tokens", "refused_agents", "refused_clients", "founding", "authorities", "requests", "root_keys", "sealed_authorities"];
        assert_eq!(rest, kept, "decide whether a backup holds a new table, and what a restore does with it");
    }
}
