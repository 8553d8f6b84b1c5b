//! Who asks: a token, a key with a name, or a signature over the body.

use super::{Head, Refusal};
use crate::{
    given::{self, Env},
    mqtt::Ended,
};
use andon_contract::contract::{HttpSource, Signature};
use andon_model::{Name, Time, span::Span};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::hmac;
use std::fmt;

/// The longest id of a webhook, in bytes.
pub(super) const WEBHOOK_ID_MAX: usize = 255;
/// Signatures that are looked at in one header.
const SIGNATURES_MAX: usize = 8;
/// What the secret of a webhook begins with when base64 follows.
const SECRET_PREFIX: &str = "whsec_";

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Nobody was asked.
    Anyone,
    /// Whoever has the token.
    Token,
    /// Whoever has the key of this name.
    Key(Name),
    /// Whoever signed what was posted.
    Signature,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => f.write_str("anyone"),
            Self::Token => f.write_str("token"),
            Self::Key(name) => write!(f, "key {name}"),
            Self::Signature => f.write_str("signature"),
        }
    }
}

/// Compares secrets in a time that tells nothing about them, not even their length.
pub(super) struct Keys(hmac::Key);

impl Keys {
    /// Under a key that the caller draws by chance.
    pub(super) fn new(key: [u64; 4]) -> Self {
        let bytes: Vec<u8> = key.iter().flat_map(|n| n.to_le_bytes()).collect();
        Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
    }

    fn same(&self, secret: &str, shown: &str) -> bool {
        let tag = hmac::sign(&self.0, secret.as_bytes());
        hmac::verify(&self.0, shown.as_bytes(), tag.as_ref()).is_ok() && !secret.is_empty()
    }

    /// Who shows what the source asks for.
    pub(super) fn caller(
        &self,
        http: &HttpSource,
        head: &Head<'_>,
        env: &Env,
    ) -> Result<Result<Caller, Refusal>, Ended> {
        if http.token.is_none() && http.keys.is_empty() && http.signature.is_none() {
            return Ok(Ok(Caller::Anyone));
        }
        let shown = match shown(head) {
            Ok(shown) => shown,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut found = None;
        let mut unreadable = None;
        if let Some(shown) = shown {
            let token = http.token.iter().map(|secret| (Caller::Token, secret));
            let keys = http.keys.iter().map(|(name, secret)| (Caller::Key(name.clone()), secret));
            // All are compared, also once one is found.
            for (caller, secret) in token.chain(keys) {
                match given::secret(secret, env) {
                    Ok(secret) if self.same(&secret, shown) && found.is_none() => found = Some(caller),
                    Ok(_) => {}
                    Err(ended) => unreadable = Some(ended),
                }
            }
        } else if let Some(signature) = &http.signature
            && head.headers.iter().any(|(name, _)| *name == format!("{}-signature", signature.header))
        {
            return Ok(Ok(Caller::Signature));
        }
        match (found, unreadable) {
            (Some(caller), _) => Ok(Ok(caller)),
            (None, Some(ended)) => Err(ended),
            (None, None) => Ok(Err(unauthorised("the key is missing or not one of this source", &ways(http)))),
        }
    }
}

/// What stands in `Authorization` or `X-Api-Key`.
fn shown<'a>(head: &Head<'a>) -> Result<Option<&'a str>, Refusal> {
    let bearer = head.one("authorization")?.map(|text| {
        let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
        if scheme.eq_ignore_ascii_case("bearer") { rest.trim() } else { "" }
    });
    Ok(bearer.or(head.one("x-api-key")?))
}

fn ways(http: &HttpSource) -> String {
    let key = "send `Authorization: Bearer <key>` or `X-Api-Key: <key>`";
    match (http.token.is_some() || !http.keys.is_empty(), &http.signature) {
        (true, None) => key.to_owned(),
        (true, Some(signature)) => {
            format!("{key}, or sign as Standard Webhooks say (`{}-signature`)", signature.header)
        }
        (false, Some(signature)) => format!("sign as Standard Webhooks say (`{}-signature`)", signature.header),
        (false, None) => String::new(),
    }
}

fn unauthorised(cause: &str, remedy: &str) -> Refusal {
    Refusal::new(401, cause, remedy).header("www-authenticate", "Bearer realm=\"andon\"")
}

