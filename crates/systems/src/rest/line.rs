//! What an attempt goes over: one of the system's places, the way to it, and who we are there.

use super::{
    DETAIL_MAX_CHARS,
    codec::Answer,
    config,
    connection::{self, Connection, Idle},
    kept::Known,
    oauth::{self, Proofs, Token, Tokens},
    rate::Bucket,
    reach::{self, Way},
    redact::{self, Secrets},
    session::{self, Failure, Who},
    tls, words,
};
use andon_contract::contract::{Credentials as Declared, Grant, OAuth2, System, TokenPlace};
use andon_model::{Name, Outcome, OutcomeClass, call::Exchange, span::Span};
use reqwest::{
    Url,
    header::{AUTHORIZATION, HeaderValue},
};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::{
    sync::{Semaphore, SemaphorePermit, watch},
    time::Instant,
};

/// Reads a variable of the environment.
pub(super) type EnvOf<'a> = &'a (dyn Fn(&str) -> Option<String> + Send + Sync);

/// What attempts at a system share: its places, connections, token and pace.
pub(crate) struct Clients {
    /// So many requests of calls and reads together are under way at most; who waits is served in the order of asking.
    places: Semaphore,
    bucket: Option<(Mutex<Bucket>, Instant)>,
    idle: Idle,
    tls: tls::Settings,
    tokens: Tokens,
    /// What must not be kept of requests and answers.
    pub(crate) known: Known,
    /// Whether nothing more is sent.
    stopped: watch::Sender<bool>,
}

impl Clients {
    /// Nothing is connected yet.
    pub(crate) fn new(system: &System) -> Self {
        let places = Semaphore::new(usize::try_from(system.concurrent.max(1)).unwrap_or(1));
        let bucket = system.rate.map(|rate| (Mutex::new(Bucket::new(rate)), Instant::now()));
        let (idle, tls, tokens) = (Idle::default(), tls::Settings::default(), Tokens::default());
        let known = Known::default();
        Self { places, bucket, idle, tls, tokens, known, stopped: watch::Sender::new(false) }
    }

    /// Whoever still waits to send, for a place, its turn or a token, is told that nothing was sent. What is under way
    /// goes on.
    pub(crate) fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// What comes of `waiting`, unless Andon stops before.
    async fn unless_stopped<T>(&self, waiting: impl Future<Output = T>) -> Result<T, Failure> {
        let mut stopped = self.stopped.subscribe();
        let stop = async {
            let gone = stopped.wait_for(|stopped| *stopped).await.is_err();
            if gone {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = stop => Err(stops()),
            done = waiting => Ok(done),
        }
    }
}

/// The way to a host and what is needed to go it.
pub(super) struct Road<'a> {
    pub(super) way: Arc<Way>,
    pub(super) idle: &'a Idle,
    /// Whether a kept connection may be taken.
    pub(super) kept: bool,
    clients: &'a Clients,
    name: &'a Name,
    system: &'a System,
    env: EnvOf<'a>,
}

impl Road<'_> {
    /// Opens a connection.
    pub(super) async fn open(&self) -> Result<Connection, (OutcomeClass, String)> {
        let tls = if self.way.tls.is_some() {
            let found = self.clients.tls.get(self.name, &self.system.reach.tls, self.env).await;
            Some(found.map_err(|cause| (OutcomeClass::Transient, cause))?)
        } else {
            None
        };
        connection::open(&self.way, tls).await
    }
}

/// What an attempt goes over. It holds one of the system's places.
pub(super) struct Line<'a> {
    pub(super) road: Road<'a>,
    /// How long an attempt may take.
    pub(super) limit: Span,
    /// What must not be shown.
    pub(super) secrets: Secrets,
    /// What else was asked on the way: tokens.
    noted: Mutex<Vec<Exchange>>,
    who: Mutex<Option<Who>>,
    base: Url,
    _place: SemaphorePermit<'a>,
}

/// Whom a line is for.
pub(super) struct Caller<'a> {
    pub(super) clients: &'a Clients,
    pub(super) name: &'a Name,
    pub(super) system: &'a System,
    pub(super) env: EnvOf<'a>,
}

