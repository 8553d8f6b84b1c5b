//! The formats of `@name` and `@name "..."`.

#![expect(clippy::needless_pass_by_value, reason = "natives take input and arguments by value")]

use super::texts::to_text;
use super::{Kind, plain};
use crate::expr::val::{R, Val, fail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jaq_core::native::Fun;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

pub(super) fn funs() -> Vec<Fun<Kind>> {
    vec![
        plain!("@text", to_text),
        plain!("@json", json),
        plain!("@csv", csv),
        plain!("@tsv", tsv),
        plain!("@html", html),
        plain!("@uri", uri),
        plain!("@base64", base64),
        plain!("@base64d", base64d),
    ]
}

/// What a URI may contain as it is.
const URI: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

fn json(v: Val) -> R {
    Val::new_text(v.to_json_text()?)
}

fn csv(v: Val) -> R {
    row(v, "@csv", ",", |s| format!("\"{}\"", s.replace('"', "\"\"")))
}

fn tsv(v: Val) -> R {
    let escape = |s: &str| s.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r");
    row(v, "@tsv", "\t", escape)
}

fn row(v: Val, who: &str, between: &str, text: impl Fn(&str) -> String) -> R {
    let mut out = String::new();
    for (i, cell) in v.need_array(who)?.iter().enumerate() {
        if i > 0 {
            out.push_str(between);
        }
        match cell {
            Val::Null => {}
            Val::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Val::Num(n) => out.push_str(&n.to_string()),
            Val::Str(s) => out.push_str(&text(s)),
            other => return fail(format!("{who} needs plain values in its row, not {}", other.told())),
        }
        crate::expr::meter::try_step(1)?;
    }
    Val::new_text(out)
}

fn with(v: Val, f: impl Fn(&str) -> String) -> R {
    match to_text(v)? {
        Val::Str(s) => Val::new_text(f(&s)),
        other => Ok(other),
    }
}

fn html(v: Val) -> R {
    with(v, |s| {
        s.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;").replace('"', "&quot;")
    })
}

fn uri(v: Val) -> R {
    with(v, |s| utf8_percent_encode(s, URI).to_string())
}

fn base64(v: Val) -> R {
    with(v, |s| STANDARD.encode(s))
}

fn base64d(v: Val) -> R {
    let Val::Str(s) = to_text(v)? else { return Ok(Val::Null) };
    match STANDARD.decode(s.as_bytes()).map(String::from_utf8) {
        Ok(Ok(text)) => Val::new_text(text),
        Ok(Err(_)) => fail("@base64d found bytes that are no UTF-8 text"),
        Err(e) => fail(format!("@base64d cannot read {}: {e}", Val::Str(s).told())),
    }
}
