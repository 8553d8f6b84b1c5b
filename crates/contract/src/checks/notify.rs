//! How teams are told: addresses that can be written to, webhooks that can be believed, passwords that nobody reads on
//! the way.

use super::{
    connect::{HTTP, address, is_variable, secret, user_password},
    tls,
};
use crate::{
    codes,
    contract::{Address, Hook, MailTls, Notify, Smtp, is_loopback, place},
    files::ownership::{HookFile, NotifyFile, SmtpFile},
    load::Project,
    problem::Finding,
    read::{At, Raw, read},
};
use andon_model::span::Span;

/// The shortest and the longest time between two mails to a team.
const EVERY: (Span, Span) = (Span::from_secs(60), Span::from_secs(86_400));
/// The longest mail address, in bytes (RFC 5321).
const MAIL_MAX: usize = 254;

/// How teams are told; what is wrong is left out.
pub(crate) fn resolve(project: &Project, file: Option<&NotifyFile>) -> Notify {
    let Some(file) = file else { return Notify::default() };
    let every = file.every.as_ref().map_or(Notify::EVERY, |every| every.value.0);
    if let Some(at) = file.every.as_ref().filter(|_| every < EVERY.0 || every > EVERY.1) {
        let finding = Finding::error(codes::NOTIFY, at.spot, format!("mails cannot be sent every {every}"));
        project.push(finding.expected("from 1 min to 1 d").help("correct the duration; without it 10 min"));
    }
    Notify {
        smtp: file.smtp.as_ref().and_then(|file| smtp(project, file)),
        every,
        link: file.link.as_ref().and_then(|text| address(project, text, &HTTP)),
    }
}

fn smtp(project: &Project, file: &SmtpFile) -> Option<Smtp> {
    let to = server(project, &file.address);
    let is_from = mail(project, &file.from);
    let tls = file.tls.as_ref().map_or(MailTls::Starttls, |tls| tls.value);
    let credentials = match &file.credentials {
        None => None,
        Some(pair) => Some(user_password(project, pair)?),
    };
    let to = to?;
    let own = place(&to.default).is_some_and(|(host, _)| is_loopback(host));
    if let Some(pair) = file.credentials.as_ref().filter(|_| tls == MailTls::None && !own) {
        let message = format!("the password of `{}` would cross the network in the clear", pair.user);
        let finding = Finding::error(codes::NOTIFY, pair.password.spot, message);
        let expected = "`tls: starttls` or `tls: tls`";
        project.push(finding.expected(expected).help("speak TLS, or leave `credentials` out where it asks for none"));
    }
    if let Some(path) = file.authority.as_ref().filter(|_| tls == MailTls::None) {
        let finding = Finding::error(codes::TLS, path.spot, "an authority without TLS is asked for nothing");
        project.push(finding.help("speak TLS, or leave `authority` out"));
    }
    let authority = tls::files(project, file.authority.as_ref(), None, None)?.authority;
    is_from.then(|| Smtp { address: to, from: file.from.value.clone(), tls, authority, credentials })
}

/// `HOST:PORT`, or `env:NAME else HOST:PORT`.
fn server(project: &Project, text: &At<String>) -> Option<Address> {
    let (env, to) = match text.strip_prefix("env:").and_then(|rest| rest.split_once(" else ")) {
        None => (None, text.trim()),
        Some((name, to)) => (Some(name.trim()), to.trim()),
    };
    if place(to).is_none() || env.is_some_and(|name| !is_variable(name)) {
        let finding = Finding::error(codes::NOTIFY, text.spot, format!("`{}` is no mail server", text.value));
        let expected = "`HOST:PORT`, such as mail.plant.example:587, or `env:NAME else HOST:PORT`";
        project.push(finding.expected(expected).help("write its name and its port"));
        return None;
    }
    Some(Address { env: env.map(str::to_owned), default: to.to_owned() })
}

/// Whether a text is a mail address; tells where it is not.
pub(crate) fn mail(project: &Project, text: &At<String>) -> bool {
    let is_local = |b: u8| b.is_ascii_alphanumeric() || b".!#$%&'*+-/=?^_`{|}~".contains(&b);
    let is_domain = |b: u8| b.is_ascii_alphanumeric() || b".-".contains(&b);
    let is_mail = text.len() <= MAIL_MAX
        && text.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && local.bytes().all(is_local) && domain.bytes().all(is_domain)
        });
    if !is_mail {
        let finding =
            Finding::error(codes::TEAM_UNREACHABLE, text.spot, format!("`{}` is no mail address", text.value));
        project.push(finding.expected("an address like maintenance@plant.example").help("correct the address"));
    }
    is_mail
}

/// Where a team's notices are posted; `None` where it cannot be believed, or is wrong.
pub(crate) fn hook(project: &Project, raw: Raw) -> Option<Hook> {
    let unsigned = |message: &str, help: &str| {
        let finding = Finding::error(codes::UNSIGNED, raw.spot, message);
        project.push(finding.expected("`webhook: { url: https://..., secret: env:NAME }`").help(help));
    };
    let tree = project.findings.tree(raw.spot.file)?;
    if tree.scalar(raw.spot.node).is_some() {
        unsigned(
            "a webhook that is not signed could be anybody's",
            "name the secret it is signed with; write `signed: false` to have it unsigned",
        );
        return None;
    }
    let file: HookFile = read(&project.findings, raw.spot)?;
    let url = address(project, &file.url, &HTTP);
    let secret = match (&file.secret, &file.signed) {
        (Some(text), None) => Some(secret(project, text)?),
        (None, Some(signed)) if !signed.value => None,
        (Some(text), Some(signed)) => {
            let finding = Finding::error(codes::UNSIGNED, signed.spot, "a secret says already that it is signed");
            project.push(finding.help("leave `signed` out, or the secret"));
            Some(secret(project, text)?)
        }
        (None, _) => {
            unsigned("there is nothing to sign with", "add the secret; write `signed: false` to have it unsigned");
            return None;
        }
    };
    let authority = tls::files(project, file.authority.as_ref(), None, None)?.authority;
    Some(Hook { url: url?, secret, authority })
}
