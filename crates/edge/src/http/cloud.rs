//! CloudEvents 1.0 in JSON whose data are samples: structured, in batches, and with their attributes as headers.

use super::{
    BodyProblem, Head, Refusal,
    reader::{self, Key, Place, Raw, scalars},
};
use crate::payload::Leaf;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use std::{borrow::Cow, fmt};

/// The longest attribute that names an event, in bytes.
pub(super) const ATTRIBUTE_MAX: usize = 1_024;

/// The attributes of an event that mean something here, and its data.
#[derive(Debug, Default)]
pub(super) struct Envelope<'a> {
    version: Text<'a>,
    id: Text<'a>,
    source: Text<'a>,
    kind: Text<'a>,
    subject: Text<'a>,
    time: Text<'a>,
    content: Text<'a>,
    is_base64: bool,
    data: Data<'a>,
    /// What stands there instead of an object.
    instead: bool,
}

/// An attribute.
#[derive(Debug, Clone)]
struct Text<'a>(Leaf<'a>);

impl Default for Text<'_> {
    fn default() -> Self {
        Self(Leaf::Absent)
    }
}

/// The data of an event.
#[derive(Debug, Default)]
pub(super) enum Data<'a> {
    /// None.
    #[default]
    Absent,
    /// One sample, or what stands instead of it.
    One(Box<Raw<'a>>),
    /// An array of samples.
    Many(Vec<Raw<'a>>),
}

fn one(leaf: Leaf<'_>) -> Data<'_> {
    Data::One(Box::new(reader::instead(leaf)))
}

impl<'a> Deserialize<'a> for Data<'a> {
    fn deserialize<D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        struct V;
        impl<'a> Visitor<'a> for V {
            type Value = Data<'a>;
            scalars!('a, Data<'a>, one);
            fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Data<'a>, A::Error> {
                let mut all = Vec::new();
                while let Some(raw) = seq.next_element()? {
                    all.push(raw);
                }
                Ok(Data::Many(all))
            }
            fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<Data<'a>, A::Error> {
                reader::object(map).map(|raw| Data::One(Box::new(raw)))
            }
        }
        from.deserialize_any(V)
    }
}

impl<'a> Deserialize<'a> for Envelope<'a> {
    fn deserialize<D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        struct V;
        fn instead(_: Leaf<'_>) -> Envelope<'_> {
            Envelope { instead: true, ..Envelope::default() }
        }
        impl<'a> Visitor<'a> for V {
            type Value = Envelope<'a>;
            scalars!('a, Envelope<'a>, instead);
            fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Envelope<'a>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(instead(Leaf::Null))
            }
            fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Envelope<'a>, A::Error> {
                let mut event = Envelope::default();
                while let Some(Key(key)) = map.next_key()? {
                    match &*key {
                        "specversion" => event.version = Text(map.next_value()?),
                        "id" => event.id = Text(map.next_value()?),
                        "source" => event.source = Text(map.next_value()?),
                        "type" => event.kind = Text(map.next_value()?),
                        "subject" => event.subject = Text(map.next_value()?),
                        "time" => event.time = Text(map.next_value()?),
                        "datacontenttype" => event.content = Text(map.next_value()?),
                        "data" => event.data = map.next_value()?,
                        "data_base64" => {
                            map.next_value::<IgnoredAny>()?;
                            event.is_base64 = true;
                        }
                        // Other attributes are extensions, which mean nothing here.
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(event)
            }
        }
        from.deserialize_any(V)
    }
}

