//! A YAML file as a tree whose every node knows its place in the text.

use crate::codes;
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::Value as Json;
use std::ops::Range;

/// The largest file of a project: all machines of a site stand in one, and a site may have 200,000.
pub const FILE_MAX_BYTES: usize = 16 << 20;
/// Lists and mappings nested in each other.
pub const DEPTH_MAX: usize = 64;
/// Faults told of one file at most; a file wrong in a hundred places is wrong once.
const FAULTS_MAX: usize = 50;

/// A node of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(crate) u32);

/// How a text was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    Literal,
    Folded,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Scalar { text: String, style: Style },
    List(Vec<NodeId>),
    Map(Vec<(NodeId, NodeId)>),
}

/// A node and its place, in bytes of the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) at: Range<usize>,
}

/// A file as a tree.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    root: NodeId,
}

/// Why a file is no tree.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    pub(crate) code: &'static str,
    pub(crate) at: Range<usize>,
    pub(crate) message: String,
    pub(crate) help: &'static str,
}

/// What a plain text stands for (YAML 1.2, core schema).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Plain {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text,
}

/// The meaning of a plain text.
pub(crate) fn plain(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "true" | "True" | "TRUE" => return Plain::Bool(true),
        "false" | "False" | "FALSE" => return Plain::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map_or_else(|_| float(text), Plain::Int);
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(rest) = text.strip_prefix(prefix) {
            return i64::from_str_radix(rest, radix).map_or(Plain::Text, Plain::Int);
        }
    }
    let starts = digits.strip_prefix('.').unwrap_or(digits).starts_with(|c: char| c.is_ascii_digit());
    if starts && text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) { float(text) } else { Plain::Text }
}

fn float(text: &str) -> Plain {
    text.parse::<f64>().ok().filter(|f| f.is_finite()).map_or(Plain::Text, Plain::Float)
}

impl Tree {
    /// Reads a file, or says all that keeps it from being read.
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let mut build = Build::new(text);
        for event in Parser::new_from_str(text) {
            match event {
                Ok((event, span)) => build.event(event, span),
                Err(error) => {
                    let at = build.byte(error.marker().index());
                    build.syntax(at, error.info());
                    break;
                }
            }
            if build.stopped || build.faults.len() >= FAULTS_MAX {
                break;
            }
        }
        build.finish()
    }

    pub(crate) fn root(&self) -> NodeId {
        self.root
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        self.nodes.get(id.0 as usize).unwrap_or(&NOTHING)
    }

    /// The text of a scalar, however it was written.
    pub(crate) fn text(&self, id: NodeId) -> Option<&str> {
        match &self.node(id).kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// What a scalar stands for; `None` for lists and mappings.
    pub(crate) fn scalar(&self, id: NodeId) -> Option<Plain> {
        match &self.node(id).kind {
            Kind::Scalar { text, style: Style::Plain } => Some(plain(text)),
            Kind::Scalar { .. } => Some(Plain::Text),
            _ => None,
        }
    }

    /// The entries of a mapping; none for others.
    pub(crate) fn entries(&self, id: NodeId) -> &[(NodeId, NodeId)] {
        match &self.node(id).kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The value of a key of a mapping.
    pub(crate) fn get(&self, id: NodeId, key: &str) -> Option<NodeId> {
        self.entries(id).iter().find(|(k, _)| self.text(*k) == Some(key)).map(|(_, v)| *v)
    }

    /// What a node is, in words: `a list`, `the text "x"`.
    pub(crate) fn told(&self, id: NodeId) -> String {
        match &self.node(id).kind {
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a mapping".to_owned(),
            Kind::Scalar { text, style } => match (style, plain(text)) {
                (Style::Plain, Plain::Null) => "nothing".to_owned(),
                (Style::Plain, Plain::Bool(b)) => format!("`{b}`"),
                (Style::Plain, Plain::Int(_) | Plain::Float(_)) => format!("the number {text}"),
                _ => format!("the text {:?}", text.chars().take(60).collect::<String>()),
            },
        }
    }

    /// The tree below a node as JSON.
    pub(crate) fn json(&self, id: NodeId) -> Json {
        match &self.node(id).kind {
            Kind::List(items) => items.iter().map(|item| self.json(*item)).collect(),
            Kind::Map(entries) => Json::Object(
                entries.iter().map(|(k, v)| (self.text(*k).unwrap_or_default().to_owned(), self.json(*v))).collect(),
            ),
            Kind::Scalar { text, style } => match (style, plain(text)) {
                (Style::Plain, Plain::Null) => Json::Null,
                (Style::Plain, Plain::Bool(b)) => b.into(),
                (Style::Plain, Plain::Int(n)) => n.into(),
                (Style::Plain, Plain::Float(x)) => x.into(),
                _ => text.as_str().into(),
            },
        }
    }
}

static NOTHING: Node = Node { kind: Kind::Scalar { text: String::new(), style: Style::Plain }, at: 0..0 };

/// A list or mapping whose end has not come yet.
enum Open {
    List(NodeId, Vec<NodeId>),
    Map(NodeId, Vec<(NodeId, NodeId)>, Option<NodeId>),
}

struct Build<'a> {
    text: &'a str,
    /// Byte of each character; empty where the text is ASCII and both are the same.
    bytes: Vec<usize>,
    nodes: Vec<Node>,
    open: Vec<Open>,
    root: Option<NodeId>,
    documents: usize,
    faults: Vec<Fault>,
    stopped: bool,
}

