//! Reads, pure: one request of a poll, and what a page of its answer tells of objects.

use super::{
    DETAIL_MAX_CHARS, codec,
    codec::Answer,
    config,
    fields::{self, Scope, Wrong, scalar},
    redact::Secrets,
    words::one_line,
};
use crate::names::Names;
use andon_contract::{
    contract::{Paging, Read},
    expr::{EvalError, Program, truthy},
};
use andon_model::{
    Outcome, OutcomeClass, SiteName, Time,
    call::Prepared,
    object::{Ask, Item, More, Page, Since, Told, Unfit},
    time::Unit,
};
use reqwest::Url;
use serde_json::{Value as Json, json};

/// The longest page of a read; what is longer is not read to its end.
pub const PAGE_MAX_BYTES: usize = 8 << 20;
/// Items of a page at most.
pub const PAGE_MAX_ITEMS: usize = 10_000;
/// The longest cursor, as JSON.
pub const CURSOR_MAX_BYTES: usize = 4 << 10;
/// What is shown of a foreign value, in characters.
const SHOWN_MAX_CHARS: usize = 120;

/// The request of a page, without credentials; `Err` is the outcome of one that cannot be made.
pub(super) fn prepare(base: &str, read: &Read, ask: &Ask, names: Names<'_>) -> Result<Prepared, Box<Outcome>> {
    let time = |time: Time| Json::String(time.to_string());
    let mut seen = json!({ "cursor": ask.cursor, "now": time(ask.now), "page": ask.page, "skip": ask.skip });
    if let Some(seen) = seen.as_object_mut() {
        seen.insert("since".into(), ask.since.map_or(Json::Null, time));
        seen.insert("site".into(), ask.site.as_ref().map_or(Json::Null, |site| site.as_str().into()));
    }
    let scope = Scope { input: &seen, request: None, names };
    let made = codec::build(base, &read.request, &scope, "request").and_then(|prepared| match &ask.link {
        None => Ok(prepared),
        Some(link) => Ok(Prepared { url: follow(base, &prepared.url, link)?, body: String::new(), ..prepared }),
    });
    made.map_err(|wrong| refused(&format!("{}: {}", wrong.place, wrong.cause)))
}

fn refused(detail: &str) -> Box<Outcome> {
    Box::new(Outcome::not_sent(OutcomeClass::Validation, one_line(detail, DETAIL_MAX_CHARS)))
}

/// The address of the next page: credentials go nowhere else than to the system.
fn follow(base: &str, from: &str, link: &str) -> Result<String, Wrong> {
    let at = "paging.next";
    let from = Url::parse(from).map_err(|e| Wrong::new(at, e.to_string()))?;
    let to = from.join(link).map_err(|e| Wrong::new(at, format!("{:?} is no address: {e}", shown(link))))?;
    config::allowed(to.as_str(), base).map_err(|cause| Wrong::new(at, cause))?;
    if to == from {
        return Err(Wrong::new(at, "leads back to the page it stands on"));
    }
    Ok(to.into())
}

/// What an answer tells; `Err` is the outcome of one that tells nothing.
pub(super) fn read(
    read: &Read,
    ask: &Ask,
    names: Names<'_>,
    answer: &Answer,
    secrets: &Secrets,
) -> Result<Page, Box<Outcome>> {
    let body = codec::succeeded(answer, secrets)?;
    let unreadable = |place: &str, cause: String| {
        let detail = format!("the answer cannot be read: {place}: {cause}");
        let detail = one_line(&secrets.hide(&detail), DETAIL_MAX_CHARS);
        let outcome = Outcome::not_sent(OutcomeClass::Transient, detail);
        Box::new(Outcome { sent: true, status: Some(answer.status), ..outcome })
    };
    let eval = |program: &Program, input: &Json, place: &str| {
        program.eval(input, &[], &names).map_err(|e| unreadable(place, e.to_string()))
    };
    let list = match &read.items {
        Some(items) => eval(items, &body, "items")?,
        None => body.clone(),
    };
    let Json::Array(list) = list else {
        let kind = codec::kind(&list);
        return Err(unreadable("items", format!("needs a list, found {kind}; `... // []` where none is an empty one")));
    };
    if list.len() > PAGE_MAX_ITEMS {
        let cause = format!("{} items on a page are more than {PAGE_MAX_ITEMS}; ask for fewer at once", list.len());
        return Err(unreadable("items", cause));
    }
    let mut cursor = None;
    if let Some(program) = &read.cursor {
        let newest = list.last().cloned().unwrap_or(Json::Null);
        let found = eval(program, &json!({ "answer": body, "last": newest, "cursor": ask.cursor }), "cursor")?;
        if found.to_string().len() > CURSOR_MAX_BYTES {
            return Err(unreadable("cursor", format!("is longer than {CURSOR_MAX_BYTES} bytes")));
        }
        cursor = Some(found).filter(|found| !found.is_null());
    }
    let more = match &read.paging {
        Paging::Size(size) if list.len() as u64 >= u64::from(*size) => More::Number,
        Paging::None | Paging::Size(_) => More::Last,
        Paging::Next(next) => match eval(next, &body, "paging.next")? {
            Json::Null => More::Last,
            Json::String(link) if link.is_empty() => More::Last,
            Json::String(link) => More::Link(link),
            other => {
                return Err(unreadable("paging.next", format!("needs an address, found {}", codec::kind(&other))));
            }
        },
    };
    let items = list
        .iter()
        .map(|item| Item { bytes: item.to_string().into_bytes(), told: told(read, ask.site.as_ref(), names, item) });
    Ok(Page { items: items.collect(), cursor, more })
}

