//! Tokens of OAuth 2.0 (RFC 6749): got when first needed, renewed shortly before they end, by one request for all who
//! wait. A token is never shown, stored or logged. What fails here was certainly not sent to the system.

use super::{codec::Answer, redact::Secrets};
use andon_contract::{
    contract::{Grant, OAuth2},
    http::ENCODED,
};
use andon_model::{Outcome, OutcomeClass};
use base64::{Engine, prelude::BASE64_STANDARD};
use percent_encoding::utf8_percent_encode;
use serde_json::Value as Json;
use std::{future::Future, time::Duration};
use tokio::time::Instant;

/// The longest answer of a token's server.
pub(super) const ANSWER_MAX_BYTES: usize = 64 << 10;
/// A token is renewed so long before its end, or a tenth of its life before it where that is shorter.
const AHEAD: Duration = Duration::from_secs(30);
/// How long a token of unknown life is believed; the system's 401 says it sooner.
const LIFE_UNKNOWN: Duration = Duration::from_hours(1);
/// The longest life that is believed.
const LIFE_MAX: Duration = Duration::from_hours(24);

/// The secrets that a token is asked for with.
pub(super) struct Proofs {
    pub(super) client: Option<String>,
    pub(super) password: Option<String>,
}

/// A token and when it is renewed.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) access: String,
    refresh: Option<String>,
    renew: Instant,
}

/// The token of a system.
#[derive(Default)]
pub(super) struct Tokens(tokio::sync::Mutex<State>);

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// When getting one failed last, and how: who was waiting then takes it for its own.
    failed: Option<(Instant, Outcome)>,
}

impl Tokens {
    /// The token in force, other than `refused`, which the system has not accepted. `ask` sends a form to the token's
    /// server; it is asked once for all who wait.
    pub(super) async fn get<F>(
        &self,
        refused: Option<&str>,
        ask: impl Fn(Option<String>) -> F,
    ) -> Result<String, Outcome>
    where
        F: Future<Output = Result<Token, Outcome>>,
    {
        let since = Instant::now();
        let mut state = self.0.lock().await;
        if let Some(token) = &state.token
            && Some(token.access.as_str()) != refused
            && Instant::now() < token.renew
        {
            return Ok(token.access.clone());
        }
        if let Some((at, outcome)) = &state.failed
            && *at >= since
        {
            return Err(outcome.clone());
        }
        let refresh = state.token.take().and_then(|token| token.refresh);
        let mut got = match refresh.clone() {
            // A refresh token may have ended or been taken back; then it is as if there were none.
            Some(refresh) => match ask(Some(refresh)).await {
                Err(outcome) if outcome.class == OutcomeClass::Auth => ask(None).await,
                got => got,
            },
            None => ask(None).await,
        };
        if let Ok(token) = &mut got
            && token.refresh.is_none()
        {
            // The old one stays good where the answer names no new one (section 6).
            token.refresh = refresh;
        }
        match got {
            Ok(token) => {
                let access = token.access.clone();
                *state = State { token: Some(token), failed: None };
                Ok(access)
            }
            Err(outcome) => {
                state.failed = Some((Instant::now(), outcome.clone()));
                Err(outcome)
            }
        }
    }
}

