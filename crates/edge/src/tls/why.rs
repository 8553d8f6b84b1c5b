//! What an error of TLS means, and what to do about it.

use crate::mqtt::Ended;
use rustls::{AlertDescription, CertificateError, Error};

/// The end of a connection that TLS did not let come about, or ended. `peer` is the address of the other side.
pub fn explain(peer: &str, error: &Error) -> Ended {
    let (what, remedy) = match error {
        Error::InvalidCertificate(why) => certificate(why),
        Error::AlertReceived(alert) => refused(*alert),
        Error::InvalidMessage(_) => (
            "it does not speak TLS".into(),
            "name the port of its TLS listener (mostly 8883), or use mqtt:// without TLS",
        ),
        Error::PeerIncompatible(why) => (
            format!("we have no version or method of TLS in common: {why:?}"),
            "let it speak TLS 1.2 or 1.3 with a common cipher suite",
        ),
        Error::NoCertificatesPresented => (
            "it shows no certificate".into(),
            "let it show one; as a client of Andon: name certificate and key in its settings",
        ),
        other => (other.to_string(), "check the settings of TLS on both sides"),
    };
    Ended::new(format!("TLS with {peer} failed: {what}"), remedy)
}

fn certificate(why: &CertificateError) -> (String, &'static str) {
    match why {
        CertificateError::UnknownIssuer => (
            "its certificate is from an authority that is not believed here".into(),
            "name the file of its authority: `tls: { authority: PATH }`",
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            format!("its certificate is no longer valid ({why})"),
            "renew the certificate there; check the clocks of both machines",
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            (format!("its certificate is not valid yet ({why})"), "check the clocks of both machines")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            format!("its certificate is for another name ({why})"),
            "use one of the certificate's names in the address, or have a certificate made for this one",
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => (
            format!("its certificate is for another purpose ({why})"),
            "a server needs a certificate for servers, a client one for clients",
        ),
        CertificateError::BadSignature => (
            "its certificate is not signed by the authority of that name that is believed here".into(),
            "name the file of its authority as it is today: `tls: { authority: PATH }`",
        ),
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => (
            "it shows the certificate of an authority as its own".into(),
            "have a certificate signed by that authority for the server",
        ),
        other => (format!("its certificate is not accepted ({other})"), "check the certificate there"),
    }
}

/// What the other side does not like.
fn refused(alert: AlertDescription) -> (String, &'static str) {
    let ours = "check the file that `tls: { certificate: PATH }` names, and which authority the other side believes";
    match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => (
            "it wants a certificate of ours".into(),
            "name certificate and key: `tls: { certificate: PATH, key: file:PATH }`",
        ),
        AlertDescription::UnknownCA => ("it does not believe the authority of our certificate".into(), ours),
        AlertDescription::CertificateExpired => ("our certificate is no longer valid there".into(), ours),
        AlertDescription::CertificateRevoked => ("our certificate is revoked there".into(), ours),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied => (format!("it refuses our certificate ({alert:?})"), ours),
        AlertDescription::HandshakeFailure => (
            "it refuses the handshake".into(),
            "it may want a certificate of ours (`tls: { certificate: PATH, key: file:PATH }`), or speak other \
             methods; look into its log",
        ),
        AlertDescription::ProtocolVersion => {
            ("it speaks no version of TLS that we speak".into(), "let it speak TLS 1.2 or 1.3")
        }
        AlertDescription::UnrecognisedName => {
            ("it has no certificate for the name that we ask for".into(), "use its name in the address")
        }
        other => (format!("it ended the handshake ({other:?})"), "look into its log"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::InvalidMessage;

    #[test]
    fn each_cause_has_a_remedy_of_its_own() {
        let say = |error: Error| explain("plant:8883", &error).to_string();
        assert!(say(CertificateError::UnknownIssuer.into()).contains("authority: PATH"));
        assert!(say(CertificateError::Expired.into()).contains("renew"));
        assert!(say(CertificateError::NotValidForName.into()).contains("names in the address"));
        assert!(say(Error::AlertReceived(AlertDescription::CertificateRequired)).contains("certificate: PATH"));
        assert!(say(Error::InvalidMessage(InvalidMessage::InvalidContentType)).contains("8883"));
    }
}
