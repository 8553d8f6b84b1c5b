//! Tells teams: a mail by their mail server, a request to their webhook.
//!
//! Its limits: a try takes at most [`TIME_MAX`]; a mail is plain text in UTF-8; HTTP/1.1 is spoken and a redirect is
//! not followed; secrets and authorities are read at each try. Whether and when something is tried again is decided
//! elsewhere, so the same notice may arrive twice: a mail keeps its `Message-ID`, a webhook its `webhook-id`.

mod mail;
mod webhook;

use crate::{
    connectors::Env,
    install_crypto,
    rest::{config, redact::Secrets, words},
};
use andon_contract::contract::{Hook, Secret, Smtp};
use andon_model::{Name, Time};
use std::{sync::Arc, time::Duration};

/// The longest time of a try.
pub const TIME_MAX: Duration = Duration::from_secs(30);
/// The longest account of a failed try, in characters.
pub const DETAIL_MAX_CHARS: usize = 300;
/// The longest body of a webhook, in bytes.
pub const BODY_MAX_BYTES: usize = 256 << 10;

/// A mail to a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Its id, the same in every repetition; letters, digits and `_`.
    pub id: String,
    /// When it was written.
    pub at: Time,
    /// The address of the team.
    pub to: String,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
}

/// A request to the webhook of a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// Its id, the same in every repetition.
    pub id: String,
    /// When it is sent: what the signature holds for.
    pub at: Time,
    /// JSON.
    pub body: String,
}

/// What became of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The other side took it.
    Taken,
    /// It did not; `for_good`: it says that it never will.
    Failed {
        /// What happened, and what helps where that is known.
        what: String,
        /// Whether another try makes no sense.
        for_good: bool,
    },
}

impl Told {
    fn failed(what: &str, secrets: &Secrets) -> Self {
        Self::Failed { what: words::one_line(&secrets.hide(what), DETAIL_MAX_CHARS), for_good: false }
    }
}

/// Sends notices.
#[derive(Clone)]
pub struct Notifier {
    env: Env,
}

impl Notifier {
    /// Nothing is connected, no secret is read before it is used.
    pub fn new(env: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        install_crypto();
        Self { env: Arc::new(env) }
    }

    /// Hands a mail to the mail server. Needs a tokio runtime.
    pub async fn mail(&self, smtp: &Smtp, mail: &Mail) -> Told {
        limited(Box::pin(mail::send(smtp, mail, &self.env))).await
    }

    /// Posts to the webhook of a team. Needs a tokio runtime.
    pub async fn post(&self, team: &Name, hook: &Hook, post: &Post) -> Told {
        limited(Box::pin(webhook::send(team, hook, post, &self.env))).await
    }
}

async fn limited(sending: impl Future<Output = Told>) -> Told {
    let late = || Told::Failed { what: format!("no answer within {} s", TIME_MAX.as_secs()), for_good: false };
    tokio::time::timeout(TIME_MAX, sending).await.unwrap_or_else(|_| late())
}

/// Reads a secret of a team or of the mail server.
async fn secret(of: &Name, what: &str, secret: &Secret, env: &Env) -> Result<String, Told> {
    config::read(of, what, secret, &**env).await.map_err(|what| Told::failed(&what, &Secrets::default()))
}
