//! The entry for fuzzing: a request, whatever stands in it, is answered.

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderName, HeaderValue, Method, Request, StatusCode, header},
};
use tower::ServiceExt as _;

/// The longest answer that is read.
const ANSWER_BYTES: usize = 64 << 20;

/// Answers a request: a line of method and target, lines of headers, an empty line, the body. What cannot be a request
/// is none; every other one is answered, and never with a fault of ours.
pub async fn request(router: Router, data: &[u8]) {
    let at = data.windows(2).position(|two| two == b"\n\n").unwrap_or(data.len());
    let (head, body) = data.split_at(at);
    let Some(request) = read(head, body.get(2..).unwrap_or_default()) else { return };
    let shown = format!("{} {}", request.method(), request.uri());
    // It is answered as GET is, with the head alone.
    let is_head = request.method() == Method::HEAD;
    let response = router.oneshot(request).await.unwrap_or_else(|never| match never {});
    let status = response.status();
    let body = to_bytes(response.into_body(), ANSWER_BYTES).await.expect("an answer has an end");
    let body = String::from_utf8_lossy(&body);
    assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{shown}: {body}");
    if status.is_client_error() || status.is_server_error() {
        assert_eq!(body.is_empty(), is_head, "{shown}: {status} says nothing, or too much");
    }
}

fn read(head: &[u8], body: &[u8]) -> Option<Request<Body>> {
    let mut lines = head.split(|byte| *byte == b'\n');
    let line = std::str::from_utf8(lines.next()?).ok()?;
    let (method, target) = line.split_once(' ')?;
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    let mut request = Request::builder().method(method).uri(target).header(header::HOST, "127.0.0.1:8730");
    for line in lines {
        let at = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(at);
        let name = HeaderName::from_bytes(name.trim_ascii()).ok()?;
        let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default().trim_ascii()).ok()?;
        request = request.header(name, value);
    }
    request.body(Body::from(body.to_vec())).ok()
}
