//! TLS by rustls with ring: the settings of a client and of a server from the contract, and what is wrong with
//! them. Certificates and keys are PEM; paths are taken as they are written, a relative one from the folder that
//! Andon was started in. Files are read at each use, so that a renewed certificate needs no new start.

pub mod name;
mod why;

pub use why::explain;

use crate::{
    given::{self, Env},
    mqtt::Ended,
};
use andon_contract::contract::{ClientTls, ServerTls, TlsIdentity};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName,
        pem::{Error as PemError, PemObject as _},
    },
    server::WebPkiClientVerifier,
};
use std::{io::Read as _, sync::Arc};

/// The largest file of certificates: the bundle of an operating system has some 250 KiB.
const FILE_MAX: u64 = 4 << 20;

/// How a client speaks: the authorities that it believes, and its certificate where it shows one. The name of the
/// server is checked by whoever connects with it, see [`server_name`].
pub fn client(tls: &ClientTls, env: &Env) -> Result<Arc<ClientConfig>, Ended> {
    let roots = match &tls.authority {
        Some(path) => authorities(path)?,
        None => native()?,
    };
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| defect(&e))?
        .with_root_certificates(roots);
    let Some(identity) = &tls.identity else { return Ok(Arc::new(config.with_no_client_auth())) };
    let (chain, key) = read_identity(identity, env)?;
    config.with_client_auth_cert(chain, key).map(Arc::new).map_err(|e| mismatch(identity, &e))
}

/// How a server speaks: its certificate, and the authorities of its clients' certificates where it asks for them;
/// then nobody comes in without one.
pub fn server(tls: &ServerTls, env: &Env) -> Result<Arc<ServerConfig>, Ended> {
    let (chain, key) = read_identity(&tls.identity, env)?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| defect(&e))?;
    let builder = match &tls.client_authority {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(authorities(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build().map_err(|e| {
                Ended::new(
                    format!("clients cannot be checked by {path}: {e}"),
                    "let the file hold the certificates of the authority of your clients",
                )
            })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    builder.with_single_cert(chain, key).map(Arc::new).map_err(|e| mismatch(&tls.identity, &e))
}

/// The name that the certificate of a server must hold: that of the address, a number included.
pub fn server_name(host: &str) -> Result<ServerName<'static>, Ended> {
    ServerName::try_from(host.to_owned()).map_err(|_| {
        Ended::new(
            format!("{host:?} cannot be the name of a server with TLS"),
            "write the name that stands in the server's certificate into the address",
        )
    })
}

/// The one crypto provider.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The authorities of a file.
fn authorities(path: &str) -> Result<RootCertStore, Ended> {
    let mut roots = RootCertStore::empty();
    for (at, certificate) in certificates(path)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|e| {
            Ended::new(
                format!("certificate {} of {path} cannot be an authority: {e}", at + 1),
                "let the file hold certificates of authorities in PEM and nothing else",
            )
        })?;
    }
    Ok(roots)
}

/// The authorities that the operating system believes.
fn native() -> Result<RootCertStore, Ended> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken > 0 {
        return Ok(roots);
    }
    let why = found.errors.first().map(|e| format!(": {e}")).unwrap_or_default();
    Err(Ended::new(
        format!("the operating system names no authority{why}"),
        "name the file of the authority: `tls: { authority: PATH }`, or install the system's certificates",
    ))
}

/// A certificate chain with its key.
fn read_identity(
    identity: &TlsIdentity,
    env: &Env,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Ended> {
    let chain = certificates(&identity.certificate)?;
    let place = given::place(&identity.key);
    let text = given::secret(&identity.key, env)?;
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|e| match e {
        PemError::NoItemsFound if text.contains("ENCRYPTED PRIVATE KEY") => Ended::new(
            format!("the key in {place} is encrypted"),
            "write it without passphrase and let only Andon read it: openssl pkey -in KEY -out PLAIN",
        ),
        PemError::NoItemsFound => Ended::new(
            format!("no private key stands in {place}"),
            "expected PEM that begins with -----BEGIN PRIVATE KEY-----",
        ),
        e => Ended::new(format!("the key in {place} cannot be read: {e}"), "write it anew as PEM"),
    })?;
    Ok((chain, key))
}

