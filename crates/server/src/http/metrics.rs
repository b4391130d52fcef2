//! Figures for monitoring, in Prometheus' text form, computed when they are asked for.

use super::{
    Ctx,
    answer::{Failure, Reply},
};
use crate::backup::SnapshotStatus;
use axum::{
    http::{StatusCode, header},
    response::IntoResponse,
};
use floe_api::node::Sample;
use floe_model::{JobStatus, NodeStatus, Timestamp};
use floe_state::State;
use prometheus_client::{
    encoding::text::encode,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use std::{collections::BTreeMap, sync::atomic::AtomicU64};

type Gauges = Family<Vec<(String, String)>, Gauge<f64, AtomicU64>>;

pub(super) async fn read(ctx: &Ctx) -> Result<Reply, Failure> {
    match ctx.query.get("format") {
        Some("prometheus") => {}
        Some(other) => return Err(Failure::bad(format!("not supported yet: metrics format {other:?}; ask for format=prometheus"))),
        None => return Err(Failure::bad("not supported yet: metrics as JSON; ask for format=prometheus")),
    }
    let mut samples = Vec::new();
    if let Some(server) = &ctx.agent.server {
        samples.extend(of_state(&server.view()));
        let counts = server.leader().counts().await;
        samples.extend([
            sample("nomad_nomad_broker_total_ready", "evaluations that wait for a worker", counts.broker.ready),
            sample("nomad_nomad_broker_total_unacked", "evaluations that workers hold", counts.broker.delivered),
            sample("nomad_nomad_broker_total_pending", "evaluations behind another of their job", counts.broker.behind),
            sample("nomad_nomad_broker_total_waiting", "evaluations that wait for a moment", counts.broker.waiting),
            sample("nomad_nomad_blocked_evals_total_blocked", "evaluations that wait for capacity", counts.blocked),
            sample("nomad_nomad_heartbeat_active", "nodes whose heartbeats this leader watches", counts.watched_nodes),
        ]);
        samples.extend(server.snapshots().flat_map(|(target, status)| of_snapshots(target, status, server.now())));
        samples.push(sample("floe_root_keys", "root keys", server.view().root_keys().count()));
        samples.push(sample("floe_root_keys_closed", "root keys that this server cannot open", server.root_keys().closed().len()));
        let status = server.consensus().status();
        samples.push(sample("nomad_raft_appliedIndex", "place in the log of the last applied entry", server.view().log_index()));
        samples.push(sample("floe_raft_term", "the present term", status.term));
        samples.push(sample("floe_raft_is_leader", "1 when this server leads", u8::from(status.leader.is_some_and(|l| l.id == status.id))));
    }
    if let Some(node) = ctx.agent.node.get() {
        samples.extend(node.samples());
    }
    let text = render(samples).map_err(|e| Failure::text(StatusCode::INTERNAL_SERVER_ERROR, format!("write metrics: {e}")))?;
    Ok(Reply::Raw(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()))
}

fn sample<N: TryInto<u64>>(name: &'static str, help: &'static str, value: N) -> Sample {
    let value = value.try_into().unwrap_or(u64::MAX);
    // Figures up to 2^53 are exact; beyond, monitoring does not care.
    Sample { name, help, labels: Vec::new(), value: value as f64 }
}

/// What the snapshot agent does, for each place that it keeps snapshots in. How old the newest one is only the leader knows.
fn of_snapshots(target: &'static str, status: SnapshotStatus, now: Timestamp) -> Vec<Sample> {
    let mut samples = vec![
        sample("floe_snapshot_made_total", "snapshots that this server has kept since it started", status.made),
        sample("floe_snapshot_failures_total", "snapshots that this server could not keep since it started", status.failures),
        sample("floe_snapshot_size_bytes", "size of the last snapshot that this server has kept", status.bytes),
    ];
    if let Some(last) = status.last {
        let age = u64::try_from(now.since(last).as_millis() / 1000).unwrap_or(0);
        samples.push(sample("floe_snapshot_age_seconds", "age of the newest snapshot", age));
        samples.push(sample("floe_snapshot_kept", "snapshots that are kept", status.kept));
    }
    samples.iter_mut().for_each(|sample| sample.labels.push(("target", target.to_owned())));
    samples
}

fn of_state(state: &State) -> Vec<Sample> {
    let mut jobs = BTreeMap::from([(JobStatus::Pending, 0u64), (JobStatus::Running, 0), (JobStatus::Dead, 0)]);
    for job in state.jobs() {
        *jobs.entry(job.status).or_default() += 1;
    }
    let mut samples = Vec::new();
    for (status, count) in jobs {
        let name = match status {
            JobStatus::Pending => "nomad_nomad_job_status_pending",
            JobStatus::Running => "nomad_nomad_job_status_running",
            JobStatus::Dead => "nomad_nomad_job_status_dead",
        };
        samples.push(sample(name, "jobs by status", count));
    }
    let ready = state.nodes().filter(|n| n.status == NodeStatus::Ready).count();
    samples.push(sample("floe_nodes_ready", "nodes that are ready", ready));
    samples.push(sample("floe_nodes", "nodes that are known", state.nodes().count()));
    samples
}

fn render(samples: Vec<Sample>) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    let mut families: BTreeMap<&'static str, Gauges> = BTreeMap::new();
    for s in samples {
        let family = families.entry(s.name).or_insert_with(|| {
            let family = Gauges::default();
            registry.register(s.name, s.help, family.clone());
            family
        });
        family.get_or_create(&s.labels.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()).set(s.value);
    }
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text.lines().map(without_empty_labels).fold(String::new(), |text, line| text + &line + "\n"))
}

/// A family without labels writes `name{} value`, which is right but nothing that people grep for.
fn without_empty_labels(line: &str) -> std::borrow::Cow<'_, str> {
    match line.split_once("{} ") {
        Some((name, value)) if !name.contains(['#', '{']) => format!("{name} {value}").into(),
        _ => line.into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn figures_are_rendered_with_labels_escaped() {
        let labelled = Sample { name: "b", help: "help", labels: vec![("task", "a\"b{} 1".to_owned())], value: 1.5 };
        let text = render(vec![sample("a", "first", 3u64), labelled]).unwrap();
        assert!(text.contains("a 3.0\n") && text.contains("# TYPE a gauge"), "{text}");
        assert!(text.contains(r#"b{task="a\"b{} 1"} 1.5"#), "{text}");
    }
}
