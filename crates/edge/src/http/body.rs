//! The form of a body and its compression, with limits that no bomb passes.

use super::{BODY_MAX, Head, Refusal};
use crate::problem::quote;
use std::{borrow::Cow, io::Read};

/// The largest body as it is sent, in bytes.
pub const SENT_MAX: usize = 16 << 20;
/// What a compressed body may grow to, in bodies as they are sent; only looked at beyond [`RATIO_FREE`].
pub const RATIO_MAX: usize = 250;
/// Up to this size a decompressed body may be any multiple of what was sent, in bytes.
const RATIO_FREE: usize = 1 << 20;
/// The largest window of zstd that is given memory, as a power of two: what RFC 9659 has every reader bear.
const WINDOW_LOG_MAX: u32 = 23;
/// What is decompressed at once, in bytes.
const STEP: usize = 64 << 10;

/// The form of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A JSON object or an array of them.
    Json,
    /// A JSON object in each line.
    Lines,
    /// A `CloudEvent`.
    Cloud,
    /// An array of CloudEvents.
    CloudBatch,
    /// The data of a `CloudEvent`; its attributes are headers.
    CloudBinary,
}

impl Form {
    /// The form that the headers tell.
    pub(super) fn of(head: &Head<'_>) -> Result<Self, Refusal> {
        let text = head.one("content-type")?.unwrap_or_default();
        let mut parts = text.split(';');
        let media = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.trim().trim_matches('"');
            if name.trim().eq_ignore_ascii_case("charset") && !value.eq_ignore_ascii_case("utf-8") {
                let cause = format!("the charset is {:?}", quote(value));
                return Err(Refusal::new(415, cause, "send UTF-8"));
            }
        }
        let is_json = media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"));
        match media.as_str() {
            "application/cloudevents+json" => Ok(Self::Cloud),
            "application/cloudevents-batch+json" => Ok(Self::CloudBatch),
            "application/x-ndjson" | "application/jsonl" => Ok(Self::Lines),
            _ if is_json && head.one("ce-specversion")?.is_some() => Ok(Self::CloudBinary),
            "application/json" => Ok(Self::Json),
            _ => Err(Refusal::new(
                415,
                format!("the content type is {:?}", quote(&media)),
                "send `Content-Type: application/json`, `application/x-ndjson`, `application/cloudevents+json` or \
                 `application/cloudevents-batch+json`",
            )
            .header(
                "accept",
                "application/json, application/x-ndjson, application/cloudevents+json, \
                 application/cloudevents-batch+json",
            )),
        }
    }

    /// Whether whoever sends this reads the answer: the form of an interface, not of a webhook.
    pub(super) fn is_cloud(self) -> bool {
        matches!(self, Self::Cloud | Self::CloudBatch | Self::CloudBinary)
    }
}

/// A body without its compression.
pub(super) fn decode<'a>(encoding: Option<&str>, body: &'a [u8]) -> Result<Cow<'a, [u8]>, Refusal> {
    if body.len() > SENT_MAX {
        return Err(Refusal::new(413, format!("the body has {} bytes", body.len()), "send at most 16 MiB at once"));
    }
    match encoding.unwrap_or("identity").to_ascii_lowercase().as_str() {
        "identity" | "" => Ok(Cow::Borrowed(body)),
        "gzip" | "x-gzip" => grown("gzip", flate2::read::MultiGzDecoder::new(body), body.len()).map(Cow::Owned),
        "zstd" => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(|e| broken("zstd", &e))?;
            decoder.window_log_max(WINDOW_LOG_MAX).map_err(|e| broken("zstd", &e))?;
            grown("zstd", decoder, body.len()).map(Cow::Owned)
        }
        other => {
            let cause = format!("the content encoding is {:?}", quote(other));
            let refusal = Refusal::new(415, cause, "send gzip, zstd, or the body as it is");
            Err(refusal.header("accept-encoding", "gzip, zstd, identity"))
        }
    }
}

fn broken(name: &str, error: &std::io::Error) -> Refusal {
    let cause = format!("the body is no {name}: {}", quote(&error.to_string()));
    Refusal::new(400, cause, "correct the body, or its `Content-Encoding`")
}

