//! Where everything of the demo listens, and what the project is told of it.

use andon_demo::{
    offices::{API_KEY, CLIENT_ID, CLIENT_SECRET, HOOK_SECRET, offices},
    world::Found,
};
use std::{collections::BTreeMap, fs::File, net::TcpListener};

/// Where the API and the listener for machines usually are.
const API: u16 = 8730;
const LISTENER: u16 = 1884;

/// The addresses of Andon.
#[derive(Debug)]
pub(super) struct Places {
    /// Of the API; with port 0 a free one is taken.
    pub(super) api: String,
    /// Of the listener for machines.
    pub(super) listener: String,
    /// Held as long as the usual ones are ours: of several demos that start at once, one has them.
    _usual: Option<File>,
}

impl Places {
    /// The usual ones where they are free, else free ones.
    pub(super) fn choose() -> anyhow::Result<Self> {
        let usual = File::create(std::env::temp_dir().join("andon-demo.lock")).ok();
        let usual = usual.filter(|file| file.try_lock().is_ok());
        let is_free = |port| usual.is_some() && TcpListener::bind(("127.0.0.1", port)).is_ok();
        let api = if is_free(API) { API } else { 0 };
        let listener = match LISTENER {
            port if is_free(port) => port,
            _ => TcpListener::bind("127.0.0.1:0")?.local_addr()?.port(),
        };
        let (api, listener) = (format!("127.0.0.1:{api}"), format!("127.0.0.1:{listener}"));
        Ok(Self { api, listener, _usual: usual })
    }

    /// What the project asks the environment.
    pub(super) fn variables(&self, world: &Found) -> BTreeMap<String, String> {
        let mut variables: BTreeMap<String, String> = [
            ("ANDON_LISTENER", self.listener.as_str()),
            ("MAXIMO_APIKEY", API_KEY),
            ("CRM_CLIENT_ID", CLIENT_ID),
            ("CRM_CLIENT_SECRET", CLIENT_SECRET),
            ("LAB_HOOK", HOOK_SECRET),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        variables.extend(offices().map(|office| {
            let name = office.name();
            (format!("ANDON_{}", name.to_ascii_uppercase().replace('-', "_")), format!("{}/{name}", world.offices))
        }));
        if let Some(broker) = &world.broker {
            variables.insert("ANDON_MONTERREY_MQTT".to_owned(), broker.address.clone());
        }
        variables
    }
}
