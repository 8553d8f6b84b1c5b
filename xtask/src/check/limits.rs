//! The page of limits agrees with the code: a number that stands beside the name of a constant is that of the
//! constant, and every constant that is a limit stands on the page.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::parts::Problems;
use crate::root;

/// The page.
const PAGE: &str = "docs/limits.md";
/// From here on the page is written by this check.
const LIST: &str = "## Every limit\n";
/// Writes it anew.
const ANEW: &str = "ANDON_REGENERATE";

/// What is not shipped, or only shows something: parts of the paths of its files.
const APART: [&str; 7] = ["/tests/", "/tests.rs", "crates/demo/", "crates/sim/", "/conformance", "/testing", "/fuzz"];

/// A constant that is a limit.
#[derive(Debug, Clone, PartialEq)]
struct Limit {
    file: String,
    name: String,
    shown: String,
    says: String,
}

/// Compares the page with the code.
pub(crate) fn check() -> Result<Problems> {
    let limits = limits(&root::root())?;
    let path = root::root().join(PAGE);
    let page = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let Some((told, listed)) = page.split_once(LIST) else {
        return Ok(vec![format!("{PAGE}: has no heading `{}`", LIST.trim())]);
    };
    let mut problems: Problems = disagreements(told, &limits);
    let fresh = list(&limits);
    if std::env::var_os(ANEW).is_some() {
        fs::write(&path, format!("{told}{LIST}{fresh}")).with_context(|| format!("writing {}", path.display()))?;
    } else if listed != fresh {
        let same = listed.lines().zip(fresh.lines()).take_while(|(old, new)| old == new).count();
        let line = |text: &str| text.lines().nth(same).unwrap_or("(the end)").to_owned();
        problems.push(format!(
            "{PAGE}: the list has\n    {}\nand should have\n    {}\nremedy: {ANEW}=1 cargo xtask check limits",
            line(listed),
            line(&fresh)
        ));
    }
    Ok(problems)
}

/// What the page says of constants and is not so. A row of a table names a constant in its last cell, as
/// `file::NAME`, and its number in the second.
fn disagreements(page: &str, limits: &[Limit]) -> Problems {
    let mut problems = Problems::new();
    for (number, line) in page.lines().enumerate() {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        let (Some(second), Some(last)) = (cells.get(1), cells.last().filter(|_| cells.len() > 3)) else { continue };
        let Some((file, name)) = last.trim_matches('`').rsplit_once("::") else { continue };
        let at = format!("{PAGE}:{}", number + 1);
        match limits.iter().find(|limit| limit.name == name && limit.file.ends_with(file)) {
            None => problems.push(format!("{at}: there is no constant {name} in {file}")),
            Some(limit) if limit.shown != *second => {
                problems.push(format!("{at}: {name} is {}, and the page says {second}", limit.shown));
            }
            Some(_) => {}
        }
    }
    problems
}

/// All limits as a table.
fn list(limits: &[Limit]) -> String {
    let mut text = "\nWritten by `cargo xtask check limits` from the constants and what is said of them there.\n\n\
                    | limit | what it is | where |\n|---|---|---|\n"
        .to_owned();
    for limit in limits {
        let says = limit.says.replace('|', "\\|");
        let _ = writeln!(text, "| {} | {says} | `{}::{}` |", limit.shown, limit.file, limit.name);
    }
    text
}

/// The limits of all crates that are shipped, in the order of their files.
fn limits(root: &Path) -> Result<Vec<Limit>> {
    let mut files = Vec::new();
    collect(&root.join("crates"), &mut files)?;
    files.sort();
    let mut limits = Vec::new();
    for path in files {
        let file = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        if !APART.iter().any(|part| file.contains(part)) && file.contains("/src/") {
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            limits.extend(of_file(&file, &text));
        }
    }
    Ok(limits)
}

fn collect(folder: &Path, to: &mut Vec<std::path::PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, to)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            to.push(path);
        }
    }
    Ok(())
}

/// The limits of one file: constants whose names say so, before its tests.
fn of_file(file: &str, text: &str) -> Vec<Limit> {
    let shipped = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let mut known = BTreeMap::new();
    let mut limits = Vec::new();
    let mut says: Vec<&str> = Vec::new();
    let mut lines = shipped.lines();
    while let Some(line) = lines.next() {
        let line = line.trim();
        if let Some(doc) = line.strip_prefix("///") {
            says.push(doc.trim());
            continue;
        }
        if line.is_empty() || line.starts_with("#[") || line.starts_with("//") {
            continue;
        }
        let said = std::mem::take(&mut says).join(" ");
        let mut whole = line.to_owned();
        while whole.contains("const ") && !whole.contains(';') {
            let Some(more) = lines.next() else { break };
            whole.push(' ');
            whole.push_str(more.trim());
        }
        let Some((name, kind, value)) = constant(&whole) else { continue };
        let number = evaluate(value, &known);
        if let Some(number) = number {
            known.insert(name.to_owned(), number);
        }
        // What has no words of its own belongs to the one before it.
        if is_limit(name, kind) && !said.is_empty() {
            let shown = number.map_or_else(|| value.to_owned(), |number| show(name, kind, number));
            let (file, name) = (file.to_owned(), name.to_owned());
            limits.push(Limit { file, name, shown, says: said });
        }
    }
    limits
}

/// Whether a constant of this name and type is a limit.
fn is_limit(name: &str, kind: &str) -> bool {
    let is_number = matches!(kind, "usize" | "u64" | "u32" | "u16" | "u8" | "i64" | "Duration" | "Span")
        || kind.ends_with("::Duration")
        || kind.ends_with("::Span");
    let words = ["_MAX", "_MAX_BYTES", "_MAX_CHARS", "_PLACES", "_SPARE"];
    is_number && (words.iter().any(|word| name.ends_with(word)) || matches!(name, "WINDOW" | "WINDOW_V3"))
}

