//! The root keys: what the leader does about them by itself.
//!
//! | what it finds | what it does |
//! |---|---|
//! | no key, and a key-encryption key (KEK) is configured | makes the first one |
//! | a prepublished key whose time has come | publishes it |
//! | an active key that is half as old as it may become, and none prepublished | prepublishes the next one |
//! | a key that is of use and lacks a wrap of a configured KEK | adds the wrap; it never takes one away |
//! | an authority that is not sealed, or sealed with a key that is rekeying | seals it with the active key |
//! | variables that are sealed with a key that is rekeying | seals them with the active key |
//! | a key that has been inactive for long, with which nothing is sealed | forgets it |

use floe_model::{Nanos, Timestamp, keyring::KeyId};
use floe_state::{
    State,
    keyring::{Activation, KeyState, MAX_WRAPS, WrappedKey},
};
use std::collections::BTreeSet;

/// The least that [`Config::rotation_threshold`] may be: keys that come faster than inactive ones go would fill the keyring.
pub const MIN_ROTATION_THRESHOLD: Nanos = Nanos::from_hours(1);

/// How old keys become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a key is active before the next one is.
    pub rotation_threshold: Nanos,
    /// How long an inactive key is kept with which nothing is sealed.
    pub gc_threshold: Nanos,
}

impl Default for Config {
    fn default() -> Self {
        Self { rotation_threshold: Nanos::from_hours(720), gc_threshold: Nanos::from_hours(1) }
    }
}

/// What the leader has.
#[derive(Clone, Copy, Debug)]
pub struct Holdings<'a> {
    /// The ids of the KEKs by which it wraps; none when none is configured.
    pub keks: &'a [String],
    /// The root keys that it could open.
    pub opened: &'a BTreeSet<KeyId>,
    /// The certificates (DER) of the authorities whose keys it has, that of the first one first.
    pub authorities: &'a [Vec<u8>],
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make a key.
    Make(Activation),
    /// A key becomes active.
    Publish(KeyId),
    /// Add the wraps that a key lacks.
    Rewrap(KeyId),
    /// Seal the key of the authority with this certificate.
    Seal(Vec<u8>),
    /// Seal all variables that this key sealed with the active one.
    Reseal(KeyId),
    /// Forget a key.
    Forget(KeyId),
}

/// What to do now. All of it may be done in this order, and each part is looked at again when it is not done.
pub fn steps(state: &State, has: &Holdings<'_>, now: Timestamp, config: Config) -> Vec<Step> {
    let mut steps = Vec::new();
    let Some(active) = state.active_root_key() else {
        return if has.keks.is_empty() { steps } else { vec![Step::Make(Activation::Now)] };
    };
    let prepublished = || state.root_keys().filter_map(|key| publish_time(key).map(|at| (at, &key.id)));
    if let Some((_, id)) = prepublished().filter(|(at, _)| *at <= now).min() {
        steps.push(Step::Publish(id.clone()));
    } else if !has.keks.is_empty() && prepublished().next().is_none() {
        let next = active.since.plus(config.rotation_threshold);
        if active.since.plus(Nanos(config.rotation_threshold.0 / 2)) <= now {
            steps.push(Step::Make(Activation::At(next.max(now))));
        }
    }
    steps.extend(state.root_keys().filter(|key| lacks_wrap(state, key, has)).map(|key| Step::Rewrap(key.id.clone())));
    if has.opened.contains(&active.id) {
        steps.extend(to_seal(state, has).map(Step::Seal));
        steps.extend(to_reseal(state, has).map(Step::Reseal));
    }
    let is_over = |key: &WrappedKey| key.state == KeyState::Inactive && key.since.plus(config.gc_threshold) <= now;
    let over = state.root_keys().filter(|key| is_over(key) && state.sealed_with(&key.id) == 0);
    steps.extend(over.map(|key| Step::Forget(key.id.clone())));
    steps
}

