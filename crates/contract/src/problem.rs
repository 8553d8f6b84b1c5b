//! Problems: what is wrong with a project, where it stands, what was expected and what helps.

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Report, SourceSpan};
use serde::Serialize;
use std::{cell::RefCell, cmp::Reverse, collections::BTreeSet, fmt, ops::Range};

use crate::tree::{NodeId, Tree};

/// Problems told at most; a project with more is wrong in one way a thousand times.
pub const PROBLEMS_MAX: usize = 1_000;
/// Characters shown of a line at most.
const LINE_MAX: usize = 160;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The project is refused.
    Error,
    /// The project is accepted; somebody should know.
    Warning,
}

/// Something wrong with a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// `A` and four digits; its page is `docs/errors/<code>.md`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The file, relative to the project's folder.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The column behind the last wrong character of the line.
    pub end_column: usize,
    /// The line itself, cut to 160 characters around the column.
    pub source_line: String,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What was expected there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// The nearest known name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// What to do.
    pub help: String,
    /// Where the marked text stands in `source_line`, in characters.
    #[serde(skip)]
    mark: Range<usize>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(f, "{}:{}:{}: {severity}[{}]: {}", self.file, self.line, self.column, self.code, self.message)?;
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        if !self.source_line.is_empty() {
            let (before, caret) = (" ".repeat(self.mark.start), "^".repeat(self.mark.len().max(1)));
            writeln!(f, " {number} | {}", self.source_line)?;
            writeln!(f, " {margin} | {before}{caret}")?;
        }
        if let Some(expected) = &self.expected {
            writeln!(f, " {margin} = expected: {expected}")?;
        }
        if let Some(suggestion) = &self.suggestion {
            writeln!(f, " {margin} = did you mean `{suggestion}`?")?;
        }
        if !self.help.is_empty() {
            writeln!(f, " {margin} = help: {}", self.help)?;
        }
        write!(f, " {margin} = see docs/errors/{}.md", self.code)
    }
}

impl Problem {
    /// The problem for people: with colours and frames for a terminal, or as [`fmt::Display`] prints it.
    pub fn render(&self, colour: bool) -> String {
        if !colour {
            return self.to_string();
        }
        let mut help: Vec<String> = Vec::new();
        help.extend(self.expected.as_ref().map(|e| format!("expected: {e}")));
        help.extend(self.suggestion.as_ref().map(|s| format!("did you mean `{s}`?")));
        help.extend((!self.help.is_empty()).then(|| self.help.clone()));
        help.push(format!("see docs/errors/{}.md", self.code));
        let severity = match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        };
        let mut diagnostic =
            MietteDiagnostic::new(format!("{}:{}:{}: {}", self.file, self.line, self.column, self.message))
                .with_code(self.code)
                .with_severity(severity)
                .with_help(help.join("\n"));
        let byte = |chars: usize| self.source_line.chars().take(chars).map(char::len_utf8).sum::<usize>();
        // The frame numbers lines from the start of its text, so the lines before stand there empty.
        let before = "\n".repeat(self.line.saturating_sub(1));
        if !self.source_line.is_empty() {
            let start = before.len() + byte(self.mark.start);
            let length = byte(self.mark.end.max(self.mark.start + 1)) + before.len() - start;
            diagnostic = diagnostic.with_label(LabeledSpan::new_with_span(None, SourceSpan::new(start.into(), length)));
        }
        let source = NamedSource::new(&self.file, format!("{before}{}\n", self.source_line));
        let report = Report::new(diagnostic).with_source_code(source);
        let mut text = String::new();
        let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode()).with_context_lines(0);
        match handler.render_report(&mut text, report.as_ref()) {
            Ok(()) => text,
            Err(fmt::Error) => self.to_string(),
        }
    }
}

/// A place in the project: a node of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Spot {
    pub(crate) file: u32,
    pub(crate) node: NodeId,
}

/// Where a finding stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Where {
    /// At a node.
    Node(Spot),
    /// At these bytes of a file.
    Bytes(u32, Range<usize>),
    /// At the beginning of a file.
    File(u32),
    /// At a file or folder that is not among the read ones.
    Path(String),
}

