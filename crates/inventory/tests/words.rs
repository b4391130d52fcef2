//! Plans as people read them: what is said for each kind of change, written down in `golden/plans.txt`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_inventory::{Declared, Plan, Role, Running, diff, first_start, plan};
use floe_model::NodeStatus::{Disconnected, Ready};
use std::fmt::Write;
use support::{Machine, compare, declared, host, running};

/// A machine that is both, well, and at the address of its number.
fn both(name: &'static str, address: u8) -> Machine {
    Machine { name, address, server: Some((true, true, Some(4))), node: Some((Ready, "dc1", "0.2.0")) }
}

fn server(name: &'static str, address: u8) -> Machine {
    Machine { node: None, ..both(name, address) }
}

fn client(name: &'static str, address: u8) -> Machine {
    Machine { server: None, ..both(name, address) }
}

/// The cluster of these machines; the first server leads.
fn led(machines: impl IntoIterator<Item = Machine>) -> Running {
    let mut cluster = running(machines);
    cluster.servers[0].is_leader = true;
    cluster
}

fn hosts(of: &[(&str, u8, Role)]) -> Declared {
    declared(of.iter().map(|(name, number, role)| host(name, *number, *role, "dc1")))
}

fn print(said: &mut String, title: &str, plan: &Plan) {
    writeln!(said, "=== {title}\n").unwrap();
    for (n, step) in plan.steps.iter().enumerate() {
        writeln!(said, "{}. {}", n + 1, step.title).unwrap();
        for (mark, text) in [("?", &step.why), (">", &step.wait)] {
            if !text.is_empty() {
                writeln!(said, "   {mark} {text}").unwrap();
            }
        }
        step.commands.iter().for_each(|c| writeln!(said, "       {c}").unwrap());
        writeln!(said, "   {} vote, {} may fail", step.voters, step.may_fail).unwrap();
    }
    said.push('\n');
}

#[test]
fn every_kind_of_change_reads_as_written_down() {
    use Role::{Both, Client, Server};
    let mut said = String::new();
    let first = hosts(&[("a", 1, Both), ("b", 2, Both), ("c", 3, Both), ("work", 9, Client)]);
    print(&mut said, "the first start", &first_start(&first));
    let mut away = client("work", 9);
    away.node = Some((Disconnected, "dc1", "0.2.0"));
    let mut old = client("work", 9);
    old.node = Some((Ready, "dc2", "0.1.0"));
    let mut lagging = server("b", 2);
    lagging.server = Some((true, false, Some(4)));
    let mut gone = server("b", 2);
    gone.server = Some((true, false, Some(4)));
    let mut learner = server("c", 3);
    learner.server = Some((false, true, Some(4)));
    let three = hosts(&[("a", 1, Server), ("b", 2, Server), ("c", 3, Server)]);
    for (title, from, to) in [
        ("one becomes three", led([server("a", 1)]), three.clone()),
        ("three become one, and the leader goes", led([both("a", 1), both("b", 2), both("c", 3)]), hosts(&[("c", 3, Both)])),
        (
            "one of three is replaced",
            led([server("a", 1), server("b", 2), server("c", 3)]),
            hosts(&[("b", 2, Server), ("c", 3, Server), ("d", 4, Server)]),
        ),
        (
            "a dead one is replaced",
            led([server("a", 1), gone, server("c", 3)]),
            hosts(&[("a", 1, Server), ("c", 3, Server), ("d", 4, Server)]),
        ),
        ("two of three move", led([server("a", 1), server("b", 12), server("c", 13)]), three.clone()),
        ("one is away, one has not got its vote", led([server("a", 1), lagging, learner, server("d", 4)]), {
            hosts(&[("a", 1, Server), ("b", 2, Server), ("c", 3, Server), ("d", 4, Server)])
        }),
        ("a client comes", led([server("a", 1)]), hosts(&[("a", 1, Server), ("work", 9, Client)])),
        ("a client goes", led([server("a", 1), client("work", 9)]), hosts(&[("a", 1, Server)])),
        ("a client is away", led([server("a", 1), away]), hosts(&[("a", 1, Server), ("work", 9, Client)])),
        ("a client changes", led([both("a", 1), old]), hosts(&[("a", 1, Both), ("work", 9, Client)])),
        ("a client becomes a server", led([server("a", 1), client("b", 2)]), hosts(&[("a", 1, Server), ("b", 2, Both)])),
        (
            "a server becomes a client",
            led([server("a", 1), server("b", 2), server("c", 3), both("d", 4)]),
            hosts(&[("a", 1, Server), ("b", 2, Server), ("c", 3, Server), ("d", 4, Client)]),
        ),
        ("a server takes work, too", led([server("a", 1)]), hosts(&[("a", 1, Both)])),
        ("a machine gets another name", led([server("old", 1)]), hosts(&[("new", 1, Server)])),
        ("nothing differs", led([both("a", 1), both("b", 2)]), hosts(&[("a", 1, Both), ("b", 2, Both)])),
    ] {
        let plan = plan(&to, &from).unwrap();
        print(&mut said, title, &plan);
        for d in diff(&to, &from) {
            writeln!(said, "{} {}: {} | {}", d.host, d.what, d.declared, d.running).unwrap();
        }
        said.push('\n');
    }
    compare("plans.txt", &said);
}