fn publish_time(key: &WrappedKey) -> Option<Timestamp> {
    if let KeyState::Prepublished { publish } = key.state { Some(publish) } else { None }
}

/// Whether the leader can and should add a wrap. Servers with other KEKs add theirs in turn, and all of them stay, so that comes to an end.
fn lacks_wrap(state: &State, key: &WrappedKey, has: &Holdings<'_>) -> bool {
    let missing = has.keks.iter().filter(|kek| !key.is_wrapped_by(kek)).count();
    let is_of_use = key.state != KeyState::Inactive || state.sealed_with(&key.id) > 0;
    missing > 0 && key.wraps.len() + missing <= MAX_WRAPS && is_of_use && has.opened.contains(&key.id)
}

/// The authorities that count, whose keys are here, and that the active key has not sealed but should.
fn to_seal<'a>(state: &'a State, has: &'a Holdings<'_>) -> impl Iterator<Item = Vec<u8>> {
    let counts = move |place: usize, certificate: &[u8]| match state.authorities() {
        None => place == 0,
        Some(known) => known.trusted().contains(&certificate),
    };
    let is_due = move |certificate: &[u8]| match state.sealed_authority(certificate) {
        None => true,
        Some(sealed) => state.root_key(&sealed.key.key).is_none_or(|key| key.state == KeyState::Rekeying),
    };
    let due = has.authorities.iter().enumerate().filter(move |(place, own)| counts(*place, own) && is_due(own));
    due.map(|(_, certificate)| certificate.clone())
}

