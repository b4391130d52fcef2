//! Tests of [`super`]: what each view leads to, and whole beginnings with crashes, lost messages and lost disks.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use proptest::prelude::*;

/// What server 1 of three does that supports `supports`, when it sees this at the addresses b and c.
fn step(supports: Option<u32>, b: Seen<u32>, c: Seen<u32>) -> Step<u32> {
    let own = Founder { id: 1, expect: 3, supports };
    own.step(&[("a", Seen::Waiting(own.clone())), ("b", b), ("c", c)].map(|(address, seen)| (address.to_owned(), seen)).into())
}

fn waits(id: u32, supports: Option<u32>) -> Seen<u32> {
    Seen::Waiting(Founder { id, expect: 3, supports })
}

fn silent() -> Seen<u32> {
    Seen::Nothing("connection refused".to_owned())
}

/// What is waited for, in words.
fn why(step: Step<u32>) -> Vec<String> {
    let Step::Wait(obstacles) = step else { panic!("{step:?}") };
    obstacles.iter().map(Obstacle::to_string).collect()
}

#[test]
fn the_lowest_of_those_that_are_expected_is_supported_and_begins_once_all_say_so() {
    assert_eq!(step(None, waits(3, None), waits(2, None)), Step::Support(1));
    assert_eq!(step(None, waits(3, None), waits(0, None)), Step::Support(0));
    assert_eq!(why(step(Some(1), waits(3, Some(1)), waits(2, None))), ["1 is to begin the cluster"]);
    assert_eq!(step(Some(1), waits(3, Some(1)), waits(2, Some(1))), Step::Begin([1, 2, 3].into()));
    assert_eq!(why(step(Some(0), waits(3, Some(0)), waits(0, Some(0)))), ["0 is to begin the cluster"]);
}

#[test]
fn a_server_that_is_in_a_cluster_is_asked_whatever_else_there_is() {
    assert_eq!(step(None, silent(), Seen::Member), Step::Join("c".to_owned()));
    assert_eq!(step(Some(1), Seen::Member, waits(2, Some(1))), Step::Join("b".to_owned()));
    assert_eq!(step(Some(9), waits(3, Some(7)), Seen::Member), Step::Join("c".to_owned()));
}

#[test]
fn nobody_is_supported_before_every_address_answers() {
    assert_eq!(why(step(None, silent(), waits(2, None))), ["b does not answer: connection refused"]);
    assert_eq!(why(step(Some(1), silent(), silent())).len(), 2);
}

#[test]
fn configurations_that_do_not_fit_are_named() {
    let other = Seen::Waiting(Founder { id: 3, expect: 5, supports: None });
    assert_eq!(why(step(None, other, waits(2, None))), ["b has bootstrap_expect = 5, and this server 3: give all of them the same"]);
    assert!(why(step(None, waits(2, None), waits(2, None)))[0].starts_with("only 2 servers are named in retry_join"));
    let own = Founder { id: 1, expect: 2, supports: None };
    let seen = Seen::Waiting(Founder { id: 2, expect: 2, supports: None });
    let third = Seen::Waiting(Founder { id: 3, expect: 2, supports: None });
    assert!(why(own.step(&[("b".to_owned(), seen), ("c".to_owned(), third)].into()))[0].starts_with("3 servers answer"));
}

#[test]
fn a_first_that_is_gone_is_named() {
    let words = why(step(Some(1), waits(3, Some(9)), waits(2, Some(1))));
    assert!(words[0].starts_with("b waits for server 9") && words[0].contains("remove the data folders"), "{words:?}");
    assert!(why(step(Some(9), waits(3, Some(3)), waits(2, None)))[0].starts_with("this server waits for server 9"));
}

/// A machine with its disk.
#[derive(Clone)]
struct Machine {
    own: Founder<u32>,
    /// The first of the cluster that it is in, with those that may be in it.
    cluster: Option<(u32, BTreeSet<u32>)>,
    is_up: bool,
    /// The addresses that it asks.
    list: Vec<usize>,
    /// What came back in this round; gone when it crashes.
    seen: BTreeMap<String, Seen<u32>>,
}

#[derive(Clone, Debug)]
enum Event {
    /// An answer arrives.
    Ask(usize, usize),
    /// A round is over.
    Decide(usize),
    Stop(usize),
    Start(usize),
    /// The disk is lost.
    Wipe(usize),
}

struct World {
    machines: Vec<Machine>,
    next_id: u32,
}

impl World {
    fn new(expect: u16, ids: &[u32], lists: Vec<Vec<usize>>) -> Self {
        let machine = |(id, list): (&u32, Vec<usize>)| Machine {
            own: Founder { id: *id, expect, supports: None },
            cluster: None,
            is_up: true,
            list,
            seen: BTreeMap::new(),
        };
        let machines = ids.iter().zip(lists).map(machine).collect();
        World { machines, next_id: 1 }
    }

    fn clusters(&self) -> BTreeSet<u32> {
        self.machines.iter().filter_map(|m| m.cluster.as_ref()).map(|(first, _)| *first).collect()
    }

