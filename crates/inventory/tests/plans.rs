//! Plans for arbitrary clusters and inventories, carried out on a model of a cluster that says what each step does to it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_inventory::{
    Declared, Node, PlanError, Role, Running, Server, diff, first_start, plan,
    plan::{Action, Step},
};
use floe_model::NodeStatus;
use proptest::{collection::vec, prelude::*, sample::select};
use std::collections::{BTreeMap, BTreeSet};
use support::{Machine, declared, host, node, running, server};

/// Does to a cluster what a step says. `leavers` are the ids of members that other steps remove.
fn carry_out(cluster: &mut Running, declared: &Declared, newest: (&str, u32), step: &Step, leavers: &[&str]) {
    match &step.action {
        Action::Secrets { .. } | Action::KeepOpen { .. } | Action::Refresh { .. } => {}
        Action::Begin { hosts } => {
            for name in hosts {
                add(cluster, declared, newest, name);
            }
            cluster.servers[0].is_leader = true;
        }
        Action::Start { host, ids } | Action::Switch { host, ids, .. } => {
            let leads = cluster.servers.iter().any(|s| s.is_leader && ids.contains(&s.id));
            let could_lead = |s: &Server| s.is_voter && s.is_healthy && !s.is_leader && !leavers.contains(&s.id.as_str());
            assert!(!leads || !cluster.servers.iter().any(could_lead), "{host} leads, is switched, and another one could lead");
            become_declared(cluster, declared, newest, host, ids);
        }
        Action::Join { host, forgets, .. } => {
            assert!(cluster.servers.iter().all(|s| !forgets.contains(&s.id)), "it forgets who it is while it is a member");
            cluster.nodes.iter_mut().filter(|n| forgets.contains(&n.id)).for_each(|n| n.status = NodeStatus::Down);
            add(cluster, declared, newest, host);
        }
        Action::AwaitVote { id, .. } => member(cluster, id).is_voter = true,
        Action::HandOver { to } => {
            cluster.servers.iter_mut().for_each(|s| s.is_leader = false);
            let next =
                cluster.servers.iter_mut().find(|s| s.name == *to && s.is_voter && s.is_healthy && !leavers.contains(&s.id.as_str()));
            next.expect("who is to lead votes, is well and stays").is_leader = true;
        }
        Action::RemoveServer { id, .. } => {
            assert!(!member(cluster, id).is_leader, "the leader is removed before it handed over");
            cluster.servers.retain(|s| s.id != *id);
        }
        Action::RemoveClient { id, .. } => cluster.nodes.iter_mut().find(|n| n.id == *id).unwrap().status = NodeStatus::Down,
    }
}

fn member<'a>(cluster: &'a mut Running, id: &str) -> &'a mut Server {
    cluster.servers.iter_mut().find(|s| s.id == id).unwrap()
}

/// A new machine.
fn add(cluster: &mut Running, declared: &Declared, (version, commands): (&str, u32), name: &str) {
    let (host, id) = (&declared.hosts[name], format!("new-{name}"));
    if host.role.is_server() {
        let place = declared.place(host);
        cluster.servers.push(Server { commands: Some(commands), is_voter: true, ..server(&id, name, &place) });
    }
    if host.role.is_client() {
        cluster.nodes.push(node(&id, declared, host, version));
    }
}

fn become_declared(cluster: &mut Running, declared: &Declared, (version, commands): (&str, u32), name: &str, ids: &[String]) {
    let host = &declared.hosts[name];
    for s in cluster.servers.iter_mut().filter(|s| ids.contains(&s.id)) {
        (s.name, s.address, s.is_healthy) = (name.to_owned(), declared.place(host), true);
        s.commands = s.commands.map(|_| commands);
    }
    let known = cluster.nodes.iter().position(|n| ids.contains(&n.id));
    let status = if host.role.is_client() { NodeStatus::Ready } else { NodeStatus::Down };
    match known {
        Some(n) => cluster.nodes[n] = Node { status, ..node(&cluster.nodes[n].id.clone(), declared, host, version) },
        None if host.role.is_client() => cluster.nodes.push(node(&ids[0], declared, host, version)),
        None => {}
    }
}

