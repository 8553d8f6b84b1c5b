//! Who a client is and what it may do: publish for the assets of its sites, see the topics and events of its sites,
//! and within the topic filters it is given.

use super::{
    filter,
    packets::Hello,
    wire::{Fault, code},
};
use andon_contract::contract::{Client, Secret};
use andon_model::SiteName;
use std::{collections::BTreeMap, sync::Arc};

/// Who came in, and what it may do. Shared by the connections of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// Its name; empty where anybody may come in.
    pub name: String,
    /// By the number of the site, whether its assets and events are the client's; `None`: all are.
    sites: Option<Vec<bool>>,
    publish: Vec<String>,
    subscribe: Vec<String>,
}

impl Rights {
    /// The rights of anybody, where no clients are declared.
    pub fn anybody() -> Self {
        Self { name: String::new(), sites: None, publish: Vec::new(), subscribe: Vec::new() }
    }

    /// The rights of a declared client; `sites` are those of the contract, in the order of their numbers.
    pub fn of(name: &str, client: &Client, sites: &[SiteName]) -> Self {
        Self {
            name: name.to_owned(),
            sites: client.sites.as_ref().map(|own| sites.iter().map(|site| own.contains(site)).collect()),
            publish: client.publish.clone(),
            subscribe: client.subscribe.clone(),
        }
    }

    /// Whether it may publish to a topic of an asset of this site; `None`: no asset is known by the topic, which only
    /// those of all sites may say something of.
    pub fn may_publish(&self, topic: &str, site: Option<usize>) -> bool {
        self.has(site) && self.may_publish_to(topic)
    }

    /// Whether a topic is among those it may publish to, whatever the topic is about.
    pub fn may_publish_to(&self, topic: &str) -> bool {
        self.publish.is_empty() || self.publish.iter().any(|own| filter::matches(own, topic))
    }

    /// Whether it may subscribe a filter.
    pub fn may_subscribe(&self, wanted: &str) -> bool {
        self.subscribe.is_empty() || self.subscribe.iter().any(|own| filter::covers(own, wanted))
    }

    /// Whether it sees what belongs to a site; `None`: to no site that is known.
    pub fn sees(&self, site: Option<usize>) -> bool {
        self.has(site)
    }

    fn has(&self, site: Option<usize>) -> bool {
        match (&self.sites, site) {
            (None, _) => true,
            (Some(own), Some(site)) => own.get(site).copied().unwrap_or(false),
            (Some(_), None) => false,
        }
    }
}

/// The clients of a listener.
#[derive(Debug)]
pub struct Clients {
    by_name: BTreeMap<String, (Client, Arc<Rights>)>,
    anybody: Arc<Rights>,
}

/// Reads a secret; an error says what is wrong with its place.
pub type ReadSecret<'a> = dyn Fn(&Secret) -> Result<String, String> + 'a;

impl Clients {
    /// The clients that are declared.
    pub fn new(declared: &BTreeMap<String, Client>, sites: &[SiteName]) -> Self {
        let by_name = declared
            .iter()
            .map(|(name, client)| (name.clone(), (client.clone(), Arc::new(Rights::of(name, client, sites)))));
        Self { by_name: by_name.collect(), anybody: Arc::new(Rights::anybody()) }
    }

    /// Who says this hello, over a connection whose certificate has this common name; or why it does not come in.
    /// `wrong` is told what the owner of the plant has to mend.
    pub fn identify(
        &self,
        hello: &Hello,
        common_name: Option<&str>,
        secret: &ReadSecret<'_>,
        wrong: &mut dyn FnMut(String),
    ) -> Result<Arc<Rights>, Fault> {
        if hello.authentication {
            return Err(Fault::new(
                code::AUTHENTICATION,
                "authentication goes by user and password, or by certificate",
            ));
        }
        if self.by_name.is_empty() {
            return Ok(Arc::clone(&self.anybody));
        }
        let bad = Fault::new(code::USER, "user or password is wrong");
        let not = Fault::new(code::NOT_AUTHORIZED, "the client's certificate is not the one it must show");
        let Some(user) = &hello.user else {
            let by_certificate = self.by_name.values().find(|(client, _)| {
                client.password.is_none()
                    && client.certificate.is_some()
                    && client.certificate.as_deref() == common_name
            });
            let nobody =
                Fault::new(code::NOT_AUTHORIZED, "the client says neither by user nor by certificate who it is");
            return by_certificate.map(|(_, rights)| Arc::clone(rights)).ok_or(nobody);
        };
        let Some((client, rights)) = self.by_name.get(user) else { return Err(bad) };
        if let Some(expected) = &client.password {
            let expected = secret(expected).map_err(|cause| {
                wrong(format!("the password of the client {user} cannot be read: {cause}"));
                bad
            })?;
            if expected.is_empty() || !same(expected.as_bytes(), hello.password.as_deref().unwrap_or_default()) {
                return Err(bad);
            }
        }
        match &client.certificate {
            Some(name) if common_name != Some(name.as_str()) => Err(not),
            // Checked before; a client without either cannot be told from others.
            None if client.password.is_none() => Err(not),
            _ => Ok(Arc::clone(rights)),
        }
    }
}