impl<'a> Envelope<'a> {
    /// An event whose attributes are headers and whose data are the body.
    pub(super) fn of_headers(head: &Head<'a>, data: Data<'a>) -> Result<Self, Refusal> {
        let text = |name: &str| -> Result<Text<'a>, Refusal> {
            let Some(value) = head.one(name)? else { return Ok(Text::default()) };
            Ok(Text(Leaf::Text(percent_encoding::percent_decode_str(value).decode_utf8_lossy())))
        };
        Ok(Self {
            version: text("ce-specversion")?,
            id: text("ce-id")?,
            source: text("ce-source")?,
            kind: text("ce-type")?,
            subject: text("ce-subject")?,
            time: text("ce-time")?,
            content: Text::default(),
            is_base64: false,
            data,
            instead: false,
        })
    }

    /// What is wrong with the envelope: attribute, cause and remedy.
    fn problems(&self, found: &mut Vec<(&'static str, &'static str, &'static str)>) {
        if !matches!(&self.version.0, Leaf::Text(text) if text == "1.0") {
            found.push(("specversion", "the version is not 1.0", "send `specversion` 1.0"));
        }
        for (name, Text(leaf)) in [("id", &self.id), ("source", &self.source), ("type", &self.kind)] {
            if !matches!(leaf, Leaf::Text(text) if !text.is_empty() && text.len() <= ATTRIBUTE_MAX) {
                found.push((name, "an event has this attribute, a text", "send it, with at most 1,024 bytes"));
            }
        }
        match &self.content.0 {
            Leaf::Absent | Leaf::Null => {}
            Leaf::Text(text) if is_json(text) => {}
            _ => found.push(("datacontenttype", "the data are no JSON", "send `application/json`")),
        }
        if self.is_base64 {
            found.push(("data_base64", "the data are bytes", "send JSON in `data`"));
        } else if matches!(self.data, Data::Absent) {
            found.push(("data", "the event has no data", "send a sample, or an array of them"));
        }
    }

    /// Gives the samples, or the problems of the envelope. A sample without an asset is about the event's subject; one
    /// without a time happened at the event's.
    pub(super) fn samples(
        self,
        place: Place,
        in_headers: bool,
        each: &mut dyn FnMut(Place, Raw<'a>),
        wrong: &mut dyn FnMut(BodyProblem),
    ) {
        let mut found: Vec<(&'static str, &'static str, &'static str)> = Vec::new();
        if self.instead {
            found.push(("", "an event is an object", "send CloudEvents 1.0"));
        } else {
            self.problems(&mut found);
        }
        let is_clean = found.is_empty();
        for (attribute, cause, remedy) in found {
            let pointer = if in_headers { String::new() } else { place.pointer(attribute) };
            let cause = if in_headers { format!("ce-{attribute}: {cause}") } else { cause.to_owned() };
            wrong(BodyProblem { pointer, cause, remedy: remedy.to_owned() });
        }
        if !is_clean {
            return;
        }
        let (subject, time) = (self.subject.0, self.time.0);
        let filled = |mut raw: Raw<'a>| {
            if raw.asset == Leaf::Absent {
                raw.asset = subject.clone();
            }
            if raw.time == Leaf::Absent {
                raw.time = time.clone();
            }
            raw
        };
        let place = Place { in_data: !in_headers, ..place };
        match self.data {
            Data::Absent => {}
            Data::One(raw) => each(place, filled(*raw)),
            Data::Many(all) => {
                for (number, raw) in all.into_iter().enumerate() {
                    each(Place { item: Some(number), ..place }, filled(raw));
                }
            }
        }
    }
}

/// Whether a media type is JSON.
pub(super) fn is_json(media: &str) -> bool {
    let media: Cow<'_, str> = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().into();
    media == "application/json" || media == "text/json" || media.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> (Vec<String>, Vec<String>) {
        let (mut found, mut told) = (Vec::new(), Vec::new());
        reader::elements(body, "event", &mut |place, event: Envelope<'_>| {
            event.samples(
                place,
                false,
                &mut |place, raw| {
                    found.push(format!("{} {:?} {:?}", place.pointer("value"), raw.asset, raw.time));
                },
                &mut |problem| told.push(problem.pointer),
            );
        })
        .unwrap();
        (found, told)
    }

    #[test]
    fn a_sample_takes_asset_and_time_of_its_event() {
        let body = r#"[{"specversion":"1.0","id":"1","source":"/x","type":"t","subject":"m-1","time":"T","ext":{},
            "data":[{"value":1},{"asset":"m-2","time":null,"value":2}]},
            {"data":{"value":3},"type":"t","source":"/x","id":"2","specversion":"1.0",
            "datacontenttype":"application/json"}]"#;
        let (found, told) = read(body);
        assert_eq!(
            found,
            [
                "/0/data/0/value Text(\"m-1\") Text(\"T\")",
                "/0/data/1/value Text(\"m-2\") Null",
                "/1/data/value Absent Absent"
            ]
        );
        assert!(told.is_empty(), "{told:?}");
    }

    #[test]
    fn what_is_wrong_with_an_envelope_is_told_at_its_place() {
        let (found, told) = read(
            r#"[{"specversion":"0.3","id":"","source":1,"data":{}},5,
            {"specversion":"1.0","id":"1","source":"/x","type":"t","data_base64":"AA=="},
            {"specversion":"1.0","id":"1","source":"/x","type":"t","datacontenttype":"text/xml","data":{}},
            {"specversion":"1.0","id":"1","source":"/x","type":"t"}]"#,
        );
        assert!(found.is_empty(), "{found:?}");
        let wanted = [
            "/0/specversion",
            "/0/id",
            "/0/source",
            "/0/type",
            "/1",
            "/2/data_base64",
            "/3/datacontenttype",
            "/4/data",
        ];
        assert_eq!(told, wanted);
    }
}
