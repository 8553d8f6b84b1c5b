//! Keeps what a system answered without what must not be kept.

use super::RESPONSE_MAX_BYTES;
use andon_contract::http::ENCODED;
use andon_model::call::Prepared;
use percent_encoding::utf8_percent_encode;
use serde_json::Value as Json;
use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

/// What stands where something was taken out.
pub const MARK: &str = "[redacted]";
/// Shorter secrets would take ordinary words out of a text.
const SECRET_MIN_BYTES: usize = 4;
/// The part of a text that is looked at: more than is kept, so that nothing is cut before it is recognised.
const LOOKED_AT_BYTES: usize = 4 * RESPONSE_MAX_BYTES;

/// Parts of a key whose value is not kept; compared without case, `-` and `_`.
const KEYS: [&str; 10] = [
    "authorization",
    "password",
    "passwd",
    "secret",
    "token",
    "apikey",
    "cookie",
    "credential",
    "privatekey",
    "sessionid",
];

/// The secrets of an attempt: a system that repeats them must not put them into our records.
#[derive(Default)]
pub(crate) struct Secrets {
    own: RwLock<Vec<String>>,
    /// Those of its system, which all attempts share.
    shared: Option<Arc<Secrets>>,
}

impl Secrets {
    pub(crate) fn new(secrets: Vec<String>) -> Self {
        let new = Self::default();
        new.add(secrets);
        new
    }

    /// These, and those of the system.
    pub(super) fn with(self, shared: Arc<Self>) -> Self {
        Self { shared: Some(shared), ..self }
    }

    /// Those that others have of their own.
    pub(super) fn add_all(&self, others: &Self) {
        let others = others.own.read().unwrap_or_else(PoisonError::into_inner).clone();
        self.add(others);
    }

    /// Others that came up on the way, such as tokens.
    pub(super) fn add(&self, secrets: impl IntoIterator<Item = String>) {
        let mut all = self.own.write().unwrap_or_else(PoisonError::into_inner);
        for secret in secrets.into_iter().filter(|secret| secret.len() >= SECRET_MIN_BYTES) {
            for form in forms(&secret) {
                if !all.contains(&form) {
                    all.push(form);
                }
            }
            if !all.contains(&secret) {
                all.push(secret);
            }
        }
    }

    /// The text without the secrets.
    pub(crate) fn hide<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let hidden = self.shared.as_ref().map_or(Cow::Borrowed(text), |shared| shared.hide(text));
        let all = self.own.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().fold(hidden, |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), MARK).into() } else { text }
        })
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.own.read().unwrap_or_else(PoisonError::into_inner).len())
    }
}

/// Takes out of what is shown of runs what is taken out of what attempts keep: secrets that are known otherwise than
/// by a system, such as those that an expression of a workflow gives.
#[derive(Debug, Default)]
pub struct Shown(Secrets);

impl Shown {
    /// Hides these secrets, in every way in which they may be written.
    pub fn without(secrets: Vec<String>) -> Self {
        Self(Secrets::new(secrets))
    }

    /// The text without them.
    pub fn text(&self, text: &str) -> String {
        self.0.hide(text).into_owned()
    }

    /// The value without them.
    pub fn value(&self, json: &Json) -> Json {
        clean(json, &|_| false, &self.0)
    }

    /// What a run, a task or a call was given: without them, and without what stands under telling names.
    pub fn given(&self, json: &Json) -> Json {
        clean(json, &telling, &self.0)
    }
}

/// How a secret may stand in a text otherwise than plainly: in JSON, in an address or a form, in a page of HTML.
fn forms(secret: &str) -> impl Iterator<Item = String> {
    let json = Json::from(secret).to_string();
    let json = json.get(1..json.len() - 1).unwrap_or_default().to_owned();
    let address = utf8_percent_encode(secret, ENCODED).to_string();
    let form = address.replace("%20", "+");
    let html = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let plain = secret.to_owned();
    [json, address, form, html].into_iter().filter(move |form| *form != plain)
}

/// The body as it is kept: redacted and at most 16 KiB.
pub(super) fn kept(body: &[u8], json: Option<&Json>, secrets: &Secrets) -> String {
    let text = match json {
        Some(json) => clean(json, &telling, secrets).to_string(),
        None => text(&String::from_utf8_lossy(body.get(..LOOKED_AT_BYTES).unwrap_or(body))),
    };
    cut(&secrets.hide(&text), RESPONSE_MAX_BYTES)
}

