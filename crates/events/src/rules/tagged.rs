//! Reads a state by the kind that it names: where that stands first, as it is written, nothing is read twice.

use super::{State, counter, deviation, limit, rate, spc, spectrum, stale, state, table, window};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Value as Json};
use std::fmt;

/// The words of `kind`.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Limit,
    Deviation,
    #[serde(rename = "rate-of-change")]
    RateOfChange,
    Window,
    Stale,
    Spc,
    Spectrum,
    State,
    Counter,
    Table,
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Tagged)
    }
}

struct Tagged;

impl<'de> Visitor<'de> for Tagged {
    type Value = State;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the state of a rule with its kind")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<State, A::Error> {
        let mut before = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if key != "kind" {
                before.insert(key, map.next_value()?);
                continue;
            }
            let kind: Kind = map.next_value()?;
            if before.is_empty() {
                return read(kind, MapAccessDeserializer::new(map));
            }
            while let Some((key, value)) = map.next_entry()? {
                before.insert(key, value);
            }
            return read(kind, Json::Object(before)).map_err(A::Error::custom);
        }
        Err(A::Error::missing_field("kind"))
    }
}

fn read<'de, D: Deserializer<'de>>(kind: Kind, from: D) -> Result<State, D::Error> {
    match kind {
        Kind::Limit => limit::State::deserialize(from).map(State::Limit),
        Kind::Deviation => deviation::State::deserialize(from).map(State::Deviation),
        Kind::RateOfChange => rate::State::deserialize(from).map(State::RateOfChange),
        Kind::Window => window::State::deserialize(from).map(State::Window),
        Kind::Stale => stale::State::deserialize(from).map(State::Stale),
        Kind::Spc => spc::State::deserialize(from).map(State::Spc),
        Kind::Spectrum => spectrum::State::deserialize(from).map(State::Spectrum),
        Kind::State => state::State::deserialize(from).map(State::State),
        Kind::Counter => counter::State::deserialize(from).map(State::Counter),
        Kind::Table => table::State::deserialize(from).map(State::Table),
    }
}
