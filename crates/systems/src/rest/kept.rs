//! What is kept of a request before it is sent: without the secrets of its system, and without what telling names hold.

use super::redact::{self, Secrets};
use andon_contract::contract::{Credentials, Grant, Secret};
use andon_model::call::Prepared;
use std::{
    io::Read as _,
    sync::{Mutex, PoisonError},
};

/// The longest secret.
const SECRET_MAX_BYTES: u64 = 64 << 10;
/// After so many requests the secrets are read again: they may have been changed.
const USES_MAX: u32 = 256;

/// The secrets of a system, as they were read last.
#[derive(Default)]
pub(crate) struct Known(Mutex<Option<(Secrets, u32)>>);

impl Known {
    /// The request as it is kept.
    pub(crate) fn request(
        &self,
        prepared: &Prepared,
        declared: &Credentials,
        env: &(dyn Fn(&str) -> Option<String> + Send + Sync),
    ) -> Prepared {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_some_and(|(_, uses)| *uses >= USES_MAX) {
            *known = None;
        }
        let (secrets, uses) = known.get_or_insert_with(|| {
            let read = references(declared).into_iter().filter_map(|secret| read(secret, env));
            (Secrets::new(read.collect()), 0)
        });
        *uses += 1;
        redact::request(prepared, secrets)
    }
}

fn references(declared: &Credentials) -> Vec<&Secret> {
    match declared {
        Credentials::None => Vec::new(),
        Credentials::Bearer(secret) | Credentials::ApiKey { key: secret, .. } => vec![secret],
        Credentials::Basic(pair) => vec![&pair.password],
        Credentials::OAuth2(settings) => {
            let password = match &settings.grant {
                Grant::ClientCredentials => None,
                Grant::Password(pair) => Some(&pair.password),
            };
            settings.secret.iter().chain(password).collect()
        }
    }
}

/// A secret that can be read; one that cannot is in no request either.
fn read(secret: &Secret, env: &(dyn Fn(&str) -> Option<String> + Send + Sync)) -> Option<String> {
    let text = match secret {
        Secret::Env(name) => env(name)?,
        Secret::File(path) => {
            let mut text = String::new();
            std::fs::File::open(path).ok()?.take(SECRET_MAX_BYTES).read_to_string(&mut text).ok()?;
            text
        }
    };
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_secret_is_kept_wherever_it_stands() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "from-a-file\n").unwrap();
        let file = Credentials::ApiKey { header: "apikey".into(), key: Secret::File(path.to_str().unwrap().into()) };
        let body = json!({ "note": "key from-a-file", "password": "p", "lines": [{ "access_token": 7 }] });
        let prepared = Prepared {
            method: "POST".into(),
            url: "https://h/a?note=from-a-file&token=abc&x=1".into(),
            headers: [("x-note", "from-a-file"), ("x-session-token", "abc"), ("accept", "a/b")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            body: body.to_string(),
        };
        let kept = Known::default().request(&prepared, &file, &|_| None);
        let shown = format!("{kept:?}");
        assert!(!shown.contains("from-a-file") && !shown.contains("abc") && !shown.contains("\"p\""), "{shown}");
        assert_eq!(kept.url, "https://h/a?note=[redacted]&token=[redacted]&x=1");
        assert_eq!(kept.headers["accept"], "a/b");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&kept.body).unwrap(),
            json!({ "note": "key [redacted]", "password": "[redacted]", "lines": [{ "access_token": "[redacted]" }] })
        );
        let env = Credentials::Bearer(Secret::Env("T".into()));
        let known = Known::default();
        for _ in 0..300 {
            let kept = known.request(&prepared, &env, &|name| (name == "T").then(|| " from-a-file ".into()));
            assert!(!kept.body.contains("from-a-file"));
        }
    }
}