impl From<Spot> for Where {
    fn from(spot: Spot) -> Self {
        Self::Node(spot)
    }
}

/// A problem before its place is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) code: &'static str,
    pub(crate) severity: Severity,
    pub(crate) at: Where,
    pub(crate) message: String,
    pub(crate) expected: Option<String>,
    pub(crate) suggestion: Option<String>,
    pub(crate) help: String,
    /// What stands there must not be printed.
    pub(crate) secret: bool,
}

impl Finding {
    pub(crate) fn error(code: &'static str, at: impl Into<Where>, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            at: at.into(),
            message: message.into(),
            expected: None,
            suggestion: None,
            help: String::new(),
            secret: false,
        }
    }

    pub(crate) fn warning(code: &'static str, at: impl Into<Where>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, at, message) }
    }

    pub(crate) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    /// Keeps what stands there out of everything that is printed.
    pub(crate) fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// What is known, and the nearest of it to what was written.
    pub(crate) fn known<'a>(mut self, written: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let mut seen = BTreeSet::new();
        let known: Vec<&str> = known.into_iter().filter(|name| seen.insert(*name)).collect();
        self.suggestion = nearest(written, &known);
        self.expected = Some(one_of(&known));
        self
    }
}

/// Names shown of a long list.
const SHOWN_MAX: usize = 12;
/// Characters of a name that is compared with others.
const NAME_SHOWN_MAX: usize = 100;
/// Characters of a message, an expectation or a remedy.
const TEXT_MAX: usize = 600;

/// A text that is not longer than people read.
fn short(text: &str) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        Some((at, _)) => format!("{} ...", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A list of names in words.
pub(crate) fn one_of(known: &[&str]) -> String {
    match known {
        [] => "nothing: none is declared".to_owned(),
        [one] => format!("`{one}`"),
        _ => {
            let shown: Vec<String> = known.iter().take(SHOWN_MAX).map(|name| format!("`{name}`")).collect();
            let more = known.len().saturating_sub(SHOWN_MAX);
            let end = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("one of {}{end}", shown.join(", "))
        }
    }
}

/// The known name that was probably meant.
pub(crate) fn nearest(written: &str, known: &[&str]) -> Option<String> {
    let length = written.chars().count();
    if length > NAME_SHOWN_MAX {
        return None;
    }
    let lower = written.to_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for name in known {
        let others = name.chars().count();
        let allowed = (others.max(length) / 3).max(1);
        if others.abs_diff(length) > allowed {
            continue;
        }
        let distance = strsim::damerau_levenshtein(&lower, &name.to_lowercase());
        // A name with no letter in common was not meant.
        if distance <= allowed
            && distance < others.max(length)
            && best.is_none_or(|best| (distance, Reverse(*name)) < (best.0, Reverse(best.1)))
        {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name.to_owned())
}

/// A file of the project.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) tree: Option<Tree>,
    /// Where each line begins, in bytes.
    lines: Vec<usize>,
}

impl File {
    pub(crate) fn new(path: String, text: String, tree: Option<Tree>) -> Self {
        let starts = text.bytes().zip(1..).filter(|(byte, _)| *byte == b'\n').map(|(_, next)| next);
        let lines = std::iter::once(0).chain(starts).collect();
        Self { path, text, tree, lines }
    }
}

/// All files, and what was found in them.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) files: Vec<File>,
    list: RefCell<Vec<Finding>>,
}

impl Findings {
    pub(crate) fn new(files: Vec<File>) -> Self {
        Self { files, list: RefCell::default() }
    }

