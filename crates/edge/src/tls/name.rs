//! The common name of the subject of a certificate (X.509, RFC 5280 4.1.2.6), read without a library: it stands
//! at a fixed place, and only certificates whose signature was checked come here.

use rustls::pki_types::CertificateDer;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
/// `[0] EXPLICIT`, the version of a certificate, where it is told.
const VERSION: u8 = 0xA0;
/// `UTF8String`, `PrintableString`, `IA5String`: the forms of names whose bytes are UTF-8.
const TEXTS: [u8; 3] = [0x0C, 0x13, 0x16];
/// 2.5.4.3, `id-at-commonName`.
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
/// The longest common name, RFC 5280 appendix A.1 `ub-common-name`.
pub const COMMON_NAME_MAX: usize = 64;

/// The common name of the subject; `None` where it has none, several, or one that is no text of 1 to 64 characters:
/// then it names nobody.
pub fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (mut certificate, _) = element(certificate, SEQUENCE)?;
    let mut body = take(&mut certificate, SEQUENCE)?;
    if body.first() == Some(&VERSION) {
        take(&mut body, VERSION)?;
    }
    // The serial number, the algorithm of the signature, the issuer and the validity stand before the subject.
    skip(&mut body)?;
    for _ in 0..3 {
        take(&mut body, SEQUENCE)?;
    }
    let mut subject = take(&mut body, SEQUENCE)?;
    let mut found = None;
    while !subject.is_empty() {
        let mut set = take(&mut subject, SET)?;
        while !set.is_empty() {
            let mut pair = take(&mut set, SEQUENCE)?;
            if take(&mut pair, OBJECT_ID)? != COMMON_NAME {
                continue;
            }
            let (form, value) = (*pair.first()?, skip(&mut pair)?);
            let text = TEXTS.contains(&form).then(|| std::str::from_utf8(value).ok())??;
            if text.is_empty() || text.chars().count() > COMMON_NAME_MAX || found.replace(text.to_owned()).is_some() {
                return None;
            }
        }
    }
    found
}

/// The contents of the next element, which must be of this kind, and what follows it.
fn element(bytes: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    if *bytes.first()? == kind { any(bytes) } else { None }
}

/// The contents of the next element and what follows it (X.690 8.1.3, definite lengths up to 2^24).
fn any(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.get(1..)?.split_first()?;
    let (length, rest) = match length {
        0..=0x7F => (usize::from(*length), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7F))?;
            (digits.iter().fold(0, |n, digit| n << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

fn take<'a>(bytes: &mut &'a [u8], kind: u8) -> Option<&'a [u8]> {
    let (contents, rest) = element(bytes, kind)?;
    *bytes = rest;
    Some(contents)
}

fn skip<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (contents, rest) = any(bytes)?;
    *bytes = rest;
    Some(contents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    fn certificate(names: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["other.example".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, name) in names {
            params.distinguished_name.push(kind.clone(), *name);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_common_name_is_found_among_others() {
        let read = |names: &[(DnType, &str)]| common_name(&certificate(names).into());
        let organization = (DnType::OrganizationName, "Works");
        assert_eq!(read(&[organization.clone(), (DnType::CommonName, "press-7")]), Some("press-7".into()));
        assert_eq!(read(&[(DnType::CommonName, "Prüfstand"), organization.clone()]), Some("Prüfstand".into()));
        assert_eq!(read(&[organization]), None);
        assert_eq!(read(&[(DnType::CommonName, &"x".repeat(65))]), None);
    }

    proptest! {
        #[test]
        fn damaged_certificates_never_panic(at in 0_usize..400, byte: u8, cut in 0_usize..600) {
            let mut bytes = certificate(&[(DnType::CommonName, "press-7")]);
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            bytes.truncate(cut);
            common_name(&bytes.into());
        }
    }
}
