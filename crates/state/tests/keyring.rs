//! The root keys: one is active, none is missed, and a restore takes none away.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_model::{
    Timestamp,
    keyring::{KeyId, Sealed, Wrapped},
};
use floe_state::{
    Command, Digest, Outcome, State,
    archive::{self, Origin},
    command::{CLUSTER_VERSION, Refusal},
    keyring::{
        Activation, KeyState, KeyringChange, KeyringRefusal, MAX_ROOT_KEYS, MAX_SEALED_AUTHORITIES, MAX_WRAPS, NewKey, SealedAuthority,
    },
    restore::{Piece, Restore, RestoreRefusal, StageRestore},
};
use proptest::prelude::*;
use std::collections::BTreeSet;
use support::Machine;

fn id(n: usize) -> KeyId {
    KeyId::from(format!("key-{n}").as_str())
}

fn wrap(kek: &str) -> Wrapped {
    Wrapped { kek: kek.to_owned(), bytes: vec![7; 40] }
}

fn active(m: &Machine) -> Option<KeyId> {
    m.state.active_root_key().map(|key| key.id.clone())
}

fn change(m: &mut Machine, change: KeyringChange) -> Result<(), KeyringRefusal> {
    match m.run(Command::Keyring(Box::new(change))).outcome {
        Outcome::Done => Ok(()),
        Outcome::Refused(Refusal::Keyring(why)) => Err(why),
        other => panic!("{other:?}"),
    }
}

fn put(m: &mut Machine, n: usize, activation: Activation) -> Result<(), KeyringRefusal> {
    let after = active(m);
    change(m, KeyringChange::Put(NewKey { id: id(n), wraps: vec![wrap("file:a")], after, activation }))
}

fn seal(m: &mut Machine, certificate: &[u8], n: usize) -> Result<(), KeyringRefusal> {
    let key = Sealed { key: id(n), nonce: vec![1; 12], bytes: vec![2; 80] };
    change(m, KeyringChange::SealAuthority(SealedAuthority { certificate: certificate.to_vec(), key }))
}

fn state_of(m: &Machine, n: usize) -> KeyState {
    m.state.root_key(&id(n)).unwrap().state
}

#[test]
fn a_rotation_leaves_what_was_sealed_and_a_full_one_does_not() {
    let mut m = Machine::default();
    put(&mut m, 1, Activation::Now).unwrap();
    seal(&mut m, b"ca", 1).unwrap();
    put(&mut m, 2, Activation::Now).unwrap();
    assert_eq!((state_of(&m, 1), state_of(&m, 2)), (KeyState::Inactive, KeyState::Active));
    let in_use = KeyringRefusal::InUse { id: id(1), uses: 1 };
    assert_eq!(change(&mut m, KeyringChange::Delete { id: id(1), force: false }), Err(in_use));
    assert_eq!(change(&mut m, KeyringChange::Delete { id: id(2), force: true }), Err(KeyringRefusal::Active(id(2))));
    assert_eq!(seal(&mut m, b"ca", 1), Err(KeyringRefusal::NotActive(id(1))));
    put(&mut m, 3, Activation::Full).unwrap();
    assert_eq!((state_of(&m, 1), state_of(&m, 2)), (KeyState::Rekeying, KeyState::Inactive), "with 2 nothing is sealed");
    seal(&mut m, b"ca", 3).unwrap();
    assert_eq!(state_of(&m, 1), KeyState::Inactive, "all is sealed anew");
    change(&mut m, KeyringChange::Delete { id: id(1), force: false }).unwrap();
    assert_eq!(change(&mut m, KeyringChange::Delete { id: id(1), force: true }), Err(KeyringRefusal::NotFound(id(1))));
    put(&mut m, 4, Activation::Now).unwrap();
    change(&mut m, KeyringChange::Delete { id: id(3), force: true }).unwrap();
    assert_eq!(m.state.sealed_authorities().count(), 0, "nothing is kept that nobody can open");
}

#[test]
fn a_prepublished_key_waits_for_its_time() {
    let mut m = Machine::default();
    put(&mut m, 1, Activation::At(Timestamp(i64::MAX))).unwrap();
    assert_eq!(state_of(&m, 1), KeyState::Active, "the first one is active at once");
    put(&mut m, 2, Activation::At(Timestamp(5))).unwrap();
    assert_eq!((active(&m), state_of(&m, 2)), (Some(id(1)), KeyState::Prepublished { publish: Timestamp(5) }));
    put(&mut m, 3, Activation::Full).unwrap();
    assert_eq!(state_of(&m, 2), KeyState::Prepublished { publish: Timestamp(5) }, "a rotation between does not touch it");
    change(&mut m, KeyringChange::Publish { id: id(2) }).unwrap();
    assert_eq!((active(&m), state_of(&m, 3)), (Some(id(2)), KeyState::Inactive));
    change(&mut m, KeyringChange::Publish { id: id(2) }).unwrap();
    assert_eq!(change(&mut m, KeyringChange::Publish { id: id(3) }), Err(KeyringRefusal::NotPrepublished(id(3))));
}