/// Whom the hosts' firewalls let in: before a switch those that ran, after it those that are declared; with a list of one's own, that one in both.
struct Firewalls {
    before: BTreeSet<String>,
    declared: BTreeSet<String>,
    opened: BTreeSet<String>,
    switched: BTreeSet<String>,
}

impl Firewalls {
    fn new(declared: &Declared, cluster: &Running) -> Self {
        let nodes = cluster.nodes.iter().filter_map(|n| n.address.clone());
        let before = cluster.servers.iter().map(|s| s.address.clone()).chain(nodes).map(|place| ip(&place)).collect();
        let declared = declared.hosts.values().map(|h| h.address.clone()).collect();
        Firewalls { before, declared, opened: BTreeSet::new(), switched: BTreeSet::new() }
    }

    fn follow(&mut self, step: &Step) {
        match &step.action {
            Action::KeepOpen { addresses } => self.opened.extend(addresses.iter().cloned()),
            Action::Start { host, .. } | Action::Switch { host, .. } | Action::Join { host, .. } => self.switched.extend([host.clone()]),
            Action::Refresh { hosts } => self.switched.extend(hosts.iter().cloned()),
            _ => {}
        }
        // The last one closes them again.
        if matches!(step.action, Action::Refresh { .. }) && step.title.contains("out again") {
            self.opened.clear();
        }
    }

    /// Every server that stays hears every other agent that counts.
    fn check(&self, cluster: &Running, leavers: &[&str], step: &Step) {
        let servers = cluster.servers.iter().filter(|s| s.is_healthy).map(|s| (&s.id, ip(&s.address)));
        let nodes = cluster.nodes.iter().filter(|n| n.status == NodeStatus::Ready).filter_map(|n| Some((&n.id, ip(n.address.as_ref()?))));
        let agents: Vec<(&String, String)> = servers.chain(nodes).collect();
        for server in cluster.servers.iter().filter(|s| s.is_healthy && !leavers.contains(&s.id.as_str())) {
            let lets_in = if self.switched.contains(&server.name) { &self.declared } else { &self.before };
            for (id, address) in agents.iter().filter(|(id, _)| **id != server.id) {
                assert!(
                    lets_in.contains(address) || self.opened.contains(address),
                    "after {step:#?} {} does not hear {id} at {address}",
                    server.name
                );
            }
        }
    }
}

fn ip(place: &str) -> String {
    place.rsplit_once(':').unwrap().0.to_owned()
}

/// How many vote, and how many of them are well.
fn standing(cluster: &Running) -> (usize, usize) {
    (cluster.voters().count(), cluster.voters().filter(|s| s.is_healthy).count())
}

fn newest(cluster: &Running) -> (String, u32) {
    let live = |version: &&&str| cluster.nodes.iter().any(|n| n.is_live() && n.version == **version);
    let version = VERSIONS.iter().rfind(live).unwrap_or(&VERSIONS[0]);
    ((*version).to_owned(), cluster.servers.iter().filter_map(|s| s.commands).max().unwrap_or(1))
}

