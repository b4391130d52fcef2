//! What authorities issue, what they refuse, and whose certificates count.
#![allow(clippy::unwrap_used)]

mod support;

use floe_model::{Nanos, Timestamp};
use floe_pki::{
    Authority, AuthorityError, CLOCK_SKEW, CertificateDer, ClusterId, Credentials, Fingerprint, Keypair, MAX_AUTHORITIES, MAX_CHAIN,
    MAX_REQUEST_BYTES, PeerError, Request, RequestError, Role, Trust, TrustError,
};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, SanType};
use support::{DAY, NOW, TestClock, YEAR, after, agent, authority, before, certify, forge, library_key, new_cluster, trust};

const SECOND: Nanos = Nanos::from_secs(1);

#[test]
fn a_certificate_says_whose_key_it_is_and_in_which_cluster() {
    let ca = new_cluster();
    for role in [Role::Server, Role::Client] {
        let key = Keypair::generate();
        let certificate = certify(&ca, &key, "one.example", role);
        let peer = trust(&[&ca]).verify(&[certificate], NOW).unwrap();
        assert_eq!((peer.id, peer.role, peer.cluster, peer.name.as_str()), (key.id(), role, ca.cluster(), "one.example"));
        assert_eq!(peer.not_after, after(DAY));
    }
}

#[test]
fn the_longest_name_makes_a_request_and_a_certificate_of_the_promised_sizes() {
    let ca = new_cluster();
    let key = Keypair::generate();
    let sizes = |name: &str| (key.request(&name.parse().unwrap()).len(), certify(&ca, &key, name, Role::Server).len());
    let (short, name) = (sizes("n"), "n".repeat(255));
    let long = sizes(&name);
    assert!(short.0 <= 150 && long.0 <= 450 && short.1 <= 600 && long.1 <= 900, "{short:?} {long:?}");
    let certificate = certify(&ca, &key, &name, Role::Server);
    assert_eq!(trust(&[&ca]).verify(&[certificate], NOW).unwrap().name.as_str(), name);
}

#[test]
fn a_certificate_counts_from_five_minutes_ago_to_its_last_second() {
    let ca = Authority::create(ClusterId::draw(), before(DAY), YEAR).unwrap();
    let own = [certify(&ca, &Keypair::generate(), "one", Role::Server)];
    let trust = trust(&[&ca]);
    assert!(trust.verify(&own, before(CLOCK_SKEW)).is_ok());
    assert!(trust.verify(&own, after(DAY)).is_ok());
    let name = || "one".parse().unwrap();
    let early = before(CLOCK_SKEW).plus(Nanos(-SECOND.0));
    assert_eq!(trust.verify(&own, early), Err(PeerError::NotYetValid { name: name(), not_before: before(CLOCK_SKEW), now: early }));
    let late = after(DAY).plus(SECOND);
    assert_eq!(trust.verify(&own, late), Err(PeerError::Expired { name: name(), not_after: after(DAY), now: late }));
    let text = trust.verify(&own, late).unwrap_err().to_string();
    assert!(text.contains("ended at 2026-01-02T00:00:00Z, and this machine's clock says 2026-01-02T00:00:01Z"), "{text}");
}

#[test]
fn a_certificate_does_not_outlive_its_authority() {
    let ca = Authority::create(ClusterId::draw(), NOW, Nanos::from_hours(1)).unwrap();
    let own = [certify(&ca, &Keypair::generate(), "one", Role::Server)];
    assert_eq!(trust(&[&ca]).verify(&own, NOW).unwrap().not_after, ca.validity().not_after);
}

#[test]
fn an_authority_whose_time_is_over_issues_nothing_and_counts_no_more() {
    let ca = Authority::create(ClusterId::draw(), NOW, Nanos::from_hours(1)).unwrap();
    let key = Keypair::generate();
    let request = Request::verify(&key.request(&"one".parse().unwrap())).unwrap();
    for now in [before(DAY), after(DAY)] {
        assert!(matches!(ca.issue(&request, Role::Client, now, DAY), Err(AuthorityError::Time { .. })));
    }
    let outliving = forge(&ca, &key, |_| ());
    let late = after(Nanos::from_hours(2));
    assert!(trust(&[&ca]).verify(std::slice::from_ref(&outliving), NOW).is_ok());
    assert!(matches!(trust(&[&ca]).verify(&[outliving], late), Err(PeerError::AuthorityTime { .. })));
}