impl<'a> Build<'a> {
    fn new(text: &'a str) -> Self {
        let bytes = if text.is_ascii() { Vec::new() } else { text.char_indices().map(|(at, _)| at).collect() };
        Self {
            text,
            bytes,
            nodes: Vec::new(),
            open: Vec::new(),
            root: None,
            documents: 0,
            faults: Vec::new(),
            stopped: false,
        }
    }

    fn byte(&self, index: usize) -> usize {
        if self.bytes.is_empty() {
            index.min(self.text.len())
        } else {
            self.bytes.get(index).copied().unwrap_or(self.text.len())
        }
    }

    fn fault(&mut self, code: &'static str, at: Range<usize>, message: impl Into<String>, help: &'static str) {
        self.faults.push(Fault { code, at, message: message.into(), help });
    }

    fn syntax(&mut self, at: usize, info: &str) {
        let line = self.text.get(..at).map_or("", |before| before.rsplit('\n').next().unwrap_or_default());
        let help = if line.contains('\t') || self.text.get(at..).is_some_and(|rest| rest.starts_with('\t')) {
            "YAML is indented with spaces; replace the tab by spaces"
        } else {
            "check the indentation, the quotes and the brackets here and on the line above; a text that holds `: ` \
             or ` #`, or begins with one of `[{*&!|>%@`, stands in quotes"
        };
        self.fault(codes::SYNTAX, at..at, format!("this is not YAML: {info}"), help);
    }

