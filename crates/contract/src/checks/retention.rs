//! What is kept: sites that exist, ages and sizes that leave something, summaries that outlive their samples.

use super::assets::Assets;
use crate::{
    codes,
    contract::{Keep, Retention},
    files::retention::{KeepFile, RetentionFile},
    load::Project,
    problem::Finding,
};
use andon_model::{SiteName, span::Span};
use std::collections::BTreeMap;

/// The least age: the historian's files are written at least once an hour.
const AGE_MIN: Span = Span::from_secs(3_600);
/// The least size: one file of an hour fits in it.
const SIZE_MIN: u64 = 16 << 20;

pub(crate) fn resolve(project: &Project, assets: &Assets) -> Retention {
    let Some(file) = project.retention.as_ref().and_then(|doc| doc.body.as_ref()) else { return Retention::default() };
    let of = |part: Option<&KeepFile>| part.map(|part| keep(project, part)).unwrap_or_default();
    let samples = of(file.samples.as_ref());
    let mut sites = BTreeMap::new();
    for (name, part) in &file.sites.good {
        if !assets.known_sites.expect(project, codes::UNKNOWN_SITE, name.spot, "site", name.as_str()) {
            continue;
        }
        let kept = keep(project, part);
        if let Ok(site) = SiteName::new(name.as_str()) {
            sites.insert(site, kept);
        }
    }
    let minutes = of(file.minutes.as_ref());
    outlived(project, file, &samples, &sites);
    Retention { samples, sites, minutes }
}

fn keep(project: &Project, file: &KeepFile) -> Keep {
    if let Some(age) = file.keep.as_ref().filter(|age| age.value.0 < AGE_MIN) {
        let message = format!("{} leaves nothing: samples are put away once an hour", age.value.0);
        let finding = Finding::error(codes::RETENTION, age.spot, message);
        project.push(finding.expected("1 h or more").help("keep them longer; leave the key out to keep them for ever"));
    }
    if let Some(size) = file.size.as_ref().filter(|size| size.value.0 < SIZE_MIN) {
        let message = format!("{} bytes leave no room for the samples of an hour", size.value.0);
        let finding = Finding::error(codes::RETENTION, size.spot, message);
        project.push(finding.expected("16 MiB or more").help("give more room; leave the key out to keep all"));
    }
    Keep { age: file.keep.as_ref().map(|age| age.value.0), bytes: file.size.as_ref().map(|size| size.value.0) }
}

/// Summaries that go before the samples they sum up: charts of the time between read every sample.
fn outlived(project: &Project, file: &RetentionFile, samples: &Keep, sites: &BTreeMap<SiteName, Keep>) {
    let Some(minutes) = file.minutes.as_ref().and_then(|minutes| minutes.keep.as_ref()) else { return };
    let mut ages = sites.values().chain([samples]).map(|keep| keep.age);
    if ages.any(|age| age.is_none_or(|age| age > minutes.value.0)) {
        let message = format!("one-minute summaries go after {}, before the samples they sum up", minutes.value.0);
        let finding = Finding::warning(codes::RETENTION, minutes.spot, message);
        project.push(
            finding.help("keep `minutes` as long as the samples of every site; they take a hundredth of the room"),
        );
    }
}
