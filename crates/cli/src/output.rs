//! What a command found goes to stdout; hints, logs and progress go to stderr.

use std::{
    fmt::Display,
    io::{IsTerminal, Write},
    process::ExitCode,
};

/// The answer is no.
pub(crate) const NO: u8 = 1;
/// It was not asked rightly.
pub(crate) const USAGE: u8 = 2;
/// No instance, or not ready.
pub(crate) const NO_INSTANCE: u8 = 3;

/// A failure with its exit code and what to do next.
#[derive(Debug)]
pub(crate) struct Failure {
    /// 1, 2 or 3.
    pub(crate) code: u8,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) help: Option<String>,
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// A failure of this code.
pub(crate) fn failure(code: u8, message: impl Display, help: impl Into<String>) -> anyhow::Error {
    let help = help.into();
    Failure { code, message: message.to_string(), help: (!help.is_empty()).then_some(help) }.into()
}

/// Says what went wrong and what to do next, and gives the exit code.
pub(crate) fn failed(error: &anyhow::Error) -> ExitCode {
    let (code, help) = match error.downcast_ref::<Failure>() {
        Some(failure) => (failure.code, failure.help.clone()),
        None => (NO, None),
    };
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "error: {error:#}");
    if let Some(help) = help {
        let _ = writeln!(err, "  help: {help}");
    }
    ExitCode::from(code)
}

/// Writes a line of the result. A reader that went away, as `head` does, ends the command quietly.
pub(crate) fn line(text: impl Display) {
    if writeln!(std::io::stdout().lock(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// Writes a hint.
pub(crate) fn hint(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Whether stdout is a terminal that wants colour.
pub(crate) fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// A text in a colour of the terminal (31 red, 32 green, 33 yellow), where it wants one.
pub(crate) fn painted(text: &str, code: u8, colour: bool) -> String {
    if colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// Rows as a table with a head, columns as wide as their widest cell.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) {
    let mut widths: Vec<usize> = head.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let print = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (cell, width) in cells.zip(&widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count()) + 2));
        }
        line(text.trim_end());
    };
    print(&mut head.iter().copied());
    for row in rows {
        print(&mut row.iter().map(String::as_str));
    }
}