    fn event(&mut self, event: Event<'_>, span: Span) {
        let at = self.byte(span.start.index())..self.byte(span.end.index());
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents == 2 {
                    let help = "put each document into a file of its own";
                    self.fault(codes::YAML_FEATURE, at, "a second document begins in this file", help);
                    self.stopped = true;
                }
            }
            Event::Alias(_) => {
                let help = "write the value out; a project has no aliases, so that each line means what it says";
                self.fault(codes::YAML_FEATURE, at.clone(), "aliases (`*name`) are not read", help);
                self.add(Kind::Scalar { text: String::new(), style: Style::Plain }, at);
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.extras(anchor, tag.is_some(), &at);
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted => Style::SingleQuoted,
                    ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
                    ScalarStyle::Literal => Style::Literal,
                    ScalarStyle::Folded => Style::Folded,
                };
                let at = self.trimmed(at);
                self.add(Kind::Scalar { text: text.into_owned(), style }, at);
            }
            Event::SequenceStart(anchor, tag) => {
                self.extras(anchor, tag.is_some(), &at);
                if let Some(id) = self.add(Kind::List(Vec::new()), at) {
                    self.open.push(Open::List(id, Vec::new()));
                }
            }
            Event::MappingStart(anchor, tag) => {
                self.extras(anchor, tag.is_some(), &at);
                if let Some(id) = self.add(Kind::Map(Vec::new()), at) {
                    self.open.push(Open::Map(id, Vec::new(), None));
                }
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(at.end),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
    }

    /// The place of a scalar without the white space behind it.
    fn trimmed(&self, at: Range<usize>) -> Range<usize> {
        let text = self.text.get(at.clone()).unwrap_or_default();
        at.start..at.start + text.trim_end().len()
    }

    fn extras(&mut self, anchor: usize, tag: bool, at: &Range<usize>) {
        if anchor != 0 {
            let help = "leave the anchor out and write the value where it is needed";
            self.fault(codes::YAML_FEATURE, at.clone(), "anchors (`&name`) are not read", help);
        }
        if tag {
            let help = "leave the tag out; a text that looks like a number stands in quotes";
            self.fault(codes::YAML_FEATURE, at.clone(), "tags (`!name`) are not read", help);
        }
    }

    /// Adds a node to what is open; `None` where it lies too deep and reading stops.
    fn add(&mut self, kind: Kind, at: Range<usize>) -> Option<NodeId> {
        if self.open.len() >= DEPTH_MAX {
            let help = "flatten it: a project needs no such depth";
            self.fault(codes::TOO_LARGE, at, format!("lists and mappings are nested more than {DEPTH_MAX} deep"), help);
            self.stopped = true;
            return None;
        }
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        let is_scalar = matches!(kind, Kind::Scalar { .. });
        self.nodes.push(Node { kind, at: at.clone() });
        match self.open.last_mut() {
            None => {
                self.root.get_or_insert(id);
            }
            Some(Open::List(_, items)) => items.push(id),
            Some(Open::Map(_, entries, key)) => {
                if let Some(key) = key.take() {
                    entries.push((key, id));
                } else {
                    *key = Some(id);
                    if !is_scalar {
                        let help = "write the key as a plain text; a text that begins with `{` or `[` stands in quotes";
                        self.fault(codes::YAML_FEATURE, at, "a key must be a text", help);
                    }
                }
            }
        }
        Some(id)
    }

    fn close(&mut self, end: usize) {
        let (id, kind) = match self.open.pop() {
            Some(Open::List(id, items)) => (id, Kind::List(items)),
            Some(Open::Map(id, entries, _)) => {
                self.duplicates(&entries);
                (id, Kind::Map(entries))
            }
            None => return,
        };
        let last = match &kind {
            Kind::List(items) => items.last().copied(),
            Kind::Map(entries) => entries.last().map(|(_, value)| *value),
            Kind::Scalar { .. } => None,
        };
        let last = last.and_then(|id| self.nodes.get(id.0 as usize)).map_or(0, |node| node.at.end);
        if let Some(node) = self.nodes.get_mut(id.0 as usize) {
            // A block ends where its last entry ends; only `]` and `}` stand in the text themselves.
            let bracket = self.text.get(..end).is_some_and(|text| text.ends_with([']', '}']));
            node.at.end = if bracket { end } else { last }.max(node.at.start);
            node.kind = kind;
        }
    }

    fn duplicates(&mut self, entries: &[(NodeId, NodeId)]) {
        let mut seen = std::collections::BTreeSet::new();
        let mut faults = Vec::new();
        for (key, _) in entries {
            let Some(Node { kind: Kind::Scalar { text, .. }, at }) = self.nodes.get(key.0 as usize) else { continue };
            if !seen.insert(text.as_str()) {
                faults.push((at.clone(), format!("the key `{text}` stands here twice")));
            }
        }
        for (at, message) in faults.into_iter().take(FAULTS_MAX) {
            self.fault(codes::DUPLICATE_KEY, at, message, "keep one of the two");
        }
    }

    fn finish(mut self) -> Result<Tree, Vec<Fault>> {
        if self.faults.is_empty() && self.root.is_none() {
            self.add(Kind::Scalar { text: String::new(), style: Style::Plain }, 0..0);
        }
        match self.root {
            Some(root) if self.faults.is_empty() => Ok(Tree { nodes: self.nodes, root }),
            _ => Err(self.faults),
        }
    }
}

/// The place in the file of a range of a scalar's text, exact in plain, single-quoted and literal scalars; elsewhere
/// the place of the scalar.
pub(crate) fn inside(file: &str, node: &Node, range: &Range<usize>) -> Range<usize> {
    let Kind::Scalar { text, style } = &node.kind else { return node.at.clone() };
    let Some(source) = file.get(node.at.clone()) else { return node.at.clone() };
    let found = match style {
        Style::Plain => aligned(source, text, range, false),
        Style::SingleQuoted => aligned(source, text, range, true),
        Style::Literal => literal(source, text, range),
        Style::DoubleQuoted | Style::Folded => None,
    };
    found.map_or_else(|| node.at.clone(), |r| node.at.start + r.start..node.at.start + r.end)
}

/// Walks source and text side by side; a line break with the white space around it is one blank, or as many breaks
/// as there were empty lines.
fn aligned(source: &str, text: &str, range: &Range<usize>, quoted: bool) -> Option<Range<usize>> {
    let mut at = usize::from(quoted);
    let mut start = None;
    let mut last = at;
    for (index, want) in text.char_indices() {
        let rest = source.get(at..)?;
        if index >= range.start && start.is_none() {
            start = Some(at);
        }
        if index >= range.end && index > range.start {
            break;
        }
        let blank = rest.len() - rest.trim_start().len();
        let breaks = rest.get(..blank)?.matches('\n').count();
        if breaks > 0 && want == ' ' {
            at += blank;
        } else if breaks > 0 && want == '\n' {
            // The first of several breaks is folded away; the blanks are passed with the last.
            let more = text.get(index + 1..)?.starts_with('\n');
            at += if more { 0 } else { blank };
        } else {
            let have = rest.chars().next()?;
            if have != want {
                return None;
            }
            at += have.len_utf8();
            if quoted && want == '\'' {
                at += 1;
            }
        }
        last = at;
    }
    let start = start.unwrap_or(last);
    Some(start..last.max(start))
}