    /// Keeps a finding, once. Where there is no room an error takes the place of a warning: warnings alone would let
    /// the project pass.
    pub(crate) fn push(&self, finding: Finding) {
        let mut list = self.list.borrow_mut();
        if list.contains(&finding) {
            return;
        }
        if list.len() < PROBLEMS_MAX {
            list.push(finding);
        } else if finding.severity == Severity::Error
            && let Some(warning) = list.iter_mut().rfind(|kept| kept.severity == Severity::Warning)
        {
            *warning = finding;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.borrow().len()
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.list.borrow().iter().any(|finding| finding.severity == Severity::Error)
    }

    pub(crate) fn path(&self, file: u32) -> &str {
        self.files.get(file as usize).map_or("", |file| &file.path)
    }

    pub(crate) fn tree(&self, file: u32) -> Option<&Tree> {
        self.files.get(file as usize)?.tree.as_ref()
    }

    /// `file:line` of a node.
    pub(crate) fn line_of(&self, spot: Spot) -> String {
        let (file, at) = self.place(&Where::Node(spot));
        format!("{}:{}", self.path(file), self.line(file, at.start))
    }

    /// The line of a node, from 1.
    pub(crate) fn line_number(&self, spot: Spot) -> usize {
        let (file, at) = self.place(&Where::Node(spot));
        self.line(file, at.start)
    }

    fn line(&self, file: u32, byte: usize) -> usize {
        self.files.get(file as usize).map_or(1, |file| file.lines.partition_point(|start| *start <= byte).max(1))
    }

    fn place(&self, at: &Where) -> (u32, Range<usize>) {
        match at {
            Where::Node(spot) => (spot.file, self.tree(spot.file).map_or(0..0, |tree| tree.node(spot.node).at.clone())),
            Where::Bytes(file, range) => (*file, range.clone()),
            Where::File(file) => (*file, 0..0),
            Where::Path(_) => (u32::MAX, 0..0),
        }
    }

    /// The findings as problems, by file and line.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.list.borrow().iter().map(|finding| self.problem(finding)).collect();
        problems.sort_by(|a, b| {
            (&a.file, a.line, a.column, a.severity, a.code).cmp(&(&b.file, b.line, b.column, b.severity, b.code))
        });
        let mut seen = BTreeSet::new();
        problems.retain(|p| seen.insert((p.file.clone(), p.line, p.column, p.code, p.message.clone())));
        problems
    }

