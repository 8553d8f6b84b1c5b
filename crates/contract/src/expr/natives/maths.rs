//! Numbers and times.

#![expect(clippy::needless_pass_by_value, reason = "natives take input and arguments by value")]

use super::{Kind, f0, give, plain};
use crate::expr::num::Num;
use crate::expr::val::{R, Val, fail};
use andon_model::Time;
use andon_model::time::Unit;
use jaq_core::native::Fun;

pub(super) fn funs() -> Vec<Fun<Kind>> {
    vec![
        plain!("floor", floor),
        plain!("ceil", ceil),
        plain!("round", round),
        plain!("trunc", trunc),
        plain!("fabs", abs),
        plain!("abs", abs),
        plain!("sqrt", sqrt),
        plain!("log", log),
        plain!("log2", log2),
        plain!("log10", log10),
        plain!("exp", exp),
        plain!("exp2", exp2),
        plain!("exp10", exp10),
        plain!("pow", 2, pow),
        plain!("isnan", is_nan),
        plain!("isinfinite", is_infinite),
        plain!("isnormal", is_normal),
        f0("nan", |_| give(|| Ok(Val::Num(Num::Float(f64::NAN))))),
        f0("infinite", |_| give(|| Ok(Val::Num(Num::Float(f64::INFINITY))))),
        plain!("tonumber", to_number),
        plain!("time_us", time_us),
        plain!("time_ms", time_ms),
        plain!("todate", to_date),
        plain!("fromdate", from_date),
        plain!("todateiso8601", to_date),
        plain!("fromdateiso8601", from_date),
    ]
}

fn with(v: &Val, who: &str, f: fn(f64) -> f64) -> R {
    Ok(Val::float(f(v.need_number(who)?.as_f64())))
}

/// Rounding leaves whole numbers as they are, however long.
fn rounded(v: Val, who: &str, f: fn(f64) -> f64) -> R {
    match v {
        Val::Num(Num::Int(_) | Num::Big(_)) => Ok(v),
        other => with(&other, who, f),
    }
}

fn floor(v: Val) -> R {
    rounded(v, "floor", f64::floor)
}

fn ceil(v: Val) -> R {
    rounded(v, "ceil", f64::ceil)
}

/// Halves go away from zero.
fn round(v: Val) -> R {
    rounded(v, "round", f64::round)
}

fn trunc(v: Val) -> R {
    rounded(v, "trunc", f64::trunc)
}

fn abs(v: Val) -> R {
    let n = v.need_number("abs")?;
    Ok(if n.order(&Num::Int(0)).is_lt() { Val::Num(n.neg()) } else { v })
}

fn sqrt(v: Val) -> R {
    with(&v, "sqrt", f64::sqrt)
}

fn log(v: Val) -> R {
    with(&v, "log", f64::ln)
}

fn log2(v: Val) -> R {
    with(&v, "log2", f64::log2)
}

fn log10(v: Val) -> R {
    with(&v, "log10", f64::log10)
}

fn exp(v: Val) -> R {
    with(&v, "exp", f64::exp)
}

fn exp2(v: Val) -> R {
    with(&v, "exp2", f64::exp2)
}

fn exp10(v: Val) -> R {
    with(&v, "exp10", |x| 10_f64.powf(x))
}

fn pow(_: Val, base: Val, exponent: Val) -> R {
    Ok(Val::float(base.need_number("pow")?.as_f64().powf(exponent.need_number("pow")?.as_f64())))
}

fn is_nan(v: Val) -> R {
    Ok(Val::Bool(v.need_number("isnan")?.is_nan()))
}

fn is_infinite(v: Val) -> R {
    Ok(Val::Bool(v.need_number("isinfinite")?.as_f64().is_infinite()))
}

fn is_normal(v: Val) -> R {
    Ok(Val::Bool(v.need_number("isnormal")?.as_f64().is_normal()))
}

fn time_us(v: Val) -> R {
    Ok(Val::int(time(&v, "time_us")?.div_euclid(1_000)))
}

fn time_ms(v: Val) -> R {
    Ok(Val::int(time(&v, "time_ms")?.div_euclid(1_000_000)))
}

/// Seconds since 1970 as RFC 3339 in UTC; what is behind the point is left away, as in jq.
fn to_date(v: Val) -> R {
    let n = v.need_number("todate")?;
    let seconds = if let Num::Int(i) = n { *i } else { Num::Float(n.as_f64().floor()).truncated() };
    match Time::from_unit(seconds, Unit::S) {
        Some(time) if !n.is_nan() => Val::new_text(time.to_string()),
        _ => fail(format!("todate needs seconds between the years 1678 and 2261, not {n}")),
    }
}

fn from_date(v: Val) -> R {
    Ok(Val::int(time(&v, "fromdate")?.div_euclid(1_000_000_000)))
}
fn to_number(v: Val) -> R {
    match &v {
        Val::Num(_) => Ok(v),
        Val::Str(s) => match Num::parse(s) {
            Some(n) => Ok(Val::Num(n)),
            None => fail(format!("tonumber cannot read {}", v.told())),
        },
        other => fail(format!("tonumber needs a string or a number, not {}", other.told())),
    }
}

/// Nanoseconds since 1970 of an RFC 3339 text.
fn time(v: &Val, who: &str) -> Result<i64, jaq_core::Error<Val>> {
    match v {
        Val::Str(s) => match Time::parse(s) {
            Ok(time) => Ok(time.0),
            Err(_) => fail(format!("{who} needs a time like 2026-11-22T08:05:00.25Z, not {}", v.told())),
        },
        other => fail(format!("{who} needs a time like 2026-11-22T08:05:00.25Z, not {}", other.told())),
    }
}