/// The form that asks for a token, and the header that proves who the client is.
pub(super) fn form(of: &OAuth2, proofs: &Proofs, refresh: Option<&str>) -> (String, Option<String>) {
    let mut fields: Vec<(&str, &str)> = Vec::new();
    let scopes = of.scopes.join(" ");
    match (refresh, &of.grant) {
        (Some(token), _) => fields.extend([("grant_type", "refresh_token"), ("refresh_token", token)]),
        (None, Grant::ClientCredentials) => fields.push(("grant_type", "client_credentials")),
        (None, Grant::Password(pair)) => fields.extend([
            ("grant_type", "password"),
            ("username", pair.user.as_str()),
            ("password", proofs.password.as_deref().unwrap_or_default()),
        ]),
    }
    if !scopes.is_empty() && refresh.is_none() {
        fields.push(("scope", &scopes));
    }
    if let Some(audience) = of.audience.as_deref().filter(|_| refresh.is_none()) {
        fields.push(("audience", audience));
    }
    let header = match &proofs.client {
        Some(secret) if !of.in_form => {
            Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{}", encoded(&of.client), encoded(secret)))))
        }
        Some(secret) => {
            fields.extend([("client_id", of.client.as_str()), ("client_secret", secret)]);
            None
        }
        None => {
            fields.push(("client_id", &of.client));
            None
        }
    };
    let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    (pairs.join("&"), header)
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// The token of an answer; `host` is where it comes from, for people.
pub(super) fn read(answer: &Answer, host: &str, now: Instant, secrets: &Secrets) -> Result<Token, Outcome> {
    let json: Json = serde_json::from_slice(&answer.body).unwrap_or(Json::Null);
    let text = |name: &str| json.get(name).and_then(Json::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    if !(200..=299).contains(&answer.status) || answer.broken.is_some() {
        return Err(refused(answer, host, text("error"), text("error_description"), secrets));
    }
    let broken = |what: &str| {
        let detail = format!("{host} gives no token: {what}; check the address of `oauth2: {{ token: ... }}`");
        Outcome::not_sent(OutcomeClass::Auth, detail)
    };
    let access = text("access_token").ok_or_else(|| broken("its answer holds no access_token"))?;
    if let Some(kind) = text("token_type").filter(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        // Hidden before it is cut: half a secret is one, too.
        let kind: String = secrets.hide(&kind).chars().take(40).collect();
        return Err(broken(&format!("it is of the type {kind:?}")));
    }
    // Some servers write the number as a text.
    let life = json.get("expires_in").and_then(|v| v.as_f64().or_else(|| v.as_str()?.trim().parse().ok()));
    let life = life.and_then(|secs| Duration::try_from_secs_f64(secs).ok()).unwrap_or(LIFE_UNKNOWN).min(LIFE_MAX);
    secrets.add([access.clone()].into_iter().chain(text("refresh_token")));
    Ok(Token { access, refresh: text("refresh_token"), renew: now + life.saturating_sub(AHEAD.min(life / 10)) })
}

/// A server that gives no token: nobody repeats what it refuses for good.
fn refused(
    answer: &Answer,
    host: &str,
    error: Option<String>,
    description: Option<String>,
    secrets: &Secrets,
) -> Outcome {
    let status = answer.status;
    let class = match status {
        408 | 425 | 429 => OutcomeClass::Limit,
        400..=499 if error.as_deref() == Some("temporarily_unavailable") => OutcomeClass::Transient,
        300..=499 => OutcomeClass::Auth,
        _ => OutcomeClass::Transient,
    };
    let words = [error, description].into_iter().flatten().collect::<Vec<_>>().join(": ");
    let words = if words.is_empty() { String::new() } else { format!(" ({})", secrets.hide(&words)) };
    let remedy = if class == OutcomeClass::Auth { "; check client, grant and scopes of `oauth2`" } else { "" };
    let broken = answer.broken.as_ref().map(|cause| format!(", and {cause}")).unwrap_or_default();
    let mut outcome =
        Outcome::not_sent(class, format!("no token from {host}: it answers {status}{words}{broken}{remedy}"));
    outcome.retry_after = super::codec::retry_after(&answer.headers);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_contract::contract::{Secret, TokenPlace, UserPassword};
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn settings(grant: Grant, in_form: bool) -> OAuth2 {
        OAuth2 {
            token: TokenPlace::Path("/token".into()),
            grant,
            client: "an:don".into(),
            secret: Some(Secret::Env("S".into())),
            in_form,
            scopes: vec!["a".into(), "b/c".into()],
            audience: Some("https://eam".into()),
        }
    }

    fn proofs() -> Proofs {
        Proofs { client: Some("s&cret".into()), password: Some("p w".into()) }
    }

    #[test]
    fn forms_are_those_of_the_standard() {
        let (form, header) = form_of(Grant::ClientCredentials, false, None);
        assert_eq!(form, "grant_type=client_credentials&scope=a%20b%2Fc&audience=https%3A%2F%2Feam");
        // Name and secret are encoded before they are joined (section 2.3.1).
        assert_eq!(header.unwrap(), format!("Basic {}", BASE64_STANDARD.encode("an%3Adon:s%26cret")));
        let pair = UserPassword { user: "u".into(), password: Secret::Env("P".into()) };
        let (form, header) = form_of(Grant::Password(pair), true, None);
        assert!(form.starts_with("grant_type=password&username=u&password=p%20w&scope="), "{form}");
        assert!(form.ends_with("&client_id=an%3Adon&client_secret=s%26cret") && header.is_none(), "{form}");
        let (form, _) = form_of(Grant::ClientCredentials, false, Some("r+"));
        assert_eq!(form, "grant_type=refresh_token&refresh_token=r%2B");
    }

    fn form_of(grant: Grant, in_form: bool, refresh: Option<&str>) -> (String, Option<String>) {
        form(&settings(grant, in_form), &proofs(), refresh)
    }

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.as_bytes().to_vec(), ..Answer::default() }
    }

    #[tokio::test]
    async fn answers_give_tokens_or_say_why_not() {
        let (now, secrets) = (Instant::now(), Secrets::new(vec!["s3cret".into()]));
        let read = |status, body| read(&answer(status, body), "https://login", now, &secrets);
        let token = read(200, r#"{"access_token":"t0ken","token_type":"Bearer","expires_in":"3600"}"#).ok().unwrap();
        assert_eq!(token.renew - now, Duration::from_secs(3_570));
        let short = read(200, r#"{"access_token":"t","token_type":"bearer","expires_in":10}"#).ok().unwrap();
        assert_eq!(short.renew - now, Duration::from_secs(9));
        assert_eq!(secrets.hide("t0ken"), "[redacted]");
        for (status, body, class, says) in [
            (
                401,
                r#"{"error":"invalid_client","error_description":"s3cret is wrong"}"#,
                OutcomeClass::Auth,
                "(invalid_client: [redacted] is wrong)",
            ),
            (400, r#"{"error":"invalid_scope"}"#, OutcomeClass::Auth, "invalid_scope"),
            (429, "", OutcomeClass::Limit, "429"),
            (503, "<html>", OutcomeClass::Transient, "503"),
            (302, "", OutcomeClass::Auth, "302"),
            (200, "{}", OutcomeClass::Auth, "no access_token"),
            (200, r#"{"access_token":"t","token_type":"mac"}"#, OutcomeClass::Auth, "mac"),
            (200, r#"{"access_token":"t","token_type":"s3cret"}"#, OutcomeClass::Auth, "[redacted]"),
        ] {
            let outcome = read(status, body).err().unwrap();
            assert_eq!((outcome.class, outcome.sent), (class, false), "{}", outcome.detail);
            assert!(outcome.detail.contains(says) && !outcome.detail.contains("s3cret"), "{}", outcome.detail);
        }
    }

    #[tokio::test]
    async fn a_token_is_asked_for_once_and_a_refusal_is_everybodys() {
        let (tokens, asked) = (Tokens::default(), AtomicUsize::new(0));
        let ask = |good: bool, refresh: Option<&'static str>, life: u64| {
            let asked = &asked;
            move |with: Option<String>| async move {
                let number = asked.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::task::yield_now().await;
                if !good || with.as_deref() == Some("old") {
                    return Err(Outcome::not_sent(OutcomeClass::Auth, "no"));
                }
                let renew = Instant::now() + Duration::from_secs(life);
                Ok(Token { access: format!("t{number}"), refresh: refresh.map(str::to_owned), renew })
            }
        };
        let (one, two) = tokio::join!(tokens.get(None, ask(false, None, 0)), tokens.get(None, ask(false, None, 0)));
        assert!(one.is_err() && two.is_err());
        assert_eq!(asked.load(Ordering::SeqCst), 1, "two waited for one refusal");
        let (one, two) = tokio::join!(tokens.get(None, ask(true, None, 9)), tokens.get(None, ask(true, None, 9)));
        assert_eq!((one.unwrap(), two.unwrap()), ("t2".to_owned(), "t2".to_owned()));
        // Refused by the system: got anew once, also for the second who was refused with it.
        let (one, two) =
            tokio::join!(tokens.get(Some("t2"), ask(true, Some("old"), 0)), tokens.get(Some("t2"), ask(true, None, 9)));
        assert_eq!(one.unwrap(), "t3");
        // The token has ended at once, its refresh token too: asked with both.
        assert_eq!(two.unwrap(), "t5");
        assert_eq!(asked.load(Ordering::SeqCst), 5);
    }
}
