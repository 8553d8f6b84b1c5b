//! Topics, templates and JSON pointers: the small languages inside the texts of sources and subscribers.

use super::Known;
use crate::{
    codes,
    contract::{Level, Piece, Pointer, Template},
    load::Project,
    problem::Finding,
    read::At,
};

/// The longest topic of MQTT.
const TOPIC_MAX_BYTES: usize = 65_535;
/// The longest JSON pointer, in steps.
const POINTER_STEPS_MAX: usize = 64;

/// The levels of a topic that is subscribed to.
pub(crate) fn levels(project: &Project, topic: &At<String>) -> Option<Vec<Level>> {
    let refuse = |message: String, help: &str| {
        let finding = Finding::error(codes::TOPIC, topic.spot, message);
        project.push(finding.expected("levels like `plant/{asset}/temperature`").help(help));
    };
    if topic.is_empty() || topic.len() > TOPIC_MAX_BYTES || topic.contains('\0') {
        refuse("the topic is empty, too long or holds a zero byte".into(), "write the topic the machines publish to");
        return None;
    }
    if topic.starts_with("$share/") {
        refuse("shared subscriptions are not built".into(), "leave `$share/...` out; one instance reads the topic");
        return None;
    }
    let mut levels: Vec<Level> = Vec::new();
    for text in topic.split('/') {
        match text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) if !is_place(name) => {
                refuse(format!("`{{{name}}}` is no place"), "name the place with letters, digits, `-` and `_`");
                return None;
            }
            Some(name) => {
                let level = Level::Capture(name.to_owned());
                if levels.contains(&level) {
                    let finding = Finding::error(
                        codes::CAPTURE,
                        topic.spot,
                        format!("the topic has the place `{{{name}}}` twice"),
                    );
                    project.push(finding.help("give one of the two another name"));
                    return None;
                }
                levels.push(level);
            }
            None if text == "+" => {
                refuse("a level that matches anything has a name here".into(), "write `{name}` in place of `+`");
                return None;
            }
            None if text.contains('#') => {
                let help = "write the levels out, with `{name}` for those that differ; one topic entry for each depth";
                refuse("`#` is not allowed: it would read topics that nobody described".into(), help);
                return None;
            }
            None if text.contains(['+', '{', '}']) => {
                refuse(format!("the level `{text}` is neither a text nor a place"), "let `{name}` be the whole level");
                return None;
            }
            None if text.is_empty() => {
                refuse("a level is empty".into(), "leave out the `/` at the beginning, at the end or doubled");
                return None;
            }
            None => levels.push(Level::Text(text.to_owned())),
        }
    }
    Some(levels)
}

/// Whether every topic of `later` is already one of `earlier`.
pub(crate) fn covers(earlier: &[Level], later: &[Level]) -> bool {
    earlier.len() == later.len()
        && earlier.iter().zip(later).all(|pair| match pair {
            (Level::Capture(_), _) => true,
            (Level::Text(a), Level::Text(b)) => a == b,
            (Level::Text(_), Level::Capture(_)) => false,
        })
}

fn is_place(name: &str) -> bool {
    !name.is_empty() && name.len() <= 63 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// A text with places, each of them known.
pub(crate) fn template(project: &Project, text: &At<String>, places: &Known) -> Option<Template> {
    let mut pieces = Vec::new();
    let mut rest = text.value.as_str();
    while let Some(open) = rest.find(['{', '}']) {
        let (before, after) = rest.split_at(open);
        let place = after.strip_prefix('{').and_then(|after| after.split_once('}'));
        let Some((name, tail)) = place.filter(|(name, _)| is_place(name)) else {
            let finding = Finding::error(codes::TEMPLATE, text.spot, "a bracket stands alone in this text");
            project.push(finding.expected("places like `{asset}`").help("close the bracket, or leave it out"));
            return None;
        };
        if !places.has(name) {
            project.push(places.unknown(codes::TEMPLATE, text.spot, "place", name).help("name one of the places"));
            return None;
        }
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        pieces.push(Piece::Place(name.to_owned()));
        rest = tail;
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Some(Template { pieces })
}

/// The text of a template without places.
pub(crate) fn constant(template: &Template) -> Option<&str> {
    match template.pieces.as_slice() {
        [Piece::Text(text)] => Some(text),
        _ => None,
    }
}

/// A JSON pointer (RFC 6901).
pub(crate) fn pointer(project: &Project, text: &At<String>) -> Option<Pointer> {
    let refuse = |message: String, suggestion: Option<String>| {
        let mut finding = Finding::error(codes::POINTER, text.spot, message)
            .expected("a JSON pointer like `/value` or `/data/0/temperature`; `\"\"` for the whole message")
            .help("begin with `/`; write `~1` for a `/` and `~0` for a `~` inside a key");
        finding.suggestion = suggestion;
        project.push(finding);
    };
    if text.is_empty() {
        return Some(Pointer { tokens: Vec::new() });
    }
    let Some(rest) = text.strip_prefix('/') else {
        let dotted = text.trim_start_matches(['$', '.']).replace('.', "/");
        refuse(format!("`{}` is no JSON pointer", text.value), Some(format!("/{dotted}")));
        return None;
    };
    let mut tokens = Vec::new();
    for token in rest.split('/') {
        if token.replace("~0", "").replace("~1", "").contains('~') {
            refuse(format!("`~` stands alone in `{}`", text.value), None);
            return None;
        }
        tokens.push(token.replace("~1", "/").replace("~0", "~"));
    }
    if tokens.len() > POINTER_STEPS_MAX {
        refuse(format!("the pointer has more than {POINTER_STEPS_MAX} steps"), None);
        return None;
    }
    Some(Pointer { tokens })
}