#[test]
fn of_two_that_make_a_key_at_a_time_one_is_refused() {
    let mut m = Machine::default();
    let new = |n, after| KeyringChange::Put(NewKey { id: id(n), wraps: vec![wrap("file:a")], after, activation: Activation::Now });
    change(&mut m, new(1, None)).unwrap();
    assert_eq!(change(&mut m, new(2, None)), Err(KeyringRefusal::OtherActive));
    change(&mut m, new(1, None)).expect("the same again: its answer was lost");
    change(&mut m, new(2, Some(id(1)))).unwrap();
    change(&mut m, new(1, None)).expect("again, late");
    assert_eq!(active(&m), Some(id(2)));
}

#[test]
fn wraps_are_added_and_never_taken_away() {
    let mut m = Machine::default();
    put(&mut m, 1, Activation::Now).unwrap();
    let rewrap = |m: &mut Machine, modify_index, keks: &[&str]| {
        change(m, KeyringChange::Rewrap { id: id(1), modify_index, wraps: keks.iter().map(|kek| wrap(kek)).collect() })
    };
    let keks = |m: &Machine| m.state.root_key(&id(1)).unwrap().wraps.iter().map(|w| w.kek.clone()).collect::<Vec<_>>();
    let seen = m.state.root_key(&id(1)).unwrap().modify_index;
    rewrap(&mut m, seen, &["age:x"]).unwrap();
    assert_eq!(keks(&m), ["file:a", "age:x"]);
    assert_eq!(rewrap(&mut m, seen, &["file:b"]), Err(KeyringRefusal::Changed(id(1))));
    let seen = m.state.root_key(&id(1)).unwrap().modify_index;
    let other = Wrapped { kek: "age:x".to_owned(), bytes: vec![9; 40] };
    change(&mut m, KeyringChange::Rewrap { id: id(1), modify_index: seen, wraps: vec![other] }).unwrap();
    assert_eq!(m.state.root_key(&id(1)).unwrap().wraps[1], wrap("age:x"), "the one that is there stays");
    let many: Vec<String> = (0..MAX_WRAPS).map(|n| format!("file:{n}")).collect();
    let seen = m.state.root_key(&id(1)).unwrap().modify_index;
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(rewrap(&mut m, seen, &many), Err(KeyringRefusal::WrapsTooLarge));
    rewrap(&mut m, seen, &many[2..]).expect("as many as there may be");
    assert_eq!(keks(&m).len(), MAX_WRAPS);
}

#[test]
fn what_is_too_much_is_refused() {
    let mut m = Machine::default();
    let bare = NewKey { id: id(0), wraps: Vec::new(), after: None, activation: Activation::Now };
    assert_eq!(change(&mut m, KeyringChange::Put(bare.clone())), Err(KeyringRefusal::NoWrap));
    let large = Wrapped { kek: "a".to_owned(), bytes: vec![0; 4097] };
    assert_eq!(change(&mut m, KeyringChange::Put(NewKey { wraps: vec![large], ..bare })), Err(KeyringRefusal::WrapsTooLarge));
    for n in 0..MAX_ROOT_KEYS {
        put(&mut m, n, Activation::Now).unwrap();
    }
    assert_eq!(put(&mut m, MAX_ROOT_KEYS, Activation::Now), Err(KeyringRefusal::TooMany));
    for n in 0..MAX_SEALED_AUTHORITIES {
        seal(&mut m, &[u8::try_from(n).unwrap()], MAX_ROOT_KEYS - 1).unwrap();
    }
    assert_eq!(seal(&mut m, b"one more", MAX_ROOT_KEYS - 1), Err(KeyringRefusal::OtherAuthority));
    seal(&mut m, &[0], MAX_ROOT_KEYS - 1).expect("one that is there again");
    // A restore does not get past the bound either, and then changes nothing.
    let mut other = Machine::default();
    put(&mut other, 1000, Activation::Now).unwrap();
    let (before, refused) = (m.state.root_keys().count(), restore(&mut m, &backup(&other)));
    assert_eq!((refused, m.state.root_keys().count()), (Err(RestoreRefusal::RootKeys), before));
}

#[test]
fn authorities_that_are_given_up_are_forgotten() {
    let mut m = Machine::default();
    put(&mut m, 1, Activation::Now).unwrap();
    seal(&mut m, b"old", 1).unwrap();
    m.run(Command::BeginRotation { present: b"old".to_vec(), next: b"new".to_vec() });
    seal(&mut m, b"new", 1).unwrap();
    assert_eq!(seal(&mut m, b"foreign", 1), Err(KeyringRefusal::OtherAuthority));
    for _ in 0..2 {
        assert_eq!(m.state.sealed_authorities().count(), 2, "both count until it is over");
        let round = m.state.authorities().unwrap().round;
        m.run(Command::AdvanceRotation { round });
    }
    assert!(m.state.sealed_authority(b"old").is_none() && m.state.sealed_authority(b"new").is_some());
}

fn backup(m: &Machine) -> Vec<u8> {
    archive::encode(&m.state, Origin { cluster_id: "here".to_owned(), ..Origin::default() }).unwrap()
}

