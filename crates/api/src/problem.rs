//! Problems as in RFC 9457, each with what to do next.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

/// Why a request was not answered as asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// Names the kind of problem: `andon:not-found`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in words.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// What is wrong here.
    pub detail: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Each single problem with its place, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Placed>,
    /// Headers of the answer that say more.
    #[serde(skip)]
    pub headers: Vec<(&'static str, String)>,
}

/// A problem at a place of the body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Placed {
    /// JSON pointer into the body.
    pub at: String,
    /// What is wrong there.
    pub detail: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.title, self.detail)
    }
}

impl std::error::Error for Problem {}

impl Problem {
    fn new(status: u16, kind: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("andon:{kind}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            remedy: None,
            problems: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// 400: the request says something that cannot be understood.
    pub fn request(detail: impl Into<String>) -> Self {
        Self::new(400, "request", "the request cannot be understood", detail)
    }

    /// 401: who asks is not known.
    pub fn unauthorised(detail: impl Into<String>) -> Self {
        Self::new(401, "unauthorised", "the credentials are missing or not accepted", detail)
    }

    /// 404: there is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(404, "not-found", "there is no such thing", detail)
    }

    /// 405: something is there, and this is not done with it.
    pub fn method(detail: impl Into<String>) -> Self {
        Self::new(405, "method", "the method is none of those served here", detail)
    }

    /// 408: what was announced did not come.
    pub fn late(detail: impl Into<String>) -> Self {
        Self::new(408, "late", "the request took too long", detail)
    }

    /// 409: something else is under way, or it stands otherwise by now.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(409, "conflict", "it conflicts with how things stand", detail)
    }

    /// 412: it is not what was expected.
    pub fn precondition(detail: impl Into<String>) -> Self {
        Self::new(412, "precondition", "it is not what was expected", detail)
    }

    /// 413: more than is taken at once.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(413, "too-large", "the body is larger than is taken at once", detail)
    }

    /// 415: a form that is not read.
    pub fn form(detail: impl Into<String>) -> Self {
        Self::new(415, "form", "the body has a form that is not read here", detail)
    }

    /// 422: understood, and refused for its content.
    pub fn content(detail: impl Into<String>) -> Self {
        Self::new(422, "content", "the content is refused", detail)
    }

    /// 421: a request that was meant for another host, or another instance.
    pub fn misdirected(detail: impl Into<String>) -> Self {
        Self::new(421, "misdirected", "the request was meant for another host", detail)
    }

    /// 429: more at once than is served.
    pub fn busy(detail: impl Into<String>) -> Self {
        Self::new(429, "busy", "more is under way than is served at once", detail)
    }

    /// 503: not now.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(503, "unavailable", "this cannot be done now", detail)
    }

    /// 500: a fault of ours.
    pub fn fault(detail: impl Into<String>) -> Self {
        Self::new(500, "fault", "something failed here", detail)
    }

    /// With what to do next.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// With a header of the answer.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With single problems at their places.
    #[must_use]
    pub fn placed(mut self, problems: Vec<Placed>) -> Self {
        self.problems = problems;
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        for (name, value) in &self.headers {
            if let Ok(value) = header::HeaderValue::from_str(value) {
                response.headers_mut().insert(*name, value);
            }
        }
        response
    }
}