/// A text of at most so many bytes, cut between two characters.
pub(super) fn cut(text: &str, most: usize) -> String {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default().to_owned()
}

/// A body that nobody has read, as it is kept. What is cut is looked at with what stands behind it, so that nothing is
/// cut before it is recognised.
pub(super) fn kept_bytes(body: &[u8], secrets: &Secrets, most: usize) -> String {
    let whole = if body.len() <= LOOKED_AT_BYTES { serde_json::from_slice::<Json>(body).ok() } else { None };
    let text = match whole.filter(|json| json.is_object() || json.is_array()) {
        Some(json) => clean(&json, &telling, secrets).to_string(),
        None => text(&String::from_utf8_lossy(body.get(..LOOKED_AT_BYTES).unwrap_or(body))),
    };
    cut(&secrets.hide(&text), most)
}

/// Method and address of a request, as they are kept.
pub(super) fn request_line(prepared: &Prepared, secrets: &Secrets) -> String {
    format!("{} {}", prepared.method, secrets.hide(&address(&prepared.url)))
}

/// The body of a request, as it is kept.
pub(super) fn body(prepared: &Prepared, secrets: &Secrets, most: usize) -> String {
    kept_bytes(prepared.body.as_bytes(), secrets, most)
}

/// A whole request, as it is kept.
pub(super) fn request(prepared: &Prepared, secrets: &Secrets) -> Prepared {
    Prepared {
        method: prepared.method.clone(),
        url: secrets.hide(&address(&prepared.url)).into_owned(),
        headers: headers(&prepared.headers, secrets),
        body: body(prepared, secrets, RESPONSE_MAX_BYTES),
    }
}

/// The headers as they are kept: those that are telling by their name lose their value.
pub(super) fn headers(headers: &BTreeMap<String, String>, secrets: &Secrets) -> BTreeMap<String, String> {
    let one = |(name, value): (&String, &String)| {
        let value = if telling(name) { MARK.to_owned() } else { secrets.hide(&address(value)).into_owned() };
        (name.clone(), value)
    };
    // The time of the answer is that of the attempt.
    headers.iter().filter(|(name, _)| *name != "date").map(one).collect()
}

/// An address, or what may hold some, as it is kept: telling names of its query lose their values.
pub(super) fn address(text: &str) -> String {
    if text.contains('?') { self::text(text) } else { text.to_owned() }
}

/// A text without the values of telling keys, as in `password=x` and `Authorization: Bearer x`.
pub(super) fn text(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, value)) = next_value(rest) {
        clean.push_str(before);
        clean.push_str(MARK);
        rest = value;
    }
    clean.push_str(rest);
    clean
}

/// What stands before the value of the next telling key, and what follows the value.
fn next_value(text: &str) -> Option<(&str, &str)> {
    let mut from = 0;
    loop {
        // A separator follows every key, so the keys are looked for before each.
        let at = from + text.get(from..)?.find([':', '='])?;
        let after = at + 1;
        let key = text.get(..at)?.trim_end_matches(['"', '\'', ' ', '\t', '\\']);
        let start = key.rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).map_or(0, |i| i + 1);
        // After a character of several bytes the place is none of a character; then there is no key either.
        if !key.get(start..).is_some_and(telling) {
            from = after;
            continue;
        }
        let tail = text.get(after..)?;
        let skipped = tail.trim_start_matches([' ', '\t', '"', '\'', '\\']);
        let begin = text.len() - skipped.len();
        let scheme = ["bearer ", "basic "]
            .iter()
            .find(|scheme| skipped.get(..scheme.len()).is_some_and(|found| found.eq_ignore_ascii_case(scheme)))
            .map_or(0, |scheme| scheme.len());
        let value = skipped.get(scheme..)?;
        let length = value.find(|c: char| c.is_whitespace() || "\"'&;<,\\".contains(c)).unwrap_or(value.len());
        if length == 0 && scheme == 0 {
            from = after;
            continue;
        }
        return Some((text.get(..begin)?, value.get(length..)?));
    }
}

fn telling(key: &str) -> bool {
    let plain: String =
        key.chars().filter(|c| !matches!(c, '-' | '_')).map(|c| c.to_ascii_lowercase()).take(64).collect();
    KEYS.iter().any(|word| plain.contains(word))
}

