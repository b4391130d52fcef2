//! Calls to services outside the cluster (a bucket, a Vault) over HTTP/1.1 and TLS: whom to trust, and connections to them. Deadlines, the bounds of
//! answers and what is retried belong to those who call.
#![forbid(unsafe_code)]

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{error::Error, path::Path, sync::Arc, time::Duration};

/// The most bytes of a file of authorities: the system's have about 220 KiB.
const MAX_CA_BYTES: u64 = 4 << 20;

/// Makes requests, each with a body of bytes, and follows no redirect. Clones share their connections.
pub type Client = legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// What is wrong with the authorities.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file that was named.
    #[error("ca_cert {path}: {why}")]
    Named {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// Those that the system has.
    #[error("the system's certificates: {0}; install them (ca-certificates), or name the server's authority as ca_cert")]
    System(String),
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// How connections are made.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// A PEM file of the authorities that count, and no others; those of the system when there is none.
    pub ca_cert: Option<&'a Path>,
    /// How long a connection may take to be made.
    pub connect_deadline: Duration,
    /// Whether a connection waits for the next request. Not worth it where calls are rare.
    pub keeps_connections: bool,
}

/// A client. `http://` is not refused here: who calls knows whether what is sent may be read on the way.
///
/// # Errors
/// [`TrustError`] when no authority would be trusted.
pub fn client(settings: Settings<'_>) -> Result<Client, TrustError> {
    let roots = match settings.ca_cert {
        Some(path) => named(path).map_err(|why| TrustError::Named { path: path.display().to_string(), why })?,
        None => system()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let tls = tls.with_root_certificates(roots).with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(settings.connect_deadline));
    let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
    let mut client = legacy::Client::builder(TokioExecutor::new());
    if !settings.keeps_connections {
        client.pool_max_idle_per_host(0);
    }
    Ok(client.build(https))
}

/// The certificates in a file.
fn named(path: &Path) -> Result<RootCertStore, String> {
    let about = path.metadata().map_err(|e| e.to_string())?;
    if !about.is_file() || about.len() > MAX_CA_BYTES {
        return Err("is no PEM file of authorities".to_owned());
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| e.to_string())? {
        roots.add(certificate.map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    }
    if roots.is_empty() {
        return Err("holds no certificate: give the authority that signed the server's, in PEM".to_owned());
    }
    Ok(roots)
}

/// The system's certificates. One that cannot be read is no reason to trust none of the others.
fn system() -> Result<RootCertStore, TrustError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(TrustError::System(found.errors.first().map_or_else(|| "none are there".to_owned(), ToString::to_string)));
    }
    Ok(roots)
}

/// An error with all that is behind it: the outermost says little.
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut behind = error.source();
    while let Some(cause) = behind {
        text = format!("{text}: {cause}");
        behind = cause.source();
    }
    if text.contains("invalid peer certificate") {
        text.push_str(
            " (its authority must be among ca_cert, or among the system's without that, and its certificate must name the address's host)",
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn refusal(ca_cert: &Path) -> String {
        client(Settings { ca_cert: Some(ca_cert), connect_deadline: Duration::from_secs(1), keeps_connections: true })
            .err()
            .map_or_else(String::new, |e| e.to_string())
    }

    #[test]
    fn a_file_that_holds_no_authority_is_refused() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("ca.pem");
        assert!(refusal(&file).starts_with(&format!("ca_cert {}: No such file", file.display())));
        assert!(refusal(folder.path()).contains("no PEM file"));
        fs::write(&file, "")?;
        assert!(refusal(&file).contains("holds no certificate"));
        fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")?;
        assert!(refusal(&file).contains("certificate"));
        fs::File::create(&file)?.set_len(MAX_CA_BYTES + 1)?;
        assert!(refusal(&file).contains("no PEM file"));
        fs::File::create(&file)?.set_len(MAX_CA_BYTES)?;
        assert!(refusal(&file).contains("holds no certificate"));
        Ok(())
    }
}