#[test]
fn a_life_shorter_than_a_second_is_refused() {
    let cluster = ClusterId::draw();
    assert!(Authority::create(cluster, NOW, SECOND).is_ok());
    for life in [Nanos(999_999_999), Nanos::ZERO, Nanos(-1)] {
        assert!(matches!(Authority::create(cluster, NOW, life), Err(AuthorityError::Lifetime(_))));
    }
}

#[test]
fn every_certificate_has_a_serial_number_of_its_own() {
    let (ca, key) = (new_cluster(), Keypair::generate());
    let serial = |der: CertificateDer<'_>| x509_parser::parse_x509_certificate(&der).unwrap().1.tbs_certificate.serial.clone();
    let (one, two) = (serial(certify(&ca, &key, "one", Role::Server)), serial(certify(&ca, &key, "one", Role::Server)));
    assert_ne!(one, two);
    assert!(one.bits() > 64 && one.bits() <= 128, "{one}");
}

#[test]
fn an_authority_is_for_agents_and_not_for_other_authorities() {
    let ca = new_cluster();
    let (_, read) = x509_parser::parse_x509_certificate(ca.certificate()).unwrap();
    assert_eq!(read.basic_constraints().unwrap().unwrap().value.path_len_constraint, Some(0));
}

#[test]
fn an_authority_survives_its_parts() {
    let ca = new_cluster();
    let again = Authority::from_parts(ca.certificate(), ca.key()).unwrap();
    assert_eq!((again.cluster(), again.fingerprint(), again.validity()), (ca.cluster(), ca.fingerprint(), ca.validity()));
    let own = [certify(&again, &Keypair::generate(), "one", Role::Client)];
    assert!(trust(&[&ca]).verify(&own, NOW).is_ok());
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let (ca, other) = (new_cluster(), new_cluster());
    assert!(matches!(Authority::from_parts(ca.certificate(), other.key()), Err(AuthorityError::OtherKey)));
    assert!(matches!(Authority::from_parts(ca.certificate(), b"key"), Err(AuthorityError::Key(_))));
    assert!(matches!(Authority::from_parts(b"certificate", ca.key()), Err(AuthorityError::Malformed(_))));
    let key = Keypair::generate();
    let own = certify(&ca, &key, "one", Role::Server);
    assert!(matches!(Authority::from_parts(&own, key.pkcs8()), Err(AuthorityError::Malformed(_))));
}

#[test]
fn secrets_are_not_printed() {
    let ca = new_cluster();
    let text = format!("{ca:?} {:?}", agent(&ca, "one", Role::Server));
    let seed = format!("{:?}", ca.key().last_chunk::<32>().unwrap());
    assert!(text.contains(&ca.fingerprint().to_string()) && !text.contains(seed.trim_matches(['[', ']'])), "{text}");
}

#[test]
fn a_request_proves_that_the_asker_has_the_key() {
    let key = Keypair::generate();
    let der = key.request(&"one".parse().unwrap());
    let request = Request::verify(&der).unwrap();
    assert_eq!((request.id(), request.name().as_str()), (key.id(), "one"));
    let mut flipped = der.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert_eq!(Request::verify(&flipped), Err(RequestError::Signature));
    // Another key under the same signature: what a thief of a request would send.
    let other = Keypair::generate().request(&"one".parse().unwrap());
    let (stolen_signature, own_content) = (der.last_chunk::<64>().unwrap(), other.split_at(other.len() - 64).0);
    assert_eq!(Request::verify(&[own_content, stolen_signature].concat()), Err(RequestError::Signature));
}