    fn problem(&self, finding: &Finding) -> Problem {
        let (file, at) = self.place(&finding.at);
        let text = self.files.get(file as usize).map_or("", |file| file.text.as_str());
        let start = floor(text, at.start);
        let line_start = text.get(..start).and_then(|t| t.rfind('\n')).map_or(0, |at| at + 1);
        let line = text.get(line_start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let column = text.get(line_start..start).map_or(0, |t| t.chars().count());
        let width = text
            .get(start..floor(text, at.end).max(start))
            .and_then(|marked| marked.lines().next())
            .map_or(1, |marked| marked.trim_end().chars().count().max(1));
        let mut hidden = masked(line);
        if finding.secret {
            hidden = hidden.chars().enumerate().map(|(at, c)| if at < column { c } else { HIDDEN }).collect();
        }
        let (source_line, mark) = cut(&hidden, column, width);
        let path = match &finding.at {
            Where::Path(path) => path.clone(),
            _ => self.path(file).to_owned(),
        };
        Problem {
            code: finding.code,
            severity: finding.severity,
            line: self.line(file, start),
            column: column + 1,
            end_column: column + 1 + width,
            file: path,
            source_line,
            message: short(&finding.message),
            expected: finding.expected.as_deref().map(short),
            suggestion: finding.suggestion.clone(),
            help: short(&finding.help),
            mark,
        }
    }
}

/// What is printed in place of each character of a secret.
const HIDDEN: char = '*';

/// A line in which secrets that should not stand there are not readable: passwords and tokens that are no reference,
/// and users in addresses. Every character stays at its place.
fn masked(line: &str) -> String {
    let mut hidden: Vec<Range<usize>> = Vec::new();
    let of_header = line.contains("api-key:").then_some([" key:", "{key:"]);
    let keys = ["password:", "bearer:", "token:", "secret:"].into_iter().chain(of_header.into_iter().flatten());
    for key in keys {
        for (at, _) in line.match_indices(key) {
            let (before, rest) = line.split_at(at + key.len());
            let value = rest.trim_start();
            let start = line.len() - value.len();
            let end = end_of_value(value, before.contains('{'));
            let reference = value.trim_start_matches(['"', '\'']);
            if !reference.starts_with("env:") && !reference.starts_with("file:") {
                hidden.push(start..start + end);
            }
        }
    }
    for (at, _) in line.match_indices("://") {
        let authority = line.get(at + 3..).and_then(|rest| rest.split(['/', ' ', '"', '\'', ',', '}']).next());
        if let Some(end) = authority.and_then(|authority| authority.rfind('@')) {
            hidden.push(at + 3..at + 3 + end);
        }
    }
    line.char_indices().map(|(at, c)| if hidden.iter().any(|range| range.contains(&at)) { HIDDEN } else { c }).collect()
}

/// Where a value ends, as far as one line tells: behind its other quote, before what goes on in its braces, or before a
/// comment.
fn end_of_value(value: &str, in_braces: bool) -> usize {
    let quote = value.chars().next().filter(|first| ['"', '\''].contains(first));
    let end = match quote {
        Some(quote) => value.rfind(quote).filter(|at| *at > 0).map(|at| at + 1),
        None if in_braces => value.find([',', '}']).or_else(|| value.find(" #")),
        None => value.find(" #"),
    };
    end.unwrap_or(value.len())
}

/// The last border of a character at or before a byte.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// A line cut around its mark, control characters replaced; and where the mark then stands.
fn cut(line: &str, column: usize, width: usize) -> (String, Range<usize>) {
    let from = if column + width > LINE_MAX { column.saturating_sub(LINE_MAX / 2) } else { 0 };
    let shown: String = line.chars().skip(from).take(LINE_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let length = shown.chars().count();
    let start = (column - from).min(length);
    (shown, start..(start + width).min(length.max(start + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        assert_eq!(nearest("temprature", &["temperature", "pressure"]).as_deref(), Some("temperature"));
        assert_eq!(nearest("High", &["high"]).as_deref(), Some("high"));
        assert_eq!(nearest("xyz", &["temperature"]), None);
        assert_eq!(nearest("x", &[]), None);
    }

    #[test]
    fn an_error_is_told_however_many_warnings_came_before() {
        let findings = Findings::new(Vec::new());
        let at = |n: usize| Where::Path(format!("classes/c{n}.yaml"));
        (0..PROBLEMS_MAX + 5).for_each(|n| findings.push(Finding::warning("A1105", at(n), "a warning")));
        assert!(!findings.has_errors());
        findings.push(Finding::error("A1101", at(0), "an error"));
        assert!(findings.has_errors());
        assert_eq!(findings.len(), PROBLEMS_MAX);
    }

    #[test]
    fn secrets_are_not_printed() {
        assert_eq!(masked("credentials: { user: a, password: b c }"), "credentials: { user: a, password: ****}");
        assert_eq!(masked("  bearer: env:TOKEN # x"), "  bearer: env:TOKEN # x");
        assert_eq!(masked("  token: 'file:/run/token'"), "  token: 'file:/run/token'");
        assert_eq!(masked("c: { password: \"a,b}#c\", usr: x }"), "c: { password: ********, usr: x }");
        assert_eq!(masked("  password: 'it''s, so' # x"), "  password: *********** # x");
        assert_eq!(masked("  password: a,b#c # x"), "  password: ***** # x");
        assert_eq!(masked("api-key: { header: X Y, key: abc }"), "api-key: { header: X Y, key: ****}");
        assert_eq!(masked("api-key: {key: env:K, header: X Y}"), "api-key: {key: env:K, header: X Y}");
        assert_eq!(masked("base: https://me:pw@host/a"), "base: https://*****@host/a");
        assert_eq!(masked("base: https://host/a@b"), "base: https://host/a@b");
    }

    #[test]
    fn a_long_line_is_cut_around_its_mark() {
        let line = format!("{}wrong{}", "x".repeat(300), "y".repeat(300));
        let (shown, mark) = cut(&line, 300, 5);
        assert_eq!(shown.chars().skip(mark.start).take(mark.len()).collect::<String>(), "wrong");
        assert_eq!(shown.chars().count(), LINE_MAX);
        assert_eq!(cut("a\tb", 1, 9), ("a b".to_owned(), 1..3));
    }
}
