//! Where rows go: the topic of the source that reads them, as the project has it.

use super::{FeedError, Row};
use crate::{
    payload::{self, Leaf},
    problem::quote,
    value,
};
use andon_contract::contract::{Broker, Contract, Level, Piece, Source, SourceKind, Template, TimeForm, TopicMapping};
use andon_model::{Name, Time, time::Zone};
use std::collections::BTreeMap;

/// Where rows go.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The source of the project that reads it; its client tells how many it has received.
    pub source: Name,
    /// Its broker.
    pub broker: Broker,
    /// The topic over names that `fixed` gives, or a field of the row.
    topic: Template,
    fixed: BTreeMap<String, String>,
    time: Option<(Vec<String>, TimeForm, Zone)>,
}

/// What the caller says of the destination; what is not said must be clear from the project.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The source.
    pub source: Option<Name>,
    /// The topic, with `{name}` for the asset or a field of the row.
    pub topic: Option<String>,
    /// The asset, by its name in the project.
    pub asset: Option<String>,
}

/// Finds where rows go; an error says what the caller has to name.
pub fn destination(contract: &Contract, wanted: &Wanted) -> Result<Destination, FeedError> {
    let mqtt = contract.sources.iter().filter_map(|(name, source)| match &source.kind {
        SourceKind::Mqtt(mqtt) if wanted.source.as_ref().is_none_or(|w| w == name) => Some((name, source, mqtt)),
        _ => None,
    });
    let (name, source, mqtt) = only(mqtt, "source", "MQTT source", "--source")?;
    let asset = match &wanted.asset {
        Some(asset) => contract.assets.get_key_value(asset.as_str()).map(Some).ok_or_else(|| {
            FeedError::new("asset", format!("the project has no asset `{}`", quote(asset)), "name one that it has")
        })?,
        // One asset alone needs no word; of several, a field of each row may name its asset.
        None if contract.assets.len() == 1 => contract.assets.iter().next(),
        None => None,
    };
    let called = asset.map(|(asset, is)| is.addresses.get(name).cloned().unwrap_or_else(|| asset.to_string()));
    let mut fixed: BTreeMap<String, String> = called.iter().map(|c| ("asset".to_owned(), c.clone())).collect();
    let (mapping, topic) = if let Some(text) = &wanted.topic {
        (mqtt.topics.first(), template(text)?)
    } else {
        let mapping = only(mqtt.topics.iter(), "topic", "topic of the source", "--topic")?;
        if let (Some(called), [Piece::Place(capture)]) = (&called, mapping.asset.pieces.as_slice()) {
            fixed.insert(capture.clone(), called.clone());
        }
        (Some(mapping), topic_of(mapping))
    };
    let time = mapping.and_then(|m| time_of(m, source));
    Ok(Destination { source: name.clone(), broker: mqtt.broker.clone(), topic, fixed, time })
}

fn only<T>(mut all: impl Iterator<Item = T>, place: &str, what: &str, option: &str) -> Result<T, FeedError> {
    match (all.next(), all.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(FeedError::new(place, format!("the project has no such {what}"), "look into `sources/`")),
        (Some(_), Some(_)) => {
            Err(FeedError::new(place, format!("the project has several: which {what}?"), format!("say {option}")))
        }
    }
}

/// Reads a topic with `{name}` places.
fn template(text: &str) -> Result<Template, FeedError> {
    let wrong = || {
        FeedError::new(
            "topic",
            format!("{:?} has a brace without its other half", quote(text)),
            "write places as {name}",
        )
    };
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (place, after) = after.split_once('}').ok_or_else(wrong)?;
        pieces.extend([Piece::Text(before.into()), Piece::Place(place.into())]);
        rest = after;
    }
    if rest.contains('}') {
        return Err(wrong());
    }
    pieces.push(Piece::Text(rest.into()));
    Ok(Template { pieces })
}

fn topic_of(mapping: &TopicMapping) -> Template {
    let mut pieces = Vec::new();
    for (nth, level) in mapping.levels.iter().enumerate() {
        if nth > 0 {
            pieces.push(Piece::Text("/".into()));
        }
        pieces.push(match level {
            Level::Text(text) => Piece::Text(text.clone()),
            Level::Capture(name) => Piece::Place(name.clone()),
        });
    }
    Template { pieces }
}

fn time_of(mapping: &TopicMapping, source: &Source) -> Option<(Vec<String>, TimeForm, Zone)> {
    let time = mapping.signals.iter().find_map(|signal| signal.time.as_ref())?;
    Some((time.at.tokens.clone(), time.form, source.zone.clone()))
}

impl Destination {
    /// The topic of a row; an error names the place that neither the project nor the row fills.
    pub fn topic(&self, row: &Row) -> Result<String, FeedError> {
        let numbers: BTreeMap<&str, String> = row
            .fields
            .iter()
            .filter(|(_, value)| value.is_number())
            .map(|(key, value)| (key.as_str(), value.to_string()))
            .collect();
        let known = |place: &str| {
            let fixed = self.fixed.get(place).map(String::as_str);
            fixed.or_else(|| row.fields.get(place)?.as_str()).or_else(|| numbers.get(place).map(String::as_str))
        };
        self.topic.fill(&known).map_err(|place| {
            let cause = format!("nothing says what `{{{place}}}` of the topic is");
            FeedError::new(format!("line {}", row.line), cause, "say --asset or --topic, or add a column of this name")
        })
    }

    /// The time of a row, where the source says where it stands.
    pub fn time(&self, row: &Row) -> Option<Time> {
        let (tokens, form, zone) = self.time.as_ref()?;
        let (first, rest) = tokens.split_first()?;
        let json = rest.iter().try_fold(row.fields.get(first)?, |json, token| json.get(token))?;
        let leaf: Leaf<'_> = payload::leaf_of(json);
        value::time_of(&leaf, *form, zone).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_has_places() {
        let topic = template("m/{asset}/{signal}").unwrap();
        assert_eq!(topic.pieces.len(), 5);
        assert!(template("m/{asset").is_err());
        assert!(template("m/asset}").is_err());
    }
}
