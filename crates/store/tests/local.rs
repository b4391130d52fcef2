//! What a client remembers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use floe_model::alloc::AllocUpdate;
use floe_model::{AllocClientStatus, AllocId, Allocation, Job};
use floe_store::{
    DataFolder, LocalError, LocalState,
    local::NodeIdentity,
    twin::{Chance, Disk, Fault},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Handle {
    pid: u32,
}

fn alloc(id: &str) -> Allocation {
    let job = Job { id: "web".into(), ..Job::default() };
    Allocation { id: id.into(), job: Some(Arc::new(job)), ..Allocation::default() }
}

fn put(local: &LocalState, id: &str, pid: u32) -> Result<(), LocalError> {
    local.transaction(|t| {
        t.put_allocation(&alloc(id))?;
        t.put_task_handle(&id.into(), "main", &Handle { pid })?;
        t.put_task_handle(&id.into(), "side", &Handle { pid: pid + 1 })?;
        t.put_network(&id.into(), &format!("10.0.0.{pid}"))?;
        t.put_status(&AllocUpdate { id: id.into(), client_status: AllocClientStatus::Running, ..AllocUpdate::default() })
    })
}

#[test]
fn everything_comes_back_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(dir.path()).unwrap();
    let local = LocalState::open(&folder).unwrap();
    assert_eq!(local.identity().unwrap(), None);
    let identity = NodeIdentity { node_id: "n1".into(), secret: "hush".to_owned() };
    local.transaction(|t| t.put_identity(&identity)).unwrap();
    put(&local, "a", 1).unwrap();
    put(&local, "b", 5).unwrap();
    drop(local);
    let local = LocalState::open(&folder).unwrap();
    assert_eq!(local.identity().unwrap(), Some(identity));
    assert_eq!(local.allocations().unwrap(), [alloc("a"), alloc("b")]);
    assert_eq!(local.allocation(&"b".into()).unwrap(), Some(alloc("b")));
    let handles = local.task_handles::<Handle>(&"b".into()).unwrap();
    assert_eq!(handles, [("main".to_owned(), Handle { pid: 5 }), ("side".to_owned(), Handle { pid: 6 })].into());
    assert_eq!(local.network::<String>(&"a".into()).unwrap().as_deref(), Some("10.0.0.1"));
    assert_eq!(local.networks::<String>().unwrap().len(), 2);
    assert_eq!(local.statuses().unwrap()[&AllocId::from("a")].client_status, AllocClientStatus::Running);
}

#[test]
fn an_allocation_goes_with_all_that_belongs_to_it_and_nothing_else() {
    let local = LocalState::open_on(Disk::new(Fault::None)).unwrap();
    for id in ["a", "a\0", "aa", "b"] {
        put(&local, id, 1).unwrap();
    }
    local.transaction(|t| t.remove_allocation(&"a".into())).unwrap();
    let left: Vec<String> = local.allocations().unwrap().into_iter().map(|a| a.id.as_str().to_owned()).collect();
    assert_eq!(left, ["a\0", "aa", "b"]);
    assert!(local.task_handles::<Handle>(&"a".into()).unwrap().is_empty());
    assert_eq!(local.network::<String>(&"a".into()).unwrap(), None);
    assert_eq!((local.statuses().unwrap().len(), local.networks::<String>().unwrap().len()), (3, 3));
    assert_eq!(local.task_handles::<Handle>(&"aa".into()).unwrap().len(), 2);
    local.transaction(|t| t.remove_task_handle(&"b".into(), "side").and_then(|()| t.remove_network(&"b".into()))).unwrap();
    assert_eq!(local.task_handles::<Handle>(&"b".into()).unwrap().len(), 1);
}