/// What an item tells.
fn told(read: &Read, site: Option<&SiteName>, names: Names<'_>, item: &Json) -> Result<Told, Unfit> {
    let of = Of { read, names, item };
    let number = of.text(&read.number, "number")?;
    let site = match (&read.site, site) {
        (Some(program), _) => of.text(program, "site")?,
        (None, Some(site)) => site.to_string(),
        (None, None) => return Err(unfit("no-site", "site", "nothing says whose it is", "", "add `site` to the read")),
    };
    let gone = match &read.gone {
        Some(program) => truthy(&of.eval(program, "gone")?),
        None => false,
    };
    let mut told = Told {
        object: read.object.clone(),
        site,
        number,
        from: Since::Always,
        to: None,
        assets: Vec::new(),
        line: None,
        data: Json::Null,
        gone,
    };
    if gone {
        return Ok(told);
    }
    if let Some(program) = &read.from {
        told.from = of.time(program, "from")?.map_or(Since::NotYet, Since::Time);
    }
    if let Some(program) = &read.to {
        told.to = of.time(program, "to")?;
    }
    if let Some(program) = &read.assets {
        told.assets = of.texts(program, "assets")?;
    }
    if let Some(program) = &read.line {
        told.line = scalar(&of.eval(program, "line")?);
    }
    let mut data = fields::build(&read.mapping, "mapping", &|program, place| of.eval(program, place))?;
    if let Some(fields) = data.as_object_mut() {
        for name in &read.added {
            let value = match *name {
                "number" => Json::from(told.number.as_str()),
                "site" => Json::from(told.site.as_str()),
                _ => json!(told.assets),
            };
            fields.insert((*name).to_owned(), value);
        }
    }
    told.data = data;
    Ok(told)
}

fn unfit(code: &'static str, place: &str, cause: &str, found: &str, remedy: &str) -> Unfit {
    let own = str::to_owned;
    Unfit { code, place: own(place), cause: own(cause), found: shown(found), remedy: own(remedy) }
}

/// Foreign text in one line, shortened.
fn shown(text: &str) -> String {
    one_line(text, SHOWN_MAX_CHARS)
}

/// One item.
struct Of<'a> {
    read: &'a Read,
    names: Names<'a>,
    item: &'a Json,
}

impl Of<'_> {
    fn eval(&self, program: &Program, place: &str) -> Result<Json, Unfit> {
        program.eval(self.item, &[], &self.names).map_err(|error| match error {
            EvalError::Missing(missing) => {
                let kind = missing.map.unwrap_or_else(|| "name".to_owned());
                let (place, cause) = (
                    format!("{place} ({}, {kind})", missing.system),
                    format!("the identifiers of {} do not have everything of the kind {kind}", missing.system),
                );
                unfit(
                    "unknown-name",
                    &place,
                    &cause,
                    &missing.message,
                    &format!("add it in identifiers/{}.yaml; with the edit the read begins anew", missing.system),
                )
            }
            other => {
                let remedy = "correct the expression; with the edit the read begins anew";
                unfit("expression", place, "an expression gives nothing", &other.to_string(), remedy)
            }
        })
    }

    fn text(&self, program: &Program, place: &str) -> Result<String, Unfit> {
        let value = self.eval(program, place)?;
        scalar(&value).filter(|text| !text.is_empty()).ok_or_else(|| {
            let remedy = format!("let `{place}` give a text, or ask the system for items that have one");
            unfit("no-text", place, "a text is needed", codec::kind(&value), &remedy)
        })
    }

    fn texts(&self, program: &Program, place: &str) -> Result<Vec<String>, Unfit> {
        let list = match self.eval(program, place)? {
            Json::Null => return Ok(Vec::new()),
            Json::Array(list) => list,
            one => vec![one],
        };
        let one = |value: &Json| {
            value.as_str().map(str::to_owned).ok_or_else(|| {
                let remedy = format!("let `{place}` give names of assets, with `name(...)`");
                unfit("no-text", place, "names of assets are needed", codec::kind(value), &remedy)
            })
        };
        list.iter().map(one).collect()
    }

    fn time(&self, program: &Program, place: &str) -> Result<Option<Time>, Unfit> {
        let value = self.eval(program, place)?;
        let time = match &value {
            Json::Null => return Ok(None),
            Json::String(text) if text.trim().is_empty() => return Ok(None),
            Json::String(text) => Time::parse_in(text, &self.read.zone).ok(),
            Json::Number(number) => number.as_i64().and_then(|number| Time::from_unit(number, Unit::Ms)),
            _ => None,
        };
        time.map(Some).ok_or_else(|| {
            let remedy = format!("let `{place}` give RFC 3339, or milliseconds since 1970, or null");
            unfit("no-time", place, "this is no time", &value.to_string(), &remedy)
        })
    }
}

#[cfg(test)]
mod tests;