/// Name, type and value of `pub const NAME: TYPE = VALUE;`.
fn constant(line: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = line.split_once("const ")?;
    if !before.trim().is_empty() && !before.trim_start().starts_with("pub") {
        return None;
    }
    let (name, rest) = rest.split_once(':')?;
    let (kind, value) = rest.split_once('=')?;
    let is_name = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    is_name.then_some((name.trim(), kind.trim(), value.split(';').next()?.trim()))
}

/// The number of an expression, durations in nanoseconds; `None`: it names what is not known here.
fn evaluate(text: &str, known: &BTreeMap<String, u128>) -> Option<u128> {
    let text = text.trim();
    // The operator that binds least, from the right.
    for operator in ["<<", "+", "-", "*", "/"] {
        if let Some(at) = outside(text, operator) {
            let (left, right) = (text.get(..at)?, text.get(at + operator.len()..)?);
            let (left, right) = (evaluate(left, known)?, evaluate(right, known)?);
            return match operator {
                "<<" => left.checked_shl(u32::try_from(right).ok()?),
                "+" => left.checked_add(right),
                "-" => left.checked_sub(right),
                "*" => left.checked_mul(right),
                _ => left.checked_div(right),
            };
        }
    }
    if let Some(inner) = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        return evaluate(inner, known);
    }
    if let Some((name, argument)) = text.strip_suffix(')').and_then(|rest| rest.split_once('(')) {
        let unit = match name.rsplit("::").next()? {
            "from_nanos" => 1,
            "from_micros" => 1_000,
            "from_millis" => 1_000_000,
            "from_secs" => 1_000_000_000,
            "from_mins" => 60_000_000_000,
            _ => return None,
        };
        return evaluate(argument, known)?.checked_mul(unit);
    }
    let plain = text.split(" as ").next()?.trim().replace('_', "");
    plain.parse().ok().or_else(|| known.get(text.split(" as ").next()?.trim()).copied())
}

/// The last place of an operator outside of parentheses.
fn outside(text: &str, operator: &str) -> Option<usize> {
    let mut depth = 0_i32;
    let mut found = None;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 && at > 0 && text.get(at..).is_some_and(|rest| rest.starts_with(operator)) => {
                found = Some(at);
            }
            _ => {}
        }
    }
    found
}

/// A number for people.
fn show(name: &str, kind: &str, number: u128) -> String {
    if kind.ends_with("Duration") || kind.ends_with("Span") {
        let units =
            [(86_400_000_000_000, "d"), (3_600_000_000_000, "h"), (60_000_000_000, "min"), (1_000_000_000, "s")];
        let whole = units.iter().find(|(unit, _)| number >= *unit && number.is_multiple_of(*unit));
        return match whole {
            Some((unit, word)) => format!("{} {word}", number / unit),
            None => format!("{} ms", number / 1_000_000),
        };
    }
    let words = ["BYTES", "BODY", "PAYLOAD", "PACKET", "OUTPUT", "MESSAGE", "ROW_", "LINE_", "SENT", "FILE_MAX"];
    let is_bytes = words.iter().any(|word| name.contains(word));
    let units = [(1_u128 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(unit, _)| number >= *unit && number.is_multiple_of(*unit)).filter(|_| is_bytes) {
        Some((unit, word)) => format!("{} {word}", grouped(number / unit)),
        None => grouped(number),
    }
}

/// `100000` as `100,000`.
fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "\
/// Messages that wait\n/// for a client.\npub const QUEUE_MAX: usize = 100_000;\n
/// Bytes.\nconst PACKET_MAX: usize = (1 << 20) + (64 << 10);\n
/// How long.\npub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);\nconst OTHER: usize = 3;\n
/// Twice.\nconst TWICE_MAX: u64 = 2 * QUEUE_MAX as u64;\n#[cfg(test)]\nmod tests {\nconst INNER_MAX: usize = 1;\n}\n";

    #[test]
    fn limits_are_found_with_their_numbers_and_words() {
        let found: Vec<(String, String, String)> =
            of_file("a.rs", CODE).into_iter().map(|limit| (limit.name, limit.shown, limit.says)).collect();
        let of = |name: &str, shown: &str, says: &str| (name.to_owned(), shown.to_owned(), says.to_owned());
        let expected = [
            of("QUEUE_MAX", "100,000", "Messages that wait for a client."),
            of("PACKET_MAX", "1,088 KiB", "Bytes."),
            of("WAIT_MAX", "1 min", "How long."),
            of("TWICE_MAX", "200,000", "Twice."),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_number_that_is_not_that_of_its_constant_is_told() {
        let limits = of_file("crates/x/src/a.rs", CODE);
        let page = |number: &str, name: &str| format!("| queue | {number} | waits | `x/src/a.rs::{name}` |\n");
        assert_eq!(disagreements(&page("100,000", "QUEUE_MAX"), &limits), Problems::new());
        let wrong = disagreements(&page("10,000", "QUEUE_MAX"), &limits);
        assert!(wrong[0].contains("QUEUE_MAX is 100,000, and the page says 10,000"), "{wrong:?}");
        assert!(disagreements(&page("1", "NONE_MAX"), &limits)[0].contains("no constant NONE_MAX"));
        assert_eq!(disagreements("| a | b | c | d |\n", &limits), Problems::new());
    }

    #[test]
    fn the_page_of_limits_is_that_of_the_code() {
        assert_eq!(check().unwrap(), Problems::new());
    }
}
