//! HTTP sources: secrets, signatures, limits, and mappings that can be taken and give events with a schema.

use super::{connect::secret, expressions::expression, schemas::SchemaSet, sources::common};
use crate::{
    codes,
    contract::{EventMapping, HttpSource, MappedEvent, MappedTo, Signature, Source, SourceKind},
    files::{
        http::{EventMappingFile, HttpSourceFile, SignatureFile},
        words::Named,
    },
    load::Project,
    problem::{Finding, Spot, Where},
    read::{At, Entries},
};
use andon_model::span::Span;
use std::collections::BTreeMap;

/// The beginning of the headers of a signature unless told.
const HEADER: &str = "webhook";
/// The longest beginning of a header, in bytes.
const HEADER_MAX: usize = 64;
/// Callers with a key of their own.
const KEYS_MAX: usize = 100;
/// Mappings of one source.
const MAPPINGS_MAX: usize = 100;

/// An HTTP source; `at` is the place of its file.
pub(crate) fn http(project: &Project, file: &HttpSourceFile, at: Spot, schemas: &SchemaSet) -> Option<Source> {
    let events = events(project, file, at, schemas);
    let written = Door { token: file.token.as_ref(), keys: &file.keys, signature: file.signature.as_ref() };
    let door = door(project, &written, file.posts.as_ref(), at)?;
    let kind = SourceKind::Http(HttpSource { events, ..door });
    common(project, file.clock, file.zone.as_ref(), file.ahead.as_ref(), file.silence.as_ref(), kind)
}

/// Who may post, as it is written.
pub(crate) struct Door<'a> {
    pub(crate) token: Option<&'a At<String>>,
    pub(crate) keys: &'a Entries<Named, At<String>>,
    pub(crate) signature: Option<&'a SignatureFile>,
}

/// Who may post, and how many at once; it makes no events.
pub(crate) fn door(project: &Project, file: &Door<'_>, posts: Option<&At<u32>>, at: Spot) -> Option<HttpSource> {
    let token = file.token.map(|token| secret(project, token));
    let mut keys = BTreeMap::new();
    for (name, key) in &file.keys.good {
        let reference = secret(project, key);
        if let Some((other, _)) = keys.iter().find(|(_, known)| Some(*known) == reference.as_ref()) {
            let message = format!("`{}` and `{other}` have one key: who posted could not be told", name.value.0);
            let finding = Finding::error(codes::SAME_KEY, key.spot, message);
            project.push(finding.help("give each caller a key of its own"));
        }
        if let Some(reference) = reference {
            keys.insert(name.value.0.clone(), reference);
        }
    }
    if keys.len() > KEYS_MAX {
        let finding = Finding::error(codes::SAME_KEY, at, format!("{} keys are more than {KEYS_MAX}", keys.len()));
        project.push(finding.help("divide the callers among several sources"));
    }
    let signature = file.signature.map(|file| signature(project, file));
    let posts = self::posts(project, posts);
    Some(HttpSource {
        token: match token {
            None => None,
            Some(token) => Some(token?),
        },
        keys,
        signature: match signature {
            None => None,
            Some(signature) => Some(signature?),
        },
        posts,
        events: Vec::new(),
    })
}

fn signature(project: &Project, file: &SignatureFile) -> Option<Signature> {
    let header = file.header.as_ref().map_or(HEADER, |header| header.value.as_str());
    let is_header = !header.is_empty()
        && header.len() <= HEADER_MAX
        && header.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if let Some(at) = file.header.as_ref().filter(|_| !is_header) {
        let finding = Finding::error(codes::SIGNATURE, at.spot, "this is no beginning of a header");
        project.push(
            finding
                .expected("letters, digits and `-`, such as `webhook` for `webhook-id`")
                .help("leave out the last part of the header's name, `-id`, `-timestamp` or `-signature`"),
        );
    }
    let tolerance = file.tolerance.as_ref().map_or(Signature::TOLERANCE, |tolerance| tolerance.value.0);
    if let Some(at) = &file.tolerance
        && !(Span::from_secs(1)..=Signature::TOLERANCE_MAX).contains(&tolerance)
    {
        let message = format!("a tolerance of {tolerance} protects nothing, or refuses everything");
        let finding = Finding::error(codes::SIGNATURE, at.spot, message);
        project.push(finding.expected("1 s to 24 h").help("correct the duration; 5 min is the default"));
    }
    let secret = secret(project, &file.secret)?;
    is_header.then(|| Signature { secret, header: header.to_ascii_lowercase(), tolerance })
}

