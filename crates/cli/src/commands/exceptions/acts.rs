//! What is done with exceptions: one after the other by their ids, or all that match, page by page.

use super::{editor, told};
use crate::{
    args::{Edit, Skip, Which},
    output::{self, NO, USAGE, failure},
    target::Target,
};
use andon_api::exceptions::{ACTIONS, Asked, BULK_MAX, BulkAsked, BulkDone, Wanted};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value as Json;
use std::{collections::BTreeMap, io::Read as _, path::Path, process::ExitCode};

/// Does one thing with all exceptions that are meant.
pub(super) fn act(which: &Which, wanted: Wanted) -> anyhow::Result<ExitCode> {
    let target = found(which)?;
    go(&target, which, wanted)
}

/// Another input for calls.
pub(super) fn edit(args: &Edit) -> anyhow::Result<ExitCode> {
    let which = &args.which;
    let target = found(which)?;
    if let Some(file) = &args.input {
        let input = read_input(file)?;
        return go(&target, which, Wanted::Edit { input: Some(input), set: BTreeMap::new() });
    }
    if args.set.is_empty() {
        let [id] = which.ids.as_slice() else {
            return Err(failure(USAGE, "an editor opens the input of one exception", "use --set for several at once"));
        };
        let Some(input) = editor::edited(id, &input_of(&target, id)?)? else {
            output::line("nothing was changed, and nothing is sent");
            return Ok(ExitCode::SUCCESS);
        };
        return go(&target, which, Wanted::Edit { input: Some(input), set: BTreeMap::new() });
    }
    // What a value is, a text or a number, says the input that is there.
    let shown = match which.ids.as_slice() {
        [id, ..] => Some(input_of(&target, id)?),
        [] => None,
    };
    let set: anyhow::Result<_> = args.set.iter().map(|pair| change(pair, shown.as_ref())).collect();
    go(&target, which, Wanted::Edit { input: None, set: set? })
}

