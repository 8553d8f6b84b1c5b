//! Requests that a run makes itself: from what the task says and the values of the run to a request that can be stored.

use super::Scene;
use crate::fault::{Fault, Standard};
use andon_contract::http::{Described, HttpRequest, Identity, Part, Repeats, Web, expand, headers, with_query};
use andon_contract::workflow::{Authentication, HttpCall, Mapping, OpenapiCall};
use serde_json::Value as Json;

/// The input of a call of `http`.
pub(super) fn request(scene: &Scene<'_>, call: &HttpCall, input: &Json) -> Result<Json, Fault> {
    let url = address(scene, &call.endpoint, input)?;
    let query = value(scene, call.query.as_ref(), input)?;
    let url = with_query(&url, &query).map_err(invalid)?;
    Web::split(&url).map_err(|cause| invalid(format!("the endpoint: {cause}")))?;
    let headers = headers(&value(scene, call.headers.as_ref(), input)?).map_err(invalid)?;
    let told = call.idempotency.as_deref().and_then(Repeats::of_word);
    let request = HttpRequest {
        method: call.method.clone(),
        url,
        headers,
        body: value(scene, call.body.as_ref(), input)?,
        output: call.output,
        redirect: call.redirect,
        repeats: told.unwrap_or_else(|| Repeats::of_method(&call.method)),
        identity: identity(scene, call.authentication.as_ref(), input)?,
    };
    Ok(serde_json::to_value(request).expect("a request is made of texts and JSON"))
}

/// The input of a call of `openapi`.
pub(super) fn described(scene: &Scene<'_>, call: &OpenapiCall, input: &Json) -> Result<Json, Fault> {
    let document = address(scene, &call.document, input)?;
    Web::split(&document).map_err(|cause| invalid(format!("the address of the document: {cause}")))?;
    let described = Described {
        document,
        operation: call.operation.clone(),
        parameters: value(scene, call.parameters.as_ref(), input)?,
        output: call.output,
        redirect: call.redirect,
        repeats: call.idempotency.as_deref().and_then(Repeats::of_word),
        identity: identity(scene, call.authentication.as_ref(), input)?,
    };
    Ok(serde_json::to_value(described).expect("a call is made of texts and JSON"))
}

fn invalid(cause: impl Into<String>) -> Fault {
    Fault::of(Standard::Validation, cause)
}

fn value(scene: &Scene<'_>, mapping: Option<&Mapping>, input: &Json) -> Result<Json, Fault> {
    mapping.map_or(Ok(Json::Null), |mapping| scene.map(mapping, input))
}

/// A template with the values of the task's input in their places, or what an expression gives.
fn address(scene: &Scene<'_>, endpoint: &Mapping, input: &Json) -> Result<String, Fault> {
    match endpoint {
        Mapping::Constant(Json::String(template)) => {
            expand(template, input).map_err(|cause| Fault::of(Standard::Expression, cause))
        }
        expression => scene.text(expression, input, "endpoint"),
    }
}

fn identity(scene: &Scene<'_>, told: Option<&Authentication>, input: &Json) -> Result<Option<Identity>, Fault> {
    // A text that an expression gives is never taken for a reference: whoever starts the run could ask for any secret.
    let part = |mapping: &Mapping, what: &str| match mapping {
        Mapping::Constant(Json::String(text)) => Ok(Part::reference(text).unwrap_or_else(|| Part::Text(text.clone()))),
        expression => match scene.map(expression, input)? {
            Json::String(text) => Ok(Part::Text(text)),
            // What it gave may be the secret all the same, and is not told.
            _ => Err(Fault::of(Standard::Expression, format!("`{what}` must be a text, the expression gave another"))),
        },
    };
    Ok(match told {
        None => None,
        Some(Authentication::Basic { username, password }) => {
            Some(Identity::Basic { username: part(username, "username")?, password: part(password, "password")? })
        }
        Some(Authentication::Bearer { token }) => Some(Identity::Bearer { token: part(token, "token")? }),
    })
}