    fn run(&mut self, event: &Event) {
        match *event {
            Event::Ask(i, j) => self.ask(i, j),
            Event::Decide(i) => self.decide(i),
            Event::Stop(i) => {
                self.machines[i].is_up = false;
                self.machines[i].seen.clear();
            }
            Event::Start(i) => self.machines[i].is_up = true,
            Event::Wipe(i) => {
                let m = &mut self.machines[i];
                m.own = Founder { id: self.next_id * 7_919 % 100_003, expect: m.own.expect, supports: None };
                m.cluster = None;
                m.seen.clear();
                self.next_id += 1;
            }
        }
    }

    fn ask(&mut self, i: usize, j: usize) {
        let other = &self.machines[j];
        if !other.is_up || !self.machines[i].list.contains(&j) {
            return;
        }
        let answer = if other.cluster.is_some() { Seen::Member } else { Seen::Waiting(other.own.clone()) };
        self.machines[i].seen.insert(j.to_string(), answer);
    }

    fn decide(&mut self, i: usize) {
        let machine = &mut self.machines[i];
        if !machine.is_up || machine.cluster.is_some() {
            return;
        }
        let mut seen = std::mem::take(&mut machine.seen);
        for j in &machine.list {
            seen.entry(j.to_string()).or_insert_with(silent);
        }
        let own = machine.own.clone();
        match own.step(&seen) {
            Step::Wait(_) => {}
            Step::Support(first) => machine.own.supports = Some(first),
            Step::Begin(founders) => machine.cluster = Some((own.id, founders)),
            Step::Join(address) => {
                let member = self.machines[address.parse::<usize>().unwrap()].clone();
                let lets_in = |(_, founders): &(u32, BTreeSet<u32>)| member.is_up && founders.contains(&own.id);
                self.machines[i].cluster = member.cluster.filter(lets_in);
            }
        }
    }

    /// All are there, and everything arrives.
    fn settle(&mut self) {
        let all = 0..self.machines.len();
        all.clone().for_each(|i| self.run(&Event::Start(i)));
        for _ in 0..5 {
            for i in all.clone() {
                all.clone().for_each(|j| self.ask(i, j));
                self.decide(i);
            }
        }
    }
}

fn event(servers: usize, with_loss: bool) -> impl Strategy<Value = Event> {
    let one = 0..servers;
    prop_oneof![
        20 => (one.clone(), one.clone()).prop_map(|(i, j)| Event::Ask(i, j)),
        8 => one.clone().prop_map(Event::Decide),
        1 => one.clone().prop_map(Event::Stop),
        2 => one.clone().prop_map(Event::Start),
        u32::from(with_loss) => one.prop_map(Event::Wipe),
    ]
}

/// Ids in any order, and what happens, for 1 to [`MAX_EXPECT`] servers.
fn story(with_loss: bool) -> impl Strategy<Value = (Vec<u32>, Vec<Event>)> {
    (2..=usize::from(MAX_EXPECT)).prop_flat_map(move |servers| {
        let ids = Just((50_000..50_000 + u32::try_from(servers).unwrap()).collect::<Vec<_>>()).prop_shuffle();
        (ids, proptest::collection::vec(event(servers, with_loss), 0..servers * 80))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_happens_all_come_to_be_in_one_cluster((ids, events) in story(false)) {
        let all: Vec<usize> = (0..ids.len()).collect();
        let mut world = World::new(u16::try_from(ids.len()).unwrap(), &ids, vec![all; ids.len()]);
        for event in &events {
            world.run(event);
            prop_assert!(world.clusters().len() <= 1);
        }
        world.settle();
        prop_assert!(world.machines.iter().all(|m| m.cluster.as_ref().is_some_and(|(_, founders)| founders.len() == ids.len())));
        prop_assert_eq!(world.clusters().len(), 1);
    }

    #[test]
    fn lost_disks_never_make_a_second_cluster_beside_the_first((ids, events) in story(true)) {
        let all: Vec<usize> = (0..ids.len()).collect();
        let mut world = World::new(u16::try_from(ids.len()).unwrap(), &ids, vec![all; ids.len()]);
        for event in &events {
            world.run(event);
            prop_assert!(world.clusters().len() <= 1, "{:?}", world.clusters());
        }
    }

    #[test]
    fn servers_that_were_told_of_different_ones_make_one_cluster_or_none(
        seed in proptest::collection::vec((0usize..5, 0usize..5), 5),
        events in proptest::collection::vec(event(5, false), 0..400),
    ) {
        // Five servers that expect three, each told of two others.
        let list = |(i, (a, b)): (usize, &(usize, usize))| vec![i, *a, *b];
        let lists = seed.iter().enumerate().map(list).collect();
        let mut world = World::new(3, &[4, 2, 0, 1, 3], lists);
        for event in &events {
            world.run(event);
            prop_assert!(world.clusters().len() <= 1);
        }
        world.settle();
        prop_assert!(world.clusters().len() <= 1);
    }
}
