//! The reference of the commands, made from what can be typed.

use clap::{Command, CommandFactory};
use std::fmt::Write as _;

/// The page `docs/reference/commands.md`.
fn page() -> String {
    let mut page = String::from(
        "# Commands\n\n\
         What a command finds goes to stdout, as JSON lines with `--json`; hints, logs and progress go to stderr.\n\
         Exit codes: 0 done, 1 the answer is no, 2 usage, 3 no instance or not ready.\n\
         This page is made from the program.\n",
    );
    let root = crate::args::Args::command();
    for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
        section(&mut page, "andon", command);
    }
    page
}

/// A command, and those below it.
fn section(page: &mut String, above: &str, command: &Command) {
    let name = format!("{above} {}", command.get_name());
    let _ = write!(page, "\n## {name}\n\n");
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let _ = writeln!(page, "{about}.\n\n| argument | meaning |\n|---|---|");
    for argument in command.get_arguments().filter(|a| a.get_id() != "help") {
        let argument_name = match (argument.get_long(), argument.is_positional()) {
            (Some(long), _) if argument.get_action().takes_values() => {
                let values = argument.get_value_names().unwrap_or_default();
                let value = values.first().map(ToString::to_string).unwrap_or_default();
                format!("--{long} {value}")
            }
            (Some(long), _) => format!("--{long}"),
            (None, _) => argument.get_id().to_string().to_uppercase(),
        };
        let mut meaning = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let defaults: Vec<_> = argument.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
        if !defaults.is_empty() && argument.get_action().takes_values() {
            let _ = write!(meaning, " [default: {}]", defaults.join(" "));
        }
        if let Some(variable) = argument.get_env() {
            let _ = write!(meaning, " [env: {}]", variable.to_string_lossy());
        }
        let _ = writeln!(page, "| `{argument_name}` | {} |", meaning.replace('|', "\\|"));
    }
    for below in command.get_subcommands().filter(|below| below.get_name() != "help" && !below.is_hide_set()) {
        section(page, &name, below);
    }
}

#[test]
fn the_page_of_commands_is_the_one_that_is_checked_in() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/commands.md");
    let made = page();
    if std::env::var_os("ANDON_REGENERATE").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(kept == made, "docs/reference/commands.md is not what can be typed: run with ANDON_REGENERATE=1");
}