fn posts(project: &Project, posts: Option<&At<u32>>) -> usize {
    let Some(posts) = posts else { return HttpSource::POSTS };
    let number = usize::try_from(posts.value).unwrap_or(usize::MAX);
    if !(1..=HttpSource::POSTS_MAX).contains(&number) {
        let message = format!("{} posts at once cannot be served", posts.value);
        let finding = Finding::error(codes::POSTS, posts.spot, message);
        project.push(finding.expected("1 to 64").help("correct the number; 8 is the default"));
    }
    number.clamp(1, HttpSource::POSTS_MAX)
}

fn events(project: &Project, file: &HttpSourceFile, at: Spot, schemas: &SchemaSet) -> Vec<EventMapping> {
    let mut mappings = Vec::new();
    let mut always = None;
    for (number, file) in &file.events.good {
        let spot = [&file.when, &file.kind, &file.ignore, &file.subject, &file.data]
            .into_iter()
            .find_map(|key| key.as_ref().map(|key| key.spot))
            .unwrap_or(at);
        if let Some(earlier) = always {
            let message = format!("this mapping is never taken: mapping {earlier} before it takes everything");
            let finding = Finding::error(codes::EVENT_MAPPING, spot, message);
            project.push(finding.help("give the earlier one a `when`, or move it to the end"));
        }
        if file.when.is_none() {
            always = Some(number + 1);
        }
        if let Some(mapping) = mapping(project, file, spot, schemas) {
            mappings.push(mapping);
        }
    }
    if mappings.len() > MAPPINGS_MAX {
        let message = format!("{} mappings are more than {MAPPINGS_MAX}", mappings.len());
        let finding = Finding::error(codes::EVENT_MAPPING, at, message);
        project.push(finding.help("divide them among several sources"));
    }
    mappings
}

fn mapping(project: &Project, file: &EventMappingFile, spot: Spot, schemas: &SchemaSet) -> Option<EventMapping> {
    let refuse = |at: Where, message: String, help: &str| {
        project.push(Finding::error(codes::EVENT_MAPPING, at, message).help(help));
    };
    let when = file.when.as_ref().map(|when| expression(project, when, &[]));
    let to = if let Some(reason) = &file.ignore {
        let others = [&file.kind, &file.subject, &file.time, &file.id, &file.data];
        if let Some(other) = others.into_iter().flatten().next() {
            refuse(other.spot.into(), "a mapping that ignores makes no event".into(), "leave out one of the two");
        }
        if reason.value.trim().is_empty() {
            refuse(reason.spot.into(), "a mapping that ignores says no reason".into(), "write why, in a few words");
        }
        MappedTo::Nothing(reason.value.clone())
    } else {
        let lacking = [("type", &file.kind), ("subject", &file.subject), ("data", &file.data)];
        for (key, _) in lacking.iter().filter(|(_, value)| value.is_none()) {
            let help = "write `type`, `subject` and `data`, or `ignore: REASON`";
            refuse(spot.into(), format!("a mapping without `{key}` makes no event"), help);
        }
        if let Some(kind) = &file.kind {
            schemas.events.expect(project, codes::UNKNOWN_EVENT, kind.spot, "type of event", kind);
        }
        let compiled = |text: &Option<crate::read::At<String>>| {
            text.as_ref().map(|text| expression(project, text, &[]).map(|found| found.program))
        };
        let (subject, time, id, data) =
            (compiled(&file.subject), compiled(&file.time), compiled(&file.id), compiled(&file.data));
        let optional = |found: Option<Option<_>>| match found {
            None => Some(None),
            Some(found) => found.map(Some),
        };
        MappedTo::Event(Box::new(MappedEvent {
            kind: file.kind.as_ref()?.value.clone(),
            subject: subject??,
            time: optional(time)?,
            id: optional(id)?,
            data: data??,
        }))
    };
    let when = match when {
        None => None,
        Some(when) => Some(when?.program),
    };
    Some(EventMapping { when, to })
}
