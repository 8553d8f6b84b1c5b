//! Reads, pure: one request of a poll, and what a page of its answer tells of objects.

use super::{
    DETAIL_MAX_CHARS, codec,
    codec::Answer,
    fields::{self, Evaluate, Scope, Wrong, kind, scalar},
    paging,
    redact::Secrets,
    words::one_line,
};
use crate::names::Names;
use andon_contract::{
    contract::{Body, Read},
    expr::{EvalError, Program, truthy},
};
use andon_model::{
    Outcome, OutcomeClass, SiteName, Time,
    call::Prepared,
    object::{Ask, Item, More, Page, Since, Told, Unfit},
    time::Unit,
};
use serde_json::{Value as Json, json};

/// The longest page of a read; what is longer is not read to its end.
pub const PAGE_MAX_BYTES: usize = 8 << 20;
/// Items of a page at most.
pub const PAGE_MAX_ITEMS: usize = 10_000;
/// The longest cursor, as JSON, and the longest address of a delta.
pub const CURSOR_MAX_BYTES: usize = 8 << 10;
/// What is shown of a foreign value, in characters.
const SHOWN_MAX_CHARS: usize = 120;

/// The request of a page, without credentials; `Err` is the outcome of one that cannot be made.
pub(super) fn prepare(base: &str, read: &Read, ask: &Ask, names: Names<'_>) -> Result<Prepared, Box<Outcome>> {
    let time = |time: Time| Json::String(time.to_string());
    let Some(request) = &read.request else {
        return Err(refused("the system is not asked for these, it posts them"));
    };
    let mut seen = json!({ "now": time(ask.now), "page": ask.page, "skip": ask.skip, "token": ask.token });
    if let Some(seen) = seen.as_object_mut() {
        let is_delta = read.delta.is_some();
        seen.insert("cursor".into(), if is_delta { Json::Null } else { ask.cursor.clone() });
        seen.insert("delta".into(), if is_delta { ask.cursor.clone() } else { Json::Null });
        seen.insert("since".into(), ask.since.map_or(Json::Null, time));
        seen.insert("site".into(), ask.site.as_ref().map_or(Json::Null, |site| site.as_str().into()));
    }
    let scope = Scope { input: &seen, request: None, names, others: &[] };
    let place = if ask.page > 1 { "paging.next" } else { "delta.link" };
    let made = codec::build(base, request, &scope, "request").and_then(|prepared| match &ask.link {
        None => Ok(prepared),
        Some(link) => {
            let url = paging::follow(base, &prepared.url, link, place)?;
            Ok(Prepared { url, body: String::new(), ..prepared })
        }
    });
    made.map_err(|wrong| refused(&format!("{}: {}", wrong.place, wrong.cause)))
}

fn refused(detail: &str) -> Box<Outcome> {
    Box::new(Outcome::not_sent(OutcomeClass::Validation, one_line(detail, DETAIL_MAX_CHARS)))
}

/// What an answer tells; `Err` is the outcome of one that tells nothing.
pub(super) fn read(
    read: &Read,
    ask: &Ask,
    names: Names<'_>,
    answer: &Answer,
    secrets: &Secrets,
) -> Result<Page, Box<Outcome>> {
    let body = codec::succeeded(answer, Body::Json, secrets)?;
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
        let kind = kind(&list);
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
    let over = |program: &Program, place: &'static str| {
        program.eval(&body, &[], &names).map_err(|e| Wrong::new(place, e.to_string()))
    };
    let more = paging::more(&read.paging, answer, list.len(), over);
    let more = more.map_err(|wrong| unreadable(&wrong.place, wrong.cause))?;
    if let Some(delta) = read.delta.as_ref().filter(|_| more == More::Last) {
        let place = if delta.is_link { "delta.link" } else { "delta.token" };
        let found = eval(&delta.next, &body, place)?;
        let is_fit = scalar(&found).is_some_and(|text| !text.is_empty() && text.len() <= CURSOR_MAX_BYTES);
        if !is_fit {
            let cause = format!("the last page needs one of at most {CURSOR_MAX_BYTES} bytes, found {}", kind(&found));
            return Err(unreadable(place, cause));
        }
        cursor = Some(found);
    }
    let items = list
        .iter()
        .map(|item| Item { bytes: item.to_string().into_bytes(), told: told(read, ask.site.as_ref(), names, item) });
    Ok(Page { items: items.collect(), cursor, more })
}

/// The items that a post of the system holds: `None`, when it tells nothing; `Err` says why it cannot be read.
pub(crate) fn posted(
    read: &Read,
    site: Option<&SiteName>,
    names: Names<'_>,
    body: &[u8],
) -> Result<Option<Vec<Item>>, String> {
    let Some(webhook) = &read.webhook else { return Err("the read takes no posts any more".into()) };
    let body: Json = serde_json::from_slice(body).map_err(|e| format!("the body is not JSON: {e}"))?;
    let eval = |program: &Program, place: &str| program.eval(&body, &[], &names).map_err(|e| format!("{place}: {e}"));
    if let Some(when) = &webhook.when
        && !truthy(&eval(when, "webhook.when")?)
    {
        return Ok(None);
    }
    let found = match &webhook.items {
        Some(items) => eval(items, "webhook.items")?,
        None => body.clone(),
    };
    let list = match found {
        Json::Array(list) => list,
        one @ Json::Object(_) => vec![one],
        other => return Err(format!("webhook.items: needs a list or an object, found {}", kind(&other))),
    };
    if list.len() > PAGE_MAX_ITEMS {
        return Err(format!("{} items are more than {PAGE_MAX_ITEMS}", list.len()));
    }
    let item = |item: &Json| Item { bytes: item.to_string().into_bytes(), told: told(read, site, names, item) };
    Ok(Some(list.iter().map(item).collect()))
}

/// An item that was set aside, read again by the read as it is now.
pub(crate) fn again(read: &Read, site: Option<&SiteName>, names: Names<'_>, item: &[u8]) -> Result<Item, String> {
    let json: Json = serde_json::from_slice(item).map_err(|e| format!("the item is not JSON: {e}"))?;
    Ok(Item { bytes: item.to_vec(), told: told(read, site, names, &json) })
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
    let mut data = fields::build(&read.mapping, item, &of, "mapping")?;
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

impl Evaluate for Of<'_> {
    type Error = Unfit;

    fn evaluate(&self, program: &Program, input: &Json, item: Option<usize>, place: &str) -> Result<Json, Unfit> {
        let variable = |name: &str| match name {
            "whole" => self.item.clone(),
            "index" => item.map_or(Json::Null, Json::from),
            _ => Json::Null,
        };
        let vars: Vec<Json> = program.vars().map(variable).collect();
        program.eval(input, &vars, &self.names).map_err(|error| match error {
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

    fn wrong(&self, place: &str, cause: String) -> Unfit {
        unfit("no-list", place, "a list is needed", &cause, "let `each` give a list, or null where there is none")
    }
}

impl Of<'_> {
    fn eval(&self, program: &Program, place: &str) -> Result<Json, Unfit> {
        self.evaluate(program, self.item, None, place)
    }

    fn text(&self, program: &Program, place: &str) -> Result<String, Unfit> {
        let value = self.eval(program, place)?;
        scalar(&value).filter(|text| !text.is_empty()).ok_or_else(|| {
            let remedy = format!("let `{place}` give a text, or ask the system for items that have one");
            unfit("no-text", place, "a text is needed", kind(&value), &remedy)
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
                unfit("no-text", place, "names of assets are needed", kind(value), &remedy)
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
