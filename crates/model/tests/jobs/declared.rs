//! Declared jobs: who has what, and what is done about it.

use crate::generate::changed;
use floe_model::{
    JobId,
    declared::{Leftovers, MAX_OWNER_BYTES, Marked, OWNER_KEY, Owner, Present, Step, owner_of, steps},
};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn me() -> Owner {
    Owner::new("me").unwrap()
}

fn present(id: &str, owner: Option<&str>, stop: bool) -> Present {
    Present { id: id.into(), index: 7, owner: owner.map(str::to_owned), stop }
}

#[test]
fn floe_says_whose_a_job_is_and_nobody_else() {
    let mut job = changed(&[]);
    assert_eq!(owner_of(&job.meta), None);
    me().mark(&mut job).unwrap();
    assert_eq!(owner_of(&job.meta), Some("me"));
    assert_eq!(me().mark(&mut job), Err(Marked));
    assert!(Marked.to_string().contains(OWNER_KEY));
    for good in ["a", "nixos-1.prod_x", &"x".repeat(MAX_OWNER_BYTES)] {
        assert_eq!(Owner::new(good).unwrap().name(), good);
    }
    for bad in ["", "a b", "ä", "a/b", "a\n", &"x".repeat(MAX_OWNER_BYTES + 1)] {
        assert!(Owner::new(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn each_job_has_one_step() {
    let there = [
        present("same", Some("me"), false),
        present("back", Some("me"), true),
        present("foreign", Some("you"), false),
        present("by-hand", None, false),
        present("old", Some("me"), false),
        present("old-and-over", Some("me"), true),
        present("others", Some("you"), false),
    ];
    let declared: Vec<JobId> = ["new", "same", "back", "foreign", "by-hand", "twice", "twice"].map(JobId::new).to_vec();
    let words = |leftovers| {
        let each = steps(&me(), &declared, &there, leftovers).into_iter().map(|s| match s {
            Step::Submit { id, index } => format!("submit {id} at {index}"),
            Step::Refuse { id, why } => format!("refuse {id}: {}", why.split([':', ' ']).take(3).collect::<Vec<_>>().join(" ")),
            Step::Prune { id, index } => format!("prune {id} at {index}"),
            Step::Keep { id } => format!("keep {id}"),
        });
        each.collect::<Vec<_>>()
    };
    let common = [
        "submit new at 0",
        "submit same at 7",
        "submit back at 7",
        "refuse foreign: it is declared",
        "refuse by-hand: it was not",
        "refuse twice: several files declare",
        "refuse twice: several files declare",
    ];
    assert_eq!(words(Leftovers::Prune), [common.as_slice(), &["prune old at 7"]].concat());
    assert_eq!(words(Leftovers::Keep), [common.as_slice(), &["keep old"]].concat());
}

/// What a cluster has after the steps.
fn after(owner: &Owner, there: &[Present], steps: &[Step]) -> Vec<Present> {
    let mut there = there.to_vec();
    for step in steps {
        match step {
            Step::Submit { id, index } => {
                let found = there.iter_mut().find(|p| p.id == *id);
                assert_eq!(found.as_ref().map_or(0, |p| p.index), *index, "by the index that it has");
                match found {
                    Some(job) => job.stop = false,
                    None => there.push(Present { id: id.clone(), index: 9, owner: Some(owner.name().to_owned()), stop: false }),
                }
            }
            Step::Prune { id, index } => {
                let job = there.iter_mut().find(|p| p.id == *id && p.index == *index).unwrap();
                job.stop = true;
            }
            Step::Refuse { .. } | Step::Keep { .. } => {}
        }
    }
    there
}

proptest! {
    #[test]
    fn nobody_elses_job_is_touched_and_all_of_the_owners_end_as_declared(
        declared in prop::collection::vec(0..12u8, 0..10),
        there in prop::collection::btree_map(0..12u8, (0..3u8, any::<bool>(), 1..99u64), 0..10),
        prune in any::<bool>(),
    ) {
        let id = |n: &u8| JobId::new(format!("j{n}"));
        let declared: Vec<JobId> = declared.iter().map(id).collect();
        let there: Vec<Present> = there
            .iter()
            .map(|(n, (owner, stop, index))| {
                let owner = [None, Some("me"), Some("you")][usize::from(*owner)].map(str::to_owned);
                Present { id: id(n), index: *index, owner, stop: *stop }
            })
            .collect();
        let leftovers = if prune { Leftovers::Prune } else { Leftovers::Keep };
        let found = steps(&me(), &declared, &there, leftovers);
        prop_assert!(declared.iter().zip(&found).all(|(id, step)| step.id() == id), "one step each, in order");

        let wanted: BTreeSet<&JobId> = declared.iter().collect();
        let twice = |id: &JobId| declared.iter().filter(|d| *d == id).count() > 1;
        let end = after(&me(), &there, &found);
        for job in &end {
            let was = there.iter().find(|p| p.id == job.id);
            if was.is_some_and(|p| p.owner.as_deref() != Some("me")) {
                prop_assert_eq!(Some(job), was, "not ours");
            } else if wanted.contains(&job.id) && !twice(&job.id) {
                prop_assert!(!job.stop);
            } else if prune && !twice(&job.id) {
                prop_assert!(job.stop, "{} is declared no longer", job.id);
            } else {
                prop_assert_eq!(Some(job), was);
            }
        }
        // Nothing is left to prune or to make the next time.
        let again = steps(&me(), &declared, &end, leftovers);
        let quiet = |s: &Step| !matches!(s, Step::Prune { .. } | Step::Submit { index: 0, .. });
        prop_assert!(again.iter().all(quiet), "{:?}", again);
        prop_assert_eq!(found.iter().filter(|s| matches!(s, Step::Refuse { .. })).count(), again.iter().filter(|s| matches!(s, Step::Refuse { .. })).count());
    }
}