/// The id of a webhook whose signature is right.
pub(super) fn verify<'a>(
    signature: &Signature,
    head: &Head<'a>,
    body: &[u8],
    now: Time,
    env: &Env,
) -> Result<Result<&'a str, Refusal>, Ended> {
    let secret = given::secret(&signature.secret, env)?;
    let key = match secret.strip_prefix(SECRET_PREFIX) {
        None => secret.into_bytes(),
        Some(text) => STANDARD.decode(text).map_err(|error| {
            let reason = format!("the secret of the signature is no base64 behind `{SECRET_PREFIX}`: {error}");
            Ended::new(reason, "put the secret there as the platform shows it")
        })?,
    };
    if key.is_empty() {
        return Err(Ended::new("the secret of the signature is empty".to_owned(), "set it to the platform's secret"));
    }
    Ok(signed(signature, head, body, now, &key))
}

fn signed<'a>(signature: &Signature, head: &Head<'a>, body: &[u8], now: Time, key: &[u8]) -> Result<&'a str, Refusal> {
    let header = |part: &str| {
        let name = format!("{}-{part}", signature.header);
        head.one(&name)?.filter(|value| !value.is_empty()).ok_or_else(|| {
            unauthorised(&format!("the header `{name}` is missing"), "send id, timestamp and signature of the webhook")
        })
    };
    let (id, timestamp, list) = (header("id")?, header("timestamp")?, header("signature")?);
    if id.len() > WEBHOOK_ID_MAX || !id.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(unauthorised("the id of the webhook is too long, or no plain text", "send at most 255 characters"));
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut context = hmac::Context::with_key(&key);
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        context.update(part);
    }
    let tag = context.sign();
    let is_right = |text: &str| {
        let shown = text.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok());
        shown.is_some_and(|shown| same_bytes(&key, tag.as_ref(), &shown))
    };
    if !list.split_ascii_whitespace().take(SIGNATURES_MAX).any(is_right) {
        return Err(unauthorised("the signature is not that of this body", "sign with the secret of this source"));
    }
    // The time is only believed once it is known who wrote it.
    let seconds: Option<i64> = timestamp.parse().ok();
    let time = seconds.and_then(|seconds| Time::from_unit(seconds, andon_model::time::Unit::S));
    let is_near = time.is_some_and(|time| {
        let apart = if time > now { time.since(now) } else { now.since(time) };
        apart <= signature.tolerance && apart >= Span::ZERO
    });
    if !is_near {
        let cause = format!("the time of the webhook is more than {} from ours", signature.tolerance);
        return Err(unauthorised(&cause, "set the clocks, or sign the webhook anew when it is sent again"));
    }
    Ok(id)
}

