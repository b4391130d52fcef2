//! Variables: written when they are as the writer saw them, counted by root key, bounded, and part of a backup.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_model::{
    KeyId, Sealed, Variable, VariableKey,
    keyring::Wrapped,
    variable::{MAX_ITEMS_BYTES, pack},
};
use floe_state::{
    Change, Command, Outcome, State, Table,
    archive::{self, Origin},
    command::Refusal,
    keyring::{Activation, KeyState, KeyringChange, NewKey},
    variables::{MAX_SEALED_BYTES, Resealed, VariableChange, VariableRefusal},
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use support::Machine;

fn key(path: &str) -> VariableKey {
    VariableKey { namespace: "default".into(), path: path.to_owned() }
}

fn key_id(n: usize) -> KeyId {
    KeyId::from(format!("key-{n}").as_str())
}

fn sealed(n: usize, text: &str) -> Sealed {
    Sealed { key: key_id(n), nonce: vec![1; 24], bytes: text.as_bytes().to_vec() }
}

fn root_key(m: &mut Machine, n: usize, activation: Activation) {
    let after = m.state.active_root_key().map(|key| key.id.clone());
    let wraps = vec![Wrapped { kek: "file:a".to_owned(), bytes: vec![7; 40] }];
    let put = KeyringChange::Put(NewKey { id: key_id(n), wraps, after, activation });
    assert_eq!(m.run(Command::Keyring(Box::new(put))).outcome, Outcome::Done);
}

fn change(m: &mut Machine, change: VariableChange) -> Result<Outcome, VariableRefusal> {
    match m.run(Command::Variable(Box::new(change))).outcome {
        Outcome::Refused(Refusal::Variable(why)) => Err(why),
        Outcome::Refused(why) => panic!("{why}"),
        outcome => Ok(outcome),
    }
}

fn put(m: &mut Machine, path: &str, items: Sealed, check_index: Option<u64>) -> Result<Outcome, VariableRefusal> {
    change(m, VariableChange::Put { key: key(path), items, check_index })
}

fn delete(m: &mut Machine, path: &str, check_index: Option<u64>) -> Result<Outcome, VariableRefusal> {
    change(m, VariableChange::Delete { key: key(path), check_index })
}

fn row(m: &Machine, path: &str) -> Variable {
    (**m.state.variable(&key(path)).unwrap()).clone()
}

fn conflict(wanted: u64, found: u64) -> Result<Outcome, VariableRefusal> {
    Err(VariableRefusal::Conflict { wanted, found })
}

#[test]
fn who_names_an_index_writes_only_what_he_saw() {
    let mut m = Machine::default();
    root_key(&mut m, 1, Activation::Now);
    assert_eq!(put(&mut m, "a", sealed(1, "x"), Some(9)), conflict(9, 0));
    let made = put(&mut m, "a", sealed(1, "x"), Some(0)).unwrap();
    let first = row(&m, "a");
    assert_eq!(
        made,
        Outcome::Variable { create_index: first.create_index, create_time: first.create_time, modify_time: first.modify_time }
    );
    assert_eq!(put(&mut m, "a", sealed(1, "y"), Some(0)), conflict(0, first.modify_index));
    assert_eq!(
        (row(&m, "a"), m.state.table_index(Table::Variables)),
        (first.clone(), first.modify_index),
        "what is refused changes nothing"
    );
    put(&mut m, "a", sealed(1, "y"), Some(first.modify_index)).unwrap();
    let second = row(&m, "a");
    assert_eq!((second.create_index, second.items.bytes.as_slice()), (first.create_index, b"y".as_slice()));
    assert!(second.modify_index > first.modify_index);
    assert_eq!(delete(&mut m, "a", Some(first.modify_index)), conflict(first.modify_index, second.modify_index));
    delete(&mut m, "a", Some(second.modify_index)).unwrap();
    assert_eq!(m.state.table_index(Table::Variables), m.state.index());
    let before = m.state.table_index(Table::Variables);
    assert_eq!(delete(&mut m, "a", None), Ok(Outcome::Done), "what is gone is gone");
    assert_eq!(m.state.table_index(Table::Variables), before, "and nothing changed by it");
}

#[test]
fn what_nobody_could_open_is_not_kept() {
    let mut m = Machine::default();
    assert_eq!(put(&mut m, "a", sealed(1, "x"), None), Err(VariableRefusal::NoSuchKey(key_id(1))));
}

#[test]
fn sealing_anew_changes_nothing_that_anybody_sees_and_nothing_newer() {
    let mut m = Machine::default();
    root_key(&mut m, 1, Activation::Now);
    put(&mut m, "a", sealed(1, "x"), None).unwrap();
    put(&mut m, "b", sealed(1, "x"), None).unwrap();
    root_key(&mut m, 2, Activation::Full);
    let (a, b, index) = (row(&m, "a"), row(&m, "b"), m.state.table_index(Table::Variables));
    assert_eq!((m.state.root_key(&key_id(1)).unwrap().state, m.state.sealed_with(&key_id(1))), (KeyState::Rekeying, 2));
    let reseal = |row: &Variable| Resealed { key: row.key.clone(), modify_index: row.modify_index, items: sealed(2, "anew") };
    let anew = VariableChange::Reseal(vec![reseal(&a)]);
    let applied = m.run(Command::Variable(Box::new(anew)));
    assert!(applied.effects.changes.is_empty());
    assert_eq!(row(&m, "a"), Variable { items: sealed(2, "anew"), ..a });
    assert_eq!(m.state.table_index(Table::Variables), index);
    // Somebody writes the other one meanwhile.
    put(&mut m, "b", sealed(2, "newer"), None).unwrap();
    change(&mut m, VariableChange::Reseal(vec![reseal(&b)])).unwrap();
    assert_eq!(row(&m, "b").items, sealed(2, "newer"));
    assert_eq!(m.state.root_key(&key_id(1)).unwrap().state, KeyState::Inactive, "all is sealed anew");
}

#[test]
fn what_a_server_that_lags_behind_sealed_is_sealed_anew() {
    let mut m = Machine::default();
    root_key(&mut m, 1, Activation::Now);
    root_key(&mut m, 2, Activation::Full);
    put(&mut m, "a", sealed(1, "x"), None).unwrap();
    assert_eq!(m.state.root_key(&key_id(1)).unwrap().state, KeyState::Rekeying);
    delete(&mut m, "a", None).unwrap();
    assert_eq!(m.state.root_key(&key_id(1)).unwrap().state, KeyState::Inactive);
}

#[test]
fn variables_are_bounded() {
    let mut m = Machine::default();
    root_key(&mut m, 1, Activation::Now);
    let of = |bytes: usize| Sealed { key: key_id(1), nonce: vec![], bytes: vec![0; bytes] };
    put(&mut m, "a", of(MAX_SEALED_BYTES), None).unwrap();
    assert_eq!(put(&mut m, "a", of(MAX_SEALED_BYTES + 1), None), Err(VariableRefusal::Large(MAX_SEALED_BYTES + 1)));
    // The largest that a user may write fits, however it is written as JSON.
    let worst = [("k".to_owned(), "\0".repeat(MAX_ITEMS_BYTES - 1))].into();
    assert!(pack(&worst).len() + 64 <= MAX_SEALED_BYTES);
    // 511 more fill what all may take together.
    for n in 1..512 {
        put(&mut m, &format!("a{n}"), of(MAX_SEALED_BYTES), None).unwrap();
    }
    assert_eq!(put(&mut m, "b", of(1), None), Err(VariableRefusal::NoRoom));
    put(&mut m, "a", of(MAX_SEALED_BYTES - 1), None).unwrap();
    put(&mut m, "b", of(1), None).unwrap();
    assert_eq!(put(&mut m, "b", of(2), None), Err(VariableRefusal::NoRoom));
}

#[test]
fn they_are_in_a_backup_and_their_items_not_in_a_redacted_one() {
    let mut m = Machine::default();
    root_key(&mut m, 1, Activation::Now);
    put(&mut m, "a", sealed(1, "the ciphertext"), None).unwrap();
    assert!(!m.state.is_empty(), "a restore of something else would lose it");
    let again = State::decode(&m.state.encode()).unwrap();
    assert_eq!((again.digest(), again.sealed_with(&key_id(1))), (m.state.digest(), 1));
    let bytes = archive::encode(&m.state, Origin::default()).unwrap();
    assert_eq!(archive::decode(&bytes).unwrap().state.variable(&key("a")), m.state.variable(&key("a")));
    let redacted = m.state.redacted().unwrap();
    let shown = redacted.variable(&key("a")).unwrap();
    assert_eq!((shown.items.bytes.len(), shown.items.nonce.len()), (0, 0));
    assert!(!redacted.encode().windows(14).any(|w| w == b"the ciphertext"));
}

#[test]
fn watchers_hear_of_them() {
    let mut m = Machine::default();
    root_key(&mut m, 1, Activation::Now);
    let wish = VariableChange::Put { key: key("a"), items: sealed(1, "x"), check_index: None };
    assert_eq!(m.run(Command::Variable(Box::new(wish))).effects.changes, [Change::Variable(key("a"))]);
}

#[derive(Clone, Debug)]
enum Act {
    Put { path: u8, seen: bool },
    Delete(u8),
    Rotate { full: bool },
    Reseal(u8),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0u8..6, any::<bool>()).prop_map(|(path, seen)| Act::Put { path, seen }),
        1 => (0u8..6).prop_map(Act::Delete),
        1 => any::<bool>().prop_map(|full| Act::Rotate { full }),
        2 => (0u8..6).prop_map(Act::Reseal),
    ];
    prop::collection::vec(act, 0..60)
}

