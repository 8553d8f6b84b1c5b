//! Sites and assets: names are unique, classes and sources exist, and what a site or an asset sets is a parameter of
//! the class.

use super::{
    Known,
    classes::{ClassInfo, Classes},
    parameters::parameter,
};
use crate::{
    codes,
    contract::{Asset, Parameter, Setting, Site},
    files::{
        assets::{AssetFile, AssetsFile},
        words::{Named, Word},
    },
    load::{Doc, Project},
    problem::{Finding, Spot},
    read::{At, Entries},
};
use andon_model::{AssetName, Name, SiteName, time::Zone};
use std::collections::BTreeMap;

/// All sites and assets.
#[expect(clippy::struct_field_names, reason = "sites and assets are what it has")]
pub(crate) struct Assets {
    pub(crate) sites: BTreeMap<SiteName, SiteInfo>,
    pub(crate) known_sites: Known,
    pub(crate) assets: BTreeMap<AssetName, AssetInfo>,
    pub(crate) known_assets: Known,
    /// Those of each class.
    by_class: BTreeMap<Name, Vec<AssetName>>,
    /// Whether every file could be read; else nobody is told what seems to be missing.
    pub(crate) whole: bool,
}

impl Assets {
    /// The assets of a class.
    pub(crate) fn of_class(&self, class: &Name) -> Vec<&AssetName> {
        self.by_class.get(class).into_iter().flatten().collect()
    }
}

/// A site and its place.
pub(crate) struct SiteInfo {
    pub(crate) site: Site,
    pub(crate) spot: Spot,
}

/// An asset and the places of its parts.
pub(crate) struct AssetInfo {
    pub(crate) asset: Asset,
    pub(crate) spot: Spot,
    /// Where each parameter was set.
    pub(crate) places: BTreeMap<String, Spot>,
}

pub(crate) fn resolve(project: &Project, classes: &Classes, sources: &Known) -> Assets {
    let mut all = Assets {
        sites: BTreeMap::new(),
        known_sites: Known::stems(&project.assets),
        assets: BTreeMap::new(),
        known_assets: Known::default(),
        by_class: BTreeMap::new(),
        whole: project.assets.iter().all(|doc| doc.body.is_some()),
    };
    for doc in &project.assets {
        let Some(file) = &doc.body else { continue };
        let Some(name) = site(project, doc, file, &mut all) else { continue };
        for (class, set) in &file.set.good {
            site_parameters(project, classes, class, set);
        }
        all.known_assets.0.extend(file.assets.spoilt.iter().map(ToString::to_string));
        all.known_assets.0.extend(file.assets.good.iter().map(|(name, _)| name.to_string()));
        for (asset_name, asset) in &file.assets.good {
            self::asset(project, classes, sources, (&name, file), (asset_name, asset), &mut all);
        }
    }
    addresses_once(project, &all);
    for (name, info) in &all.assets {
        all.by_class.entry(info.asset.class.clone()).or_default().push(name.clone());
    }
    all
}

fn site(project: &Project, doc: &Doc<AssetsFile>, file: &AssetsFile, all: &mut Assets) -> Option<SiteName> {
    if file.site.as_str() != doc.stem {
        let message = format!("the site `{}` stands in a file of another name", file.site.value);
        let finding = Finding::error(codes::FILE_NAME, file.site.spot, message);
        project.push(finding.expected(format!("`{}`, the file's name", doc.stem)).help("rename the file or the site"));
    }
    let zone = match &file.timezone {
        None => Zone::utc(),
        // A zone that does not exist is told; the rest of the file is looked at all the same.
        Some(zone) => self::zone(project, zone).unwrap_or_else(Zone::utc),
    };
    let name = SiteName::new(file.site.as_str()).ok()?;
    all.known_sites.0.insert(name.to_string());
    let site = Site { zone: file.zone.0.clone(), timezone: zone };
    all.sites.insert(name.clone(), SiteInfo { site, spot: file.site.spot });
    Some(name)
}

/// A zone by its name; tells where there is none of that name.
pub(crate) fn zone(project: &Project, zone: &At<String>) -> Option<Zone> {
    let found = Zone::named(zone);
    if found.is_none() {
        let finding = Finding::error(codes::TIME_ZONE, zone.spot, format!("there is no time zone `{}`", zone.value));
        project.push(finding.expected("an IANA name like Europe/Berlin, or UTC").help("correct the name"));
    }
    found
}

