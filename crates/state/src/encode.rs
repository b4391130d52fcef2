//! Snapshots as bytes: a header, then MessagePack with field names, so that a newer build can read an older one's.
//!
//! Equal states have equal bytes: every map is ordered. Jobs that allocations share are written once. The store adds a checksum;
//! here only the form is checked.

use crate::{
    authorities::Authorities,
    command::CLUSTER_VERSION,
    keyring::{SealedAuthority, WrappedKey, fingerprint},
    requests::Request,
    restore::{Restored, Staging},
    state::{State, TABLES},
    tokens::{Founding, JoinToken},
};
use floe_model::{Allocation, Deployment, Evaluation, Job, JobKey, Node, ServiceRegistration, Variable, job::JobSubmission};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// The first bytes of every snapshot.
const MAGIC: &[u8; 8] = b"floesnap";
/// The version of the form below.
const FORMAT: u32 = 1;
/// How many tables there were before cluster version 5.
const FIRST_TABLES: usize = 6;

/// A snapshot that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The first bytes are not a snapshot's.
    #[error("decode snapshot: not a floe snapshot")]
    NotASnapshot,
    /// Written by a newer build.
    #[error("decode snapshot: written in format {0}, but this build reads up to {FORMAT}; upgrade floe on this server")]
    FutureFormat(u32),
    /// Commands of a newer build are in it.
    #[error("decode snapshot: of cluster version {0}, but this build knows up to {CLUSTER_VERSION}; upgrade floe on this server")]
    FutureVersion(u32),
    /// The body is damaged.
    #[error("decode snapshot: the body is damaged")]
    Body(#[from] rmp_serde::decode::Error),
    /// An allocation refers to a job that is not there.
    #[error("decode snapshot: allocation {0} refers to a job that is not in the snapshot")]
    MissingJob(String),
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Body {
    /// The place in the log.
    index: u64,
    offset: u64,
    cluster_version: u32,
    /// Of the tables that there were first; an older build reads just as many.
    table_index: [u64; FIRST_TABLES],
    /// Of those that came later.
    later_table_index: Vec<u64>,
    /// Every distinct job that anything below refers to.
    jobs: Vec<Job>,
    /// Places in `jobs` of present jobs.
    present: Vec<u32>,
    /// Places in `jobs` of kept versions.
    versions: Vec<u32>,
    submissions: Vec<(JobKey, u64, JobSubmission)>,
    nodes: Vec<Node>,
    /// Allocations without their job, each with its job's place.
    allocs: Vec<(Allocation, Option<u32>)>,
    evals: Vec<Evaluation>,
    deployments: Vec<Deployment>,
    services: Vec<ServiceRegistration>,
    variables: Vec<Variable>,
    join_tokens: Vec<JoinToken>,
    refused_agents: Vec<String>,
    refused_clients: Vec<String>,
    founding: Option<Founding>,
    restored: Restored,
    staging: Option<Staging>,
    requests: Vec<Request>,
    authorities: Option<Authorities>,
    root_keys: Vec<WrappedKey>,
    sealed_authorities: Vec<SealedAuthority>,
}

/// Gathers jobs by identity, so that each is written once.
#[derive(Default)]
struct JobPool {
    places: BTreeMap<(JobKey, u64, u64), Vec<u32>>,
    jobs: Vec<Job>,
}

impl JobPool {
    fn place(&mut self, job: &Job) -> u32 {
        let places = self.places.entry((job.key(), job.version, job.modify_index)).or_default();
        let found = places.iter().copied().find(|p| self.jobs.get(*p as usize) == Some(job));
        found.unwrap_or_else(|| {
            let place = u32::try_from(self.jobs.len()).expect("invariant: fewer than 2^32 jobs fit in memory");
            self.jobs.push(job.clone());
            places.push(place);
            place
        })
    }
}

impl State {
    /// The state as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut pool = JobPool::default();
        let present = self.jobs.values().map(|j| pool.place(j)).collect();
        let versions = self.job_versions.values().map(|j| pool.place(j)).collect();
        let allocs =
            self.allocs.values().map(|a| (Allocation { job: None, ..(**a).clone() }, a.job.as_deref().map(|j| pool.place(j)))).collect();
        let (first, later) = self.table_index.split_first_chunk().expect("invariant: there are more tables than there were first");
        let body = Body {
            index: self.log_index,
            offset: self.offset,
            cluster_version: self.cluster_version,
            table_index: *first,
            later_table_index: later.to_vec(),
            jobs: pool.jobs,
            present,
            versions,
            submissions: self.submissions.iter().map(|((k, v), s)| (k.clone(), *v, (**s).clone())).collect(),
            nodes: self.nodes.values().map(|n| (**n).clone()).collect(),
            allocs,
            evals: self.evals.values().map(|e| (**e).clone()).collect(),
            deployments: self.deployments.values().map(|d| (**d).clone()).collect(),
            services: self.services.values().map(|s| (**s).clone()).collect(),
            variables: self.variables.values().map(|v| (**v).clone()).collect(),
            join_tokens: self.join_tokens.values().map(|t| (**t).clone()).collect(),
            refused_agents: self.refused_agents.keys().cloned().collect(),
            founding: self.founding.as_deref().cloned(),
            restored: self.restored.clone(),
            staging: self.staging.as_deref().cloned(),
            requests: self.requests.values().map(|r| (**r).clone()).collect(),
            refused_clients: self.refused_clients.keys().cloned().collect(),
            authorities: self.authorities.as_deref().cloned(),
            root_keys: self.root_keys.values().map(|k| (**k).clone()).collect(),
            sealed_authorities: self.sealed_authorities.values().map(|a| (**a).clone()).collect(),
        };
        let mut bytes = MAGIC.to_vec();
        bytes.extend(FORMAT.to_be_bytes());
        body.serialize(&mut rmp_serde::Serializer::new(&mut bytes).with_struct_map())
            .expect("invariant: the model's types encode, and writing to memory does not fail");
        bytes
    }

    /// Reads what [`State::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are no snapshot, a newer build's, or damaged. Nothing is half read.
    pub fn decode(bytes: &[u8]) -> Result<State, DecodeError> {
        let rest = bytes.strip_prefix(MAGIC.as_slice()).ok_or(DecodeError::NotASnapshot)?;
        let (format, rest) = rest.split_first_chunk::<4>().ok_or(DecodeError::NotASnapshot)?;
        let format = u32::from_be_bytes(*format);
        if format > FORMAT {
            return Err(DecodeError::FutureFormat(format));
        }
        let body: Body = rmp_serde::from_slice(rest)?;
        if body.cluster_version > CLUSTER_VERSION {
            return Err(DecodeError::FutureVersion(body.cluster_version));
        }
        build(body)
    }
}