/// The certificates of a file, at least one.
fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, Ended> {
    let cannot = |e: &dyn std::fmt::Display| {
        Ended::new(
            format!("the certificates in {path} cannot be read: {e}"),
            "check the path and its permissions; a relative path begins in the folder that Andon was started in",
        )
    };
    let file = std::fs::File::open(path).map_err(|e| cannot(&e))?;
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(|e| cannot(&e))?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(cannot(&"more than 4 MiB"));
    }
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|e| cannot(&e))?;
    if found.is_empty() {
        return Err(Ended::new(
            format!("no certificate stands in {path}"),
            "expected PEM that begins with -----BEGIN CERTIFICATE-----",
        ));
    }
    Ok(found)
}

fn mismatch(identity: &TlsIdentity, error: &rustls::Error) -> Ended {
    let (certificate, key) = (&identity.certificate, given::place(&identity.key));
    Ended::new(
        format!("the certificate in {certificate} cannot be used with the key in {key}: {error}"),
        "the first certificate of the file must be that of the key, those of its authorities follow",
    )
}

fn defect(error: &rustls::Error) -> Ended {
    Ended::new(format!("TLS cannot be prepared: {error}"), "report it with the version of Andon")
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_contract::contract::Secret;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
    use std::path::Path;

    fn nothing() -> Env {
        Arc::new(|_| None)
    }

    fn write(dir: &Path, name: &str, text: &str) -> String {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn what_is_wrong_with_a_file_is_named_with_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["plant".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "press-7");
        let cert = params.signed_by(&key, &ca).unwrap();
        let authority = write(dir.path(), "ca.pem", &ca.pem());
        let certificate = write(dir.path(), "cert.pem", &cert.pem());
        let right = write(dir.path(), "key.pem", &key.serialize_pem());
        let other = write(dir.path(), "other.pem", &KeyPair::generate().unwrap().serialize_pem());
        let empty = write(dir.path(), "empty.pem", "");
        let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let locked = write(dir.path(), "locked.pem", locked);
        let tls = |authority: &str, certificate: &str, key: &str| ClientTls {
            authority: Some(authority.into()),
            identity: Some(TlsIdentity { certificate: certificate.into(), key: Secret::File(key.into()) }),
        };
        client(&tls(&authority, &certificate, &right), &nothing()).unwrap();
        for (authority, certificate, key, says) in [
            ("/nonexistent/ca.pem", certificate.as_str(), right.as_str(), "/nonexistent/ca.pem cannot be read"),
            (&empty, &certificate, &right, "no certificate stands in"),
            (&authority, &certificate, &other, "cannot be used with the key in"),
            (&authority, &certificate, &empty, "no private key stands in"),
            (&authority, &certificate, &locked, "is encrypted"),
        ] {
            let ended = client(&tls(authority, certificate, key), &nothing()).unwrap_err();
            assert!(ended.reason.contains(says), "{ended}");
            assert!(!ended.remedy.is_empty());
        }
        let identity = TlsIdentity { certificate, key: Secret::File(right) };
        server(&ServerTls { identity: identity.clone(), client_authority: Some(authority) }, &nothing()).unwrap();
        let wrong = server(&ServerTls { identity, client_authority: Some(empty) }, &nothing()).unwrap_err();
        assert!(wrong.reason.contains("empty.pem"), "{wrong}");
        assert_eq!(name::common_name(cert.der()), Some("press-7".to_owned()));
    }

    #[test]
    fn names_and_numbers_are_names_of_servers() {
        for good in ["plant", "broker.plant.example", "127.0.0.1", "::1"] {
            server_name(good).unwrap();
        }
        assert!(server_name("a b").unwrap_err().reason.contains("a b"));
    }
}