impl<'a> Line<'a> {
    /// Waits for a place and makes all ready to send to the host of a base address. `given` stands in place of the
    /// system's own credentials; `kept`: a kept connection may be taken. `Err` is the outcome; nothing was sent.
    pub(super) async fn open(
        caller: Caller<'a>,
        base: &str,
        given: Option<config::Credentials>,
        kept: bool,
    ) -> Result<Self, Box<Outcome>> {
        let Caller { clients, name, system, env } = caller;
        let not_sent = |class, cause: String| Box::new(Outcome::not_sent(class, cause));
        let place = clients.unless_stopped(clients.places.acquire()).await.map_err(outcome)?;
        let place = place.map_err(|_| not_sent(OutcomeClass::Transient, "the system has no places".into()))?;
        let base = config::base(base).map_err(|cause| not_sent(OutcomeClass::Validation, cause))?;
        let hidden = Secrets::default().with(clients.known.all(name, system, env).await);
        let way = reach::way(name, (&base, true), &system.reach, env, &hidden).await;
        let way = way.map_err(|cause| not_sent(OutcomeClass::Validation, cause))?;
        let road = Road { way: Arc::new(way), idle: &clients.idle, kept, clients, name, system, env };
        let credentials = match (given, &system.credentials) {
            (Some(given), _) => given,
            (None, Declared::OAuth2(_)) => config::Credentials::default(),
            (None, declared) => {
                config::credentials(name, declared, env).await.map_err(|cause| not_sent(OutcomeClass::Auth, cause))?
            }
        };
        hidden.add_all(&credentials.secrets);
        let with_token = credentials.header.is_none() && matches!(system.credentials, Declared::OAuth2(_));
        let line = Self {
            road,
            limit: system.timeout,
            secrets: hidden,
            noted: Mutex::default(),
            who: Mutex::new(credentials.header),
            base,
            _place: place,
        };
        if with_token {
            line.token(None).await.map_err(outcome)?;
        }
        Ok(line)
    }

    /// Waits for its turn, where the system bears only so many requests in a time.
    pub(super) async fn turn(&self) -> Result<(), Failure> {
        let clients = self.road.clients;
        let wait = clients
            .bucket
            .as_ref()
            .map(|(bucket, start)| bucket.lock().unwrap_or_else(PoisonError::into_inner).take(start.elapsed()));
        match wait.filter(|wait| !wait.is_zero()) {
            Some(wait) => clients.unless_stopped(tokio::time::sleep(wait)).await,
            None if *clients.stopped.borrow() => Err(stops()),
            None => Ok(()),
        }
    }

    /// Who we are, as a header.
    pub(super) fn who(&self) -> Option<Who> {
        self.who.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gets another token in place of one that the system has not accepted; whether there is one to try.
    pub(super) async fn renew(&self, used: Option<&Who>) -> Result<bool, Failure> {
        let used = used.and_then(|(_, value)| value.to_str().ok()?.strip_prefix("Bearer "));
        let (Declared::OAuth2(_), Some(used)) = (&self.road.system.credentials, used) else { return Ok(false) };
        self.token(Some(used)).await?;
        Ok(true)
    }

    async fn token(&self, refused: Option<&str>) -> Result<(), Failure> {
        let Declared::OAuth2(settings) = &self.road.system.credentials else { return Ok(()) };
        let clients = self.road.clients;
        let got = clients.tokens.get(refused, |refresh| self.ask(settings, refresh));
        let token = clients.unless_stopped(got).await?.map_err(|outcome| Failure::Kept(Box::new(outcome)))?;
        self.secrets.add([token.clone()]);
        clients.known.token(&token);
        let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {token}")) else {
            let detail = "the token has characters that no header can carry";
            return Err(Failure::Kept(Box::new(Outcome::not_sent(OutcomeClass::Auth, detail))));
        };
        value.set_sensitive(true);
        *self.who.lock().unwrap_or_else(PoisonError::into_inner) = Some((AUTHORIZATION, value));
        Ok(())
    }

