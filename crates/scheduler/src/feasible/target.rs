//! What a constraint speaks of: a literal, or something of a node.

use floe_model::Node;

/// The value of `target` on `node`: itself when it is a literal; `None` when the node has nothing of that name.
pub(crate) fn resolve<'a>(target: &'a str, node: &'a Node) -> Option<&'a str> {
    let Some(name) = target.strip_prefix("${").and_then(|t| t.strip_suffix('}')) else {
        return Some(target);
    };
    match name {
        "node.unique.id" => Some(node.id.as_str()),
        "node.unique.name" => Some(&node.name),
        "node.datacenter" => Some(&node.datacenter),
        "node.class" => Some(&node.node_class),
        "node.pool" => Some(super::pool_of(node)),
        _ => match name.split_once('.') {
            Some(("attr", key)) => node.attributes.get(key).map(String::as_str),
            Some(("meta", key)) => node.meta.get(key).map(String::as_str),
            _ => None,
        },
    }
}

/// True when `target` stands for something of a node.
pub(crate) fn is_interpolated(target: &str) -> bool {
    target.starts_with("${")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_what_the_node_has() {
        let mut node = Node { id: "n1".into(), name: "alpha".to_owned(), datacenter: "dc1".to_owned(), ..Node::default() };
        node.attributes.insert("kernel.name".to_owned(), "linux".to_owned());
        node.meta.insert("rack".to_owned(), "r1".to_owned());
        for (target, value) in [
            ("plain", Some("plain")),
            ("${node.unique.id}", Some("n1")),
            ("${node.unique.name}", Some("alpha")),
            ("${node.datacenter}", Some("dc1")),
            ("${node.class}", Some("")),
            ("${node.pool}", Some("default")),
            ("${attr.kernel.name}", Some("linux")),
            ("${meta.rack}", Some("r1")),
            ("${meta.row}", None),
            ("${attr.}", None),
            ("${env.HOME}", None),
            ("${}", None),
        ] {
            assert_eq!(resolve(target, &node), value, "{target}");
        }
    }
}
