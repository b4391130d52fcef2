//! A change of the cluster's authority: who has not done yet what its present step asks.

use floe_model::NodeStatus;
use floe_state::State;
use std::collections::BTreeSet;

/// The ids of the servers and live nodes that the present step waits for; nothing when no change is under way. A node that is down is not waited
/// for: it hears of the step when it comes back, or joins anew.
pub fn pending<'a>(state: &State, servers: impl IntoIterator<Item = &'a str>) -> Option<BTreeSet<String>> {
    let rotation = state.authorities()?.rotation.as_ref()?;
    let nodes = state.nodes().filter(|node| node.status != NodeStatus::Down).map(|node| node.id.to_string());
    let all = servers.into_iter().map(str::to_owned).chain(nodes);
    Some(all.filter(|id| !rotation.done.contains(id)).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use floe_model::Node;
    use floe_state::{Command, Entry, Stamp, command::NodeStatusUpdate};

    fn run(state: &mut State, command: Command) {
        state.apply(state.index() + 1, &Entry { stamp: Stamp::default(), command });
    }

    fn register(state: &mut State, id: &str) {
        run(state, Command::RegisterNode { node: Box::new(Node { id: id.into(), name: id.to_owned(), ..Node::default() }) });
    }

    fn waits_for(state: &State) -> Option<Vec<String>> {
        pending(state, ["s1", "s2"]).map(|ids| ids.into_iter().collect())
    }

    #[test]
    fn servers_and_live_nodes_are_waited_for_in_every_step() {
        let mut state = State::default();
        register(&mut state, "n1");
        register(&mut state, "n2");
        assert_eq!(waits_for(&state), None);
        run(&mut state, Command::BeginRotation { present: vec![1], next: vec![2] });
        assert_eq!(waits_for(&state).unwrap(), ["n1", "n2", "s1", "s2"]);
        let down = NodeStatusUpdate { id: "n2".into(), status: NodeStatus::Down, message: String::new() };
        run(&mut state, Command::UpdateNodeStatus { updates: vec![down] });
        for round in [state.authorities().unwrap().round; 3].into_iter().zip(["n1", "s1", "s2"]) {
            run(&mut state, Command::NoteRotation { round: round.0, id: round.1.to_owned() });
        }
        assert!(waits_for(&state).unwrap().is_empty(), "a node that is down is not waited for");
        register(&mut state, "n2");
        assert_eq!(waits_for(&state).unwrap(), ["n2"], "but when it comes back it is");
        let round = state.authorities().unwrap().round;
        run(&mut state, Command::AdvanceRotation { round });
        assert_eq!(waits_for(&state).unwrap(), ["n1", "n2", "s1", "s2"]);
    }
}