/// Compares without telling by its time where the first difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b));
    a.len() == b.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_contract::contract::MqttVersion;

    fn client(password: Option<&str>, certificate: Option<&str>, sites: Option<&[&str]>) -> Client {
        Client {
            password: password.map(|name| Secret::Env(name.into())),
            certificate: certificate.map(str::to_owned),
            sites: sites.map(|sites| sites.iter().map(|site| SiteName::new(site).unwrap()).collect()),
            publish: vec![],
            subscribe: vec!["plant/#".into()],
        }
    }

    fn hello(user: Option<&str>, password: &str) -> Hello {
        Hello {
            version: MqttVersion::V5,
            client_id: "x".into(),
            user: user.map(str::to_owned),
            password: Some(password.as_bytes().to_vec()),
            clean: true,
            keep_alive: 0,
            will: None,
            receive_max: 1,
            packet_max: 1,
            wants_session: false,
            authentication: false,
        }
    }

    fn clients() -> Clients {
        let declared = [
            ("line", client(Some("LINE"), None, Some(&["bonn"]))),
            ("press", client(None, Some("press-7"), None)),
            ("both", client(Some("LINE"), Some("both-1"), None)),
            ("lost", client(Some("NOWHERE"), None, None)),
        ];
        let sites = [SiteName::new("aachen").unwrap(), SiteName::new("bonn").unwrap()];
        Clients::new(&declared.map(|(name, client)| (name.to_owned(), client)).into(), &sites)
    }

    fn come(hello: &Hello, certificate: Option<&str>) -> (Result<String, u8>, Vec<String>) {
        let mut told = Vec::new();
        let secret = |secret: &Secret| match secret {
            Secret::Env(name) if name == "LINE" => Ok("pw".to_owned()),
            other => Err(format!("{other:?}")),
        };
        let who = clients().identify(hello, certificate, &secret, &mut |text| told.push(text));
        (who.map(|rights| rights.name.clone()).map_err(|fault| fault.code), told)
    }

    #[test]
    fn a_client_shows_what_it_must_show_and_nothing_less() {
        assert_eq!(come(&hello(Some("line"), "pw"), None).0, Ok("line".into()));
        assert_eq!(come(&hello(Some("line"), "pw "), None).0, Err(code::USER));
        assert_eq!(come(&hello(Some("line"), ""), None).0, Err(code::USER));
        assert_eq!(come(&hello(Some("nobody"), "pw"), None).0, Err(code::USER));
        assert_eq!(come(&hello(None, ""), None).0, Err(code::NOT_AUTHORIZED));
        assert_eq!(come(&hello(None, ""), Some("press-7")).0, Ok("press".into()));
        assert_eq!(come(&hello(None, ""), Some("press-8")).0, Err(code::NOT_AUTHORIZED));
        assert_eq!(come(&hello(Some("press"), "anything"), Some("press-7")).0, Ok("press".into()));
        assert_eq!(come(&hello(Some("press"), ""), None).0, Err(code::NOT_AUTHORIZED));
        assert_eq!(come(&hello(None, ""), Some("both-1")).0, Err(code::NOT_AUTHORIZED));
        assert_eq!(come(&hello(Some("both"), "pw"), Some("press-7")).0, Err(code::NOT_AUTHORIZED));
        assert_eq!(come(&hello(Some("both"), "pw"), Some("both-1")).0, Ok("both".into()));
        let mut own = hello(Some("line"), "pw");
        own.authentication = true;
        assert_eq!(come(&own, None).0, Err(code::AUTHENTICATION));
    }

    #[test]
    fn a_password_that_cannot_be_read_lets_nobody_in_and_is_told() {
        let (who, told) = come(&hello(Some("lost"), ""), None);
        assert_eq!(who, Err(code::USER));
        assert!(told.concat().contains("NOWHERE"), "{told:?}");
    }

    #[test]
    fn rights_end_at_the_sites_and_at_the_filters() {
        let sites = [SiteName::new("aachen").unwrap(), SiteName::new("bonn").unwrap()];
        let mut line = client(None, None, Some(&["bonn"]));
        line.publish = vec!["plant/+/t".into()];
        let rights = Rights::of("line", &line, &sites);
        assert!(rights.may_publish("plant/a/t", Some(1)));
        assert!(!rights.may_publish("plant/a/t", Some(0)));
        assert!(!rights.may_publish("plant/a/t", None), "no asset of its sites");
        assert!(!rights.may_publish("plant/a/u", Some(1)));
        assert!(rights.may_subscribe("plant/+/t") && rights.may_subscribe("plant/#"));
        assert!(!rights.may_subscribe("#") && !rights.may_subscribe("other/a"));
        assert!(rights.sees(Some(1)) && !rights.sees(Some(0)) && !rights.sees(None));
        let anybody = Rights::anybody();
        assert!(anybody.sees(None) && anybody.may_publish("x", None) && anybody.may_subscribe("#"));
    }
}