/// The indexes of all tables. A table that an older build did not know has not changed yet.
fn table_index(first: &[u64], later: &[u64]) -> [u64; TABLES] {
    let mut all = [0; TABLES];
    for (to, from) in all.iter_mut().zip(first.iter().chain(later)) {
        *to = *from;
    }
    all
}

fn build(body: Body) -> Result<State, DecodeError> {
    let jobs: Vec<Arc<Job>> = body.jobs.into_iter().map(Arc::new).collect();
    let job_at = |place: u32, who: &str| jobs.get(place as usize).cloned().ok_or_else(|| DecodeError::MissingJob(who.to_owned()));
    let mut state = State {
        log_index: body.index,
        offset: body.offset,
        cluster_version: body.cluster_version,
        table_index: table_index(&body.table_index, &body.later_table_index),
        restored: body.restored,
        staging: body.staging.map(Arc::new),
        ..State::default()
    };
    for place in body.present {
        let job = job_at(place, "jobs")?;
        state.jobs.insert(job.key(), job);
    }
    for place in body.versions {
        let job = job_at(place, "versions")?;
        state.job_versions.insert((job.key(), job.version), job);
    }
    for (key, version, submission) in body.submissions {
        state.submissions.insert((key, version), Arc::new(submission));
    }
    for node in body.nodes {
        state.set_node(Arc::new(node));
    }
    for (mut alloc, place) in body.allocs {
        alloc.job = place.map(|p| job_at(p, alloc.id.as_str())).transpose()?;
        state.set_alloc(Arc::new(alloc));
    }
    for eval in body.evals {
        state.set_eval(Arc::new(eval));
    }
    for deployment in body.deployments {
        state.set_deployment(Arc::new(deployment));
    }
    for service in body.services {
        state.set_service(Arc::new(service));
    }
    for variable in body.variables {
        state.set_variable(Arc::new(variable));
    }
    for id in body.refused_agents {
        state.refused_agents.insert(id, ());
    }
    for id in body.refused_clients {
        state.refused_clients.insert(id, ());
    }
    state.authorities = body.authorities.map(Arc::new);
    state.founding = body.founding.map(Arc::new);
    for key in body.root_keys {
        state.root_keys.insert(key.id.clone(), Arc::new(key));
    }
    for sealed in body.sealed_authorities {
        state.sealed_authorities.insert(fingerprint(&sealed.certificate), Arc::new(sealed));
    }
    for request in body.requests {
        state.set_request(request);
    }
    for token in body.join_tokens {
        state.join_tokens.insert(token.hash.clone(), Arc::new(token));
    }
    Ok(state)
}