/// Line by line: a line of the text is the end of its line of the source, which begins with the first line that is
/// not empty.
fn literal(source: &str, text: &str, range: &Range<usize>) -> Option<Range<usize>> {
    let empty = text.len() - text.trim_start_matches('\n').len();
    let text = text.get(empty..)?;
    let place = |offset: usize| -> Option<usize> {
        let before = text.get(..offset.saturating_sub(empty))?;
        let number = before.matches('\n').count();
        let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1);
        let content = text.split('\n').nth(number)?;
        let start: usize = source.split_inclusive('\n').take(number).map(str::len).sum();
        let line = source.get(start..)?.lines().next().unwrap_or_default();
        let indent = line.len().checked_sub(content.len())?;
        line.ends_with(content).then_some(start + indent + column)
    };
    Some(place(range.start)?..place(range.end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<(&str, String)> {
        let tree = Tree::parse(text).unwrap();
        tree.nodes.iter().map(|n| (&text[n.at.clone()], format!("{:?}", n.kind))).collect()
    }

    #[test]
    fn every_node_knows_its_place() {
        let text =
            "a: 1\nü:  [x, 'y''z', \"q\"]\nm:\n  n: |\n    one\n    two\n  p: plain\n    text  # note\nlast: {a: b}\n";
        let found: Vec<&str> = places(text).into_iter().map(|(text, _)| text).collect();
        insta::assert_debug_snapshot!(found);
    }

    #[test]
    fn a_range_of_a_scalar_is_found_in_the_file() {
        for (text, part, want) in [
            ("k: ${ .a + .b }\n", ".b", ".b"),
            ("k: '${ .a == ''x'' + .b }'\n", ".b", ".b"),
            ("k: '${ .a == ''x'' + .b }'\n", "'x'", "''x''"),
            ("k: |\n  ${\n    .a +\n    .b }\n", ".b", ".b"),
            ("k: ${ .a +\n   .b }\n", ".b", ".b"),
            ("k: ${ .a +\n\n   .b + .c }\n", ".c", ".c"),
            ("k: \"${ .a + .b }\"\n", ".b", "\"${ .a + .b }\""),
        ] {
            let tree = Tree::parse(text).unwrap();
            let node = tree.node(tree.get(tree.root(), "k").unwrap());
            let Kind::Scalar { text: value, .. } = &node.kind else { panic!("no scalar") };
            let at = value.find(part).unwrap();
            assert_eq!(&text[inside(text, node, &(at..at + part.len()))], want, "{text}");
        }
    }

    #[test]
    fn what_yaml_can_do_and_a_project_needs_not_is_refused() {
        for (text, code) in [
            ("a: &x 1\nb: *x\n", codes::YAML_FEATURE),
            ("a: !!str 1\n", codes::YAML_FEATURE),
            ("a: 1\n---\nb: 2\n", codes::YAML_FEATURE),
            ("? [a]\n: 1\n", codes::YAML_FEATURE),
            ("a: 1\na: 2\n", codes::DUPLICATE_KEY),
            ("a: [1\nb: 2\n", codes::SYNTAX),
            ("a:\n\tb: 1\n", codes::SYNTAX),
        ] {
            assert_eq!(Tree::parse(text).unwrap_err()[0].code, code, "{text}");
        }
        let deep = format!("{}{}", "[".repeat(70), "]".repeat(70));
        assert_eq!(Tree::parse(&deep).unwrap_err()[0].code, codes::TOO_LARGE);
        assert!(Tree::parse("").is_ok());
    }

    #[test]
    fn plain_texts_mean_what_yaml_says() {
        assert_eq!(plain("0x1F"), Plain::Int(31));
        assert_eq!(plain("-3"), Plain::Int(-3));
        assert_eq!(plain("1e3"), Plain::Float(1000.0));
        assert_eq!(plain(".5"), Plain::Float(0.5));
        for text in ["yes", "1.2.3", "60 min", "-", ".", "e5", "2026-01-01", ".inf"] {
            assert_eq!(plain(text), Plain::Text, "{text}");
        }
    }
}