fn site_parameters(project: &Project, classes: &Classes, class: &At<Named>, set: &Entries<String, At<Word>>) {
    if !classes.known.expect(project, codes::UNKNOWN_CLASS, class.spot, "class", class.as_str()) {
        return;
    }
    let Some(info) = classes.good.get(class.as_str()) else { return };
    for (key, value) in &set.good {
        settable(project, info, class.as_str(), key, value);
    }
}

/// The value that a site or an asset sets for a parameter of its class.
fn settable(project: &Project, class: &ClassInfo, name: &str, key: &At<String>, value: &At<Word>) -> Option<Setting> {
    if !class.parameters_known.has(key) {
        let message = format!("the class `{name}` has no parameter `{}`", key.value);
        let finding = Finding::error(codes::UNKNOWN_PARAMETER, key.spot, message);
        let known = finding.known(key, class.parameters_known.0.iter().map(String::as_str));
        project.push(known.help("correct the name, or give the class the parameter with its default"));
        return None;
    }
    parameter(project, class, key, value).map(|(_, setting)| setting)
}

fn asset(
    project: &Project,
    classes: &Classes,
    sources: &Known,
    (site, file): (&SiteName, &AssetsFile),
    (name, asset): (&At<Named>, &AssetFile),
    all: &mut Assets,
) {
    if let Some(other) = all.assets.get(name.as_str()) {
        let message = format!("the asset `{}` also stands in {}", name.value, project.findings.line_of(other.spot));
        let finding = Finding::error(codes::DUPLICATE_ASSET, name.spot, message);
        project.push(finding.help("a name is unique in the project; name one of the two otherwise"));
        return;
    }
    for (source, _) in &asset.addresses.good {
        sources.expect(project, codes::UNKNOWN_SOURCE, source.spot, "source", source.as_str());
    }
    if !classes.known.expect(project, codes::UNKNOWN_CLASS, asset.class.spot, "class", asset.class.as_str()) {
        return;
    }
    let (Ok(asset_name), Some(class)) = (AssetName::new(name.as_str()), classes.good.get(asset.class.as_str())) else {
        return;
    };
    let mut parameters = BTreeMap::new();
    let mut places = BTreeMap::new();
    let mut put = |key: &str, value: Setting, spot: Spot| {
        parameters.insert(key.to_owned(), Parameter { value, from: project.findings.line_of(spot) });
        places.insert(key.to_owned(), spot);
    };
    for (key, (value, spot)) in &class.parameters {
        put(key, *value, *spot);
    }
    let of_site = file.set.good.iter().filter(|(class, _)| class.as_str() == asset.class.as_str());
    for (key, value) in of_site.flat_map(|(_, set)| &set.good).chain(&asset.set.good) {
        if let Some(setting) = settable(project, class, asset.class.as_str(), key, value) {
            put(key, setting, value.spot);
        }
    }
    let resolved = Asset {
        site: site.clone(),
        class: asset.class.0.clone(),
        area: asset.area.clone(),
        line: asset.line.clone(),
        unit: asset.unit.clone(),
        addresses: asset.addresses.good.iter().map(|(k, v)| (k.0.clone(), v.value.clone())).collect(),
        parameters,
    };
    all.assets.insert(asset_name, AssetInfo { asset: resolved, spot: name.spot, places });
}

/// Two assets that a source cannot tell apart.
fn addresses_once(project: &Project, all: &Assets) {
    let sources: std::collections::BTreeSet<&Name> =
        all.assets.values().flat_map(|a| a.asset.addresses.keys()).collect();
    for source in sources {
        let mut seen: BTreeMap<&str, &AssetName> = BTreeMap::new();
        for (name, info) in &all.assets {
            let address = info.asset.addresses.get(source).map_or(name.as_str(), String::as_str);
            if let Some(other) = seen.insert(address, name) {
                let message = format!("the source `{source}` calls `{name}` and `{other}` the same: `{address}`");
                let finding = Finding::error(codes::SAME_ADDRESS, info.spot, message);
                project.push(finding.help("give one of the two the address that the source really uses"));
            }
        }
    }
}
