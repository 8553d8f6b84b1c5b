//! The names of other systems: `id("system"; name)`, `value("system"; "map"; value)` and back again
//! `name("system"; "kind"; theirs)`, `our_value("system"; "map"; theirs)`.

use super::{Kind, fv};
use crate::expr::meter;
use crate::expr::val::{Val, error};
use crate::expr::{Lookup, Missing};
use jaq_core::box_iter::box_once;
use jaq_core::native::Fun;
use jaq_core::{Cv, Exn, ValX};

/// Missing names that are remembered, the last ones; the error that ends an evaluation is among them.
const MAX_MISSING: usize = 64;
/// Characters of a missing value that are told.
const MAX_TOLD: usize = 64;

pub(super) fn funs() -> Vec<Fun<Kind>> {
    vec![
        fv("id", 2, |cv| box_once(id(cv))),
        fv("value", 3, |cv| box_once(value(cv))),
        fv("name", 3, |cv| box_once(name(cv))),
        fv("our_value", 3, |cv| box_once(our_value(cv))),
    ]
}

/// What a system calls something of ours.
fn id(mut cv: Cv<'_, Kind>) -> ValX<'_, Val> {
    meter::tick()?;
    let name = cv.0.pop_var();
    let system = cv.0.pop_var();
    let (system, name) = (system.need_text("the system of id")?, name.need_text("id")?);
    if let Some(theirs) = cv.0.data().lookup.id(system, name) {
        return Ok(Val::new_text(theirs)?);
    }
    let name = name.to_string();
    let message = format!(
        "{system} has no name for {name:?}; add it to its identifiers, or handle it with `id(...)? // \"...\"`"
    );
    Err(missing(&cv, Missing { system: system.to_string(), map: None, name, message }))
}

/// What a system says for a value of ours.
fn value(cv: Cv<'_, Kind>) -> ValX<'_, Val> {
    mapped(cv, "value", |lookup, system, map, asked| lookup.value(system, map, asked))
}

/// What we say for a value of a system.
fn our_value(cv: Cv<'_, Kind>) -> ValX<'_, Val> {
    mapped(cv, "our_value", |lookup, system, map, asked| lookup.our_value(system, map, asked))
}

/// A value by a value map, one way or the other.
fn mapped<'a>(
    mut cv: Cv<'a, Kind>,
    function: &str,
    look: impl Fn(&dyn Lookup, &str, &str, &serde_json::Value) -> Option<serde_json::Value>,
) -> ValX<'a, Val> {
    meter::tick()?;
    let given = cv.0.pop_var();
    let map = cv.0.pop_var();
    let system = cv.0.pop_var();
    let (system, map) = (system.need_text("the system of a value")?, map.need_text("the map of a value")?);
    let mut size = 0;
    let asked = given
        .to_json(&mut size, meter::MAX_GROWTH)
        .map_err(|_| error("a value to be mapped has at most 1 MiB and no infinite numbers"))?;
    let map = map.to_string();
    if let Some(found) = look(cv.0.data().lookup, system, &map, &asked) {
        let too_deep = |_| error(format!("the value map {map:?} of {system} gives a value that is nested too deep"));
        let found = Val::from_json(&found, &mut size).map_err(too_deep)?;
        meter::try_grow(size)?;
        return Ok(found);
    }
    let name: String = asked.to_string().chars().take(MAX_TOLD).collect();
    let back = if function == "value" { "" } else { "back " };
    let message = format!(
        "the value map {map:?} of {system} has no entry {back}for {name}; add it there, or handle it with \
         `{function}(...)? // \"...\"`"
    );
    Err(missing(&cv, Missing { system: system.to_string(), map: Some(map), name, message }))
}

/// What we call something that a system has a name for. Numbers are names too, as they are written.
fn name(mut cv: Cv<'_, Kind>) -> ValX<'_, Val> {
    meter::tick()?;
    let theirs = cv.0.pop_var();
    let kind = cv.0.pop_var();
    let system = cv.0.pop_var();
    let (system, kind) = (system.need_text("the system of name")?, kind.need_text("the kind of name")?);
    let mut size = 0;
    let asked = theirs.to_json(&mut size, meter::MAX_GROWTH).map_err(|_| error("name needs a text or a number"))?;
    let asked = match asked {
        serde_json::Value::String(text) => text,
        serde_json::Value::Number(number) => number.to_string(),
        other => return Err(error(format!("name needs a text or a number, found {}", told(&other))).into()),
    };
    let kind = kind.to_string();
    if let Some(ours) = cv.0.data().lookup.name(system, &kind, &asked) {
        return Ok(Val::new_text(&ours)?);
    }
    let name: String = asked.chars().take(MAX_TOLD).collect();
    let message = format!(
        "nothing of the kind {kind} is called {name:?} in {system}; add it to the identifiers of {system}, or handle \
         it with `name(...)? // \"...\"`"
    );
    Err(missing(&cv, Missing { system: system.to_string(), map: Some(kind), name, message }))
}

/// A value in the words of a message.
fn told(value: &serde_json::Value) -> String {
    value.to_string().chars().take(MAX_TOLD).collect()
}

/// An error like any other for the expression, and remembered for whom it reaches.
fn missing<'a>(cv: &Cv<'a, Kind>, missing: Missing) -> Exn<'a, Val> {
    let message = missing.message.clone();
    let mut all = cv.0.data().missing.borrow_mut();
    if all.len() == MAX_MISSING {
        all.pop_front();
    }
    all.push_back(missing);
    error(message).into()
}