/// Carries a plan out, and looks after each step.
fn carry_out_all(declared: &Declared, before: &Running) {
    let plan = plan(declared, before).unwrap();
    assert_eq!(plan.steps.is_empty(), diff(declared, before).is_empty(), "{plan:#?}");
    let mut cluster = before.clone();
    let (version, commands) = newest(before);
    let least = standing(before).1.min(declared.servers().count());
    let leaver = |step: &'_ Step| match &step.action {
        Action::RemoveServer { id, .. } => Some(id.clone()),
        _ => None,
    };
    let leavers: Vec<String> = plan.steps.iter().filter_map(leaver).collect();
    let leavers: Vec<&str> = leavers.iter().map(String::as_str).collect();
    let mut firewalls = Firewalls::new(declared, before);
    for step in &plan.steps {
        firewalls.follow(step);
        let (voters, _) = standing(&cluster);
        carry_out(&mut cluster, declared, (&version, commands), step, &leavers);
        let (now, well) = standing(&cluster);
        firewalls.check(&cluster, &leavers, step);
        assert!(now.abs_diff(voters) <= 1, "{step:#?} changes {} voters", now.abs_diff(voters));
        assert!(well > now / 2, "after {step:#?} {well} of {now} are well");
        assert!(well >= least, "after {step:#?} {well} are well, and {least} must be");
        assert_eq!((step.voters, step.may_fail), (now, well - (now / 2 + 1)), "{step:#?}");
        assert_eq!(cluster.servers.iter().filter(|s| s.is_leader && s.is_voter && s.is_healthy).count(), 1, "after {step:#?}");
    }
    assert_eq!(diff(declared, &cluster), [], "after {:#?} from {before:#?}", plan.steps);
    assert_eq!(plan_again(declared, &cluster), [], "there is nothing more to do");
}

fn plan_again(declared: &Declared, cluster: &Running) -> Vec<Step> {
    plan(declared, cluster).unwrap().steps
}

/// The older first.
const VERSIONS: [&str; 3] = ["0.1.0", "0.2.0", "0.10.0"];
const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "x", "y"];

/// Addresses of their own, mostly in order.
fn addresses(most: u8) -> impl Strategy<Value = Vec<u8>> {
    let all: Vec<u8> = (1..=most).collect();
    prop_oneof![2 => Just(all.clone()), 1 => Just(all).prop_shuffle()]
}

/// Up to six hosts, one of them a server at least.
fn any_declared() -> impl Strategy<Value = Declared> {
    let roles = vec(select(vec![None, Some(Role::Server), Some(Role::Client), Some(Role::Both)]), 6);
    let addresses = addresses(9);
    let first = select(vec![Role::Server, Role::Both]);
    (roles, addresses, first, vec(select(vec!["dc1", "dc2"]), 6), 0..6_usize).prop_map(|(mut roles, addresses, first, dcs, sure)| {
        if !roles.iter().flatten().any(|r| r.is_server()) {
            roles[sure] = Some(first);
        }
        let hosts = roles.iter().enumerate().filter_map(|(n, role)| Some(host(NAMES[n], addresses[n], (*role)?, dcs[n])));
        declared(hosts.collect::<Vec<_>>())
    })
}