/// On without the calls.
pub(super) fn skip(args: &Skip) -> anyhow::Result<ExitCode> {
    let output = match &args.output {
        Some(text) => serde_json::from_str(text).map_err(|e| {
            failure(USAGE, format!("--output is no JSON: {e}"), r#"write for example --output '{"document": "4711"}'"#)
        })?,
        None => Json::Null,
    };
    act(&args.which, Wanted::Skip { output, document: args.document.clone() })
}

/// A running instance: a stopped folder has nobody who takes up a run.
fn found(which: &Which) -> anyhow::Result<Target> {
    let target = Target::find(&which.instance)?;
    if target.is_running() {
        return Ok(target);
    }
    Err(failure(3, "the instance is stopped", "start it with `andon run`: it makes the calls and takes up the runs"))
}

fn go(target: &Target, which: &Which, wanted: Wanted) -> anyhow::Result<ExitCode> {
    let word = wanted.word();
    if which.reason.is_none() && ACTIONS.iter().any(|action| action.word == word && action.reasoned) {
        return Err(failure(
            USAGE,
            format!("`andon exceptions {word}` has no reason"),
            "say why with --reason TEXT, for those who ask a year later",
        ));
    }
    let asked = Asked { by: super::by(which.by.as_ref()), reason: which.reason.clone(), wanted };
    if which.ids.is_empty() {
        return many(target, which, &asked);
    }
    if which.dry_run {
        let mut total = BulkDone { action: word.to_owned(), dry_run: true, ..BulkDone::default() };
        for id in &which.ids {
            let filters = vec![("id".to_owned(), id.clone())];
            pages(target, &bulk(&asked, filters, None, true), &mut total, |_| {})?;
        }
        return finished(&total, which);
    }
    let mut refused = 0;
    for id in &which.ids {
        match target.act(id, &asked) {
            Ok(done) if which.instance.json => output::line(serde_json::to_string(&done)?),
            Ok(done) => output::line(told::done(&done)),
            Err(error) if which.ids.len() == 1 => return Err(error),
            Err(error) => {
                refused += 1;
                output::hint(format!("{id}: {error}"));
            }
        }
    }
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

fn bulk(asked: &Asked, filters: Vec<(String, String)>, group: Option<String>, dry_run: bool) -> BulkAsked {
    BulkAsked { asked: asked.clone(), filters, group, until: None, after: None, limit: BULK_MAX, dry_run }
}

/// All that match: first counted, then done. What comes meanwhile is left alone, so that both are the same ones.
fn many(target: &Target, which: &Which, asked: &Asked) -> anyhow::Result<ExitCode> {
    let filters = super::pairs(&which.filters)?;
    let action = asked.wanted.word().to_owned();
    let mut counted = BulkDone { action: action.clone(), dry_run: true, ..BulkDone::default() };
    let ask = bulk(asked, filters, which.group.clone(), true);
    pages(target, &ask, &mut counted, |_| {})?;
    if which.dry_run {
        return finished(&counted, which);
    }
    let bar = ProgressBar::new(counted.matched).with_style(
        ProgressStyle::with_template("{bar:40} {human_pos} of {human_len}, {per_sec}, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let ask = BulkAsked { dry_run: false, until: Some(counted.until), ..ask };
    let mut total = BulkDone { action, ..BulkDone::default() };
    let done = pages(target, &ask, &mut total, |page| bar.inc(page.matched));
    bar.finish_and_clear();
    if let Err(error) = done {
        if total.matched > 0 {
            told::bulk(&total).into_iter().for_each(output::hint);
            output::hint("the rest was not tried: the same command goes on where this one has ended");
        }
        return Err(error);
    }
    finished(&total, which)
}

/// Page after page, each behind the one before: nothing is looked at twice.
fn pages(
    target: &Target,
    ask: &BulkAsked,
    total: &mut BulkDone,
    mut told: impl FnMut(&BulkDone),
) -> anyhow::Result<()> {
    let mut ask = ask.clone();
    loop {
        let page = target.act_all(&ask)?;
        told(&page);
        total.matched += page.matched;
        total.done += page.done;
        total.refused += page.refused;
        total.problems.extend(page.problems);
        total.until.clone_from(&page.until);
        if page.next.is_none() || page.next <= ask.after {
            return Ok(());
        }
        (ask.after, ask.until) = (page.next, Some(page.until));
    }
}

fn finished(total: &BulkDone, which: &Which) -> anyhow::Result<ExitCode> {
    if which.instance.json {
        output::line(serde_json::to_string(total)?);
    } else {
        told::bulk(total).into_iter().for_each(output::line);
    }
    Ok(if total.refused == 0 { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

/// The input of the call of an exception, as it is shown.
fn input_of(target: &Target, id: &str) -> anyhow::Result<Json> {
    let shown = target.show(id)?;
    shown.pointer("/call/input").cloned().ok_or_else(|| {
        failure(NO, format!("{id} is about no call, so that there is no input to edit"), "`andon show` says what to do")
    })
}

fn read_input(file: &Path) -> anyhow::Result<Json> {
    let unread = |e: &dyn std::fmt::Display| {
        failure(USAGE, format!("{}: {e}", file.display()), "give a file of JSON: the whole input")
    };
    let mut text = String::new();
    if file.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text).map_err(|e| unread(&e))?;
    } else {
        text = std::fs::read_to_string(file).map_err(|e| unread(&e))?;
    }
    serde_json::from_str(&text).map_err(|e| unread(&e))
}

/// A change: JSON where the value is some, but a text where there is one now; nothing removes the field.
fn change(pair: &str, shown: Option<&Json>) -> anyhow::Result<(String, Json)> {
    let Some((place, value)) = pair.split_once('=').filter(|(place, _)| !place.is_empty()) else {
        return Err(failure(USAGE, format!("--set {pair} says no value"), "write --set /lines/0/unit=KG"));
    };
    let pointer = match place.strip_prefix('/') {
        Some(_) => place.to_owned(),
        None => format!("/{}", place.replace('.', "/")),
    };
    let is_text = shown.and_then(|input| input.pointer(&pointer)).is_some_and(Json::is_string);
    let value = match serde_json::from_str::<Json>(value) {
        _ if value.is_empty() => Json::Null,
        Ok(json) if !is_text || json.is_string() => json,
        _ => Json::from(value),
    };
    Ok((place.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_is_what_stands_there_now() {
        let input = json!({"batch": "12", "count": 3, "lines": [{"unit": "kg"}]});
        for (pair, wanted) in [
            ("batch=13", json!("13")),
            ("count=4", json!(4)),
            ("/lines/0/unit=KG", json!("KG")),
            ("lines.0.unit=\"8\"", json!("8")),
            ("new={\"a\": 1}", json!({"a": 1})),
            ("count=", Json::Null),
            ("count=a=b", json!("a=b")),
        ] {
            assert_eq!(change(pair, Some(&input)).unwrap().1, wanted, "{pair}");
        }
        assert_eq!(change("batch=13", None).unwrap().1, json!(13));
        assert!(change("batch", None).is_err() && change("=1", None).is_err());
    }
}
