//! Bodies and their types: what is sent as JSON, form or text, and what an answer is by its headers.

use super::{
    codec::Answer,
    fields::{Wrong, kind, scalar},
    words,
};
use andon_contract::{
    contract::{Body, Content},
    http::ENCODED,
};
use percent_encoding::utf8_percent_encode;
use serde_json::Value as Json;
use std::{borrow::Cow, fmt::Write as _};

/// What the bytes 0x80 to 0x9F mean in windows-1252, and so in what is called Latin-1 on the web (WHATWG Encoding).
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// A body and its media type.
pub(super) fn written(content: &Content, value: &Json, place: &str) -> Result<(String, String), Wrong> {
    match content {
        Content::Json(media) => Ok((value.to_string(), media.clone())),
        Content::Form => Ok((form(value, place)?, "application/x-www-form-urlencoded".to_owned())),
        Content::Text(media) => match value {
            Json::String(text) => Ok((text.clone(), media.clone())),
            other => Err(Wrong::new(place, format!("needs a text, found {}", kind(other)))),
        },
    }
}

/// Names and values, as a form of a page sends them.
fn form(value: &Json, place: &str) -> Result<String, Wrong> {
    let Json::Object(fields) = value else {
        return Err(Wrong::new(place, format!("a form needs names and values, found {}", kind(value))));
    };
    let mut form = String::new();
    for (name, value) in fields {
        let values = match value {
            Json::Null => continue,
            Json::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            let text = scalar(value).ok_or_else(|| {
                let cause = format!("a form carries texts or lists of texts, found {}", kind(value));
                Wrong::new(&format!("{place}.{name}"), cause)
            })?;
            if !form.is_empty() {
                form.push('&');
            }
            let coded = |text: &str| utf8_percent_encode(text, ENCODED).to_string().replace("%20", "+");
            let _ = write!(form, "{}={}", coded(name), coded(&text));
        }
    }
    Ok(form)
}

/// The body of an answer as expressions see it; no body is null. `Err` says why it is none.
pub(super) fn parse(answer: &Answer, of: Body) -> Result<Json, String> {
    if of == Body::Nothing {
        return Ok(Json::Null);
    }
    if let Some(cause) = &answer.broken {
        return Err(cause.clone());
    }
    if let Some(coding) = answer.headers.get("content-encoding").filter(|c| !c.eq_ignore_ascii_case("identity")) {
        return Err(format!("it is compressed ({coding}), which was not asked for"));
    }
    if answer.body.trim_ascii().is_empty() {
        return Ok(Json::Null);
    }
    let media = media(answer);
    if media == "application/x-www-form-urlencoded" || media.starts_with("multipart/") {
        return Err(format!("it is a form ({media}), which is not read; let the system answer with JSON or a text"));
    }
    let text = text(answer)?;
    if of == Body::Text {
        return Ok(Json::String(text.into_owned()));
    }
    serde_json::from_str(&text).map_err(|cause| {
        let shown = if media.is_empty() { "of no named type" } else { media.as_str() };
        if is_html(answer) {
            let title = words::one_line(&words::of(None, text.as_bytes()).text, 120);
            return format!(
                "it is a page of HTML and no JSON: {title:?}; it comes from a proxy or a login, not the API"
            );
        }
        if text.trim_start().starts_with('<') {
            return format!("it is XML and no JSON ({shown}); `response: {{ content: text }}` reads it as a text");
        }
        format!("it is no JSON ({shown}): {cause}")
    })
}

/// Whether an answer is a page for people.
pub(super) fn is_html(answer: &Answer) -> bool {
    let media = media(answer);
    let begin = answer.body.trim_ascii_start().get(..14).unwrap_or_default().to_ascii_lowercase();
    media == "text/html"
        || media == "application/xhtml+xml"
        || begin.starts_with(b"<!doctype html")
        || begin.starts_with(b"<html")
}

/// The media type of an answer in lower case, without its parameters.
fn media(answer: &Answer) -> String {
    let text = answer.headers.get("content-type").map_or("", String::as_str);
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The text of an answer by its charset; a mark of the byte order decides before the header does.
pub(super) fn text(answer: &Answer) -> Result<Cow<'_, str>, String> {
    let bytes = answer.body.as_slice();
    let charset = match bytes {
        [0xEF, 0xBB, 0xBF, ..] => "utf-8".to_owned(),
        [0xFF, 0xFE, ..] => "utf-16le".to_owned(),
        [0xFE, 0xFF, ..] => "utf-16be".to_owned(),
        _ => charset(answer.headers.get("content-type").map_or("", String::as_str)),
    };
    match charset.as_str() {
        "" | "utf-8" | "utf8" | "us-ascii" | "ascii" => {
            let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
            std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| {
                let shown = answer.headers.get("content-type").map_or("of no named type", String::as_str);
                format!("it is no text in UTF-8 ({shown})")
            })
        }
        "iso-8859-1" | "latin1" | "windows-1252" | "cp1252" => {
            Ok(Cow::Owned(bytes.iter().copied().map(windows).collect()))
        }
        "utf-16" | "utf-16le" | "utf-16be" => {
            let bytes = bytes.strip_prefix(b"\xFF\xFE").or(bytes.strip_prefix(b"\xFE\xFF")).unwrap_or(bytes);
            let unit = |pair: &[u8]| match (pair, charset.as_str()) {
                ([one, other], "utf-16be") => u16::from_be_bytes([*one, *other]),
                ([one, other], _) => u16::from_le_bytes([*one, *other]),
                // Half of a character is none.
                _ => 0xDC00,
            };
            let units: Vec<u16> = bytes.chunks(2).map(unit).collect();
            String::from_utf16(&units).map(Cow::Owned).map_err(|_| format!("it is no text in {charset}"))
        }
        other => Err(format!("its charset {other:?} is not read; let the system answer in UTF-8")),
    }
}

