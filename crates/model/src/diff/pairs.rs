//! Which items of two lists are the same thing: equal ones first, then those that are called the same.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What things in lists are known by, the first that an item has.
const IDENTITIES: &[&str] = &["Name", "Label", "ID", "DestPath", "Destination", "Attribute", "GetterSource", "Value", "Type"];

/// What an item is known by; `None` when only its whole content tells it from others.
pub(super) fn identity<'v>(key: &str, item: &'v Value) -> Option<&'v str> {
    let text = |key: &str| item.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    if key.is_empty() { IDENTITIES.iter().find_map(|key| text(key)) } else { text(key) }
}

/// The items of both lists in pairs: those of the old list in its order, then what only the new one has. `key` names what they are known by; empty, it is
/// found.
pub(super) fn pairs<'v>(key: &str, old: &'v [Value], new: &'v [Value]) -> impl Iterator<Item = (Option<&'v Value>, Option<&'v Value>)> {
    let partners = partners(key, old, new);
    let taken: BTreeSet<usize> = partners.iter().flatten().copied().collect();
    let left: Vec<_> = new.iter().enumerate().filter(|(i, _)| !taken.contains(i)).map(|(_, item)| (None, Some(item))).collect();
    let both = old.iter().zip(partners).map(|(item, partner)| (Some(item), partner.and_then(|i| new.get(i))));
    both.collect::<Vec<_>>().into_iter().chain(left)
}

/// For each old item, where its partner stands in the new list.
pub(super) fn partners(key: &str, old: &[Value], new: &[Value]) -> Vec<Option<usize>> {
    let mut found = vec![None; old.len()];
    match_by(&|item| Some(item.to_string()), old, new, &mut found);
    match_by(&|item| identity(key, item).map(str::to_owned), old, new, &mut found);
    found
}

/// Gives those that have no partner yet the first free one of the same name.
fn match_by(name: &dyn Fn(&Value) -> Option<String>, old: &[Value], new: &[Value], found: &mut [Option<usize>]) {
    let taken: BTreeSet<usize> = found.iter().flatten().copied().collect();
    let mut free: BTreeMap<String, VecDeque<usize>> = BTreeMap::new();
    for (i, item) in new.iter().enumerate().filter(|(i, _)| !taken.contains(i)) {
        if let Some(name) = name(item) {
            free.entry(name).or_default().push_back(i);
        }
    }
    for (item, partner) in old.iter().zip(found).filter(|(_, partner)| partner.is_none()) {
        *partner = name(item).and_then(|name| free.get_mut(&name)?.pop_front());
    }
}
