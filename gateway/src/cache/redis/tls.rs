//! The certificates of a connection to Redis.

use std::path::{Path, PathBuf};

use redis::{ClientTlsConfig, TlsCertificates};
use unclip_service::{Code, Error};

/// Files in PEM format, for a `rediss` URL.
#[derive(Clone, Debug, Default)]
pub struct RedisTls {
    /// Certificates of the authorities that may sign the server's. Absent: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// The certificate to show to a server that asks for one, and its chain.
    pub cert: Option<PathBuf>,
    /// The key of that certificate.
    pub key: Option<PathBuf>,
}

impl RedisTls {
    /// Whether there is nothing to read.
    pub(super) fn is_empty(&self) -> bool {
        self.ca.is_none() && self.cert.is_none() && self.key.is_none()
    }

    /// Reads the files.
    ///
    /// # Errors
    /// A file that can't be read or holds something else, or a certificate without its key.
    pub(super) fn read(&self) -> Result<TlsCertificates, Error> {
        let read = |flag, path: &Option<PathBuf>, what| {
            path.as_deref().map(|path| read(flag, path, what)).transpose()
        };
        let root_cert = read("--redis-ca", &self.ca, "CERTIFICATE")?;
        let client_tls = match (
            read("--redis-cert", &self.cert, "CERTIFICATE")?,
            read("--redis-key", &self.key, "PRIVATE KEY")?,
        ) {
            (Some(client_cert), Some(client_key)) => Some(ClientTlsConfig { client_cert, client_key }),
            (None, None) => None,
            (Some(_), None) => return Err(bad("--redis-cert: its key is missing; give --redis-key too")),
            (None, Some(_)) => {
                return Err(bad("--redis-key: its certificate is missing; give --redis-cert too"));
            }
        };
        Ok(TlsCertificates { client_tls, root_cert })
    }
}

/// A file with at least one PEM block of a kind. Without this check a file without any would trust nobody.
fn read(flag: &str, path: &Path, what: &str) -> Result<Vec<u8>, Error> {
    let name = path.display();
    let bytes = std::fs::read(path).map_err(|error| bad(format!("{flag}: {name} can't be read: {error}")))?;
    let text = String::from_utf8_lossy(&bytes);
    let has_block = text.lines().any(|line| line.starts_with("-----BEGIN") && line.contains(what));
    match has_block {
        true => Ok(bytes),
        false => Err(bad(format!("{flag}: {name} has no {what} in PEM format"))),
    }
}

fn bad(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidArgument, message)
}
