//! What an office posts to others, signed as Standard Webhooks say.

use andon_model::Time;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::hmac;

/// A webhook that has to be sent until somebody takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// The same at each try.
    pub id: String,
    /// Where at Andon's API: `/v1/systems/lab/reads/results`.
    pub path: &'static str,
    /// JSON.
    pub body: String,
}

impl Post {
    /// The headers that a receiver believes, for a try at `wall`, the time of the clock on the wall: receivers refuse
    /// what was signed long ago. `secret` is `whsec_` and base64, or any other text.
    pub fn headers(&self, secret: &str, wall: Time) -> [(&'static str, String); 4] {
        let key = secret.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_deref().unwrap_or(secret.as_bytes()));
        let seconds = wall.millis().div_euclid(1_000);
        let tag = hmac::sign(&key, format!("{}.{seconds}.{}", self.id, self.body).as_bytes());
        [
            ("content-type", "application/json".into()),
            ("webhook-id", self.id.clone()),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", format!("v1,{}", STANDARD.encode(tag.as_ref()))),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification of Standard Webhooks.
    #[test]
    fn the_signature_is_that_of_the_specification() {
        let post =
            Post { id: "msg_p5jXN8AQM9LWM0D4loKWxJek".into(), path: "/", body: r#"{"test": 2432232314}"#.into() };
        let headers = post.headers("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Time::from_millis(1_614_265_330_000));
        assert_eq!(headers[3].1, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(headers[2].1, "1614265330");
    }
}
