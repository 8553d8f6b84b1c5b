//! What is kept of a request before it is sent: without the secrets of its system, and without what telling names hold.

use super::{
    config,
    redact::{self, Secrets},
};
use andon_contract::contract::{Credentials, Grant, Secret, System, UserPassword};
use andon_model::{Name, call::Prepared};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::{
    collections::VecDeque,
    io::Read as _,
    sync::{Arc, Mutex, PoisonError},
};

/// The longest secret.
const SECRET_MAX_BYTES: u64 = 64 << 10;
/// After so many requests the secrets are read again: they may have been changed.
const USES_MAX: u32 = 256;
/// Tokens that are remembered: what was renewed may still come back.
const TOKENS_MAX: usize = 8;

/// The secrets of a system, as they were read last, and the tokens that it was shown last.
#[derive(Default)]
pub(crate) struct Known(Mutex<State>);

#[derive(Default)]
struct State {
    secrets: Option<Arc<Secrets>>,
    uses: u32,
    tokens: VecDeque<String>,
}

impl Known {
    /// The request as it is kept.
    pub(crate) fn request(
        &self,
        prepared: &Prepared,
        system: &System,
        env: &(dyn Fn(&str) -> Option<String> + Send + Sync),
    ) -> Prepared {
        let secrets = self.fresh().unwrap_or_else(|| {
            let found = references(system).into_iter().filter_map(|of| Some((of.user, read(of.secret, env)?)));
            self.learn(found.collect())
        });
        redact::request(prepared, &secrets)
    }

    /// All secrets of the system; a file that is slow is waited for, a secret that cannot be read is in no request.
    pub(super) async fn all(
        &self,
        name: &Name,
        system: &System,
        env: &(dyn Fn(&str) -> Option<String> + Send + Sync),
    ) -> Arc<Secrets> {
        if let Some(secrets) = self.fresh() {
            return secrets;
        }
        let mut found = Vec::new();
        for of in references(system) {
            if let Ok(text) = config::read(name, "secret", of.secret, env).await {
                found.push((of.user, text));
            }
        }
        self.learn(found)
    }

    /// Remembers a token that the system is shown.
    pub(super) fn token(&self, token: &str) {
        let mut state = self.lock();
        if state.tokens.iter().any(|known| known == token) {
            return;
        }
        if state.tokens.len() >= TOKENS_MAX {
            state.tokens.pop_front();
        }
        state.tokens.push_back(token.to_owned());
        if let Some(secrets) = &state.secrets {
            secrets.add([token.to_owned()]);
        }
    }

    fn fresh(&self) -> Option<Arc<Secrets>> {
        let mut state = self.lock();
        state.uses += 1;
        if state.uses > USES_MAX {
            state.secrets = None;
        }
        state.secrets.clone()
    }

    fn learn(&self, found: Vec<(Option<&str>, String)>) -> Arc<Secrets> {
        let secrets = Secrets::default();
        for (user, secret) in found {
            secrets.add(user.map(|user| BASE64_STANDARD.encode(format!("{user}:{secret}"))));
            secrets.add([secret]);
        }
        let mut state = self.lock();
        secrets.add(state.tokens.iter().cloned());
        let secrets = Arc::new(secrets);
        state.secrets = Some(Arc::clone(&secrets));
        state.uses = 0;
        secrets
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A secret of a system, and the user whose password it is.
struct Of<'a> {
    user: Option<&'a str>,
    secret: &'a Secret,
}

impl<'a> Of<'a> {
    fn alone(secret: &'a Secret) -> Self {
        Self { user: None, secret }
    }