#[test]
fn a_transaction_that_fails_changes_nothing() {
    #[derive(Debug, thiserror::Error)]
    enum Mine {
        #[error("no")]
        No,
        #[error(transparent)]
        Local(#[from] LocalError),
    }
    let local = LocalState::open_on(Disk::new(Fault::None)).unwrap();
    put(&local, "a", 1).unwrap();
    let result: Result<(), Mine> = local.transaction(|t| {
        t.remove_allocation(&"a".into())?;
        t.put_allocation(&alloc("b"))?;
        Err(Mine::No)
    });
    assert!(matches!(result, Err(Mine::No)));
    assert_eq!(local.allocations().unwrap(), [alloc("a")]);
}

#[test]
fn a_record_of_another_type_is_an_error_with_its_name() {
    let local = LocalState::open_on(Disk::new(Fault::None)).unwrap();
    put(&local, "a", 1).unwrap();
    let error = local.task_handles::<String>(&"a".into()).unwrap_err();
    assert!(matches!(error, LocalError::Decode { table: "task-handles", .. }), "{error:?}");
    assert!(error.to_string().contains("a/main"), "{error}");
}

#[test]
fn the_secret_is_never_printed() {
    let identity = NodeIdentity { node_id: "n1".into(), secret: "hush".to_owned() };
    assert!(!format!("{identity:?}").contains("hush"));
}

#[test]
fn a_second_opener_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(dir.path()).unwrap();
    let local = LocalState::open(&folder).unwrap();
    assert!(matches!(LocalState::open(&folder), Err(LocalError::InUse { .. })));
    drop(local);
    LocalState::open(&folder).unwrap();
}

#[test]
fn a_damaged_file_is_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(dir.path()).unwrap();
    drop(LocalState::open(&folder).unwrap());
    let path = dir.path().join("client/state.redb");
    for content in [vec![0; 5000], b"rubbish".to_vec(), Vec::new()] {
        std::fs::write(&path, content).unwrap();
        let error = LocalState::open(&folder).unwrap_err();
        assert!(matches!(error, LocalError::Damaged { .. }), "{error:?}");
        assert!(error.to_string().contains("client/state.redb") && error.to_string().contains("move it away"), "{error}");
    }
}

#[test]
fn damage_is_found_or_is_not_in_use() {
    let disk = Disk::new(Fault::None);
    let ids: Vec<String> = (0..20).map(|n| format!("alloc-{n:02}")).collect();
    {
        let local = LocalState::open_on(disk.clone()).unwrap();
        ids.iter().for_each(|id| put(&local, id, 1).unwrap());
    }
    let content = disk.content();
    let all = |local: &LocalState| -> Result<_, LocalError> {
        Ok((local.allocations()?, local.networks::<String>()?, local.statuses()?, local.task_handles::<Handle>(&ids[3].as_str().into())?))
    };
    let expected = all(&LocalState::open_on(Disk::with(content.clone(), Fault::None)).unwrap()).unwrap();
    assert_eq!(expected.0.len(), 20);
    std::panic::set_hook(Box::new(|_| {}));
    let mut found = 0;
    for seed in 0..400 {
        let mut chance = Chance::new(seed);
        let mut bad = content.clone();
        let start = usize::try_from(chance.below(bad.len() as u64)).unwrap();
        bad.iter_mut().skip(start).take(512).for_each(|b| *b = u8::try_from(chance.below(256)).unwrap());
        match LocalState::open_on(Disk::with(bad, Fault::None)).and_then(|local| all(&local)) {
            Ok(read) => assert_eq!(read, expected, "seed {seed}: damage at {start} was served"),
            Err(_) => found += 1,
        }
    }
    let _ = std::panic::take_hook();
    assert!(found > 10, "only {found} were found");
}

#[test]
fn what_a_transaction_acknowledged_survives_a_power_cut_at_every_operation() {
    let total = {
        let disk = Disk::new(Fault::None);
        fill(&disk);
        disk.operations()
    };
    for cut in 0..total {
        let fault = if cut % 2 == 0 { Fault::PowerCut { at: cut } } else { Fault::SyncFails { at: cut } };
        let disk = Disk::new(fault);
        let kept = fill(&disk);
        let found = disk.after_crash(&mut Chance::new(cut));
        let opened = LocalState::open_on(Disk::with(found, Fault::None));
        let Ok(local) = opened else {
            assert_eq!(kept, 0, "cut {cut}: {}", opened.unwrap_err());
            continue;
        };
        let count = local.allocations().unwrap().len();
        assert!(count >= kept && count <= kept + 1, "cut {cut}: {kept} were acknowledged, {count} are there");
        assert_eq!(local.statuses().unwrap().len(), count, "cut {cut}: half a transaction");
    }
}

/// How many transactions were acknowledged before the first that failed. All after it must fail too.
fn fill(disk: &Disk) -> usize {
    let Ok(local) = LocalState::open_on(disk.clone()) else { return 0 };
    let results: Vec<bool> = (0..8).map(|n| put(&local, &format!("a{n}"), n).is_ok()).collect();
    let kept = results.iter().take_while(|ok| **ok).count();
    assert!(results[kept..].iter().all(|ok| !ok), "a transaction succeeded after one that failed: {results:?}");
    kept
}
