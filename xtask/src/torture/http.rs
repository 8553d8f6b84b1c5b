//! A small HTTP client of our own: one request, one connection.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// The most bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// Asks a program on loopback.
pub(super) fn ask(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    patience: Duration,
) -> io::Result<Answer> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n").into_bytes();
    for (name, value) in headers {
        request.extend(format!("{name}: {value}\r\n").bytes());
    }
    request.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
    request.extend_from_slice(body);
    stream.write_all(&request)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    read(&answer).ok_or_else(|| io::Error::other("the answer is no HTTP, or not whole"))
}

/// Status and body of an answer whose length is said.
fn read(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(answer.get(..end)?).into_owned();
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    let body = answer.get(end + 4..)?.to_vec();
    let said = head.lines().filter_map(|line| line.split_once(':'));
    let length =
        said.filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).find_map(|(_, l)| l.trim().parse().ok());
    (length.is_none_or(|length: usize| length == body.len())).then_some(Answer { status, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_was_cut_is_none() {
        let whole = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}";
        let answer = read(whole).unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (202, b"{}".as_slice()));
        assert!(read(&whole[..whole.len() - 1]).is_none());
        assert!(read(b"HTTP/1.1 200 OK\r\n").is_none());
    }
}
