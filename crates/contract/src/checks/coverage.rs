//! Between sources and assets: assets that no source delivers, and messages that two sources read.

use super::{
    assets::{AssetInfo, Assets},
    topics::constant,
};
use crate::{
    codes,
    contract::{Class, Level, Source, SourceKind, Template, TopicMapping},
    load::{Project, RawDoc},
    problem::{Finding, Spot},
    tree::Kind,
};
use andon_model::{AssetName, Name};
use std::collections::BTreeMap;

pub(crate) fn check(
    project: &Project,
    sources: &BTreeMap<Name, Source>,
    assets: &Assets,
    classes: &super::classes::Classes,
) {
    read_twice(project, sources);
    // Nobody is told what a source that could not be read might deliver.
    let is_whole = sources.len() == project.sources.len() && assets.whole;
    if sources.is_empty() || !is_whole {
        return;
    }
    for (name, info) in &assets.assets {
        let Some(class) = classes.good.get(&info.asset.class).map(|info| &info.class) else { continue };
        if first(sources, name, info, class).is_some() {
            continue;
        }
        let message = format!("no source delivers a signal of the asset `{name}`");
        let finding = Finding::warning(codes::UNDELIVERED, info.spot, message);
        project.push(finding.help("read its topic, file or adapter in a source, or remove the asset"));
    }
}

/// The first source that may deliver signals of an asset.
pub(super) fn first<'a>(
    sources: &'a BTreeMap<Name, Source>,
    name: &AssetName,
    info: &AssetInfo,
    class: &Class,
) -> Option<&'a Name> {
    let address = |source: &Name| info.asset.addresses.get(source).map_or(name.as_str(), String::as_str);
    sources.iter().find(|(source, is)| delivers(is, name, address(source), class)).map(|(source, _)| source)
}

/// Whether a source may deliver a signal of an asset of this class.
fn delivers(source: &Source, name: &AssetName, address: &str, class: &Class) -> bool {
    let of_topic = |topic: &TopicMapping| {
        let is_asset = constant(&topic.asset).is_none_or(|fixed| fixed == address);
        is_asset && topic.signals.iter().any(|mapping| may_be_of(&mapping.signal, class))
    };
    match &source.kind {
        SourceKind::Shdr(shdr) => shdr.asset.as_ref().is_none_or(|asset| asset == name),
        SourceKind::Http(_) | SourceKind::File(_) => true,
        SourceKind::Mqtt(_) | SourceKind::Listener(_) => {
            source.kind.topics().is_some_and(|topics| topics.iter().any(of_topic))
        }
    }
}

fn may_be_of(signal: &Template, class: &Class) -> bool {
    constant(signal).is_none_or(|signal| class.signals.contains_key(signal))
}

/// Two sources of one broker, or of one listener, with topics that some message has in common: it would be stored by
/// both.
fn read_twice(project: &Project, sources: &BTreeMap<Name, Source>) {
    let all: Vec<(&Name, &Source)> = sources.iter().collect();
    for (at, (name, source)) in all.iter().enumerate() {
        for (earlier, other) in all.iter().take(at).filter(|(_, other)| is_same_broker(source, other)) {
            for topic in source.kind.topics().unwrap_or_default() {
                let Some(both) =
                    other.kind.topics().unwrap_or_default().iter().find(|t| meet(&t.levels, &topic.levels))
                else {
                    continue;
                };
                let Some(spot) = spot(project, name, topic) else { continue };
                let message = format!(
                    "the source `{earlier}` reads messages of this topic too (`{}`): each sample is stored twice",
                    both.filter()
                );
                let finding = Finding::warning(codes::READ_TWICE, spot, message);
                project.push(finding.help("leave the topic to one of the two sources"));
            }
        }
    }
}

fn is_same_broker(a: &Source, b: &Source) -> bool {
    match (&a.kind, &b.kind) {
        (SourceKind::Mqtt(a), SourceKind::Mqtt(b)) => a.broker.address == b.broker.address,
        (SourceKind::Listener(a), SourceKind::Listener(b)) => a.listener == b.listener,
        _ => false,
    }
}

/// Whether there is a topic that is one of both.
fn meet(a: &[Level], b: &[Level]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|pair| match pair {
            (Level::Text(a), Level::Text(b)) => a == b,
            _ => true,
        })
}

/// Where a topic of a source stands in its file.
fn spot(project: &Project, source: &Name, topic: &TopicMapping) -> Option<Spot> {
    let doc: &RawDoc = project.sources.iter().find(|doc| doc.stem == source.as_str())?;
    let raw = doc.body?;
    let tree = project.findings.tree(doc.file)?;
    let levels = topic.levels.iter().map(|level| match level {
        Level::Text(text) => text.clone(),
        Level::Capture(name) => format!("{{{name}}}"),
    });
    let text = levels.collect::<Vec<_>>().join("/");
    let list = tree.get(raw.spot.node, "topics")?;
    let Kind::List(entries) = &tree.node(list).kind else { return None };
    let mut topics = entries.iter().filter_map(|entry| tree.get(*entry, "topic"));
    let node = topics.find(|node| tree.text(*node) == Some(text.as_str()))?;
    Some(Spot { node, ..raw.spot })
}
