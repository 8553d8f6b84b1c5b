//! Where everything of the demo listens, and what the project is told of it.

use andon_demo::{
    offices::{API_KEY, CLIENT_ID, CLIENT_SECRET, HOOK_SECRET, offices},
    world::Found,
};
use std::{collections::BTreeMap, fs::File, net::TcpListener};

/// Where the API and the listener for machines usually are.
const API: u16 = 8730;
const LISTENER: u16 = 1884;

/// Whether the usual ports are ours, those of Andon and of its neighbours: of several demos one has them as long as
/// this value lives. Otherwise another would take them in the moment in which they are free because something starts
/// anew, and be asked for what is not its own.
#[derive(Debug)]
pub(super) struct Usual(Option<File>);

impl Usual {
    /// Takes them, where no other has.
    pub(super) fn take() -> Self {
        let file = File::create(std::env::temp_dir().join("andon-demo.lock")).ok();
        Self(file.filter(|file| file.try_lock().is_ok()))
    }

    /// Whether they are ours.
    pub(super) fn are_ours(&self) -> bool {
        self.0.is_some()
    }
}

/// The addresses of Andon.
#[derive(Debug)]
pub(super) struct Places {
    /// Of the API; with port 0 a free one is taken.
    pub(super) api: String,
    /// Of the listener for machines.
    pub(super) listener: String,
}

impl Places {
    /// The usual ones where they are free, else free ones.
    pub(super) fn choose(usual: &Usual) -> anyhow::Result<Self> {
        let is_free = |port| usual.are_ours() && TcpListener::bind(("127.0.0.1", port)).is_ok();
        let api = if is_free(API) { API } else { 0 };
        let listener = match LISTENER {
            port if is_free(port) => port,
            _ => TcpListener::bind("127.0.0.1:0")?.local_addr()?.port(),
        };
        let (api, listener) = (format!("127.0.0.1:{api}"), format!("127.0.0.1:{listener}"));
        Ok(Self { api, listener })
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
