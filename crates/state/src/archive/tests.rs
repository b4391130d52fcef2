//! Tests of the archive that need its inside.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use floe_model::{Job, Node};
use std::sync::Arc;

fn state() -> State {
    let mut state = State { cluster_version: 1, ..State::default() };
    state.skip(7);
    state.set_node(Arc::new(Node { id: "n".into(), modify_index: 7, ..Node::default() }));
    let job = Arc::new(Job { id: "j".into(), ..Job::default() });
    state.jobs.insert(job.key(), job);
    state
}

fn origin() -> Origin {
    Origin { cluster_id: "c".to_owned(), term: 3, floe_version: "0.1.0".to_owned(), ..Origin::default() }
}

#[test]
fn an_archive_is_refused_when_it_is_one_byte_too_large() {
    let (body, whole) = (state().encode().len() as u64, encode(&state(), origin()).unwrap().len());
    assert_eq!(encode_within(&state(), origin(), body, whole).unwrap().len(), whole);
    let error = encode_within(&state(), origin(), body - 1, whole).unwrap_err();
    assert_eq!(error.to_string(), format!("write snapshot: the state takes {body} bytes, more than the limit of {}", body - 1));
    assert!(matches!(encode_within(&state(), origin(), body, whole - 1), Err(ArchiveError::StateTooLarge { .. })));
}

/// An archive around metadata and body as they are given, with a digest that fits.
fn forged(metadata: &[u8], compressed: &[u8]) -> Vec<u8> {
    let mut bytes = [MAGIC.as_slice(), &FORMAT.to_be_bytes(), &u32::try_from(metadata.len()).unwrap().to_be_bytes()].concat();
    bytes.extend(metadata);
    bytes.extend(compressed);
    let digest = Sha256::digest(&bytes);
    [bytes, digest.to_vec()].concat()
}

fn refusal(metadata: &Metadata, state: &State) -> String {
    let body = state.encode();
    let metadata =
        Metadata { body_bytes: if metadata.body_bytes == 0 { body.len() as u64 } else { metadata.body_bytes }, ..metadata.clone() };
    let error = decode(&forged(&metadata.to_bytes(), &compress(Vec::new(), &body))).unwrap_err();
    error.to_string()
}

#[test]
fn a_bomb_is_not_unpacked_and_lies_are_refused() {
    let good = Metadata { body_bytes: 0, ..decode(&encode(&state(), origin()).unwrap()).unwrap().metadata };
    let body = state().encode().len() as u64;
    let says = |change: fn(&mut Metadata)| {
        let mut metadata = good.clone();
        change(&mut metadata);
        refusal(&metadata, &state())
    };
    assert!(says(|m| m.body_bytes = 10).contains("another length"), "no more is unpacked than is announced");
    assert!(says(|m| m.body_bytes = MAX_BODY_BYTES).contains("another length"));
    assert!(says(|m| m.body_bytes = MAX_BODY_BYTES + 1).contains("too long"));
    assert!(says(|m| m.index = 8).contains("says that its index is 8, but that is 7"));
    assert!(says(|m| m.cluster_version = 0).contains("cluster version"));
    assert!(says(|m| _ = m.counts.insert("jobs".to_owned(), 2)).contains("2 jobs, but that is 1 jobs"));
    assert!(says(|m| _ = m.counts.insert("ghosts".to_owned(), 1)).contains("1 ghosts, but that is 0 ghosts"));
    assert!(says(|m| _ = m.counts.remove("nodes")).contains("nodes"));
    let older = Metadata { body_bytes: body, counts: good.counts.clone().into_iter().filter(|(_, n)| *n > 0).collect(), ..good };
    assert!(
        decode(&forged(&older.to_bytes(), &compress(Vec::new(), &state().encode()))).is_ok(),
        "tables that a writer did not know are empty"
    );
}

#[test]
fn what_fits_its_digest_but_is_no_archive_is_refused() {
    assert!(decode(&forged(b"rubbish", b"")).unwrap_err().to_string().contains("metadata cannot be read"));
    let metadata = Metadata { body_bytes: 1, ..Metadata::default() }.to_bytes();
    assert!(decode(&forged(&metadata, b"\xff\xff")).unwrap_err().to_string().contains("cannot be unpacked"));
    assert!(decode(&forged(&metadata, &compress(Vec::new(), b"x"))).unwrap_err().to_string().contains("read snapshot"));
    let mut long = forged(&metadata, b"");
    long[12..16].copy_from_slice(&u32::try_from(MAX_METADATA_BYTES + 1).unwrap().to_be_bytes());
    let cut = long.len() - DIGEST_BYTES;
    let digest = Sha256::digest(&long[..cut]).to_vec();
    long[cut..].copy_from_slice(&digest);
    assert!(decode(&long).unwrap_err().to_string().contains("metadata is too long"));
}

#[test]
fn indexes_that_no_log_has_are_refused() {
    let mut state = state();
    state.skip(MAX_INDEX);
    assert!(decode(&encode(&state, origin()).unwrap()).is_ok());
    state.skip(MAX_INDEX + 1);
    assert!(decode(&encode(&state, origin()).unwrap()).unwrap_err().to_string().contains("indexes make no sense"));
    state.skip(6);
    assert!(decode(&encode(&state, origin()).unwrap()).unwrap_err().to_string().contains("indexes make no sense"), "a row is newer");
}

#[test]
fn a_digest_that_differs_counts_among_builds_of_one_form() {
    let mut archive = decode(&encode(&state(), origin()).unwrap()).unwrap();
    assert!(archive.check_digest().is_ok() && archive.has_same_digest());
    archive.metadata.digest = crate::Digest::default();
    assert!(archive.check_digest().unwrap_err().to_string().contains("content's digest"));
    archive.metadata.digest_form = "0.0.9/1".to_owned();
    assert!(archive.check_digest().is_ok() && !archive.has_same_digest());
}
