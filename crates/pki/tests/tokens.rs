//! Join tokens as text: what is written is read, and what was copied badly is refused with a word about how.
#![allow(clippy::unwrap_used)]

use floe_pki::{Fingerprint, JoinToken, TokenError};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

const PREFIX: &str = "floe-join-1-";

/// The token with the fingerprint 00 01 02 .. 1f and the secret 20 21 .. 33, as it was written by the first version that wrote any.
const GOLDEN: &str = "floe-join-1-AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyM3Tx4ZM";

fn token() -> JoinToken {
    JoinToken::draw(Fingerprint([7; 32]))
}

fn read(text: &str) -> Result<JoinToken, TokenError> {
    text.parse()
}

#[test]
fn the_form_of_a_token_never_changes() {
    let token = read(GOLDEN).unwrap();
    assert_eq!(token.fingerprint(), Fingerprint(std::array::from_fn(|at| u8::try_from(at).unwrap())));
    assert_eq!(token.text().as_str(), GOLDEN);
    let secret: Vec<u8> = (0x20..0x34).collect();
    let hash: [u8; 32] = Sha256::digest([b"floe join token 1\0", secret.as_slice()].concat()).into();
    assert_eq!(token.hash().0, hash);
}

#[test]
fn a_token_survives_its_text_and_white_space_around_it() {
    let token = token();
    assert_eq!(read(&token.text()), Ok(token.clone()));
    assert_eq!(read(&format!(" {}\n", *token.text())), Ok(token));
}

#[test]
fn tokens_differ_and_so_do_their_hashes() {
    let (one, two) = (token(), token());
    assert_ne!(one, two);
    assert_ne!(one.hash(), two.hash());
    assert_eq!(one.hash(), read(&one.text()).unwrap().hash());
}

#[test]
fn a_hash_is_of_the_secret_alone() {
    let token = token();
    assert!(!token.text().contains(&token.hash().to_string()));
    assert_eq!(token.hash().to_string().len(), 64);
}

#[test]
fn a_token_is_printed_without_its_secret() {
    let token = token();
    assert_eq!(format!("{token:?}"), format!("JoinToken {{ fingerprint: {:?}, .. }}", token.fingerprint()));
}

#[test]
fn what_is_wrong_with_a_token_is_said() {
    let text = token().text().to_string();
    let body = text.strip_prefix(PREFIX).unwrap();
    for (damaged, expected) in [
        (String::new(), TokenError::NotAToken),
        ("floe-join-".to_owned(), TokenError::NotAToken),
        (body.to_owned(), TokenError::NotAToken),
        (text.to_uppercase(), TokenError::NotAToken),
        (format!("floe-join-2-{body}"), TokenError::OtherVersion("2".to_owned())),
        (PREFIX.to_owned(), TokenError::Length(0)),
        (text.get(..text.len() - 1).unwrap().to_owned(), TokenError::Length(74)),
        (format!("{text}A"), TokenError::Length(76)),
        (format!("{text}="), TokenError::Character(88)),
        (format!("{PREFIX} {body}"), TokenError::Character(13)),
        (format!("{PREFIX}{}", "A".repeat(75)), TokenError::Checksum),
    ] {
        assert_eq!(read(&damaged), Err(expected), "{damaged:?}");
    }
}

proptest! {
    #[test]
    fn any_token_survives_its_text(fingerprint: [u8; 32]) {
        let token = JoinToken::draw(Fingerprint(fingerprint));
        prop_assert_eq!(read(&token.text()), Ok(token));
    }

    #[test]
    fn a_token_cut_short_anywhere_is_refused(end in 0usize..87) {
        prop_assert!(read(token().text().get(..end).unwrap()).is_err());
    }

    #[test]
    fn a_token_with_another_character_is_refused(at in 12usize..87, other in "[A-Za-z0-9_-]") {
        let mut text = token().text().to_string();
        prop_assume!(text.get(at..=at) != Some(other.as_str()));
        text.replace_range(at..=at, &other);
        prop_assert_eq!(read(&text), Err(TokenError::Checksum));
    }

    #[test]
    fn a_token_with_two_characters_exchanged_is_refused(at in 12usize..86) {
        let mut characters: Vec<char> = token().text().chars().collect();
        prop_assume!(characters.get(at) != characters.get(at + 1));
        characters.swap(at, at + 1);
        let exchanged: String = characters.into_iter().collect();
        prop_assert_eq!(read(&exchanged), Err(TokenError::Checksum));
    }

    #[test]
    fn a_token_with_a_character_lost_or_doubled_is_refused(at in 12usize..87) {
        let text = token().text().to_string();
        let (front, back) = text.split_at(at);
        prop_assert_eq!(read(&format!("{front}{}", back.get(1..).unwrap())), Err(TokenError::Length(74)));
        prop_assert_eq!(read(&format!("{front}{}{back}", back.get(..1).unwrap())), Err(TokenError::Length(76)));
    }

    #[test]
    fn any_text_is_refused_without_repeating_it(text in "(floe-join-1-)?\\PC{12,100}") {
        let error = read(&text).unwrap_err().to_string();
        prop_assert!(!error.contains(&text), "{error}");
    }
}
