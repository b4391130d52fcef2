//! Short ids: the beginning of an id stands for it when nothing else begins so.

use anyhow::bail;
use floe_api::{
    ApiClient, Rows,
    types::{AllocationListStub, NodeListStub},
};

/// How many candidates an error names.
const NAMED: usize = 10;

/// The job whose id is, or begins with, `prefix`.
pub(super) async fn job(client: &ApiClient, prefix: &str) -> anyhow::Result<String> {
    let ids: Vec<String> = client.jobs(Rows::with_prefix(prefix)).await?.into_iter().map(|j| j.id.to_string()).collect();
    one("job", prefix, ids)
}

/// The allocation whose id begins with `prefix`.
pub(super) async fn alloc(client: &ApiClient, prefix: &str) -> anyhow::Result<AllocationListStub> {
    let found = client.allocations(Rows::with_prefix(prefix)).await?;
    let id = one("allocation", prefix, found.iter().map(|a| a.id.to_string()).collect())?;
    found.into_iter().find(|a| a.id == *id).ok_or_else(|| anyhow::anyhow!("no allocation with id {prefix:?} found"))
}

/// The node that is meant: by its whole id, else by its name, else by the beginning of its id.
pub(super) async fn node(client: &ApiClient, named: &str) -> anyhow::Result<NodeListStub> {
    let all = client.nodes(Rows::default()).await?;
    let id = one_node(named, &all)?;
    all.into_iter().find(|n| n.id == *id).ok_or_else(|| anyhow::anyhow!("no node with id {named:?} found"))
}

/// The id of the node that is meant. A name that somebody gave counts more than the beginning of an id, which is drawn by chance.
fn one_node(named: &str, all: &[NodeListStub]) -> anyhow::Result<String> {
    if all.iter().any(|n| n.id == *named) {
        return Ok(named.to_owned());
    }
    let called: Vec<&NodeListStub> = all.iter().filter(|n| n.name == named).collect();
    match called.as_slice() {
        [] => one("node", named, all.iter().filter(|n| n.id.as_str().starts_with(named)).map(|n| n.id.to_string()).collect()),
        [node] => Ok(node.id.to_string()),
        many => {
            let nodes = many.iter().map(|n| format!("{} ({})", n.id, n.status)).collect();
            bail!("{named:?} is the name of {} nodes; give the id:\n  {}", many.len(), listed(nodes))
        }
    }
}

/// The one id that is meant.
fn one(what: &str, prefix: &str, ids: Vec<String>) -> anyhow::Result<String> {
    if let Some(exact) = ids.iter().find(|id| *id == prefix) {
        return Ok(exact.clone());
    }
    match ids.as_slice() {
        [] => bail!("no {what} with id {prefix:?} found"),
        [id] => Ok(id.clone()),
        many => bail!("{prefix:?} is the beginning of {} {what}s; give more of the id:\n  {}", many.len(), listed(many.to_vec())),
    }
}

/// Candidates, one a line, and how many more there are.
fn listed(mut candidates: Vec<String>) -> String {
    let more = candidates.len().saturating_sub(NAMED);
    candidates.truncate(NAMED);
    if more > 0 {
        candidates.push(format!("and {more} more"));
    }
    candidates.join("\n  ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn node(id: &str, name: &str) -> NodeListStub {
        NodeListStub { id: id.into(), name: name.to_owned(), ..NodeListStub::default() }
    }

    #[test]
    fn a_node_is_found_by_id_then_by_name_then_by_the_beginning_of_its_id() {
        let all = [node("c1aa", "web"), node("c1bb", "c1"), node("db01", "twin"), node("db02", "twin"), node("ffff", "db01")];
        assert_eq!(one_node("c1", &all).unwrap(), "c1bb", "the exact name, though two ids begin so");
        assert_eq!(one_node("db01", &all).unwrap(), "db01", "a whole id counts more than a name");
        assert_eq!(one_node("c1a", &all).unwrap(), "c1aa");
        let twins = one_node("twin", &all).unwrap_err().to_string();
        assert!(twins.contains("the name of 2 nodes") && twins.contains("db01") && twins.contains("db02"), "{twins}");
        let begins = one_node("db0", &all).unwrap_err().to_string();
        assert!(begins.contains("the beginning of 2 nodes") && begins.contains("db01") && begins.contains("db02"), "{begins}");
        assert_eq!(one_node("x", &all).unwrap_err().to_string(), "no node with id \"x\" found");
        let many: Vec<NodeListStub> = (0..NAMED + 2).map(|n| node(&format!("a{n}"), "n")).collect();
        assert!(one_node("a", &many).unwrap_err().to_string().ends_with("and 2 more"));
    }

    #[test]
    fn a_beginning_is_enough_when_it_is_unique() {
        let ids = || vec!["web".to_owned(), "web-2".to_owned(), "db".to_owned()];
        assert_eq!(one("job", "d", vec!["db".to_owned()]).unwrap(), "db");
        assert_eq!(one("job", "web", ids()).unwrap(), "web", "exactly that one");
        assert!(one("job", "we", ids()).unwrap_err().to_string().contains("give more of the id"));
        assert_eq!(one("job", "x", vec![]).unwrap_err().to_string(), "no job with id \"x\" found");
    }
}
