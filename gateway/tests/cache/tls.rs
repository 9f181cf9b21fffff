//! Redis over TLS, with certificates made for the test.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use unclip_gateway::cache::{Cache, CacheConfig, RedisConfig, RedisTls, Source};
use unclip_service::Code;

use crate::redis_server::RedisServer;
use crate::support::{HOUR, Metrics, Model, patient, remote, shared_through};

/// An authority, and a certificate for 127.0.0.1 that it has signed.
struct Certificates {
    folder: TempDir,
}

impl Certificates {
    fn new() -> Self {
        let (key, mut authority) = (KeyPair::generate().unwrap(), CertificateParams::new([]).unwrap());
        authority.distinguished_name.push(DnType::CommonName, "an authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = authority.self_signed(&key).unwrap();
        let issuer = Issuer::new(authority, key);
        let own_key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let own = own.signed_by(&own_key, &issuer).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("ca", ca.pem()), ("cert", own.pem()), ("key", own_key.serialize_pem())] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self { folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A server that speaks nothing but TLS; `clients`: whether it asks for certificates.
    fn server(&self, clients: &str) -> RedisServer {
        let [ca, cert, key] = ["ca", "cert", "key"].map(|name| self.file(name).display().to_string());
        RedisServer::start_with(&[
            "--port",
            "0",
            "--tls-port",
            "PORT",
            "--tls-auth-clients",
            clients,
            "--tls-ca-cert-file",
            &ca,
            "--tls-cert-file",
            &cert,
            "--tls-key-file",
            &key,
        ])
    }

    fn trusted(&self) -> RedisTls {
        RedisTls { ca: Some(self.file("ca")), ..Default::default() }
    }

    fn own(&self) -> RedisTls {
        RedisTls { cert: Some(self.file("cert")), key: Some(self.file("key")), ..self.trusted() }
    }
}

fn config(server: &RedisServer, tls: RedisTls) -> RedisConfig {
    RedisConfig { url: format!("rediss://127.0.0.1:{}", server.port()), tls, ..patient(server) }
}

#[tokio::test]
async fn redis_over_tls_is_used() {
    let metrics = Metrics::record();
    let certificates = Certificates::new();
    let (server, model) = (certificates.server("no"), Model::default());
    let gateway = || remote(config(&server, certificates.trusted()));
    shared_through(&model, &gateway(), "a cat").await;
    assert_eq!(model.ask(&gateway(), "a cat").await, Source::Redis);
    assert_eq!(metrics.redis_errors(), 0);
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_it() {
    let metrics = Metrics::record();
    let certificates = Certificates::new();
    let (server, model) = (certificates.server("yes"), Model::default());
    shared_through(&model, &remote(config(&server, certificates.own())), "a cat").await;
    assert_eq!(metrics.redis_errors(), 0);
    let without = remote(config(&server, certificates.trusted()));
    assert_eq!(model.ask(&without, "a cat").await, Source::Computed);
    assert!(metrics.redis_is_skipped());
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_not_used() {
    let metrics = Metrics::record();
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let (server, model) = (certificates.server("no"), Model::default());
    for tls in [others.trusted(), RedisTls::default()] {
        let cache = remote(config(&server, tls));
        assert_eq!(model.ask(&cache, "a cat").await, Source::Computed);
        assert!(metrics.redis_is_skipped());
    }
}

#[test]
fn certificates_that_can_not_be_used_are_refused_at_the_start() {
    let certificates = Certificates::new();
    let file = |name: &str| Some(certificates.file(name));
    let own = certificates.own();
    for (url, tls, problem) in [
        ("redis://host", certificates.trusted(), "give --redis a rediss:// URL"),
        ("rediss://host", RedisTls { key: None, ..own.clone() }, "--redis-cert: its key is missing"),
        ("rediss://host", RedisTls { cert: None, ..own.clone() }, "--redis-key: its certificate is missing"),
        ("rediss://host", RedisTls { ca: file("key"), ..own.clone() }, "has no CERTIFICATE in PEM format"),
        ("rediss://host", RedisTls { key: file("ca"), ..own.clone() }, "has no PRIVATE KEY in PEM format"),
        ("rediss://host", RedisTls { ca: file("none"), ..own.clone() }, "none can't be read"),
        ("rediss-cluster://host", RedisTls { ca: Some(Path::new("/").into()), ..own }, "/ can't be read"),
    ] {
        let redis = RedisConfig { tls, ..RedisConfig::new(url) };
        let error = Cache::new(CacheConfig { memory_bytes: 0, ttl: HOUR, redis: Some(redis) }).unwrap_err();
        assert_eq!(error.code, Code::InvalidArgument);
        assert!(error.message.contains(problem), "{problem}: {error}");
    }
}
