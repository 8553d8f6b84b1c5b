//! TLS with a system by rustls with ring: its settings from the contract, and what is wrong with them or with the
//! other side. Files are read whenever a connection is opened, so that a renewed certificate needs no new start.

use super::config;
use andon_contract::contract::{ClientTls, TlsIdentity};
use andon_model::{Name, OutcomeClass};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, Error, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use std::{
    error::Error as StdError,
    sync::{Arc, Mutex, PoisonError},
};

/// The largest file of certificates: the bundle of an operating system has some 250 KiB.
const FILE_MAX_BYTES: u64 = 4 << 20;

/// The settings of TLS of a system, made anew when one of their files has changed.
#[derive(Default)]
pub(crate) struct Settings(Mutex<Option<(Files, Arc<ClientConfig>)>>);

/// What the files hold.
#[derive(PartialEq, Eq)]
struct Files {
    authority: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, String)>,
}

impl Settings {
    /// The settings in force; `Err` says what is wrong with a file and what to do.
    pub(crate) async fn get(
        &self,
        system: &Name,
        tls: &ClientTls,
        env: &(dyn Fn(&str) -> Option<String> + Send + Sync),
    ) -> Result<Arc<ClientConfig>, String> {
        let authority = match &tls.authority {
            Some(path) => Some(certificates(path).await?),
            None => None,
        };
        let identity = match &tls.identity {
            Some(identity) => {
                let key = config::read(system, "key of TLS", &identity.key, env).await?;
                Some((certificates(&identity.certificate).await?, key))
            }
            None => None,
        };
        let files = Files { authority, identity };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, config)) = &*known
            && *of == files
        {
            return Ok(config.clone());
        }
        let config = Arc::new(make(tls, &files)?);
        *known = Some((files, config.clone()));
        Ok(config)
    }
}

async fn certificates(path: &str) -> Result<Vec<u8>, String> {
    config::bytes(path, FILE_MAX_BYTES).await.map_err(|cause| {
        format!(
            "the certificates in {path} cannot be read: {cause}; check the path and its permissions, a relative path \
             begins in the folder that Andon was started in"
        )
    })
}

fn make(tls: &ClientTls, files: &Files) -> Result<ClientConfig, String> {
    let roots = match (&files.authority, &tls.authority) {
        (Some(bytes), Some(path)) => authorities(path, bytes)?,
        _ => native()?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("TLS cannot be prepared: {e}"))?
        .with_root_certificates(roots);
    let mut config = match (&files.identity, &tls.identity) {
        (Some((chain, key)), Some(identity)) => {
            let (chain, key) = (parse(&identity.certificate, chain)?, parse_key(key)?);
            builder.with_client_auth_cert(chain, key).map_err(|e| mismatch(identity, &e))?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

pub(super) fn parse(path: &str, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let found = found.map_err(|e| format!("the certificates in {path} cannot be read: {e}; write them anew as PEM"))?;
    if found.is_empty() {
        return Err(format!(
            "no certificate stands in {path}; expected PEM that begins with -----BEGIN CERTIFICATE-----"
        ));
    }
    Ok(found)
}

pub(super) fn parse_key(text: &str) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| {
        if text.contains("ENCRYPTED PRIVATE KEY") {
            "the key of TLS is encrypted; write it without passphrase and let only Andon read it: \
             openssl pkey -in KEY -out PLAIN"
                .to_owned()
        } else {
            "the key of TLS is no private key in PEM; it begins with -----BEGIN PRIVATE KEY-----".to_owned()
        }
    })
}

pub(super) fn authorities(path: &str, bytes: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for (at, certificate) in parse(path, bytes)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|e| {
            let at = at + 1;
            format!("certificate {at} of {path} cannot be an authority: {e}; let it hold authorities in PEM only")
        })?;
    }
    Ok(roots)
}

/// The authorities that the operating system believes.
fn native() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    if roots.add_parsable_certificates(found.certs).0 > 0 {
        return Ok(roots);
    }
    let why = found.errors.first().map(|e| format!(": {e}")).unwrap_or_default();
    Err(format!(
        "the operating system names no authority{why}; name its file, `tls: {{ authority: PATH }}`, or install the \
         system's certificates"
    ))
}

fn mismatch(identity: &TlsIdentity, error: &Error) -> String {
    let path = &identity.certificate;
    format!(
        "the certificate in {path} cannot be used with its key: {error}; the first certificate of the file must be \
        that \
         of the key, those of its authorities follow"
    )
}

/// The error of TLS among the causes of an error.
pub(crate) fn of<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref::<Error>() {
            return Some(found);
        }
        // An error of I/O passes its own inner one over.
        if let Some(inner) = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref)
            && let Some(found) = of(inner)
        {
            return Some(found);
        }
        next = cause.source();
    }
    None
}

/// What an error of TLS means, what to do about it, and whether it is about who we are.
pub(super) fn explain(error: &Error) -> (OutcomeClass, String) {
    let (class, what) = match error {
        Error::InvalidCertificate(why) => (OutcomeClass::Transient, certificate(why)),
        Error::AlertReceived(alert) => refused(*alert),
        Error::InvalidMessage(_) => {
            (OutcomeClass::Transient, "it does not speak TLS; correct the port, or use http:// without TLS".into())
        }
        Error::PeerIncompatible(why) => (
            OutcomeClass::Transient,
            format!("we have no version or method of TLS in common ({why:?}); TLS 1.2 or 1.3 is needed"),
        ),
        other => (OutcomeClass::Transient, other.to_string()),
    };
    (class, format!("TLS failed: {what}"))
}

fn certificate(why: &CertificateError) -> String {
    match why {
        CertificateError::UnknownIssuer => "its certificate is from an authority that is not believed here; name the \
                                            file of its authority: `tls: { authority: PATH }`"
            .into(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("its certificate is no longer valid ({why}); renew it there, and check the clocks of both machines")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("its certificate is not valid yet ({why}); check the clocks of both machines")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => format!(
            "its certificate is for another name ({why}); use one of its names in `base`, and `connect` for the place"
        ),
        CertificateError::BadSignature => "its certificate is not signed by the authority of that name that is \
                                           believed here; name the file of its authority as it is today"
            .into(),
        other => format!("its certificate is not accepted ({other})"),
    }
}

/// What the other side does not like: about us, so that no repetition mends it.
fn refused(alert: AlertDescription) -> (OutcomeClass, String) {
    let ours = "check the file of `tls: { certificate: PATH }`, and which authority the other side believes";
    let what = match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            "it wants a certificate of ours; name certificate and key: `tls: { certificate: PATH, key: file:PATH }`"
                .into()
        }
        AlertDescription::UnknownCA => format!("it does not believe the authority of our certificate; {ours}"),
        AlertDescription::CertificateExpired => format!("our certificate is no longer valid there; {ours}"),
        AlertDescription::CertificateRevoked => format!("our certificate is revoked there; {ours}"),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied => format!("it refuses our certificate ({alert:?}); {ours}"),
        other => {
            let remedy = "it may want a certificate of ours, or another name or method; look into its log";
            return (OutcomeClass::Transient, format!("it ended the handshake ({other:?}); {remedy}"));
        }
    };
    (OutcomeClass::Auth, what)
}

/// Whether the other side ended the handshake because of our certificate: with TLS 1.3 it says so only after we have
/// begun to send, and it has read nothing of that.
pub(super) fn is_about_us(error: &Error) -> bool {
    matches!(error, Error::AlertReceived(alert) if refused(*alert).0 == OutcomeClass::Auth)
}
