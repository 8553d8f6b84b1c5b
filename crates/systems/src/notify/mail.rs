//! A mail by SMTP (RFC 5321), over TLS unless the project says otherwise.

use super::{Mail, TIME_MAX, Told, secret};
use crate::{
    connectors::Env,
    rest::{config, connection::causes, redact::Secrets, tls},
};
use andon_contract::contract::{MailTls, Smtp, place};
use andon_model::Name;
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{
        Error,
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
        extension::ClientId,
    },
};
use std::time::{Duration, SystemTime};

/// The largest file of authorities.
const AUTHORITY_MAX_BYTES: u64 = 4 << 20;

pub(super) async fn send(smtp: &Smtp, mail: &Mail, env: &Env) -> Told {
    let mut secrets = Secrets::default();
    match try_to(smtp, mail, env, &mut secrets).await {
        Ok(()) => Told::Taken,
        Err(Failure::Told(told)) => told,
        Err(Failure::Says(what)) => Told::failed(&what, &secrets),
    }
}

enum Failure {
    Told(Told),
    Says(String),
}

impl From<String> for Failure {
    fn from(what: String) -> Self {
        Self::Says(what)
    }
}

async fn try_to(smtp: &Smtp, mail: &Mail, env: &Env, secrets: &mut Secrets) -> Result<(), Failure> {
    let message = message(smtp, mail)?;
    let to = smtp.address.resolve(&**env);
    let (host, port) =
        place(to.trim()).ok_or_else(|| format!("{to:?} is no mail server; it must be like mail.plant.example:587"))?;
    let mut server = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
        .port(port)
        .timeout(Some(TIME_MAX / 2))
        .tls(security(smtp, host).await?);
    if let Some((_, domain)) = smtp.from.split_once('@') {
        server = server.hello_name(ClientId::Domain(domain.to_owned()));
    }
    if let Some(pair) = &smtp.credentials {
        let of = Name::new("notify").expect("lower-case letters are a name");
        let password = secret(&of, "password of the mail server", &pair.password, env).await.map_err(Failure::Told)?;
        *secrets = Secrets::new(vec![password.clone()]);
        server = server.credentials(Credentials::new(pair.user.clone(), password));
    }
    let sent = server.build().send(message).await;
    sent.map(drop).map_err(|error| Failure::Says(format!("the mail server {to} {}", says(&error))))
}

/// What went wrong, and what helps.
fn says(error: &Error) -> String {
    let cause = causes(error);
    let code = error.status().map(u16::from);
    match code {
        Some(530 | 534 | 535 | 538) => format!("does not accept who we are: {cause}; correct `credentials`"),
        Some(550 | 551 | 553) => format!("does not take mail for this address: {cause}; correct `mail` of the team"),
        Some(_) => format!("took no mail: {cause}"),
        None if error.is_tls() || tls::of(error).is_some() => {
            format!("cannot be spoken with by TLS: {cause}; name its authority, `authority: PATH`, or correct `tls`")
        }
        None if error.is_timeout() => format!("did not answer in time: {cause}"),
        None => format!("cannot be spoken with: {cause}"),
    }
}

async fn security(smtp: &Smtp, host: &str) -> Result<Tls, Failure> {
    if smtp.tls == MailTls::None {
        return Ok(Tls::None);
    }
    let mut parameters = TlsParameters::builder(host.to_owned());
    if let Some(path) = &smtp.authority {
        let wrong = |cause: String| format!("the authorities in {path} cannot be read: {cause}; check the path");
        let pem = config::bytes(path, AUTHORITY_MAX_BYTES).await.map_err(wrong)?;
        let authority = Certificate::from_pem(&pem).map_err(|e| wrong(causes(&e)))?;
        parameters = parameters.certificate_store(CertificateStore::None).add_root_certificate(authority);
    }
    let parameters = parameters.build_rustls().map_err(|e| format!("TLS cannot be prepared: {}", causes(&e)))?;
    Ok(if smtp.tls == MailTls::Tls { Tls::Wrapper(parameters) } else { Tls::Required(parameters) })
}

fn message(smtp: &Smtp, mail: &Mail) -> Result<Message, String> {
    let address = |text: &str| -> Result<Mailbox, String> {
        let address = text.parse().map_err(|e| format!("{text:?} is no mail address: {e}"))?;
        Ok(Mailbox::new(None, address))
    };
    let from = Mailbox { name: Some("Andon".to_owned()), ..address(&smtp.from)? };
    let domain = smtp.from.split_once('@').map_or("andon", |(_, domain)| domain);
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(mail.at.millis()).unwrap_or(0));
    Message::builder()
        .from(from)
        .to(address(&mail.to)?)
        .subject(mail.subject.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>())
        .date(at)
        .message_id(Some(format!("<{}@{domain}>", mail.id)))
        // Nobody's absence is answered to us (RFC 3834).
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()))
        .header(ContentType::TEXT_PLAIN)
        .body(mail.text.clone())
        .map_err(|e| format!("the mail cannot be written: {e}"))
}
