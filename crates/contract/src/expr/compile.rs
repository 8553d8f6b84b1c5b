//! From the text of an expression to a program that runs.

use super::check::{Used, check};
use super::known;
use super::natives::{self, Kind};
use super::needs::{Need, needs};
use super::reads::reads;
use super::rewrite::definition;
use super::route::whole;
use super::{Inner, PathRead};
use jaq_core::load::lex::{self, Tok, Token};
use jaq_core::load::parse::{self, Def, Term};
use jaq_core::load::{Arena, File, Lexer, Loader, Parser, span};
use std::ops::Range;

/// Bytes of the text of an expression.
pub const MAX_SOURCE: usize = 16 << 10;
/// Terms of an expression.
pub const MAX_NODES: usize = 4_000;
/// How deep the terms of an expression may be nested.
pub const MAX_NESTING: usize = 400;

/// Brackets nested in each other, counted before anything is parsed.
const MAX_BRACKETS: usize = 200;
/// Expressions nested no deeper than this run on the stack of any caller; a level takes at most 12 KiB of it.
const SHALLOW: usize = 48;
/// The stack that parsing takes: every byte of a text may be a level, as in `----1`.
const COMPILE_STACK: usize = 64 << 20;
/// The name of the expression among the definitions; nobody else can call it so, for it would be an unknown format.
const MAIN: &str = "@main";

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CompileError {
    /// Where in the text, in bytes.
    pub at: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl CompileError {
    fn new(at: Range<usize>, message: impl Into<String>, help: Option<&str>) -> Self {
        Self { at, message: message.into(), help: help.map(str::to_owned) }
    }
}

pub(super) fn compile(source: &str, vars: &[&str]) -> Result<Inner, CompileError> {
    let whole = 0..source.len();
    if source.len() > MAX_SOURCE {
        let message = format!("this expression has {} bytes, and {MAX_SOURCE} are the limit", source.len());
        return Err(CompileError::new(whole, message, Some("take it apart: let several expressions do it")));
    }
    if let Some(at) = too_many_brackets(source) {
        return Err(CompileError::new(at..at + 1, "too many brackets are open here", Some("nest it less")));
    }
    std::thread::scope(|scope| {
        let big = std::thread::Builder::new().name("compiler".into()).stack_size(COMPILE_STACK);
        let failed = |message: &str| Err(CompileError::new(0..source.len(), message, None));
        match big.spawn_scoped(scope, || compile_here(source, vars)).map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => failed("this expression cannot be read, by a defect of the program"),
            Err(_) => failed("the system has no more threads to compile an expression with"),
        }
    })
}

fn compile_here(source: &str, vars: &[&str]) -> Result<Inner, CompileError> {
    let term = read(source)?;
    let globals: Vec<String> = vars.iter().map(|v| format!("${v}")).collect();
    let used = check(source, &term, &globals)?;
    let reads: Vec<PathRead> = reads(source, &term, &globals);
    let (input, mut of_vars) = needs(&term, &globals);
    for (need, global) in of_vars.iter_mut().zip(&globals) {
        if !used.vars.contains(global.as_str()) {
            *need = Need::default();
        }
    }
    let form = super::forms::form(&term, &globals);
    let filter = link(source, term, &globals, &used)?;
    let vars = vars.iter().zip(of_vars).map(|(name, need)| ((*name).to_owned(), need));
    let is_path = whole(source, &reads).is_some();
    Ok(Inner {
        source: source.to_owned(),
        input,
        vars: vars.collect(),
        filter,
        shallow: used.depth <= SHALLOW,
        reads,
        is_path,
        form,
    })
}

/// Joins an expression with the functions it uses.
fn link<'s>(
    source: &'s str,
    term: Term<&'s str>,
    globals: &'s [String],
    used: &Used<'s>,
) -> Result<jaq_core::Filter<Kind>, CompileError> {
    let main = definition(Def { name: MAIN, args: Vec::new(), body: term });
    let defs = known::definitions(&used.calls).into_iter().chain([main]);
    let arena = Arena::default();
    let broken = || CompileError::new(0..source.len(), "this expression cannot be compiled", None);
    let modules = Loader::new(defs).load(&arena, File { code: MAIN, path: () }).map_err(|_| broken())?;
    jaq_core::Compiler::default()
        .with_funs(natives::all())
        .with_global_vars(globals.iter().map(String::as_str))
        .compile(modules)
        .map_err(|errors| match errors.into_iter().flat_map(|(_, errors)| errors).next() {
            Some((name, what)) => {
                CompileError::new(0..source.len(), format!("unknown {} `{name}`", what.as_str()), None)
            }
            None => broken(),
        })
}

