//! What of a system's configuration is read at each use: its address and its secrets.

use super::redact::Secrets;
use andon_contract::contract::{Credentials as Declared, Secret};
use andon_model::Name;
use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::{
    Url,
    header::{AUTHORIZATION, HeaderName, HeaderValue},
};
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// The longest secret.
const SECRET_MAX_BYTES: u64 = 64 << 10;
/// A secret's file that takes longer is not there.
const SECRET_WAIT: Duration = Duration::from_secs(5);

/// The header that identifies us, and what must not be shown of it.
#[derive(Default)]
pub(super) struct Credentials {
    pub(super) header: Option<(HeaderName, HeaderValue)>,
    pub(super) secrets: Secrets,
}

/// The base of a system's addresses as a URL; `Err` says what is wrong and what to do.
pub(crate) fn base(text: &str) -> Result<Url, String> {
    // What stands before an `@` may be a password.
    let shown = text.rsplit_once('@').map_or_else(|| text.to_owned(), |(_, place)| format!("...@{place}"));
    let wrong = |what: &str| format!("the base address {shown:?} {what}; it must be like https://host:443/path");
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(wrong("has characters that no address has"));
    }
    let url = Url::parse(text).map_err(|e| wrong(&format!("is no address ({e})")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong("is not of the web"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the base address holds a user or a password; name them in `credentials` by reference".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has a query or a fragment"));
    }
    Ok(url)
}

/// The address of a prepared request, if it still belongs to the system: credentials go nowhere else.
pub(super) fn allowed(url: &str, base_text: &str) -> Result<Url, String> {
    let base = base(base_text)?;
    let parsed = Url::parse(url).map_err(|e| format!("the address of the request cannot be read: {e}"))?;
    if same_origin(&parsed, &base) && parsed.username().is_empty() && parsed.password().is_none() {
        return Ok(parsed);
    }
    Err(format!(
        "the request was prepared for {}, and the system is now at {}; prepare it again",
        host(&parsed),
        host(&base)
    ))
}