#[test]
fn a_damaged_request_is_refused_or_says_the_same() {
    let der = Keypair::generate().request(&"one".parse().unwrap());
    let whole = Request::verify(&der).unwrap();
    for (at, bit) in (0..der.len()).flat_map(|at| (0..8).map(move |bit| (at, 1 << bit))) {
        let mut damaged = der.clone();
        *damaged.get_mut(at).unwrap() ^= bit;
        // The frame around what is signed may be written in more than one way.
        assert!(Request::verify(&damaged).map_or(true, |read| read == whole), "byte {at}, bit {bit:#x}");
    }
    for end in 0..der.len() {
        assert!(Request::verify(der.get(..end).unwrap()).is_err(), "cut at {end}");
    }
    assert!(matches!(Request::verify(&[der, vec![0]].concat()), Err(RequestError::Malformed(_))));
}

#[test]
fn requests_are_bounded() {
    let malformed = Request::verify(&[0; MAX_REQUEST_BYTES]);
    assert!(matches!(malformed, Err(RequestError::Malformed(_))), "{malformed:?}");
    assert_eq!(Request::verify(&[0; MAX_REQUEST_BYTES + 1]), Err(RequestError::TooLarge(MAX_REQUEST_BYTES + 1)));
}

#[test]
fn a_request_that_floe_does_not_make_is_refused() {
    let asked = |key: &rcgen::KeyPair, change: fn(&mut CertificateParams)| {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "one");
        change(&mut params);
        Request::verify(params.serialize_request(key).unwrap().der())
    };
    let key = library_key(Keypair::generate().pkcs8());
    assert!(asked(&key, |_| ()).is_ok());
    let changes: [fn(&mut CertificateParams); 5] = [
        |asked| asked.subject_alt_names = vec![SanType::URI("floe://other/server/id".try_into().unwrap())],
        |asked| asked.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained),
        |asked| asked.distinguished_name = rcgen::DistinguishedName::new(),
        |asked| asked.distinguished_name.push(DnType::OrganizationName, "other"),
        |asked| asked.distinguished_name.push(DnType::CommonName, "a name with spaces"),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        assert!(matches!(asked(&key, change), Err(RequestError::Malformed(_))), "change {number}");
    }
    let p256 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    assert_eq!(asked(&p256, |_| ()), Err(RequestError::Malformed("its key is not Ed25519")));
}

#[test]
fn an_id_that_is_not_that_of_the_key_is_refused() {
    let (ca, key, victim) = (new_cluster(), Keypair::generate(), Keypair::generate());
    let uri = format!("floe://{}/server/{}", ca.cluster(), victim.id());
    let forged = forge(&ca, &key, |asked| asked.subject_alt_names = vec![SanType::URI(uri.as_str().try_into().unwrap())]);
    let expected = PeerError::ForeignId { name: "forged".parse().unwrap(), written: victim.id(), key: key.id() };
    assert_eq!(trust(&[&ca]).verify(&[forged], NOW), Err(expected));
}

#[test]
fn a_certificate_that_floe_does_not_make_is_refused_though_the_authority_signed_it() {
    let (ca, key) = (new_cluster(), Keypair::generate());
    let uri = |text: String| vec![SanType::URI(text.as_str().try_into().unwrap())];
    let (cluster, id) = (ca.cluster(), key.id());
    let trust = trust(&[&ca]);
    assert!(trust.verify(&[forge(&ca, &key, |_| ())], NOW).is_ok(), "the forger's certificate is good but for the change");
    for text in [
        format!("floe://{cluster}"),
        format!("floe://{cluster}/server"),
        format!("floe://{cluster}/leader/{id}"),
        format!("floe://{cluster}/server/{id}/"),
        format!("floe://{cluster}/server/{}", id.to_string().to_uppercase()),
        format!("https://{cluster}/server/{id}"),
    ] {
        let forged = forge(&ca, &key, |asked| asked.subject_alt_names = uri(text.clone()));
        assert!(matches!(trust.verify(&[forged], NOW), Err(PeerError::Malformed(_))), "{text}");
    }
    let changes: [fn(&mut CertificateParams); 6] = [
        |asked| asked.subject_alt_names.push(SanType::DnsName("localhost".try_into().unwrap())),
        |asked| asked.subject_alt_names.clear(),
        |asked| asked.distinguished_name.push(DnType::OrganizationName, "other"),
        |asked| asked.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
        |asked| asked.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
        |asked| asked.extended_key_usages.clear(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        assert!(matches!(trust.verify(&[forge(&ca, &key, change)], NOW), Err(PeerError::Malformed(_))), "change {number}");
    }
    let as_authority = forge(&ca, &key, |asked| asked.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained));
    assert!(matches!(trust.verify(&[as_authority], NOW), Err(PeerError::Unusable { .. })));
}

