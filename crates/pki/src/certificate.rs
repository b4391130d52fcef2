//! Certificates read: what one of an agent or of an authority claims. Whether the claims count is for `trust` to say.
//!
//! An agent's has one alternative name, `floe://<cluster>/<role>/<id>`; an authority's has `floe://<cluster>`. What does not look exactly as floe
//! writes it is not read at all.

use crate::{
    AgentId, ClusterId, Name, Role, Validity,
    parse::{self, Flaw},
};
use floe_model::{Nanos, Timestamp};
use x509_parser::prelude::*;

/// What an agent's certificate claims.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub(crate) name: Name,
    pub(crate) cluster: ClusterId,
    pub(crate) role: Role,
    /// The id that is written in it.
    pub(crate) written_id: AgentId,
    /// The id that its key has.
    pub(crate) key_id: AgentId,
    pub(crate) validity: Validity,
}

/// What an authority's certificate claims.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub(crate) cluster: ClusterId,
    pub(crate) validity: Validity,
    pub(crate) spki: Vec<u8>,
}

/// The alternative name of an agent's certificate.
pub(crate) fn agent_uri(cluster: ClusterId, role: Role, id: AgentId) -> String {
    format!("{}/{role}/{id}", cluster_uri(cluster))
}

/// The alternative name of an authority's certificate.
pub(crate) fn cluster_uri(cluster: ClusterId) -> String {
    format!("floe://{cluster}")
}

/// Reads an agent's certificate.
pub(crate) fn read_leaf(der: &[u8]) -> Result<Leaf, Flaw> {
    let certificate = read(der)?;
    let (cluster, role, written_id) = read_agent_uri(only_uri(&certificate)?).ok_or("its alternative name is not that of a floe agent")?;
    let usage = certificate.extended_key_usage().ok().flatten().ok_or("it does not say what its key may be used for")?;
    if !(usage.value.server_auth && usage.value.client_auth) {
        return Err("its key may not be used at both ends of a connection");
    }
    Ok(Leaf {
        name: parse::only_name(certificate.subject())?,
        cluster,
        role,
        written_id,
        key_id: AgentId::of_public_key(certificate.public_key().raw),
        validity: validity(&certificate),
    })
}

/// Reads an authority's certificate.
pub(crate) fn read_root(der: &[u8]) -> Result<Root, Flaw> {
    let certificate = read(der)?;
    let cluster = only_uri(&certificate)?.strip_prefix("floe://").and_then(|text| text.parse().ok());
    if !certificate.is_ca() {
        return Err("it is not that of an authority");
    }
    Ok(Root {
        cluster: cluster.ok_or("its alternative name is not that of a floe cluster")?,
        validity: validity(&certificate),
        spki: certificate.public_key().raw.to_vec(),
    })
}

fn read(der: &[u8]) -> Result<X509Certificate<'_>, Flaw> {
    if der.len() > crate::MAX_CERTIFICATE_BYTES {
        return Err("it is larger than 4096 bytes");
    }
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| "it is not X.509")?;
    if !rest.is_empty() {
        return Err("something stands behind its end");
    }
    parse::ed25519_key(certificate.public_key().raw).ok_or("its key is not Ed25519")?;
    Ok(certificate)
}

fn only_uri<'a>(certificate: &X509Certificate<'a>) -> Result<&'a str, Flaw> {
    let names = certificate.subject_alternative_name().ok().flatten();
    match names.map(|names| names.value.general_names.as_slice()) {
        Some([GeneralName::URI(uri)]) => Ok(uri),
        _ => Err("it does not have exactly one alternative name"),
    }
}

fn read_agent_uri(uri: &str) -> Option<(ClusterId, Role, AgentId)> {
    let mut parts = uri.strip_prefix("floe://")?.split('/');
    let read = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next().is_none().then_some(read)
}

fn validity(certificate: &X509Certificate<'_>) -> Validity {
    let moment = |time: ASN1Time| Timestamp(Nanos::from_secs(time.timestamp()).0);
    Validity { not_before: moment(certificate.validity.not_before), not_after: moment(certificate.validity.not_after) }
}
