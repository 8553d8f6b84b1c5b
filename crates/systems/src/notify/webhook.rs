//! A request to a webhook, signed as Standard Webhooks say (version 1, HMAC with SHA-256).

use super::{BODY_MAX_BYTES, Post, Told, secret};
use crate::{
    connectors::Env,
    rest::{
        config,
        connection::{Lost, open},
        reach::{Way, of},
        redact::Secrets,
        tls::Settings,
    },
};
use andon_contract::contract::{ClientTls, Hook};
use andon_model::Name;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use reqwest::Url;
use ring::hmac;

/// What a secret begins with when base64 follows.
const SECRET_PREFIX: &str = "whsec_";

pub(super) async fn send(team: &Name, hook: &Hook, post: &Post, env: &Env) -> Told {
    let nothing = Secrets::default();
    let url = match config::base(&hook.url.resolve(&**env)) {
        Ok(url) => url,
        Err(what) => return Told::failed(&format!("the webhook of {team}: {what}"), &nothing),
    };
    if post.body.len() > BODY_MAX_BYTES {
        let what = format!("the notice has {} bytes; {BODY_MAX_BYTES} are the most", post.body.len());
        return Told::Failed { what, for_good: true };
    }
    let signature = match &hook.secret {
        None => None,
        Some(of) => match secret(team, "secret of the webhook", of, env).await {
            Ok(secret) => match sign(&secret, post) {
                Ok(signature) => Some((signature, secret)),
                Err(what) => return Told::failed(&format!("the secret of the webhook of {team} {what}"), &nothing),
            },
            Err(told) => return told,
        },
    };
    let secrets = Secrets::new(signature.iter().map(|(_, secret)| secret.clone()).collect());
    match exchange(team, hook, &url, post, signature.map(|(signature, _)| signature), env).await {
        Ok(200..=299) => Told::Taken,
        Ok(410) => {
            Told::Failed { what: format!("{} is gone (410); correct `webhook` of {team}", shown(&url)), for_good: true }
        }
        Ok(status) => {
            let helps = match status {
                300..=399 => "; a redirect is not followed, name the place itself",
                401 | 403 => "; it does not accept the signature: correct the secret, and the clocks of both",
                404 => "; correct the address",
                _ => "",
            };
            Told::failed(&format!("{} answered {status}{helps}", shown(&url)), &secrets)
        }
        Err(what) => Told::failed(&format!("{}: {what}", shown(&url)), &secrets),
    }
}

/// Scheme, host and port: what stands behind may be a secret of the receiver.
fn shown(url: &Url) -> String {
    format!("the webhook at {}", url.origin().ascii_serialization())
}

async fn exchange(
    team: &Name,
    hook: &Hook,
    url: &Url,
    post: &Post,
    signature: Option<String>,
    env: &Env,
) -> Result<u16, String> {
    let (host, door) = of(url);
    let name = (url.scheme() == "https").then(|| host.clone());
    let settings = ClientTls { authority: hook.authority.clone(), identity: None };
    let tls = match &name {
        Some(_) => Some(Settings::default().get(team, &settings, &**env).await?),
        None => None,
    };
    let way = Way { host, port: door, tls: name, proxy: None };
    let mut connection = open(&way, tls).await.map_err(|(_, cause)| cause)?;
    let mut request = Request::post(url.path())
        .header("host", url.authority())
        .header("user-agent", concat!("andon/", env!("CARGO_PKG_VERSION")))
        .header("content-type", "application/json")
        .header("connection", "close")
        .header("webhook-id", post.id.as_str())
        .header("webhook-timestamp", seconds(post));
    if let Some(signature) = signature {
        request = request.header("webhook-signature", signature);
    }
    let request = request.body(Full::new(Bytes::from(post.body.clone()))).map_err(|e| e.to_string())?;
    let answer = connection.send(request).await.map_err(|lost| match lost {
        Lost::NotSent(_, cause) | Lost::Perhaps { cause, .. } => cause,
    })?;
    // The status says it; nobody reads the body.
    Ok(answer.status().as_u16())
}

fn seconds(post: &Post) -> String {
    post.at.0.div_euclid(1_000_000_000).to_string()
}

/// The signature over id, time and body; `Err` says what is wrong with the secret.
fn sign(secret: &str, post: &Post) -> Result<String, String> {
    let key = match secret.strip_prefix(SECRET_PREFIX) {
        None => secret.as_bytes().to_vec(),
        Some(text) => BASE64_STANDARD.decode(text).map_err(|_| format!("is no base64 behind `{SECRET_PREFIX}`"))?,
    };
    if key.is_empty() {
        return Err("is empty".to_owned());
    }
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key));
    for part in [post.id.as_bytes(), b".", seconds(post).as_bytes(), b".", post.body.as_bytes()] {
        context.update(part);
    }
    Ok(format!("v1,{}", BASE64_STANDARD.encode(context.sign())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_model::Time;

    #[test]
    fn the_signature_is_that_of_the_specification() {
        // The example of the reference libraries.
        let post = Post {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek".into(),
            at: Time(1_614_265_330_000_000_000),
            body: "{\"test\": 2432232314}".into(),
        };
        let signature = sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &post).unwrap();
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(sign("whsec_", &post).is_err() && sign("whsec_!", &post).is_err());
        assert_ne!(sign("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &post).unwrap(), signature);
    }
}
