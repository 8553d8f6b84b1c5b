//! Answers that come compressed: gzip is asked for and expanded, up to the limit of an answer.

use super::codec::Answer;
use flate2::read::MultiGzDecoder;
use reqwest::header::HeaderValue;
use std::io::Read as _;

/// What we tell that we can read.
pub(super) static ACCEPTED: HeaderValue = HeaderValue::from_static("gzip");

/// Expands the body of an answer that says it is compressed by gzip. A body that grows beyond `most` bytes, or is no
/// gzip, is cut there and is not whole; what is left of it may still say why a request was refused.
pub(super) fn expand(answer: &mut Answer, most: usize) {
    let is_gzip = |coding: &String| ["gzip", "x-gzip"].iter().any(|known| coding.trim().eq_ignore_ascii_case(known));
    if !answer.headers.get("content-encoding").is_some_and(is_gzip) {
        return;
    }
    answer.headers.remove("content-encoding");
    if answer.body.is_empty() {
        return;
    }
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let mut expanded = Vec::new();
    let ended = MultiGzDecoder::new(answer.body.as_slice()).take(limit).read_to_end(&mut expanded);
    let cause = if expanded.len() > most {
        expanded.truncate(most);
        Some(format!("it is longer than {most} bytes when it is expanded"))
    } else {
        ended.err().map(|error| format!("it cannot be expanded: {error}"))
    };
    answer.body = expanded;
    // What broke off on the way cannot be expanded to its end either.
    answer.broken = answer.broken.take().or(cause);
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write as _;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    fn expanded(body: Vec<u8>, coding: &str) -> Answer {
        let headers = [("content-encoding".to_owned(), coding.to_owned())].into();
        let mut answer = Answer { status: 200, headers, body, ..Answer::default() };
        expand(&mut answer, 1 << 20);
        answer
    }

    #[test]
    fn what_is_compressed_is_expanded_up_to_the_limit() {
        let small = expanded(packed(b"{}"), "GZIP");
        assert_eq!((small.body.as_slice(), small.broken, small.headers.len()), (b"{}".as_slice(), None, 0));
        let bomb = expanded(packed(&vec![b' '; 64 << 20]), "x-gzip");
        assert_eq!(bomb.body.len(), 1 << 20);
        assert!(bomb.broken.unwrap().contains("when it is expanded"));
        let mut half = packed(b"a sentence that says why the request was refused, and a second one");
        half.truncate(half.len() - 9);
        assert!(expanded(half, "gzip").broken.unwrap().contains("cannot be expanded"));
        let plain = expanded(b"{}".to_vec(), "gzip");
        assert!(plain.broken.unwrap().contains("cannot be expanded"));
        let other = expanded(b"{}".to_vec(), "br");
        assert_eq!((other.broken, other.headers.len()), (None, 1));
    }
}