/// The keys that are rekeying, opened here, and seal variables still.
fn to_reseal<'a>(state: &'a State, has: &'a Holdings<'_>) -> impl Iterator<Item = KeyId> {
    let rekeying = state.root_keys().filter(|key| key.state == KeyState::Rekeying && has.opened.contains(&key.id));
    rekeying.filter(|key| state.variables_sealed_with(&key.id) > 0).map(|key| key.id.clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use floe_model::{
        VariableKey,
        keyring::{Sealed, Wrapped},
    };
    use floe_state::{
        Command, Entry, Outcome, Stamp,
        keyring::{KeyringChange, NewKey, SealedAuthority},
        variables::{Resealed, VariableChange},
    };

    const HOUR: i64 = 3_600_000_000_000;

    fn variable(path: &str) -> VariableKey {
        VariableKey { namespace: "default".into(), path: path.to_owned() }
    }

    fn id(n: usize) -> KeyId {
        KeyId::from(format!("key-{n}").as_str())
    }

    fn keks(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    /// A leader that does what it is told, with a clock of its own.
    struct Cluster {
        state: State,
        now: Timestamp,
        made: usize,
        opened: BTreeSet<KeyId>,
        config: Config,
    }

    impl Cluster {
        fn new() -> Self {
            Self { state: State::default(), now: Timestamp(1), made: 0, opened: BTreeSet::new(), config: Config::default() }
        }

        fn run(&mut self, change: KeyringChange) {
            assert_eq!(self.apply(Command::Keyring(Box::new(change))), Outcome::Done, "what it does is possible");
        }

        fn apply(&mut self, command: Command) -> Outcome {
            let entry = Entry { stamp: Stamp { now: self.now, seed: (0, 0) }, command };
            self.state.apply(self.state.log_index() + 1, &entry).outcome
        }

        /// Writes a variable, sealed with this key.
        fn put(&mut self, path: &str, key: &KeyId) {
            let (key, items) = (variable(path), Sealed { key: key.clone(), nonce: vec![], bytes: vec![1] });
            self.apply(Command::Variable(Box::new(VariableChange::Put { key, items, check_index: None })));
        }

        fn reseal(&mut self, old: &KeyId) {
            let (state, key) = (self.state.clone(), self.active());
            let sealed = |v: &floe_model::Variable| Resealed {
                key: v.key.clone(),
                modify_index: v.modify_index,
                items: Sealed { key: key.clone(), nonce: vec![], bytes: vec![2] },
            };
            let all = state.variables().filter(|v| v.items.key == *old).map(|v| sealed(v)).collect();
            self.apply(Command::Variable(Box::new(VariableChange::Reseal(all))));
        }

        fn steps(&self, keks: &[String], authorities: &[Vec<u8>]) -> Vec<Step> {
            let has = Holdings { keks, opened: &self.opened, authorities };
            steps(&self.state, &has, self.now, self.config)
        }

        fn make(&mut self, keks: &[String], activation: Activation) {
            self.made += 1;
            let (id, after) = (id(self.made), self.state.active_root_key().map(|key| key.id.clone()));
            let wraps = keks.iter().map(|kek| Wrapped { kek: kek.clone(), bytes: vec![1] }).collect();
            self.run(KeyringChange::Put(NewKey { id: id.clone(), wraps, after, activation }));
            self.opened.insert(id);
        }

        /// Does all until there is nothing to do; returns what was done.
        fn settle(&mut self, keks: &[String], authorities: &[Vec<u8>]) -> Vec<Step> {
            let mut done = Vec::new();
            loop {
                let steps = self.steps(keks, authorities);
                if steps.is_empty() {
                    return done;
                }
                for step in &steps {
                    match step.clone() {
                        Step::Make(activation) => self.make(keks, activation),
                        Step::Publish(id) => self.run(KeyringChange::Publish { id }),
                        Step::Rewrap(id) => {
                            let modify_index = self.state.root_key(&id).unwrap().modify_index;
                            let wraps = keks.iter().map(|kek| Wrapped { kek: kek.clone(), bytes: vec![1] }).collect();
                            self.run(KeyringChange::Rewrap { id, modify_index, wraps });
                        }
                        Step::Seal(certificate) => {
                            let key = self.state.active_root_key().unwrap().id.clone();
                            let key = Sealed { key, nonce: vec![1], bytes: vec![1] };
                            self.run(KeyringChange::SealAuthority(SealedAuthority { certificate, key }));
                        }
                        Step::Reseal(id) => self.reseal(&id),
                        Step::Forget(id) => self.run(KeyringChange::Delete { id, force: false }),
                    }
                }
                done.extend(steps);
                assert!(done.len() < 50, "it comes to an end: {done:?}");
            }
        }

        fn active(&self) -> KeyId {
            self.state.active_root_key().unwrap().id.clone()
        }
    }

    #[test]
    fn a_cluster_with_a_kek_gets_a_key_and_seals_its_authority() {
        let mut c = Cluster::new();
        let ca = vec![b"ca".to_vec(), b"other".to_vec()];
        assert_eq!(c.settle(&[], &ca), [], "without one nothing is made");
        assert_eq!(c.settle(&keks(&["a"]), &ca), [Step::Make(Activation::Now), Step::Seal(b"ca".to_vec())]);
        assert_eq!(c.settle(&[], &ca), [], "nor is anything undone");
    }

    #[test]
    fn keys_are_replaced_in_time_and_the_next_one_is_there_before() {
        let mut c = Cluster::new();
        let (keks, ca) = (keks(&["a"]), vec![b"ca".to_vec()]);
        c.settle(&keks, &ca);
        let begun = c.now;
        c.now = begun.plus(Nanos(359 * HOUR));
        assert_eq!(c.settle(&keks, &ca), []);
        c.now = begun.plus(Nanos(360 * HOUR));
        let publish = begun.plus(Nanos(720 * HOUR));
        assert_eq!(c.steps(&[], &ca), [], "a leader without a KEK makes none");
        assert_eq!(c.settle(&keks, &ca), [Step::Make(Activation::At(publish))]);
        c.now = Timestamp(publish.0 - 1);
        assert_eq!((c.settle(&keks, &ca), c.active()), (vec![], id(1)));
        c.now = publish;
        assert_eq!((c.settle(&keks, &ca), c.active()), (vec![Step::Publish(id(2))], id(2)));
        // The first one is kept as long as the authority is sealed with it.
        c.now = publish.plus(Nanos(24 * HOUR));
        assert_eq!(c.settle(&keks, &ca), []);
        c.make(&keks, Activation::Full);
        assert_eq!(c.settle(&keks, &ca), [Step::Seal(b"ca".to_vec())]);
        c.now = c.now.plus(Nanos(HOUR));
        assert_eq!(c.settle(&keks, &ca), [Step::Forget(id(1)), Step::Forget(id(2))]);
    }

    #[test]
    fn servers_with_other_keks_add_theirs_and_take_none_away() {
        let mut c = Cluster::new();
        let (a, b, both) = (keks(&["a"]), keks(&["b"]), keks(&["a", "b"]));
        c.settle(&a, &[]);
        assert_eq!(c.settle(&b, &[]), [Step::Rewrap(id(1))]);
        for keks in [&a, &b, &both, &a, &b] {
            assert_eq!(c.settle(keks, &[]), [], "no ping-pong");
        }
        assert!(["a", "b"].iter().all(|kek| c.state.root_key(&id(1)).unwrap().is_wrapped_by(kek)));
        let c_too = keks(&["c"]);
        c.opened.clear();
        assert_eq!(c.settle(&c_too, &[]), [], "what it cannot open it cannot wrap");
        // A key-encryption key that is configured no more wraps no new key.
        c.make(&b, Activation::Full);
        c.settle(&b, &[]);
        assert!(!c.state.root_key(&id(2)).unwrap().is_wrapped_by("a"));
    }

    #[test]
    fn variables_are_sealed_anew_after_a_full_rotation_and_only_then() {
        let mut c = Cluster::new();
        let keks = keks(&["a"]);
        c.settle(&keks, &[]);
        c.put("x", &id(1));
        c.make(&keks, Activation::Now);
        assert_eq!(c.settle(&keks, &[]), [], "what the first key sealed stays as it is");
        c.put("y", &id(2));
        c.make(&keks, Activation::Full);
        c.opened.remove(&id(2));
        assert_eq!(c.settle(&keks, &[]), [Step::Reseal(id(1))], "what does not open here waits");
        c.opened.insert(id(2));
        assert_eq!(c.settle(&keks, &[]), [Step::Reseal(id(2))]);
        assert!(c.state.variables().all(|v| v.items.key == id(3)));
        // A server that lags behind seals with a key that is inactive by now.
        c.put("z", &id(1));
        assert_eq!(c.settle(&keks, &[]), [Step::Reseal(id(1))]);
        c.now = c.now.plus(Nanos(HOUR));
        assert_eq!(c.settle(&keks, &[]), [Step::Forget(id(1)), Step::Forget(id(2))]);
    }

    #[test]
    fn more_keks_than_a_key_takes_are_left_out() {
        let mut c = Cluster::new();
        c.settle(&keks(&["a"]), &[]);
        let many: Vec<String> = (0..=MAX_WRAPS).map(|n| n.to_string()).collect();
        assert_eq!(c.settle(&many, &[]), []);
    }

    #[test]
    fn all_authorities_that_count_are_sealed_and_no_others() {
        let mut c = Cluster::new();
        let (keks, own) = (keks(&["a"]), vec![b"old".to_vec(), b"new".to_vec(), b"foreign".to_vec()]);
        c.settle(&keks, &own);
        let begin = Command::BeginRotation { present: b"old".to_vec(), next: b"new".to_vec() };
        c.state.apply(c.state.log_index() + 1, &Entry { stamp: Stamp::default(), command: begin });
        assert_eq!(c.settle(&keks, &own), [Step::Seal(b"new".to_vec())]);
        c.opened.clear();
        c.make(&keks, Activation::Full);
        c.opened.clear();
        assert_eq!(c.settle(&keks, &own), [], "it cannot seal with a key that it cannot open");
        c.opened.insert(c.active());
        assert_eq!(c.settle(&keks, &own), [Step::Seal(b"old".to_vec()), Step::Seal(b"new".to_vec())]);
    }
}
