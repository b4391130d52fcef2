//! Clusters with their authorities and agents, at a time that the test says.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test file uses its part")]

use floe_model::{Nanos, Timestamp};
use floe_pki::{Authority, CertificateDer, Clock, ClusterId, Credentials, Keypair, Request, Role, Trust};
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// When the tests happen: 2026-01-01, 00:00:00.
pub const NOW: Timestamp = Timestamp(1_767_225_600_000_000_000);
pub const DAY: Nanos = Nanos::from_hours(24);
pub const YEAR: Nanos = Nanos::from_hours(24 * 365);

pub fn after(span: Nanos) -> Timestamp {
    NOW.plus(span)
}

pub fn before(span: Nanos) -> Timestamp {
    NOW.plus(Nanos(-span.0))
}

pub fn authority(cluster: ClusterId) -> Authority {
    Authority::create(cluster, NOW, YEAR).unwrap()
}

pub fn new_cluster() -> Authority {
    authority(ClusterId::draw())
}

pub fn trust(authorities: &[&Authority]) -> Trust {
    Trust::new(authorities.iter().map(|authority| authority.certificate().clone()).collect()).unwrap()
}

/// A certificate for a day.
pub fn certify(authority: &Authority, key: &Keypair, name: &str, role: Role) -> CertificateDer<'static> {
    let request = Request::verify(&key.request(&name.parse().unwrap())).unwrap();
    authority.issue(&request, role, NOW, DAY).unwrap()
}

/// What a forger can do who has the authority's key but not floe's code: any certificate at all, for `key`.
pub fn forge(authority: &Authority, key: &Keypair, change: impl FnOnce(&mut rcgen::CertificateParams)) -> CertificateDer<'static> {
    let uri = format!("floe://{}/server/{}", authority.cluster(), key.id());
    let mut asked = rcgen::CertificateParams::default();
    asked.distinguished_name = rcgen::DistinguishedName::new();
    asked.distinguished_name.push(rcgen::DnType::CommonName, "forged");
    asked.not_before = rcgen::date_time_ymd(2025, 12, 31);
    asked.not_after = rcgen::date_time_ymd(2026, 1, 2);
    asked.subject_alt_names = vec![rcgen::SanType::URI(uri.as_str().try_into().unwrap())];
    asked.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut asked);
    let issuer = rcgen::Issuer::from_ca_cert_der(authority.certificate(), library_key(authority.key())).unwrap();
    asked.signed_by(&library_key(key.pkcs8()), &issuer).unwrap().into()
}

/// A key as rcgen has it.
pub fn library_key(pkcs8: &[u8]) -> rcgen::KeyPair {
    rcgen::KeyPair::try_from(pkcs8).unwrap()
}

/// A clock that stands at `NOW` until it is set.
#[derive(Clone)]
pub struct TestClock(Arc<AtomicI64>);

impl TestClock {
    pub fn new() -> Self {
        Self(Arc::new(AtomicI64::new(NOW.0)))
    }

    pub fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::SeqCst);
    }

    pub fn clock(&self) -> Clock {
        let shared = self.0.clone();
        Clock::new(move || Timestamp(shared.load(Ordering::SeqCst)))
    }
}

/// An agent of `authority`'s cluster that trusts only it, with a clock that stands at `NOW`.
pub fn agent(authority: &Authority, name: &str, role: Role) -> Credentials {
    agent_with_clock(authority, name, role, &TestClock::new())
}

pub fn agent_with_clock(authority: &Authority, name: &str, role: Role, clock: &TestClock) -> Credentials {
    let key = Keypair::generate();
    let certificate = certify(authority, &key, name, role);
    Credentials::new(key, certificate, trust(&[authority]), clock.clock()).unwrap()
}
