//! Defaults of services and their checks, and the names that services are given.

use super::{connect, fill_text};
use crate::{
    Nanos,
    service::{CheckRestart, PROVIDER_NATIVE, Service, ServiceCheck, ServiceWeights},
};

/// How long a restarted task is left alone by its checks.
const DEFAULT_GRACE: Nanos = Nanos::from_secs(1);

/// What the placeholders of a service's name stand for.
pub(super) struct Names<'a> {
    pub job: &'a str,
    pub group: &'a str,
    pub task: &'a str,
}

pub(super) fn service(s: &mut Service, names: &Names<'_>) {
    fill_text(&mut s.name, "${BASE}");
    s.name = expand(&s.name, names);
    fill_text(&mut s.provider, PROVIDER_NATIVE);
    fill_text(&mut s.address_mode, "auto");
    fill_text(&mut s.on_update, "require_healthy");
    s.check_restart.iter_mut().for_each(check_restart);
    if let Some(ServiceWeights { passing, warning }) = &mut s.weights {
        for weight in [passing, warning] {
            *weight = if *weight == 0 { 1 } else { *weight };
        }
    }
    s.identity.iter_mut().for_each(super::block::identity);
    for c in &mut s.checks {
        check(c, &s.name, &s.on_update, s.check_restart.as_ref());
    }
    s.connect.iter_mut().for_each(connect::connect);
}

fn check(c: &mut ServiceCheck, service: &str, on_update: &str, restart: Option<&CheckRestart>) {
    if c.name.is_empty() {
        c.name = format!("service: {service:?} check");
    }
    fill_text(&mut c.on_update, on_update);
    if c.check_type == "http" {
        fill_text(&mut c.method, "GET");
        fill_text(&mut c.protocol, "http");
    }
    c.check_restart = c.check_restart.take().or_else(|| restart.cloned());
    c.check_restart.iter_mut().for_each(check_restart);
}

fn check_restart(r: &mut CheckRestart) {
    r.grace.get_or_insert(DEFAULT_GRACE);
}

/// Replaces `${JOB}`, `${TASKGROUP}`, `${TASK}` and `${BASE}` (all three, joined by dashes). Other placeholders stay: they are
/// for the client.
///
/// A name that could itself make a placeholder is not put in; otherwise a second run might replace more than the first.
fn expand(text: &str, names: &Names<'_>) -> String {
    let inert = |s: &str| !s.is_empty() && !s.contains(['$', '{', '}']);
    let all_inert = inert(names.job) && inert(names.group) && inert(names.task);
    let base = format!("{}-{}-{}", names.job, names.group, names.task);
    let mut out = String::with_capacity(text.len() + base.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, tail) = rest.split_at(start);
        out.push_str(before);
        let Some(end) = tail.find('}') else {
            out.push_str(tail);
            return out;
        };
        let (placeholder, after) = tail.split_at(end + 1);
        out.push_str(match placeholder {
            "${BASE}" if all_inert => &base,
            "${JOB}" if inert(names.job) => names.job,
            "${TASKGROUP}" if inert(names.group) => names.group,
            "${TASK}" if inert(names.task) => names.task,
            other => other,
        });
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced_once() {
        let names = Names { job: "shop", group: "web", task: "nginx" };
        for (text, want) in [
            ("${BASE}", "shop-web-nginx"),
            ("${JOB}-x", "shop-x"),
            ("a-${TASKGROUP}.${TASK}", "a-web.nginx"),
            ("${NOMAD_DC}-${JOB}", "${NOMAD_DC}-shop"),
            ("${JOB", "${JOB"),
            ("plain", "plain"),
            ("", ""),
        ] {
            assert_eq!(expand(text, &names), want);
        }
        let hostile = Names { job: "${TASK}", group: "", task: "t" };
        assert_eq!(expand("${JOB}/${TASKGROUP}/${TASK}/${BASE}", &hostile), "${JOB}/${TASKGROUP}/t/${BASE}");
    }
}