    /// Asks the token's server once.
    async fn ask(&self, settings: &OAuth2, refresh: Option<String>) -> Result<Token, Outcome> {
        let Road { clients, name, system, env, .. } = self.road;
        let auth = |cause: String| Outcome::not_sent(OutcomeClass::Auth, cause);
        let password = match &settings.grant {
            Grant::ClientCredentials => None,
            Grant::Password(pair) => Some(config::read(name, "password", &pair.password, env).await.map_err(auth)?),
        };
        let client = match &settings.secret {
            None => None,
            Some(of) => Some(config::read(name, "client's secret", of, env).await.map_err(auth)?),
        };
        let proofs = Proofs { client, password };
        let told = [&proofs.client, &proofs.password, &refresh].into_iter().flatten().cloned();
        self.secrets.add(told.collect::<Vec<_>>());
        let (url, own) = self.token_place(&settings.token).map_err(auth)?;
        let way = reach::way(name, (&url, own), &system.reach, env, &self.secrets).await.map_err(auth)?;
        let road = Road { way: Arc::new(way), idle: &clients.idle, kept: false, clients, name, system, env };
        let (form, who) = oauth::form(settings, &proofs, refresh.as_deref());
        if let Some(who) = &who {
            self.secrets.add([who.trim_start_matches("Basic ").to_owned()]);
        }
        let who = who.and_then(|text| HeaderValue::from_str(&text).ok()).map(|mut value| {
            value.set_sensitive(true);
            value
        });
        let mut answer = Answer::default();
        let talk = async {
            let request = session::form(&url, form, who.as_ref())?;
            let (response, _) = session::ask(&road, &url, request, false, self.limit).await?;
            answer.status = response.status().as_u16();
            answer.headers = session::headers(response.headers(), false);
            session::body(response.into_body(), oauth::ANSWER_MAX_BYTES, &mut answer).await;
            Ok::<(), Failure>(())
        };
        let talked = tokio::time::timeout(self.limit.std(), talk).await;
        let status = Some(answer.status).filter(|status| *status > 0);
        self.note(&url, status);
        let host = config::host(&url);
        let no_token = |cause: &str| {
            let detail = format!("no token from {host}: {}", self.secrets.hide(cause));
            Outcome::not_sent(OutcomeClass::Transient, detail)
        };
        match talked {
            Err(_) => Err(no_token(&format!("no answer within {}", self.limit))),
            Ok(Err(Failure::Lost(cause) | Failure::NotSent { cause, .. } | Failure::Senseless(cause))) => {
                Err(no_token(&cause))
            }
            Ok(Err(Failure::Kept(outcome))) => Err(*outcome),
            Ok(Ok(())) => {
                super::gzip::expand(&mut answer, oauth::ANSWER_MAX_BYTES);
                oauth::read(&answer, &host, Instant::now(), &self.secrets)
            }
        }
    }

    /// Notes that a token was asked for, and nothing of what was said.
    fn note(&self, url: &Url, status: Option<u16>) {
        let request = format!("POST {}", self.secrets.hide(&redact::address(url.as_str())));
        let exchange = Exchange { what: "token".into(), request, body: String::new(), status, response: String::new() };
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).push(exchange);
    }

    /// The outcome, with what was asked beside it, in the order of asking.
    pub(super) fn told(&self, mut outcome: Outcome) -> Outcome {
        let noted = std::mem::take(&mut *self.noted.lock().unwrap_or_else(PoisonError::into_inner));
        outcome.exchanges.splice(..0, noted);
        outcome.detail = words::one_line(&self.secrets.hide(&outcome.detail), DETAIL_MAX_CHARS);
        outcome
    }

    /// Where a token is got, and whether that is the system's own host.
    fn token_place(&self, place: &TokenPlace) -> Result<(Url, bool), String> {
        let url = match place {
            TokenPlace::Path(path) => {
                let mut url = self.base.clone();
                url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
                url
            }
            TokenPlace::Address(address) => config::base(&address.resolve(self.road.env))?,
        };
        let own = config::same_origin(&url, &self.base);
        Ok((url, own))
    }
}

/// What becomes of a request that Andon no longer sends.
fn stops() -> Failure {
    let detail = "Andon stops; nothing was sent, and the next start sends it";
    Failure::Kept(Box::new(Outcome::not_sent(OutcomeClass::Transient, detail)))
}

/// The outcome of what was kept back.
fn outcome(failure: Failure) -> Box<Outcome> {
    match failure {
        Failure::Kept(outcome) => outcome,
        Failure::Lost(cause) | Failure::Senseless(cause) | Failure::NotSent { cause, .. } => {
            Box::new(Outcome::not_sent(OutcomeClass::Transient, cause))
        }
    }
}
