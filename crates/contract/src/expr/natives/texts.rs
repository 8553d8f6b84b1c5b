//! Texts.

#![expect(clippy::needless_pass_by_value, reason = "natives take input and arguments by value")]

use super::{Kind, plain};
use crate::expr::meter::{self, ELEMENT, MAX_INPUT_DEPTH};
use crate::expr::num::Num;
use crate::expr::val::{R, Val, error, fail};
use jaq_core::native::Fun;

pub(super) fn funs() -> Vec<Fun<Kind>> {
    vec![
        plain!("tostring", to_text),
        plain!("tojson", to_json),
        plain!("fromjson", from_json),
        plain!("split", 1, split),
        plain!("startswith", 1, starts_with),
        plain!("endswith", 1, ends_with),
        plain!("ltrimstr", 1, ltrimstr),
        plain!("rtrimstr", 1, rtrimstr),
        plain!("trim", trim),
        plain!("ltrim", ltrim),
        plain!("rtrim", rtrim),
        plain!("ascii_downcase", ascii_downcase),
        plain!("ascii_upcase", ascii_upcase),
        plain!("ascii", ascii),
        plain!("explode", explode),
        plain!("implode", implode),
        plain!("utf8bytelength", byte_length),
        plain!("indices", 1, indices),
        plain!("index", 1, first_index),
        plain!("rindex", 1, last_index),
    ]
}

pub(crate) fn to_text(v: Val) -> R {
    match v {
        Val::Str(_) => Ok(v),
        other => Val::new_text(other.to_json_text()?),
    }
}

fn to_json(v: Val) -> R {
    Val::new_text(v.to_json_text()?)
}

fn from_json(v: Val) -> R {
    let text = v.need_text("fromjson")?;
    // What is read is never longer than this many times its text.
    meter::try_grow(text.len() * 2)?;
    let json: serde_json::Value =
        serde_json::from_str(text).map_err(|e| error(format!("fromjson cannot read {}: {e}", v.told())))?;
    let mut size = 0;
    let read = Val::from_json(&json, &mut size)
        .map_err(|_| error(format!("fromjson reads JSON nested at most {MAX_INPUT_DEPTH} deep")))?;
    meter::try_grow(size)?;
    Ok(read)
}

fn texts<'a>(a: &'a Val, b: &'a Val, who: &str) -> Result<(&'a str, &'a str), jaq_core::Error<Val>> {
    let (a, b) = (a.need_text(who)?, b.need_text(who)?);
    meter::try_step(a.len() / 64)?;
    Ok((a, b))
}

pub(crate) fn split(v: Val, by: Val) -> R {
    let (text, by) = texts(&v, &by, "split")?;
    let mut parts = Vec::new();
    let mut put = |part: &str| {
        meter::try_grow(part.len() + 2 * ELEMENT)?;
        parts.push(Val::text(part));
        Ok::<_, jaq_core::Error<Val>>(())
    };
    match (text, by) {
        ("", _) => {}
        (text, "") => text.chars().try_for_each(|c| put(c.encode_utf8(&mut [0; 4])))?,
        (text, by) => text.split(by).try_for_each(put)?,
    }
    Ok(Val::array(parts))
}

fn starts_with(v: Val, start: Val) -> R {
    texts(&v, &start, "startswith").map(|(text, start)| Val::Bool(text.starts_with(start)))
}

fn ends_with(v: Val, end: Val) -> R {
    texts(&v, &end, "endswith").map(|(text, end)| Val::Bool(text.ends_with(end)))
}

/// Without a start, if it is a text that has it.
fn ltrimstr(v: Val, start: Val) -> R {
    match (&v, &start) {
        (Val::Str(text), Val::Str(start)) => match text.strip_prefix(&**start) {
            Some(rest) => Val::new_text(rest),
            None => Ok(v),
        },
        _ => Ok(v),
    }
}

/// Without an end, if it is a text that has it.
fn rtrimstr(v: Val, end: Val) -> R {
    match (&v, &end) {
        (Val::Str(text), Val::Str(end)) => match text.strip_suffix(&**end) {
            Some(rest) => Val::new_text(rest),
            None => Ok(v),
        },
        _ => Ok(v),
    }
}