fn windows(byte: u8) -> char {
    match byte {
        0x80..=0x9F => WINDOWS_1252.get(usize::from(byte - 0x80)).copied().unwrap_or('\u{FFFD}'),
        other => char::from(other),
    }
}

/// The charset that a content type names, in lower case; empty where it names none.
fn charset(content_type: &str) -> String {
    let named = content_type.split(';').skip(1).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches(['"', '\'']))
    });
    named.unwrap_or_default().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(media: &str, body: &[u8]) -> Answer {
        let headers = [("content-type".to_owned(), media.to_owned())].into();
        Answer { status: 200, headers, body: body.to_vec(), ..Answer::default() }
    }

    #[test]
    fn bodies_are_written_as_their_content_says() {
        let of = |content: &Content, value: Json| {
            written(content, &value, "request.body").map_err(|w| w.place + ": " + &w.cause)
        };
        let json = of(&Content::Json("application/merge-patch+json".into()), json!({ "a": 1 })).unwrap();
        assert_eq!(json, (r#"{"a":1}"#.to_owned(), "application/merge-patch+json".to_owned()));
        let form = json!({ "a": "x y&z", "ä": [1, true], "none": null, "empty": [] });
        assert_eq!(of(&Content::Form, form).unwrap().0, "a=x+y%26z&%C3%A4=1&%C3%A4=true");
        assert_eq!(
            of(&Content::Form, json!({ "a": { "b": 1 } })).unwrap_err(),
            "request.body.a: a form carries texts or lists of texts, found an object"
        );
        let xml = Content::Text("text/xml; charset=utf-8".into());
        assert_eq!(of(&xml, json!("<a/>")).unwrap().0, "<a/>");
        assert_eq!(of(&xml, json!(7)).unwrap_err(), "request.body: needs a text, found a number");
    }

    #[test]
    fn answers_are_read_by_their_charset() {
        for (media, body, expected) in [
            ("application/json", "{\"a\":\"ä\"}".as_bytes(), "ä"),
            ("application/json", b"\xEF\xBB\xBF{\"a\":\"x\"}", "x"),
            ("application/json; charset=ISO-8859-1", b"{\"a\":\"\xE4\"}", "ä"),
            ("application/json;charset=\"windows-1252\"", b"{\"a\":\"\x80\"}", "€"),
            ("application/json", b"\xFF\xFE{\0\"\0a\0\"\0:\0\"\0\xE4\0\"\0}\0", "ä"),
        ] {
            assert_eq!(parse(&answer(media, body), Body::Json).unwrap()["a"], expected, "{media}");
        }
        let wrong = |media: &str, body: &[u8]| parse(&answer(media, body), Body::Json).unwrap_err();
        assert_eq!(
            wrong("application/json; charset=koi8-r", b"{}"),
            "its charset \"koi8-r\" is not read; let the system answer in UTF-8"
        );
        assert_eq!(wrong("application/json", b"\xE4"), "it is no text in UTF-8 (application/json)");
        assert!(wrong("application/json", b"\xFF\xFE{").contains("utf-16le"));
    }

    #[test]
    fn what_is_no_json_says_what_it_is() {
        let wrong = |media: &str, body: &str| parse(&answer(media, body.as_bytes()), Body::Json).unwrap_err();
        assert_eq!(
            wrong("text/html; charset=utf-8", "<html><title>Sign in</title></html>"),
            "it is a page of HTML and no JSON: \"Sign in\"; it comes from a proxy or a login, not the API"
        );
        assert!(wrong("", "<!DOCTYPE html><p>x").starts_with("it is a page of HTML"));
        assert!(wrong("text/xml", "<a/>").contains("content: text"));
        assert!(wrong("application/x-www-form-urlencoded", "a=1").starts_with("it is a form"));
        assert!(wrong("multipart/mixed; boundary=x", "--x").starts_with("it is a form"));
        assert!(wrong("text/plain", "done").starts_with("it is no JSON (text/plain)"));
        assert_eq!(parse(&answer("text/plain", b"done"), Body::Text).unwrap(), "done");
        assert_eq!(parse(&answer("text/plain", b"done"), Body::Nothing).unwrap(), Json::Null);
        assert_eq!(parse(&answer("application/json", b" \r\n"), Body::Json).unwrap(), Json::Null);
        // What systems call a text or a page is JSON where it is JSON.
        assert_eq!(parse(&answer("text/html", b"{\"a\":1}"), Body::Json).unwrap(), json!({ "a": 1 }));
    }
}