/// Whether two addresses have scheme, host and port in common.
pub(super) fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// Scheme, host and port of an address, for people.
pub(super) fn host(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Reads the credentials of a system; `Err` says which secret is missing and what to do.
pub(super) async fn credentials(
    system: &Name,
    declared: &Declared,
    env: &(dyn Fn(&str) -> Option<String> + Send + Sync),
) -> Result<Credentials, String> {
    let (name, value, secrets) = match declared {
        // A token is got from somewhere else first.
        Declared::None | Declared::OAuth2(_) => return Ok(Credentials::default()),
        Declared::Bearer(secret) => {
            let token = read(system, "token", secret, env).await?;
            (AUTHORIZATION, format!("Bearer {token}"), vec![token])
        }
        Declared::Basic(pair) => {
            if pair.user.contains(':') {
                return Err(format!("the user of {system} contains a colon, which Basic authentication cannot carry"));
            }
            let password = read(system, "password", &pair.password, env).await?;
            let coded = BASE64_STANDARD.encode(format!("{}:{password}", pair.user));
            (AUTHORIZATION, format!("Basic {coded}"), vec![password, coded])
        }
        Declared::ApiKey { header, key } => {
            let name = HeaderName::from_bytes(header.as_bytes())
                .map_err(|_| format!("{header:?}, the header of the key of {system}, is no name of a header"))?;
            let key = read(system, "key", key, env).await?;
            (name, key.clone(), vec![key])
        }
    };
    // The message of the library could repeat the secret.
    let mut value = HeaderValue::from_str(&value)
        .map_err(|_| format!("the secret of {system} has characters that no header can carry; check its last line"))?;
    value.set_sensitive(true);
    Ok(Credentials { header: Some((name, value)), secrets: Secrets::new(secrets) })
}

/// Reads a secret; `what` names it, for people.
pub(crate) async fn read(
    system: &Name,
    what: &str,
    secret: &Secret,
    env: &(dyn Fn(&str) -> Option<String> + Send + Sync),
) -> Result<String, String> {
    let (text, place) = match secret {
        Secret::Env(name) => {
            let place = format!("the environment variable {name}");
            let text =
                env(name).ok_or_else(|| format!("the {what} of {system} is missing: {place} is not set; set it"))?;
            (text, place)
        }
        Secret::File(path) => {
            let place = format!("the file {path}");
            let text = match tokio::time::timeout(SECRET_WAIT, file(path)).await {
                Ok(Ok(text)) => text,
                Ok(Err(cause)) => {
                    return Err(format!("the {what} of {system} is missing: {place} cannot be read: {cause}"));
                }
                Err(_) => return Err(format!("the {what} of {system} is missing: {place} cannot be read in time")),
            };
            (text, place)
        }
    };
    let text = text.trim();
    if text.is_empty() {
        return Err(format!("the {what} of {system} is missing: {place} is empty; fill it"));
    }
    Ok(text.to_owned())
}

async fn file(path: &str) -> std::io::Result<String> {
    String::from_utf8(whole(path, SECRET_MAX_BYTES).await?).map_err(|_| std::io::Error::other("is no text"))
}

async fn whole(path: &str, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = tokio::fs::File::open(path).await?;
    file.take(most + 1).read_to_end(&mut bytes).await?;
    if bytes.len() as u64 > most {
        return Err(std::io::Error::other(format!("is longer than {most} bytes")));
    }
    Ok(bytes)
}

/// The bytes of a file that is no secret.
pub(crate) async fn bytes(path: &str, most: u64) -> Result<Vec<u8>, String> {
    match tokio::time::timeout(SECRET_WAIT, whole(path, most)).await {
        Ok(read) => read.map_err(|cause| cause.to_string()),
        Err(_) => Err("not in time".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_contract::contract::UserPassword;

    fn env(name: &str) -> Option<String> {
        match name {
            "TOKEN" => Some(" s3cret-token\n".into()),
            "EMPTY" => Some("  ".into()),
            "SPLIT" => Some("a\r\nx-evil: 1".into()),
            _ => None,
        }
    }

    async fn of(declared: Declared) -> Result<String, String> {
        let found = credentials(&"eam".parse().unwrap(), &declared, &env).await?;
        Ok(found.header.map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).unwrap_or_default())
    }

    #[tokio::test]
    async fn each_kind_makes_its_header() {
        let token = || Secret::Env("TOKEN".into());
        assert_eq!(of(Declared::None).await.unwrap(), "");
        assert_eq!(of(Declared::Bearer(token())).await.unwrap(), "authorization: Bearer s3cret-token");
        let basic = |user: &str| Declared::Basic(UserPassword { user: user.into(), password: token() });
        assert_eq!(of(basic("u")).await.unwrap(), "authorization: Basic dTpzM2NyZXQtdG9rZW4=");
        assert!(of(basic("u:v")).await.unwrap_err().contains("colon"));
        let key = Declared::ApiKey { header: "apikey".into(), key: token() };
        assert_eq!(of(key).await.unwrap(), "apikey: s3cret-token");
    }

    #[tokio::test]
    async fn a_missing_secret_is_named_with_its_remedy_and_a_split_one_is_refused_without_showing_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "from-file\n").unwrap();
        let file = |path: &std::path::Path| Declared::Bearer(Secret::File(path.to_str().unwrap().into()));
        assert_eq!(of(file(&path)).await.unwrap(), "authorization: Bearer from-file");
        assert!(of(file(&folder.path().join("none"))).await.unwrap_err().contains("cannot be read"));
        let missing = of(Declared::Bearer(Secret::Env("NONE".into()))).await.unwrap_err();
        assert_eq!(missing, "the token of eam is missing: the environment variable NONE is not set; set it");
        assert!(of(Declared::Bearer(Secret::Env("EMPTY".into()))).await.unwrap_err().contains("is empty"));
        let split = of(Declared::Bearer(Secret::Env("SPLIT".into()))).await.unwrap_err();
        assert!(split.contains("no header can carry") && !split.contains("x-evil"), "{split}");
    }

    #[test]
    fn a_base_is_an_address_of_the_web_without_secrets() {
        for good in ["http://127.0.0.1:8741", "https://host/sap/opu/odata/sap/API;v=0002/", "http://[::1]:80/x"] {
            assert!(base(good).is_ok(), "{good}");
        }
        for wrong in [
            "",
            "host",
            "ftp://host",
            "http://",
            "http://u:p@host",
            "http://host/?a=1",
            "http://host/#x",
            "http://ho st",
        ] {
            assert!(base(wrong).is_err(), "{wrong}");
        }
        for wrong in ["ftp://u:s3cret@host", "http://u:s3cret@ho st", "u:s3cret@host", "https://u:s3cret@host"] {
            let said = base(wrong).unwrap_err();
            assert!(!said.contains("s3cret"), "{said}");
        }
    }

    #[test]
    fn credentials_go_to_the_system_only() {
        assert!(allowed("https://host/x", "https://host:443/base").is_ok());
        for wrong in ["http://host/x", "https://other/x", "https://host:8443/x", "https://u:p@host/x", "x"] {
            assert!(allowed(wrong, "https://host").is_err(), "{wrong}");
        }
    }
}