/// Any cluster that works: machines with names that may be anybody's, at addresses of their own.
fn any_running() -> impl Strategy<Value = Running> {
    let statuses = vec![NodeStatus::Ready, NodeStatus::Ready, NodeStatus::Initializing, NodeStatus::Down, NodeStatus::Disconnected];
    let machine = (
        select(NAMES.to_vec()),
        prop::option::of((any::<bool>(), prop::bool::weighted(0.8), select(vec![None, Some(3), Some(4)]))),
        prop::option::of((select(statuses), select(vec!["dc1", "dc2"]), select(VERSIONS.to_vec()))),
    );
    let all = (vec(machine, 1..9), addresses(12), any::<bool>(), any::<prop::sample::Index>());
    all.prop_filter_map("no majority", |(mut machines, addresses, is_orderly, leader)| {
        if is_orderly {
            // One machine of each name, where the inventory may well have it.
            machines.sort_by_key(|m| m.0);
            machines.dedup_by_key(|m| m.0);
        }
        let address = |n: usize, name: &str| addresses[if is_orderly { NAMES.iter().position(|o| *o == name).unwrap() } else { n }];
        let machines = machines.into_iter().enumerate();
        let mut cluster = running(machines.map(|(n, (name, server, node))| Machine { name, address: address(n, name), server, node }));
        let able: Vec<usize> =
            (0..cluster.servers.len()).filter(|n| cluster.servers[*n].is_voter && cluster.servers[*n].is_healthy).collect();
        if able.is_empty() {
            return None;
        }
        cluster.servers[able[leader.index(able.len())]].is_leader = true;
        let (voters, well) = standing(&cluster);
        (well > voters / 2).then_some(cluster)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn from_any_cluster_to_any_inventory(declared in any_declared(), running in any_running()) {
        carry_out_all(&declared, &running);
    }

    #[test]
    fn from_nothing_to_any_inventory(declared in any_declared()) {
        let mut cluster = Running::default();
        let plan = first_start(&declared);
        plan.steps.iter().for_each(|step| carry_out(&mut cluster, &declared, ("0.1.0", 4), step, &[]));
        prop_assert_eq!(diff(&declared, &cluster), []);
        prop_assert_eq!(plan_again(&declared, &cluster), []);
    }

    #[test]
    fn what_is_planned_does_not_depend_on_the_order_of_the_answers(
        declared in any_declared(), running in any_running(), seed in any::<u64>()
    ) {
        let mut other = running.clone();
        other.servers.sort_by_key(|s| s.id.bytes().fold(seed, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(b))));
        other.nodes.reverse();
        prop_assert_eq!(diff(&declared, &running), diff(&declared, &other));
        prop_assert_eq!(plan(&declared, &running).unwrap(), plan(&declared, &other).unwrap());
    }
}

#[test]
fn a_cluster_that_cannot_decide_has_no_plan() {
    let declared = declared([host("a", 1, Role::Server, "dc1")]);
    let mut cluster = Running::default();
    for (n, name) in ["a", "b", "c"].into_iter().enumerate() {
        cluster.servers.push(Server { is_healthy: n == 0, is_voter: true, ..server(name, name, &format!("10.0.0.{}:4647", n + 1)) });
    }
    let missing = vec!["b".to_owned(), "c".to_owned()];
    let error = plan(&declared, &cluster).unwrap_err();
    assert_eq!(error, PlanError::NoMajority { healthy: 1, voters: 3, needed: 2, missing });
    assert!(error.to_string().contains("nothing can be changed before b, c answer again"), "{error}");
    cluster.servers[1].is_healthy = true;
    assert_eq!(plan(&declared, &cluster), Err(PlanError::NoLeader));
    cluster.region = Some("mars".to_owned());
    assert!(plan(&declared, &cluster).unwrap_err().to_string().contains("ask another one with -address"));
    assert_eq!(diff(&declared, &cluster)[0].what, "region");
}

#[test]
fn versions_are_numbers_and_not_words() {
    let declared = declared([host("a", 1, Role::Both, "dc1"), host("b", 2, Role::Client, "dc1")]);
    let mut cluster = Running::default();
    carry_out(&mut cluster, &declared, ("0.9.0", 4), &first_start(&declared).steps[0], &[]);
    carry_out(&mut cluster, &declared, ("0.10.0", 4), &first_start(&declared).steps[1], &[]);
    let found = diff(&declared, &cluster);
    assert_eq!(found.len(), 1);
    let words = (found[0].host.as_str(), found[0].what.as_str(), found[0].declared.as_str(), found[0].running.as_str());
    assert_eq!(words, ("a", "version", "0.10.0", "0.9.0"));
}

#[test]
fn meta_that_a_host_has_besides_is_its_own_affair() {
    let mut one = host("a", 1, Role::Both, "dc1");
    one.meta = BTreeMap::from([("rack".to_owned(), "r2".to_owned())]);
    one.tags = vec!["x".to_owned(), "y".to_owned()];
    let declared = declared([one]);
    let mut cluster = Running::default();
    first_start(&declared).steps.iter().for_each(|step| carry_out(&mut cluster, &declared, ("0.1.0", 4), step, &[]));
    cluster.nodes[0].meta.insert("mine".to_owned(), "1".to_owned());
    assert_eq!(diff(&declared, &cluster), []);
    cluster.nodes[0].meta.insert("tags".to_owned(), "x".to_owned());
    assert_eq!((diff(&declared, &cluster)[0].what.as_str(), diff(&declared, &cluster)[0].declared.as_str()), ("meta.tags", "x,y"));
}