fn restore(m: &mut Machine, bytes: &[u8]) -> Result<(), RestoreRefusal> {
    m.run(Command::SetClusterVersion { version: CLUSTER_VERSION });
    let id = format!("r{}", m.log.len());
    let whole = StageRestore { id: id.clone(), total: bytes.len() as u64, at: 0, bytes: Piece::from(bytes) };
    m.run(Command::StageRestore(whole));
    let wish = Restore { id, cluster_id: "here".to_owned(), cluster_version: 0, digest: Digest::default(), force: false };
    match m.run(Command::Restore(wish)).outcome {
        Outcome::Restored(_) => Ok(()),
        Outcome::Refused(Refusal::Restore(why)) => Err(why),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_cluster_takes_the_keys_along_and_one_with_keys_keeps_its_own() {
    let mut old = Machine::default();
    put(&mut old, 1, Activation::Now).unwrap();
    put(&mut old, 2, Activation::Now).unwrap();
    put(&mut old, 3, Activation::At(Timestamp(i64::MAX))).unwrap();
    seal(&mut old, b"ca", 2).unwrap();
    let bytes = backup(&old);
    assert_eq!(archive::decode(&bytes).unwrap().state.sealed_authority(b"ca"), old.state.sealed_authority(b"ca"), "a backup holds it");
    let mut empty = Machine::default();
    restore(&mut empty, &bytes).unwrap();
    assert_eq!((active(&empty), empty.state.root_keys().count()), (Some(id(2)), 3));
    assert_eq!(empty.state.sealed_authorities().count(), 0, "another cluster's authority is none of this one");
    let mut other = Machine::default();
    put(&mut other, 9, Activation::Now).unwrap();
    seal(&mut other, b"own", 9).unwrap();
    restore(&mut other, &bytes).unwrap();
    assert_eq!((active(&other), other.state.root_keys().count()), (Some(id(9)), 4));
    assert_eq!(state_of(&other, 2), KeyState::Inactive);
    assert!(other.state.sealed_authority(b"own").is_some());
}

#[test]
fn a_redacted_backup_holds_no_keys() {
    let mut m = Machine::default();
    put(&mut m, 1, Activation::Now).unwrap();
    seal(&mut m, b"ca", 1).unwrap();
    let shown = m.state.redacted().unwrap();
    assert_eq!((shown.root_keys().count(), shown.sealed_authorities().count()), (0, 0));
}

/// What holds after every entry.
fn check(state: &State) {
    let actives = state.root_keys().filter(|key| key.state == KeyState::Active).count();
    assert_eq!(actives, usize::from(state.root_keys().count() > 0), "one is active as soon as there is one");
    for sealed in state.sealed_authorities() {
        assert!(state.root_key(&sealed.key.key).is_some(), "what is sealed has its key");
    }
    for key in state.root_keys().filter(|key| key.state == KeyState::Rekeying) {
        assert!(state.sealed_with(&key.id) > 0, "rekeying ends");
    }
    assert_eq!(State::decode(&state.encode()).unwrap().digest(), state.digest(), "and all of it is written down");
}

#[derive(Clone, Debug)]
enum Step {
    Put(usize, Activation),
    Publish(usize),
    Delete(usize, bool),
    Seal(u8, usize),
    Save,
    Restore,
}

fn step() -> impl Strategy<Value = Step> {
    let activation = prop_oneof![Just(Activation::Now), Just(Activation::Full), Just(Activation::At(Timestamp(1)))];
    prop_oneof![
        4 => (0..12usize, activation).prop_map(|(n, activation)| Step::Put(n, activation)),
        2 => (0..12usize).prop_map(Step::Publish),
        2 => (0..12usize, any::<bool>()).prop_map(|(n, force)| Step::Delete(n, force)),
        4 => (0..3u8, 0..12usize).prop_map(|(authority, n)| Step::Seal(authority, n)),
        1 => Just(Step::Save),
        1 => Just(Step::Restore),
    ]
}

proptest! {
    #[test]
    fn one_key_is_active_and_none_is_missed_whatever_comes(steps in proptest::collection::vec(step(), 0..60)) {
        let mut m = Machine::default();
        let mut saved = backup(&m);
        for step in steps {
            match step {
                Step::Put(n, activation) => drop(put(&mut m, n, activation)),
                Step::Publish(n) => drop(change(&mut m, KeyringChange::Publish { id: id(n) })),
                Step::Delete(n, force) => drop(change(&mut m, KeyringChange::Delete { id: id(n), force })),
                Step::Seal(authority, n) => drop(seal(&mut m, &[authority], n)),
                Step::Save => saved = backup(&m),
                Step::Restore => {
                    let ids = |state: &State| state.root_keys().map(|key| key.id.clone()).collect::<BTreeSet<_>>();
                    let (own, was_active) = (ids(&m.state), active(&m));
                    restore(&mut m, &saved).unwrap();
                    let all: BTreeSet<KeyId> = own.union(&ids(&archive::decode(&saved).unwrap().state)).cloned().collect();
                    assert_eq!(ids(&m.state), all, "neither loses a key");
                    assert!(was_active.is_none() || was_active == active(&m));
                }
            }
            check(&m.state);
        }
    }
}
