//! A proxy of HTTP: opens a tunnel by CONNECT (RFC 9110, section 9.3.6). What it refuses was never sent.

use reqwest::header::HeaderValue;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest head of a proxy's answer.
const HEAD_MAX_BYTES: usize = 8 << 10;

/// Why there is no tunnel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It wants to know who we are, or does not believe it.
    Credentials,
    /// It says this, or nothing that can be read.
    Says(String),
}

/// Opens a tunnel to a place `host:port`; what is written afterwards goes there.
pub(super) async fn tunnel(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    place: &str,
    credentials: Option<&HeaderValue>,
) -> Result<(), Refused> {
    let mut request = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n").into_bytes();
    if let Some(value) = credentials {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(value.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    let broke = |error: std::io::Error| Refused::Says(format!("the connection to it ended: {error}"));
    stream.write_all(&request).await.map_err(broke)?;
    let mut head = Vec::new();
    // Byte by byte: what follows the head belongs to the tunnel.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD_MAX_BYTES {
            return Err(Refused::Says("its answer has no end".into()));
        }
        head.push(stream.read_u8().await.map_err(broke)?);
    }
    status(&head)
}

/// What the head of an answer means.
pub(super) fn status(head: &[u8]) -> Result<(), Refused> {
    let line = String::from_utf8_lossy(head.split(|b| *b == b'\r').next().unwrap_or_default()).into_owned();
    let code = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| code.parse::<u16>().ok());
    match code {
        Some(200..=299) => Ok(()),
        Some(407) => Err(Refused::Credentials),
        Some(_) => Err(Refused::Says(format!("it answers {:?}", line.chars().take(200).collect::<String>()))),
        None => Err(Refused::Says("its answer is none of HTTP".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tunnel_is_there_when_the_proxy_says_so() {
        let endless = "x".repeat(HEAD_MAX_BYTES + 1);
        for (answer, expected) in [
            ("HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nrest", Ok(())),
            ("HTTP/1.0 200 OK\r\n\r\n", Ok(())),
            ("HTTP/1.1 407 Who are you\r\n\r\n", Err("Credentials")),
            ("HTTP/1.1 403 Forbidden\r\n\r\n", Err("403 Forbidden")),
            ("SSH-2.0-OpenSSH\r\n\r\n", Err("none of HTTP")),
            ("HTTP/1.1 200 OK\r\n", Err("ended")),
            (endless.as_str(), Err("no end")),
        ] {
            let (mut ours, mut theirs) = tokio::io::duplex(64 << 10);
            theirs.write_all(answer.as_bytes()).await.unwrap();
            let proxy = tokio::spawn(async move {
                let mut asked = vec![0; 4096];
                let count = theirs.read(&mut asked).await.unwrap();
                drop(theirs);
                String::from_utf8(asked[..count].to_vec()).unwrap()
            });
            let value = HeaderValue::from_static("Basic dTpw");
            let found = tunnel(&mut ours, "eam.plant:443", Some(&value)).await;
            let asked = proxy.await.unwrap();
            let wanted =
                "CONNECT eam.plant:443 HTTP/1.1\r\nHost: eam.plant:443\r\nProxy-Authorization: Basic dTpw\r\n\r\n";
            assert_eq!(asked, wanted);
            match expected {
                Ok(()) => {
                    found.unwrap();
                    if answer.ends_with("rest") {
                        let mut rest = String::new();
                        ours.read_to_string(&mut rest).await.unwrap();
                        assert_eq!(rest, "rest");
                    }
                }
                Err(says) => assert!(format!("{:?}", found.unwrap_err()).contains(says), "{answer:?}"),
            }
        }
    }
}