/// A value without what stands under telling keys, and without the secrets in its texts, which may hold JSON
/// themselves. JSON that was read is nested at most 128 deep.
fn clean(json: &Json, telling: &dyn Fn(&str) -> bool, secrets: &Secrets) -> Json {
    match json {
        Json::Object(fields) => {
            let clean = fields.iter().map(|(key, value)| {
                let value =
                    if telling(key) && !value.is_null() { Json::from(MARK) } else { clean(value, telling, secrets) };
                (secrets.hide(key).into_owned(), value)
            });
            Json::Object(clean.collect())
        }
        Json::Array(items) => Json::Array(items.iter().map(|item| clean(item, telling, secrets)).collect()),
        Json::String(text) => secrets.hide(text).into(),
        Json::Null | Json::Bool(_) | Json::Number(_) => json.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn telling_keys_lose_their_values_wherever_they_stand() {
        let body =
            json!({ "a": [{ "Access_Token": "x", "n": 1 }], "headers": { "Set-Cookie": ["y"] }, "password": null });
        let kept = kept(b"", Some(&body), &Secrets::default());
        assert_eq!(
            kept,
            r#"{"a":[{"Access_Token":"[redacted]","n":1}],"headers":{"Set-Cookie":"[redacted]"},"password":null}"#
        );
    }

    #[test]
    fn texts_lose_them_too() {
        for (found, expected) in [
            ("user=u&password=p&x=1", "user=u&password=[redacted]&x=1"),
            ("Authorization: Bearer abc\nHost: h", "Authorization: [redacted]\nHost: h"),
            (r#"{"api_key": "abc", "n": 1"#, r#"{"api_key": "[redacted]", "n": 1"#),
            (r#"bad \"token\":\"abc\" there"#, r#"bad \"token\":\"[redacted]\" there"#),
            ("the token is refused: log in", "the token is refused: log in"),
            ("ä:password=p", "ä:password=[redacted]"),
            ("password=", "password="),
        ] {
            assert_eq!(text(found), expected);
        }
    }

    #[test]
    fn a_secret_that_comes_back_is_hidden() {
        let secrets = Secrets::new(vec!["s3cret".into(), "abc".into()]);
        assert_eq!(secrets.hide("got s3cret and abc"), "got [redacted] and abc");
        assert_eq!(kept(b"<p>s3cret</p>", None, &secrets), "<p>[redacted]</p>");
        assert!(!format!("{secrets:?}").contains("s3cret"));
        let strange = r#"p w/"&<\x"#;
        let secrets = Secrets::new(vec![strange.into()]);
        let html = "p w/&quot;&amp;&lt;\\x";
        for text in [strange, &json!(strange).to_string(), "?a=p%20w%2F%22%26%3C%5Cx", "a=p+w%2F%22%26%3C%5Cx", html] {
            let hidden = secrets.hide(text);
            assert!(hidden.contains(MARK) && !hidden.contains("p w") && !hidden.contains("%26"), "{hidden}");
        }
    }

    #[test]
    fn what_is_shown_loses_secrets_everywhere_and_telling_names_where_it_was_given() {
        let shown = Shown::without(vec!["s3cret".into(), "abc".into()]);
        let json = json!({ "a": ["got s3cret", { "Api-Key": "k", "s3cret": 1 }], "abc": "abc", "token": null });
        assert_eq!(
            shown.value(&json),
            json!({ "a": ["got [redacted]", { "Api-Key": "k", "[redacted]": 1 }], "abc": "abc", "token": null })
        );
        assert_eq!(shown.given(&json)["a"][1]["Api-Key"], MARK);
        assert_eq!(shown.text("s3cret?"), "[redacted]?");
    }

    #[test]
    fn what_is_kept_is_cut_between_characters() {
        let kept = kept("ä".repeat(RESPONSE_MAX_BYTES).as_bytes(), None, &Secrets::default());
        assert_eq!(kept.len(), RESPONSE_MAX_BYTES);
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in r#"(?s)[a-z=:"' äß\\&]{0,40}(token|password)?["']?[:= ]{0,3}.{0,20}"#) {
            let clean = super::text(&text);
            prop_assert!(clean.len() <= text.len() + MARK.len() * text.len());
        }
    }
}