fn trim(v: Val) -> R {
    Val::new_text(v.need_text("trim")?.trim())
}

fn ltrim(v: Val) -> R {
    Val::new_text(v.need_text("ltrim")?.trim_start())
}

fn rtrim(v: Val) -> R {
    Val::new_text(v.need_text("rtrim")?.trim_end())
}

fn ascii_downcase(v: Val) -> R {
    Val::new_text(v.need_text("ascii_downcase")?.to_ascii_lowercase())
}

fn ascii_upcase(v: Val) -> R {
    Val::new_text(v.need_text("ascii_upcase")?.to_ascii_uppercase())
}

/// The character of a code up to 127.
fn ascii(v: Val) -> R {
    match u8::try_from(v.need_number("ascii")?.truncated()) {
        Ok(code @ 0..=127) => Val::new_text(char::from(code)),
        _ => fail(format!("ascii needs a number from 0 to 127, not {}", v.told())),
    }
}

fn explode(v: Val) -> R {
    let text = v.need_text("explode")?;
    meter::try_grow(text.len())?;
    Val::new_array(text.chars().map(|c| Val::int(i64::from(u32::from(c)))).collect())
}

fn implode(v: Val) -> R {
    let codes = v.need_array("implode")?;
    meter::try_grow(codes.len() * 4)?;
    let text = codes.iter().map(|code| {
        let char = match code {
            Val::Num(Num::Int(i)) => u32::try_from(*i).ok().and_then(char::from_u32),
            _ => None,
        };
        char.ok_or_else(|| error(format!("implode needs code points, not {}", code.told())))
    });
    Ok(Val::text(text.collect::<Result<String, _>>()?))
}

fn byte_length(v: Val) -> R {
    Ok(Val::count(v.need_text("utf8bytelength")?.len()))
}

/// Where a text stands in a text, or elements in an array.
pub(crate) fn indices(v: Val, of: Val) -> R {
    let found: Vec<usize> = match (&v, &of) {
        (Val::Null, _) => return Ok(Val::Null),
        (Val::Str(text), Val::Str(of)) => positions(text, of)?,
        (Val::Arr(all), Val::Arr(of)) if of.is_empty() => {
            meter::try_step(all.len())?;
            return Ok(Val::Null);
        }
        (Val::Arr(all), Val::Arr(of)) => {
            let mut found = Vec::new();
            for (at, part) in all.windows(of.len()).enumerate() {
                meter::try_step(1)?;
                if part.iter().zip(of.iter()).all(|(a, b)| a == b) {
                    found.push(at);
                }
            }
            found
        }
        (Val::Arr(all), one) => {
            meter::try_step(all.len())?;
            all.iter().enumerate().filter(|(_, v)| *v == one).map(|(at, _)| at).collect()
        }
        (v, of) => return fail(format!("cannot look for {} in {}", of.told(), v.told())),
    };
    Val::new_array(found.into_iter().map(Val::count).collect())
}

/// The characters, counted from 0, at which a text begins in another; overlapping ones too.
fn positions(text: &str, of: &str) -> Result<Vec<usize>, jaq_core::Error<Val>> {
    let mut found = Vec::new();
    if of.is_empty() {
        return Ok(found);
    }
    for (at, (byte, _)) in text.char_indices().enumerate() {
        if at % 64 == 0 {
            meter::try_step(1 + of.len().min(text.len()) / 64)?;
        }
        if text.get(byte..).is_some_and(|rest| rest.starts_with(of)) {
            found.push(at);
        }
    }
    Ok(found)
}

fn first_index(v: Val, of: Val) -> R {
    indices(v, of).map(|found| if let Val::Arr(all) = found { all.first().cloned().unwrap_or_default() } else { found })
}

fn last_index(v: Val, of: Val) -> R {
    indices(v, of).map(|found| if let Val::Arr(all) = found { all.last().cloned().unwrap_or_default() } else { found })
}
