//! `andon.yaml`: the format, and instances with addresses that can be listened on.

use super::{assets::Assets, listeners::listener};
use crate::{
    codes,
    contract::{Instance, Role},
    load::Project,
    problem::{Finding, Spot},
    read::At,
};
use andon_model::Name;
use std::{collections::BTreeMap, net::SocketAddr};

/// The format of projects that this Andon reads.
pub(crate) const FORMAT: u32 = 1;
/// Where the API listens unless the project says otherwise.
const API: &str = "127.0.0.1:8730";

/// The project's name and its instances.
pub(crate) fn resolve(project: &Project, assets: &Assets) -> Option<(String, BTreeMap<Name, Instance>)> {
    let file = project.andon.as_ref()?.body.as_ref()?;
    if file.format.value != FORMAT {
        let message = format!("the project has the format {}; this Andon reads {FORMAT}", file.format.value);
        let finding = Finding::error(codes::FORMAT, file.format.spot, message);
        project.push(finding.expected(format!("`format: {FORMAT}`")).help("use the Andon the project was written for"));
    }
    let mut instances = BTreeMap::new();
    let mut addresses: BTreeMap<String, Spot> = BTreeMap::new();
    for (name, instance) in &file.instances.good {
        if let Some(api) = &instance.api {
            address(project, api, &mut addresses);
        }
        let zones: Vec<&str> = assets.sites.values().map(|site| site.site.zone.as_str()).collect();
        let zone = instance.zone.as_str();
        if instance.role != Role::Hub && assets.whole && !zones.is_empty() && !zones.contains(&zone) {
            let message = format!("no site is in the zone `{zone}`, in which this instance stands");
            let finding = Finding::warning(codes::ZONE, instance.zone.spot, message);
            project
                .push(finding.known(zone, zones).help("an instance beside machines stands in the zone of their site"));
        }
        let mut own: BTreeMap<String, Spot> = BTreeMap::new();
        own.extend(instance.api.as_ref().map(|api| (api.value.clone(), api.spot)));
        let mut listeners = BTreeMap::new();
        for (of, file) in &instance.listeners.good {
            if let Some(listener) = listener(project, file, assets, &mut own) {
                listeners.insert(of.value.0.clone(), listener);
            }
        }
        let api = instance.api.as_ref().map_or_else(|| API.to_owned(), |api| api.value.clone());
        instances
            .insert(name.0.clone(), Instance { role: instance.role, zone: instance.zone.0.clone(), api, listeners });
    }
    if file.instances.good.is_empty() && file.instances.spoilt.is_empty() {
        let finding = Finding::error(codes::NO_INSTANCE, file.name.spot, "the project has no instance");
        project.push(finding.help("add `instances: { plant: { role: both, zone: plant } }`"));
    }
    Some((file.name.to_string(), instances))
}

fn address(project: &Project, api: &At<String>, seen: &mut BTreeMap<String, Spot>) {
    let host = api.rsplit_once(':').map_or("", |(host, _)| host);
    let parsed = if host == "localhost" {
        api.replacen("localhost", "127.0.0.1", 1).parse::<SocketAddr>()
    } else {
        api.parse::<SocketAddr>()
    };
    match parsed {
        Err(_) => {
            let finding =
                Finding::error(codes::API_ADDRESS, api.spot, format!("`{}` is no address to listen on", api.value));
            project.push(finding.expected("an IP address and a port: 127.0.0.1:8730").help("correct the address"));
        }
        Ok(address) if !address.ip().is_loopback() => {
            let message = format!("the API will be open to the network at {address}, and it asks nobody who they are");
            let finding = Finding::warning(codes::API_OPEN, api.spot, message);
            project.push(finding.help("listen on 127.0.0.1 and put a gateway before it that asks"));
        }
        Ok(_) => {}
    }
    if let Some(other) = seen.insert(api.value.clone(), api.spot) {
        let line = project.findings.line_of(other);
        let message = format!("the instance of {line} listens on the same address");
        project.push(
            Finding::warning(codes::API_ADDRESS, api.spot, message).help("fine on two machines; else change one"),
        );
    }
}
