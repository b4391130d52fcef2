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

/// The node whose id or name begins with `prefix`.
pub(super) async fn node(client: &ApiClient, prefix: &str) -> anyhow::Result<NodeListStub> {
    let all = client.nodes(Rows::default()).await?;
    let found: Vec<NodeListStub> = all.into_iter().filter(|n| n.id.as_str().starts_with(prefix) || n.name == prefix).collect();
    let id = one("node", prefix, found.iter().map(|n| n.id.to_string()).collect())?;
    found.into_iter().find(|n| n.id == *id).ok_or_else(|| anyhow::anyhow!("no node with id {prefix:?} found"))
}

/// The one id that is meant.
fn one(what: &str, prefix: &str, ids: Vec<String>) -> anyhow::Result<String> {
    if let Some(exact) = ids.iter().find(|id| *id == prefix) {
        return Ok(exact.clone());
    }
    match ids.as_slice() {
        [] => bail!("no {what} with id {prefix:?} found"),
        [id] => Ok(id.clone()),
        many => {
            let more = many.len().saturating_sub(NAMED);
            let mut names: Vec<&str> = many.iter().take(NAMED).map(String::as_str).collect();
            let rest = format!("and {more} more");
            if more > 0 {
                names.push(&rest);
            }
            bail!("{prefix:?} is the beginning of {} {what}s; give more of the id:\n  {}", many.len(), names.join("\n  "))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_beginning_is_enough_when_it_is_unique() {
        let ids = || vec!["web".to_owned(), "web-2".to_owned(), "db".to_owned()];
        assert_eq!(one("job", "d", vec!["db".to_owned()]).unwrap(), "db");
        assert_eq!(one("job", "web", ids()).unwrap(), "web", "exactly that one");
        assert!(one("job", "we", ids()).unwrap_err().to_string().contains("give more of the id"));
        assert_eq!(one("job", "x", vec![]).unwrap_err().to_string(), "no job with id \"x\" found");
    }
}