/// The place of the first bracket that is nested too deep, taking every bracket for one, also in texts.
fn too_many_brackets(source: &str) -> Option<usize> {
    let mut open = 0_usize;
    source.bytes().position(|b| {
        match b {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        open > MAX_BRACKETS
    })
}

/// Parses an expression.
fn read(source: &str) -> Result<Term<&str>, CompileError> {
    let tokens = Lexer::new(source).lex().map_err(|errors| first(errors.iter().map(|e| lex_error(source, e))))?;
    if let Some(Token(word @ ("import" | "include" | "module"), Tok::Word)) = tokens.first() {
        let (why, instead) = known::refused(word).unwrap_or_default();
        return Err(CompileError::new(span(source, word), format!("there is no `{word}` here: {why}"), Some(instead)));
    }
    Parser::new(&tokens)
        .parse(Parser::term)
        .map_err(|errors| first(errors.iter().map(|(expected, found)| parse_error(source, expected, *found))))
}

fn first(errors: impl Iterator<Item = CompileError>) -> CompileError {
    errors.min_by_key(|e| e.at.start).unwrap_or_else(|| CompileError::new(0..0, "this is no expression", None))
}

fn lex_error(source: &str, (expected, rest): &lex::Error<&str>) -> CompileError {
    let at = span(source, rest).start;
    let next = rest.chars().next();
    let at = at..at + next.map_or(0, char::len_utf8);
    let found = next.map_or("the end".to_owned(), |c| format!("`{c}`"));
    match expected {
        lex::Expect::Digit => CompileError::new(at, format!("expected a digit, found {found}"), None),
        lex::Expect::Ident => CompileError::new(at, format!("expected a name, found {found}"), None),
        lex::Expect::Delim(open) => CompileError::new(span(source, open), format!("this {open} is never closed"), None),
        lex::Expect::Escape => CompileError::new(
            at,
            format!("`\\` cannot stand before {found} in a text"),
            Some("known are \\n \\t \\r \\b \\f \\\\ \\/ \\\" \\u0041 and \\(...)"),
        ),
        lex::Expect::Unicode => {
            let help = "a character beyond \\uFFFF is written as it is";
            CompileError::new(at, "expected four hexadecimal digits of a character", Some(help))
        }
        _ => {
            let help = match next {
                Some('\'') => Some("texts stand in double quotes"),
                Some('&') => Some("jq writes `and`"),
                _ => None,
            };
            CompileError::new(at, format!("{found} means nothing here"), help)
        }
    }
}

fn parse_error(source: &str, expected: &parse::Expect<&str>, found: Option<&Token<&str>>) -> CompileError {
    let expected = match expected {
        parse::Expect::Just(word) => format!("`{word}`"),
        parse::Expect::Var => "a variable such as `$x`".to_owned(),
        parse::Expect::Pattern => "a variable such as `$x`, or a pattern such as `[$x, $y]`".to_owned(),
        parse::Expect::ElseOrEnd => "`elif`, `else` or `end`".to_owned(),
        parse::Expect::CommaOrRBrack => "`,` or `]`".to_owned(),
        parse::Expect::CommaOrRBrace => "`,` or `}`".to_owned(),
        parse::Expect::SemicolonOrRParen => "`;` or `)`".to_owned(),
        parse::Expect::Term => "an expression".to_owned(),
        parse::Expect::Key => "the name of a field".to_owned(),
        parse::Expect::Ident => "a name".to_owned(),
        parse::Expect::Arg => "an argument such as `f` or `$x`".to_owned(),
        parse::Expect::Str => "a text in double quotes".to_owned(),
        parse::Expect::Nothing => "an operator or the end".to_owned(),
        other => other.as_str().to_owned(),
    };
    let Some(found) = found else {
        return CompileError::new(source.len()..source.len(), format!("expected {expected}, found the end"), None);
    };
    let mut at = span(source, found.as_str());
    if matches!(found.1, Tok::Block(_)) {
        at.end = at.start + 1;
    }
    let shown: String = source.get(at.clone()).unwrap_or_default().chars().take(24).collect();
    let help = match shown.as_str() {
        "=>" | "->" => Some("entries of an object are written `name: value`"),
        "||" => Some("jq writes `or`"),
        "===" => Some("jq writes `==`"),
        _ => None,
    };
    CompileError::new(at, format!("expected {expected}, found `{shown}`"), help)
}
