//! An entry that panics: nothing of it is seen, nothing after it is applied, and the reason is said.

use super::register;
use crate::{
    StopReason,
    check::{CHECK_ENTRIES, Check},
    codec,
    machine::{Machine, Restored},
    publish,
    raft_types::{Entry, Payload, RaftSnapshotBuilder, RaftStateMachine, log_id},
    stop::StopCell,
    wish::{Encoded, Wish},
};
use floe_state::{Stamp, State};
use floe_store::{
    LogRecord, Position, SnapshotStore,
    twin::{Fault, Folder},
};
use futures::stream;
use std::sync::Arc;

fn entry(index: u64, id: &str) -> Entry {
    let wish = Wish::new(Stamp::default(), &Encoded::new(register(id)).unwrap()).unwrap();
    Entry { log_id: log_id(Position { term: 1, index }), payload: Payload::Normal(wish) }
}

#[tokio::test]
async fn a_panic_in_apply_stops_the_server_and_shows_nothing() {
    let snapshots = SnapshotStore::open_in(Arc::new(Folder::new(Fault::None))).unwrap();
    let stop = StopCell::new();
    let (publisher, published) = publish::channel(State::default());
    let mut machine = Machine::new(
        Restored::load(&snapshots).unwrap(),
        snapshots,
        publisher,
        stop.clone(),
        Check::new("one".to_owned().into(), CHECK_ENTRIES),
    );
    machine.apply = |state, index, wish| {
        let applied = state.apply(index, wish);
        assert!(index != 3, "three is too many");
        applied
    };
    let batch = |entries: Vec<Entry>| stream::iter(entries.into_iter().map(|e| Ok((e, None))));
    machine.apply(batch(vec![entry(1, "a")])).await.unwrap();
    let error = machine.apply(batch(vec![entry(2, "b"), entry(3, "c"), entry(4, "d")])).await.unwrap_err();
    assert!(error.to_string().contains("three is too many"), "{error}");
    let Some(StopReason::Failed(reason)) = stop.get() else { panic!("the server goes on") };
    assert!(reason.contains("entry 3") && reason.contains("register-node"), "{reason}");
    machine.apply(batch(vec![entry(4, "d")])).await.unwrap_err();
    let view = published.view();
    assert_eq!((view.log_index(), view.nodes().count()), (1, 1), "the view stays before the batch");
    assert!(machine.get_snapshot_builder().await.build_snapshot().await.is_err(), "a half changed state is never kept");
}

#[test]
fn an_entry_of_a_newer_build_is_named_as_such() {
    let record = |payload: Vec<u8>| LogRecord { position: Position { term: 1, index: 7 }, payload: payload.into() };
    let says_so = |text: String| assert!(text.contains("entry 7") && text.contains("newer version"), "{text}");
    for payload in [vec![9], vec![2, 0xc1]] {
        says_so(codec::decode_entry(&record(payload)).unwrap_err().to_string());
    }
    let Payload::Normal(wish) = codec::decode_entry(&record(vec![1, 0x81, 0xa1, b'x', 1])).unwrap().payload else { panic!("no command") };
    says_so(wish.decode(7).unwrap_err().to_string());
    let good = codec::encode_entry(&entry(7, "n")).unwrap();
    assert_eq!(codec::decode_entry(&good).unwrap(), entry(7, "n"));
}
