//! The secret of the first servers, and what is sealed with it.
#![allow(clippy::unwrap_used)]

use floe_pki::{
    AgentId, BootstrapSecret, Fingerprint, Keypair,
    bootstrap::{MAX_SEALED_BYTES, OpenError, Sealed, SecretError},
};
use proptest::prelude::*;

/// The secret 00 01 02 .. 1f, as it was written by the first version that wrote any.
const GOLDEN: &str = "floe-bootstrap-1-AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh-17enU";

fn id() -> AgentId {
    Keypair::generate().id()
}

fn read(text: &str) -> Result<BootstrapSecret, SecretError> {
    text.parse()
}

#[test]
fn the_form_of_a_secret_never_changes() {
    assert_eq!(read(GOLDEN).unwrap().text().as_str(), GOLDEN);
}

#[test]
fn a_secret_survives_its_text_and_white_space_around_it() {
    let secret = BootstrapSecret::draw();
    assert_eq!(read(&format!(" {}\n", *secret.text())), Ok(secret.clone()));
    assert_ne!(BootstrapSecret::draw(), secret);
    assert_eq!(format!("{secret:?}"), "BootstrapSecret { .. }");
}

#[test]
fn what_is_no_secret_is_refused_without_being_repeated() {
    let text = BootstrapSecret::draw().text();
    let (cut, longer) = (text.split_at(text.len() - 1).0.to_owned(), format!("{}A", *text));
    for wrong in [cut, longer, text.replace("-1-", "-1-_"), "floe-bootstrap-1-".to_owned()] {
        assert_eq!(read(&wrong), Err(SecretError::Damaged), "{wrong}");
    }
    for wrong in ["", "hunter2", "floe-join-1-AAAA", "floe-bootstrap-2-AAAA"] {
        assert_eq!(read(wrong), Err(SecretError::NotASecret));
    }
    assert!(!read("floe-bootstrap-1-hunter2").unwrap_err().to_string().contains("hunter2"));
}

#[test]
fn a_question_and_its_answer_are_read_by_who_has_the_secret() {
    let (secret, asker, answerer) = (BootstrapSecret::draw(), id(), id());
    let question = secret.ask(asker, b"who are you?");
    assert_eq!(secret.hear(&question).unwrap(), b"who are you?");
    let answer = secret.answer(answerer, &question, b"one of yours");
    assert_eq!(secret.read_answer(&question, &answer).unwrap(), b"one of yours");
    let other = BootstrapSecret::draw();
    assert_eq!(other.hear(&question), Err(OpenError::OtherSecret));
    assert_eq!(other.read_answer(&question, &answer), Err(OpenError::OtherSecret));
}

#[test]
fn an_answer_counts_for_its_question_alone() {
    let (secret, asker, answerer) = (BootstrapSecret::draw(), id(), id());
    let question = secret.ask(asker, b"?");
    let answer = secret.answer(answerer, &question, b"!");
    let refused = |question: &Sealed, answer: &Sealed| assert_eq!(secret.read_answer(question, answer), Err(OpenError::OtherSecret));
    refused(&secret.ask(asker, b"?"), &answer);
    refused(&Sealed { from: answerer, ..question.clone() }, &answer);
    refused(&question, &Sealed { from: asker, ..answer.clone() });
    refused(&question, &question);
    assert_eq!(secret.hear(&answer), Err(OpenError::OtherSecret), "an answer is no question");
    assert_eq!(secret.hear(&Sealed { from: answerer, ..question }), Err(OpenError::OtherSecret), "nobody asks in another's name");
}

#[test]
fn messages_are_bounded_before_they_are_opened() {
    let (secret, asker) = (BootstrapSecret::draw(), id());
    let longest = secret.ask(asker, &[0; MAX_SEALED_BYTES - 16]);
    assert!(secret.hear(&longest).is_ok());
    assert_eq!(secret.hear(&secret.ask(asker, &[0; MAX_SEALED_BYTES - 15])), Err(OpenError::TooLarge));
}

#[test]
fn a_founder_has_one_token_a_cluster() {
    let (secret, founder) = (BootstrapSecret::draw(), id());
    let cluster = Fingerprint([7; 32]);
    let token = secret.join_token(cluster, founder);
    assert_eq!(token, secret.join_token(cluster, founder));
    assert_eq!(token.fingerprint(), cluster);
    let others = [
        secret.join_token(cluster, id()),
        secret.join_token(Fingerprint([8; 32]), founder),
        BootstrapSecret::draw().join_token(cluster, founder),
    ];
    assert!(others.iter().all(|other| other.hash() != token.hash()));
}

proptest! {
    #[test]
    fn no_changed_byte_goes_unnoticed(at in 0usize..64, bit in 0u8..8) {
        let secret = BootstrapSecret::draw();
        let mut question = secret.ask(id(), b"the question is sixteen or more bytes long, so that each has its place");
        let mut bytes = question.salt.iter_mut().chain(question.sealed.iter_mut());
        *bytes.nth(at).unwrap() ^= 1 << bit;
        prop_assert_eq!(secret.hear(&question), Err(OpenError::OtherSecret));
    }
}