#[test]
fn a_damaged_certificate_is_refused_wherever_the_damage_is() {
    let ca = new_cluster();
    let own = certify(&ca, &Keypair::generate(), "one", Role::Server);
    let trust = trust(&[&ca]);
    for at in 0..own.len() {
        let mut damaged = own.to_vec();
        *damaged.get_mut(at).unwrap() ^= 0x04;
        assert!(trust.verify(&[damaged.into()], NOW).is_err(), "byte {at}");
    }
}

#[test]
fn an_agent_of_another_cluster_is_told_from_a_stranger() {
    let (ours, theirs) = (new_cluster(), new_cluster());
    let own = [certify(&theirs, &Keypair::generate(), "one", Role::Server)];
    let error = trust(&[&ours]).verify(&own, NOW).unwrap_err();
    assert_eq!(error, PeerError::OtherCluster { theirs: theirs.cluster(), ours: ours.cluster() });
    assert!(error.to_string().contains(&ours.cluster().to_string()) && error.to_string().contains(&theirs.cluster().to_string()));
    // Somebody who calls his own authority by our cluster's name.
    let impostor = authority(ours.cluster());
    let own = [certify(&impostor, &Keypair::generate(), "one", Role::Server)];
    assert_eq!(trust(&[&ours]).verify(&own, NOW), Err(PeerError::UnknownAuthority { name: "one".parse().unwrap() }));
}

#[test]
fn an_agent_cannot_certify_others() {
    let ca = new_cluster();
    let (server, friend) = (Keypair::generate(), Keypair::generate());
    let own = certify(&ca, &server, "one", Role::Server);
    let uri = format!("floe://{}/server/{}", ca.cluster(), friend.id());
    let mut asked = CertificateParams::default();
    asked.distinguished_name = rcgen::DistinguishedName::new();
    asked.distinguished_name.push(DnType::CommonName, "friend");
    asked.subject_alt_names = vec![SanType::URI(uri.as_str().try_into().unwrap())];
    asked.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let issuer = rcgen::Issuer::from_ca_cert_der(&own, library_key(server.pkcs8())).unwrap();
    let forged = asked.signed_by(&library_key(friend.pkcs8()), &issuer).unwrap();
    let chain = [forged.der().clone(), own, ca.certificate().clone()];
    assert_eq!(trust(&[&ca]).verify(&chain, NOW), Err(PeerError::UnknownAuthority { name: "friend".parse().unwrap() }));
}

#[test]
fn during_a_rotation_both_authorities_count() {
    let old = new_cluster();
    let new = authority(old.cluster());
    let by_old = [certify(&old, &Keypair::generate(), "one", Role::Server)];
    let by_new = [certify(&new, &Keypair::generate(), "two", Role::Server)];
    let both = trust(&[&old, &new]);
    assert!(both.verify(&by_old, NOW).is_ok() && both.verify(&by_new, NOW).is_ok());
    let after = trust(&[&new]);
    assert!(after.verify(&by_new, NOW).is_ok());
    assert!(matches!(after.verify(&by_old, NOW), Err(PeerError::UnknownAuthority { .. })));
}

