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

/// The least age: the historian's files are written about once an hour.
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
    let seal = seal(project, file);
    outlived(project, file, &samples, &sites);
    Retention { seal, samples, sites, minutes }
}

fn seal(project: &Project, file: &RetentionFile) -> Span {
    let Some(seal) = &file.seal else { return Retention::SEAL };
    let span = seal.value.0;
    let help = if span < Retention::SEAL_MIN {
        "write `1 min` or more: each time makes a file for each site and day; `andon historian seal` seals at once"
    } else if span > Retention::SEAL_MAX {
        "write `1 d` or less: until then samples lie in the log alone"
    } else {
        let kept = [&file.samples, &file.minutes].into_iter().flatten().chain(file.sites.good.iter().map(|(_, k)| k));
        for age in kept.filter_map(|part| part.keep.as_ref()).filter(|age| age.value.0 < span) {
            let message = format!("kept for {}, but put away when they are {span} old", age.value.0);
            let finding = Finding::error(codes::RETENTION, age.spot, message);
            project.push(finding.expected(format!("{span} or more")).help("keep them longer, or lower `seal`"));
        }
        return span;
    };
    let finding = Finding::error(codes::RETENTION, seal.spot, format!("samples cannot be put away every {span}"));
    project.push(finding.expected("from 1 min to 1 d").help(help));
    Retention::SEAL
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