proptest! {
    /// Whatever comes: the counts by root key are those of the rows, a key is rekeying exactly as long as it has something to do after a full
    /// rotation, and what stands there is what was written last.
    #[test]
    fn counts_are_those_of_the_rows(acts in acts()) {
        let mut m = Machine::default();
        root_key(&mut m, 1, Activation::Now);
        let (mut keys, mut model) = (1, BTreeMap::<String, String>::new());
        for (n, act) in acts.into_iter().enumerate() {
            match act {
                Act::Put { path, seen } => {
                    let path = path.to_string();
                    let found = m.state.variable(&key(&path)).map_or(0, |row| row.modify_index);
                    let wanted = if seen { found } else { found + 1 };
                    let done = put(&mut m, &path, sealed(keys, &n.to_string()), Some(wanted));
                    prop_assert_eq!(done.is_ok(), seen);
                    if seen { model.insert(path, n.to_string()); }
                }
                Act::Delete(path) => {
                    delete(&mut m, &path.to_string(), None).unwrap();
                    model.remove(&path.to_string());
                }
                Act::Rotate { full } => {
                    keys += 1;
                    if keys > 60 { break; }
                    root_key(&mut m, keys, if full { Activation::Full } else { Activation::Now });
                }
                Act::Reseal(path) => {
                    if let Some(row) = m.state.variable(&key(&path.to_string())).cloned() {
                        let items = Sealed { key: key_id(keys), ..row.items.clone() };
                        change(&mut m, VariableChange::Reseal(vec![Resealed { key: row.key.clone(), modify_index: row.modify_index, items }])).unwrap();
                    }
                }
            }
            for root in m.state.root_keys() {
                let rows = m.state.variables().filter(|row| row.items.key == root.id).count();
                prop_assert_eq!(m.state.variables_sealed_with(&root.id), rows);
                prop_assert!(root.state != KeyState::Rekeying || rows > 0, "{} has nothing to do", root.id);
            }
            let held: BTreeMap<String, String> = m.state.variables()
                .map(|row| (row.key.path.clone(), String::from_utf8(row.items.bytes.clone()).unwrap())).collect();
            prop_assert_eq!(&held, &model);
        }
        prop_assert_eq!(State::decode(&m.state.encode()).unwrap().digest(), m.state.digest());
    }
}