    fn pair(pair: &'a UserPassword) -> Self {
        Self { user: Some(&pair.user), secret: &pair.password }
    }
}

/// The secrets that a system knows or may be shown: who we are there and at its proxy, and who it is at our reads.
fn references(system: &System) -> Vec<Of<'_>> {
    let mut all = match &system.credentials {
        Credentials::None => Vec::new(),
        Credentials::Bearer(secret) | Credentials::ApiKey { key: secret, .. } => vec![Of::alone(secret)],
        Credentials::Basic(of) => vec![Of::pair(of)],
        Credentials::OAuth2(settings) => {
            let client = settings.secret.as_ref().map(|secret| Of { user: Some(&settings.client), secret });
            let password = match &settings.grant {
                Grant::ClientCredentials => None,
                Grant::Password(of) => Some(Of::pair(of)),
            };
            client.into_iter().chain(password).collect()
        }
    };
    all.extend(system.reach.proxy.iter().filter_map(|proxy| proxy.credentials.as_ref()).map(Of::pair));
    for door in system.reads.values().filter_map(|read| read.webhook.as_ref()).map(|webhook| &webhook.door) {
        all.extend(door.signature.iter().map(|signature| Of::alone(&signature.secret)));
        all.extend(door.token.iter().chain(door.keys.values()).map(Of::alone));
    }
    all
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
    use andon_contract::contract::{Address, Proxy, Reach, Retry};
    use andon_model::span::Span;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn system(credentials: Credentials) -> System {
        let second = Span::from_secs(1);
        System {
            zone: "plant".parse().unwrap(),
            test: false,
            maturity: None,
            base: Address { env: None, default: "http://h".into() },
            reach: Reach::default(),
            credentials,
            timeout: second,
            retry: Retry { first: second, max: second, within: second, ..Retry::DEFAULT },
            concurrent: 1,
            adaptive: true,
            breaker: None,
            rate: None,
            operations: BTreeMap::new(),
            reads: BTreeMap::new(),
        }
    }

    #[test]
    fn whatever_a_system_may_repeat_is_known() {
        let env = |name: &str| Some(format!("s3cret-{name}"));
        let pair = |user: &str, name: &str| UserPassword { user: user.into(), password: Secret::Env(name.into()) };
        let mut basic = system(Credentials::Basic(pair("u", "PASSWORD")));
        let address = Address { env: None, default: "http://proxy:1".into() };
        basic.reach.proxy = Some(Proxy { address, credentials: Some(pair("p", "PROXY")) });
        let coded = BASE64_STANDARD.encode("u:s3cret-PASSWORD");
        let body = format!("s3cret-PASSWORD {coded} s3cret-PROXY t0ken-of-old t0ken-of-now");
        let prepared = Prepared { method: "POST".into(), url: "http://h/".into(), headers: BTreeMap::new(), body };
        let known = Known::default();
        known.token("t0ken-of-old");
        let first = known.request(&prepared, &basic, &env);
        assert_eq!(first.body, "[redacted] [redacted] [redacted] [redacted] t0ken-of-now");
        known.token("t0ken-of-now");
        for _ in 0..2 * USES_MAX {
            let kept = known.request(&prepared, &basic, &env).body;
            assert_eq!(kept, "[redacted] [redacted] [redacted] [redacted] [redacted]");
        }
    }

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
        let kept = Known::default().request(&prepared, &system(file), &|_| None);
        let shown = format!("{kept:?}");
        assert!(!shown.contains("from-a-file") && !shown.contains("abc") && !shown.contains("\"p\""), "{shown}");
        assert_eq!(kept.url, "https://h/a?note=[redacted]&token=[redacted]&x=1");
        assert_eq!(kept.headers["accept"], "a/b");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&kept.body).unwrap(),
            json!({ "note": "key [redacted]", "password": "[redacted]", "lines": [{ "access_token": "[redacted]" }] })
        );
        let env = system(Credentials::Bearer(Secret::Env("T".into())));
        let known = Known::default();
        for _ in 0..300 {
            let kept = known.request(&prepared, &env, &|name| (name == "T").then(|| " from-a-file ".into()));
            assert!(!kept.body.contains("from-a-file"));
        }
    }
}