#[test]
fn only_authorities_of_one_cluster_can_be_trusted_together() {
    let (ca, other) = (new_cluster(), new_cluster());
    let (one, two) = (ca.certificate().clone(), other.certificate().clone());
    assert_eq!(Trust::new(vec![]).unwrap_err(), TrustError::Empty);
    assert_eq!(Trust::new(vec![one.clone(), two]).unwrap_err(), TrustError::TwoClusters(ca.cluster(), other.cluster()));
    assert!(Trust::new(vec![one.clone(); MAX_AUTHORITIES]).is_ok());
    assert_eq!(Trust::new(vec![one; MAX_AUTHORITIES + 1]).unwrap_err(), TrustError::TooMany(MAX_AUTHORITIES + 1));
    let key = Keypair::generate();
    let agent = certify(&ca, &key, "one", Role::Server);
    assert!(matches!(Trust::new(vec![agent]), Err(TrustError::Malformed(_))));
    let uri = format!("floe://{}", ca.cluster());
    let no_authority = forge(&ca, &key, |asked| asked.subject_alt_names = vec![SanType::URI(uri.as_str().try_into().unwrap())]);
    assert_eq!(Trust::new(vec![no_authority]).unwrap_err(), TrustError::Malformed("it is not that of an authority"));
}

#[test]
fn chains_are_bounded() {
    let ca = new_cluster();
    let own = certify(&ca, &Keypair::generate(), "one", Role::Server);
    let trust = trust(&[&ca]);
    assert_eq!(trust.verify(&[], NOW), Err(PeerError::NoCertificate));
    assert!(trust.verify(&vec![own.clone(); MAX_CHAIN], NOW).is_ok());
    assert_eq!(trust.verify(&vec![own; MAX_CHAIN + 1], NOW), Err(PeerError::TooMany(MAX_CHAIN + 1)));
    let large = CertificateDer::from(vec![0x30; 4097]);
    assert_eq!(trust.verify(&[large], NOW), Err(PeerError::Malformed("it is larger than 4096 bytes")));
}

#[test]
fn where_a_server_is_needed_a_client_is_refused() {
    let ca = new_cluster();
    let own = [certify(&ca, &Keypair::generate(), "one", Role::Client)];
    let error = trust(&[&ca]).verify_role(&own, Role::Server, NOW).unwrap_err();
    assert_eq!(error, PeerError::WrongRole { name: "one".parse().unwrap(), has: Role::Client, needs: Role::Server });
    assert!(trust(&[&ca]).verify_role(&own, Role::Client, NOW).is_ok());
}

#[test]
fn a_fingerprint_names_the_authority_at_the_end_of_a_chain() {
    let (ca, other) = (new_cluster(), new_cluster());
    let own = certify(&ca, &Keypair::generate(), "one", Role::Server);
    let pinned = ca.fingerprint();
    let chain = [own.clone(), ca.certificate().clone()];
    assert_eq!(pinned.end_of(&chain), Ok(ca.certificate()));
    assert_eq!(pinned.end_of(std::slice::from_ref(&own)), Err(PeerError::OtherAuthority { pinned, presented: Fingerprint::of(&own) }));
    assert_eq!(other.fingerprint().end_of(&chain), Err(PeerError::OtherAuthority { pinned: other.fingerprint(), presented: pinned }));
    assert_eq!(pinned.end_of(&[]), Err(PeerError::NoCertificate));
}

#[test]
fn times_at_the_ends_of_what_can_be_written_do_no_harm() {
    for now in [Timestamp(i64::MIN), Timestamp(0), Timestamp(i64::MAX)] {
        let ca = Authority::create(ClusterId::draw(), now, YEAR);
        let whole = ca.map(|ca| ca.validity());
        assert!(whole.is_ok_and(|life| life.not_before <= life.not_after), "{now}");
    }
}

#[test]
fn who_signed_is_known_and_what_an_authority_is_can_be_read_from_its_certificate() {
    let cluster = ClusterId::draw();
    let (old, new) = (authority(cluster), authority(cluster));
    let key = Keypair::generate();
    let both = trust(&[&old, &new]);
    let credentials =
        Credentials::new(key.clone(), certify(&old, &key, "x", Role::Server), both.clone(), TestClock::new().clock()).unwrap();
    assert_eq!(credentials.issuer(), old.fingerprint());
    credentials.replace(certify(&new, &key, "x", Role::Server), both).unwrap();
    assert_eq!(credentials.issuer(), new.fingerprint());
    assert_eq!(floe_pki::authority::describe(new.certificate()).unwrap(), (new.fingerprint(), new.validity()));
    assert!(floe_pki::authority::describe(&certify(&new, &key, "x", Role::Server)).is_err());
}