/// Whether two tags are the same, in a time that does not tell where they differ.
fn same_bytes(key: &hmac::Key, ours: &[u8], shown: &[u8]) -> bool {
    let tag = hmac::sign(key, ours);
    hmac::verify(key, shown, tag.as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_contract::contract::Secret;
    use std::{collections::BTreeMap, sync::Arc};

    const NOW: Time = Time(1_614_265_330_000_000_000);

    fn env() -> Env {
        Arc::new(|name| match name {
            "TOKEN" => Some("open sesame".into()),
            "KEY_A" => Some("a".repeat(32)),
            "KEY_B" => Some(String::new()),
            // The example of the specification of Standard Webhooks.
            "HOOK" => Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()),
            "HOOK_BROKEN" => Some("whsec_!".into()),
            _ => None,
        })
    }

    fn source(keys: &[(&str, &str)]) -> HttpSource {
        let keys = keys.iter().map(|(name, variable)| (Name::new(name).unwrap(), Secret::Env((*variable).into())));
        HttpSource { token: Some(Secret::Env("TOKEN".into())), keys: keys.collect(), ..HttpSource::open() }
    }

    fn ask(source: &HttpSource, headers: &[(&str, &str)]) -> Result<Result<Caller, Refusal>, Ended> {
        let headers: Vec<_> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Keys::new([1, 2, 3, 4]).caller(source, &Head { headers: &headers, query: "" }, &env())
    }

    #[test]
    fn a_token_or_a_key_lets_in_and_says_who_it_is() {
        let source = source(&[("partner-a", "KEY_A"), ("partner-b", "KEY_B")]);
        let who = |headers: &[(&str, &str)]| ask(&source, headers).unwrap().map_err(|refusal| refusal.status);
        assert_eq!(who(&[("authorization", "Bearer open sesame")]), Ok(Caller::Token));
        assert_eq!(who(&[("authorization", "bearer  open sesame")]), Ok(Caller::Token));
        let a = "a".repeat(32);
        assert_eq!(who(&[("x-api-key", &a)]), Ok(Caller::Key(Name::new("partner-a").unwrap())));
        assert_eq!(who(&[("authorization", &format!("Bearer {a}"))]).unwrap().to_string(), "key partner-a");
        for wrong in [
            &[("x-api-key", "")][..],
            &[("x-api-key", "aaa")],
            &[("authorization", "Basic open sesame")],
            &[("authorization", "Bearer ")],
            &[("authorization", "Bearer wrong"), ("x-api-key", a.as_str())],
            &[],
        ] {
            assert_eq!(who(wrong), Err(401), "{wrong:?}");
        }
        let refusal = ask(&source, &[]).unwrap().unwrap_err();
        assert_eq!(refusal.headers, [("www-authenticate", "Bearer realm=\"andon\"".to_owned())]);
    }

    #[test]
    fn a_secret_that_cannot_be_read_locks_out_nobody_else() {
        let source = source(&[("partner-c", "NOT_SET")]);
        assert_eq!(ask(&source, &[("x-api-key", "open sesame")]).unwrap(), Ok(Caller::Token));
        assert!(ask(&source, &[("x-api-key", "other")]).unwrap_err().reason.contains("NOT_SET"));
        assert_eq!(ask(&HttpSource::open(), &[]).unwrap(), Ok(Caller::Anyone));
    }

    fn hook(variable: &str) -> Signature {
        Signature { secret: Secret::Env(variable.into()), header: "webhook".into(), tolerance: Signature::TOLERANCE }
    }

    fn check(hook: &Signature, headers: &[(&str, &str)], body: &[u8], now: Time) -> Result<String, Option<u16>> {
        let headers: Vec<_> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let found = verify(hook, &Head { headers: &headers, query: "" }, body, now, &env());
        found.map_err(|_| None)?.map(str::to_owned).map_err(|refusal| Some(refusal.status))
    }

    #[test]
    fn the_example_of_standard_webhooks_is_right_and_every_change_of_it_is_not() {
        let body = br#"{"test": 2432232314}"#;
        let good = [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v1a,zzz v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ];
        let later = |secs| NOW.plus(Span::from_secs(secs));
        assert_eq!(check(&hook("HOOK"), &good, body, NOW), Ok("msg_p5jXN8AQM9LWM0D4loKWxJek".into()));
        assert!(check(&hook("HOOK"), &good, body, later(300)).is_ok());
        assert_eq!(check(&hook("HOOK"), &good, body, later(301)), Err(Some(401)));
        assert_eq!(check(&hook("HOOK"), &good, body, later(-301)), Err(Some(401)));
        assert_eq!(check(&hook("HOOK"), &good, b"{}", NOW), Err(Some(401)));
        assert_eq!(check(&hook("TOKEN"), &good, body, NOW), Err(Some(401)));
        assert_eq!(check(&hook("HOOK_BROKEN"), &good, body, NOW), Err(None));
        for at in 0..3 {
            let mut changed = good;
            changed[at].1 = "1614265331";
            assert_eq!(check(&hook("HOOK"), &changed, body, NOW), Err(Some(401)), "{at}");
            let lacking: Vec<_> = (0..3).filter(|n| *n != at).map(|n| good[n]).collect();
            assert_eq!(check(&hook("HOOK"), &lacking, body, NOW), Err(Some(401)), "{at}");
        }
    }

    #[test]
    fn a_signature_is_the_third_way_in() {
        let only = HttpSource { signature: Some(hook("HOOK")), token: None, keys: BTreeMap::new(), ..source(&[]) };
        assert_eq!(ask(&only, &[("webhook-signature", "v1,x")]).unwrap(), Ok(Caller::Signature));
        assert_eq!(ask(&only, &[]).unwrap().unwrap_err().status, 401);
        let both = HttpSource { signature: Some(hook("HOOK")), ..source(&[]) };
        assert_eq!(ask(&both, &[("webhook-signature", "v1,x")]).unwrap(), Ok(Caller::Signature));
        assert_eq!(ask(&both, &[("x-api-key", "open sesame")]).unwrap(), Ok(Caller::Token));
    }
}