fn grown(name: &str, mut from: impl Read, sent: usize) -> Result<Vec<u8>, Refusal> {
    let mut body = Vec::with_capacity((sent * 4).min(BODY_MAX));
    let mut step = vec![0; STEP];
    loop {
        let count = match from.read(&mut step) {
            Ok(0) => return Ok(body),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(broken(name, &error)),
        };
        body.extend_from_slice(step.get(..count).unwrap_or_default());
        if body.len() > BODY_MAX {
            let cause = format!("{sent} bytes of {name} are more than {BODY_MAX} bytes decompressed");
            return Err(Refusal::new(413, cause, "send at most 32 MiB of JSON at once, whatever it is compressed to"));
        }
        if body.len() > RATIO_FREE && body.len() / RATIO_MAX > sent {
            let cause = format!("{sent} bytes of {name} grow to more than {RATIO_MAX} times as much");
            return Err(Refusal::new(413, cause, "send smaller batches, or without compression"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        to.write_all(bytes).unwrap();
        to.finish().unwrap()
    }

    fn form(headers: &[(&str, &str)]) -> Result<Form, u16> {
        let headers: Vec<_> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Form::of(&Head { headers: &headers, query: "" }).map_err(|refusal| refusal.status)
    }

    #[test]
    fn the_form_stands_in_the_headers() {
        for (media, wanted) in [
            ("application/json", Ok(Form::Json)),
            ("Application/JSON; charset=UTF-8", Ok(Form::Json)),
            ("application/json; charset=latin1", Err(415)),
            ("application/x-ndjson", Ok(Form::Lines)),
            ("application/cloudevents+json", Ok(Form::Cloud)),
            ("application/cloudevents-batch+json; charset=utf-8", Ok(Form::CloudBatch)),
            ("application/senml+json", Err(415)),
            ("text/plain", Err(415)),
        ] {
            assert_eq!(form(&[("content-type", media)]), wanted, "{media}");
        }
        let binary = ("ce-specversion", "1.0");
        assert_eq!(form(&[("content-type", "application/vnd.plant+json"), binary]), Ok(Form::CloudBinary));
        assert_eq!(form(&[("content-type", "text/plain"), binary]), Err(415));
        assert_eq!(form(&[]), Err(415));
        assert_eq!(form(&[("content-type", "application/json"), ("content-type", "text/plain")]), Err(400));
    }

    #[test]
    fn compressed_bodies_are_read_and_bombs_are_not() {
        let body = br#"{"asset":"a"}"#.repeat(1_000);
        for (name, sent) in [("gzip", gzip(&body)), ("zstd", zstd::encode_all(&body[..], 3).unwrap())] {
            assert_eq!(decode(Some(name), &sent).unwrap(), &body[..], "{name}");
            assert_eq!(decode(Some(name), &sent[..sent.len() - 5]).unwrap_err().status, 400, "{name}");
            assert_eq!(decode(Some(name), b"plain").unwrap_err().status, 400, "{name}");
        }
        assert_eq!(decode(None, &body).unwrap(), &body[..]);
        assert_eq!(decode(Some("br"), &body).unwrap_err().status, 415);
        let zeroes = vec![b' '; BODY_MAX + 1];
        for (name, sent) in [("gzip", gzip(&zeroes)), ("zstd", zstd::encode_all(&zeroes[..], 3).unwrap())] {
            let refusal = decode(Some(name), &sent).unwrap_err();
            assert_eq!(refusal.status, 413);
            assert!(refusal.problems[0].cause.contains("250 times"), "{refusal:?}");
        }
        // Random bytes do not shrink: here the absolute limit holds.
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 60) as u8
        })
        .take(BODY_MAX + 1)
        .collect();
        let sent = zstd::encode_all(&noise[..], 1).unwrap();
        assert!(sent.len() > SENT_MAX / 2 && sent.len() < SENT_MAX + (4 << 20), "{}", sent.len());
        assert_eq!(decode(Some("zstd"), &sent).unwrap_err().status, 413);
        assert_eq!(decode(None, &noise).unwrap_err().status, 413);
    }
}
