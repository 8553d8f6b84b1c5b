//! Expressions: they compile, and read what the value they look at can have; each problem at its place in the text.

use super::shapes::{Nowhere, follow};
use crate::{
    codes,
    expr::{Program, embedded, paths_read},
    load::Project,
    problem::{Finding, Spot, Where, nearest, one_of},
    read::At,
    tree,
};
use serde_json::Value as Json;
use std::ops::Range;

/// A compiled expression and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Expr {
    pub(crate) program: Program,
    pub(crate) spot: Spot,
    /// Bytes before it in the text of its scalar.
    pub(crate) offset: usize,
    /// It looks at the items of a list, and not at what the others look at.
    pub(crate) of_item: bool,
}

impl Expr {
    /// The place of a part of the expression.
    pub(crate) fn place(&self, project: &Project, part: &Range<usize>) -> Where {
        place(project, self.spot, self.offset, part)
    }

    /// Tells of paths that no value of a schema has; `of` says whose value it is.
    pub(crate) fn check_reads(&self, project: &Project, schema: &Json, of: &str) {
        if self.of_item {
            return;
        }
        for read in paths_read(&self.program).iter().filter(|read| read.of.is_none()) {
            let Err(Nowhere { key, known }) = follow(schema, &read.path) else { continue };
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let finding = Finding {
                suggestion: nearest(&key, &known),
                expected: (!known.is_empty()).then(|| one_of(&known)),
                ..Finding::error(
                    codes::NO_SUCH_PATH,
                    self.place(project, &read.at),
                    format!("`{read}` leads nowhere: {of} has no `{key}` there"),
                )
            };
            project.push(finding.help("correct the path, or extend the schema"));
        }
    }
}

fn place(project: &Project, spot: Spot, offset: usize, part: &Range<usize>) -> Where {
    let file = project.findings.files.get(spot.file as usize);
    match file.and_then(|file| Some((file, file.tree.as_ref()?))) {
        Some((file, tree)) => {
            let range = offset + part.start..offset + part.end;
            Where::Bytes(spot.file, tree::inside(&file.text, tree.node(spot.node), &range))
        }
        None => spot.into(),
    }
}

/// Compiles a part of a scalar's text that begins `offset` bytes into it.
pub(crate) fn compile(project: &Project, spot: Spot, source: &str, offset: usize, vars: &[&str]) -> Option<Expr> {
    match Program::compile(source, vars) {
        Ok(program) => Some(Expr { program, spot, offset, of_item: false }),
        Err(error) => {
            let finding = Finding::error(codes::EXPRESSION, place(project, spot, offset, &error.at), error.message);
            project.push(if source.contains("${") {
                finding.help(
                    "an expression is the whole text: write `${ .a + \" and \" + .b }`, not `${ .a } and ${ .b }`",
                )
            } else {
                finding.help(error.help.unwrap_or_else(|| "correct the expression; it is jq".to_owned()))
            });
            None
        }
    }
}

/// The expression in a text `${ ... }`; `None` for a plain text. A text that only holds one is told.
pub(crate) fn of_text(project: &Project, spot: Spot, text: &str, vars: &[&str]) -> Option<Result<Expr, Told>> {
    if let Some(source) = embedded(text) {
        let offset = source.as_ptr() as usize - text.as_ptr() as usize;
        return Some(compile(project, spot, source, offset, vars).ok_or(Told));
    }
    if let Some(at) = text.find("${") {
        let at = place(project, spot, 0, &(at..at + 2));
        let finding = Finding::error(codes::NOT_AN_EXPRESSION, at, "an expression stands inside of a text");
        project.push(
            finding
                .expected("a text that is one expression: `${ \"Machine \" + .asset }`")
                .help("let `${` begin and `}` end the text, and join the parts with `+` inside"),
        );
        return Some(Err(Told));
    }
    None
}

/// Something is wrong, and the findings say so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told;

/// A text that must be an expression `${ ... }`.
pub(crate) fn expression(project: &Project, text: &At<String>, vars: &[&str]) -> Option<Expr> {
    if let Some(found) = of_text(project, text.spot, text, vars) {
        return found.ok();
    }
    let finding = Finding::error(codes::NOT_AN_EXPRESSION, text.spot, "an expression is needed here");
    project.push(finding.expected(format!("`${{ {} }}`", text.value)).help("put `${` and `}` around it"));
    None
}

/// A call of `id`, `value`, `name` or `our_value` whose system stands in it as a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NameCall {
    /// The system.
    pub(crate) system: String,
    /// The function that is called.
    pub(crate) function: &'static str,
    /// The value map of `value` and `our_value`, the kind of thing of `name`; `None` for `id`.
    pub(crate) map: Option<String>,
    /// What is looked up, as it is written.
    pub(crate) argument: String,
    /// Where the call stands.
    pub(crate) at: Range<usize>,
}

/// The calls of `id("system"; argument)`, `value("system"; "map"; argument)`, `name("system"; "kind"; argument)` and
/// `our_value("system"; "map"; argument)` in an expression.
pub(crate) fn name_calls(source: &str) -> Vec<NameCall> {
    let mut calls = Vec::new();
    for (function, texts) in [("id", 1), ("value", 2), ("name", 2), ("our_value", 2)] {
        for (start, _) in source.match_indices(&format!("{function}(")) {
            let before = source.get(..start).and_then(|before| before.chars().next_back());
            if before.is_some_and(|c| c.is_alphanumeric() || "_.$".contains(c)) {
                continue;
            }
            let mut rest = source.get(start + function.len() + 1..).unwrap_or_default();
            let mut found = Vec::new();
            for _ in 0..texts {
                let text = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
                let Some((text, tail)) = text else { break };
                let Some(tail) = tail.trim_start().strip_prefix(';') else { break };
                found.push(text.to_owned());
                rest = tail;
            }
            let end = source.len() - rest.len() + rest.find(')').map_or(rest.len(), |at| at + 1);
            let argument = rest.split(')').next().unwrap_or_default().trim().to_owned();
            let mut found = found.into_iter();
            if let (Some(system), map) = (found.next(), found.next())
                && map.is_some() == (texts == 2)
            {
                calls.push(NameCall { system, function, map, argument, at: start..end });
            }
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_names_are_found() {
        let calls = name_calls(
            r#"{a: id("eam"; .asset), b: value("eam"; "priority"; .priority), c: valid("x"; .y), d: id(.s; .a),
               e: name("eam"; "asset"; .EQUI), f: our_value("eam"; "state"; .STAT)}"#,
        );
        let told: Vec<_> = calls.iter().map(|c| (c.system.as_str(), c.map.as_deref(), c.argument.as_str())).collect();
        assert_eq!(
            told,
            [
                ("eam", None, ".asset"),
                ("eam", Some("priority"), ".priority"),
                ("eam", Some("asset"), ".EQUI"),
                ("eam", Some("state"), ".STAT")
            ]
        );
        assert_eq!(calls.iter().map(|call| call.function).collect::<Vec<_>>(), ["id", "value", "name", "our_value"]);
    }
}
