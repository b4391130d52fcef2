//! Measures how long a filter takes over 10,000 allocations.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people")]

use floe_api::{Filter, types::AllocationListStub};
use floe_model::{AllocClientStatus, TaskState, alloc::TaskPhase};
use std::time::Instant;

const ROWS: usize = 10_000;

fn row(n: usize) -> AllocationListStub {
    let client_status = if n.is_multiple_of(3) { AllocClientStatus::Running } else { AllocClientStatus::Complete };
    let task = TaskState { state: TaskPhase::Running, ..TaskState::default() };
    AllocationListStub {
        id: format!("{n:08x}-0000-4000-8000-000000000000").into(),
        name: format!("web.web[{n}]"),
        job_id: "web".into(),
        client_status,
        task_states: [("web".to_owned(), task)].into(),
        ..AllocationListStub::default()
    }
}

fn main() {
    let rows: Vec<_> = (0..ROWS).map(row).collect();
    let began = Instant::now();
    let bytes = serde_json::to_vec(&rows).unwrap().len();
    println!("{ROWS} rows as JSON ({bytes} bytes), without a filter: {:?}", began.elapsed());
    let filters = [
        "ClientStatus == running",
        "Name matches `\\[[0-9]+7\\]$` and JobID == web",
        "any TaskStates as name, state { name == web and state.State == running }",
    ];
    for text in filters {
        let began = Instant::now();
        let filter = Filter::parse(text).unwrap();
        let parsed = began.elapsed();
        let mut selection = filter.selection();
        let kept = rows.iter().filter(|row| selection.keeps(row).unwrap()).count();
        selection.finish().unwrap();
        println!("{text}: {kept} rows in {:?}, of that {parsed:?} to parse", began.elapsed());
    }
    worst();
}

/// The most expensive pattern on a text that it is hardest for, until the steps are used up.
fn worst() {
    let filter = Filter::parse("T matches `(?:[01]*1){220}x`").unwrap();
    let row = serde_json::json!({"T": "0110100".repeat(100)});
    let began = Instant::now();
    let mut selection = filter.selection();
    let rows = (0..).take_while(|_| selection.keeps(&row).is_ok()).count();
    println!("the most expensive filter gives up after {rows} rows of 700 bytes and {:?}", began.elapsed());
}
