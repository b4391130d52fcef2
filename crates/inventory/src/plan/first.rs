//! From nothing to what is declared: the order of a cluster's first start.

use super::{Action, Plan, Step, words};
use crate::declared::Declared;

/// The steps of the first start: what servers share, the servers together, then each client by a token of its own.
pub fn first_start(declared: &Declared) -> Plan {
    let servers: Vec<_> = declared.servers().collect();
    let names: Vec<String> = servers.iter().map(|h| h.name.clone()).collect();
    let mut steps = Vec::new();
    let mut push = |action, words: words::Words, voters: usize, may_fail| {
        let words::Words { title, why, commands, wait } = words;
        steps.push(Step { action, title, why, commands, wait, voters, may_fail });
    };
    let secrets = words::secrets(declared, &servers);
    if !secrets.commands.is_empty() {
        push(Action::Secrets { hosts: names.clone() }, secrets, 0, 0);
    }
    let (voters, may_fail) = (servers.len(), declared.may_fail());
    push(Action::Begin { hosts: names.clone() }, words::begin(&servers), voters, may_fail);
    for host in declared.clients() {
        let action = Action::Join { host: host.name.clone(), role: host.role, forgets: Vec::new() };
        push(action, words::join_client(declared, host, false), voters, may_fail);
    }
    Plan { voters: Vec::new(), leader: None, servers: names, steps }
}
