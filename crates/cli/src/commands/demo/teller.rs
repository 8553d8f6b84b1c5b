//! Tells the story as it happens: what is new since the last look, and what is still missing until its end.

use super::{
    count::{rows, text},
    words::{self, Said},
};
use crate::{
    output::{self, painted},
    target::Target,
};
use andon_api::{Kind, Query, backend::LIMIT_MAX, samples::LastQuery};
use andon_demo::{line::Chapter, world::Stand};
use andon_model::Time;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};

/// Looks in a row at which nothing was missing, until the story is over: what the last sample causes has come by then.
const QUIET_LOOKS: u32 = 3;
/// Signals of an asset that are looked at.
const SIGNALS_MAX: usize = 100;

/// Who tells.
pub(super) struct Teller {
    colour: bool,
    /// Says nothing.
    silent: bool,
    /// The first look tells what was ordinary before it to nobody.
    first: bool,
    /// The number of the last event that was told.
    events: Option<u64>,
    /// Calls, runs and exceptions that were told.
    told: BTreeSet<String>,
    chapters: BTreeMap<String, Chapter>,
    /// When the story of a site was seen to be in its last chapter, in the time of the story.
    last: BTreeMap<String, Time>,
    quiet: u32,
}

impl Teller {
    /// One who tells, or is silent and only looks whether the story is over.
    pub(super) fn new(silent: bool) -> Self {
        Self {
            colour: output::colour(),
            silent,
            first: true,
            events: None,
            told: BTreeSet::new(),
            chapters: BTreeMap::new(),
            last: BTreeMap::new(),
            quiet: 0,
        }
    }

    fn say(&self, time: &str, site: &str, said: &Said, id: &str) {
        if !self.silent {
            let (text, colour) = (painted(&said.text, said.colour, self.colour), self.colour);
            let (time, id) = (painted(time, words::GREY, colour), painted(id, words::GREY, colour && !id.is_empty()));
            output::line(format!("{time}  {site:<10}  {text}  {id}").trim_end());
        }
    }

    /// Tells what is new.
    pub(super) fn look(&mut self, target: &Target, stand: &Stand) -> anyhow::Result<()> {
        let now = clock(&stand.story.to_string());
        for line in &stand.lines {
            let before = self.chapters.insert(line.site.clone(), line.chapter);
            if before != Some(line.chapter)
                && let Some(said) = words::of_chapter(&line.cartoner, line.chapter)
            {
                self.say(&now, &line.site, &said, "");
            }
        }
        self.events(target, &now)?;
        let note = |call: &Json| {
            let task = [("run", text(call, "/run")), ("pointer", text(call, "/pointer"))];
            let notes = rows(target, Kind::Tasks, &task).ok()?;
            notes.last().map(|task| text(task, "/note").to_owned()).filter(|note| !note.is_empty())
        };
        let words_of = |call: &Json| words::of_call(call, || note(call));
        self.changed(target, Kind::Calls, &now, |call| Some((words_of(call)?, text(call, "/reference"))))?;
        self.changed(target, Kind::Runs, &now, |run| Some((words::of_run(run)?, text(run, "/id"))))?;
        self.changed(target, Kind::Exceptions, &now, |row| {
            let text_of = format!("{}: {}", text(row, "/cause"), text(row, "/detail"));
            Some((Said { text: format!("somebody is needed: {text_of}"), colour: words::RED }, text(row, "/id")))
        })?;
        self.first = false;
        Ok(())
    }

    /// Events behind the last one that was told. Those of the machines have the time of the story; others are told as
    /// they are heard.
    fn events(&mut self, target: &Target, now: &str) -> anyhow::Result<()> {
        loop {
            let query = Query { filters: Vec::new(), after: self.events, limit: LIMIT_MAX, ascending: true };
            let page = target.list(Kind::Events, &query)?;
            for event in &page.rows {
                self.events = text(event, "/sequence").parse().ok().or(self.events);
                let Some(said) = words::of_event(event) else { continue };
                if !(self.first && said.colour == words::GREY) {
                    let of_machine = text(event, "/type").starts_with("asset.");
                    let time = if of_machine { clock(text(event, "/time")) } else { now.to_owned() };
                    self.say(&time, text(event, "/site"), &said, text(event, "/id"));
                }
            }
            if page.next.is_none() {
                return Ok(());
            }
        }
    }

    /// Rows of which something became since the last look, each told once.
    fn changed(
        &mut self,
        target: &Target,
        kind: Kind,
        now: &str,
        words: impl for<'a> Fn(&'a Json) -> Option<(Said, &'a str)>,
    ) -> anyhow::Result<()> {
        for row in rows(target, kind, &[])? {
            if let Some((said, id)) = words(&row)
                && self.told.insert(id.to_owned())
            {
                self.say(now, text(&row, "/site"), &said, id);
            }
        }
        Ok(())
    }

    /// What is missing until both stories are told to their end, one sentence each; nothing once it was so for a while.
    pub(super) fn missing(&mut self, target: &Target, stand: &Stand) -> anyhow::Result<Vec<String>> {
        let mut missing = Vec::new();
        for line in &stand.lines {
            if !line.chapter.is_last() {
                missing.push(format!("the line of {} is still {}", line.site, chapter(line.chapter)));
                continue;
            }
            // What was said until then has been heard, and what it means is known.
            let since = *self.last.entry(line.site.clone()).or_insert(stand.story);
            let query = LastQuery { asset: Some(line.cartoner.clone()), site: None, after: None, limit: SIGNALS_MAX };
            let heard = target.last(&query)?.rows.iter().any(|row| Time::parse(&row.time).is_ok_and(|at| at >= since));
            if !heard {
                missing.push(format!("what {} has said is not heard yet", line.cartoner));
            }
        }
        for alarm in rows(target, Kind::Alarms, &[("active", "true")])? {
            missing.push(format!("the alarm {} of {} stands", text(&alarm, "/rule"), text(&alarm, "/asset")));
        }
        let ended = ["completed", "faulted", "cancelled"];
        for run in rows(target, Kind::Runs, &[])?.iter().filter(|run| !ended.contains(&text(run, "/state"))) {
            missing.push(format!("the run {} is {}", text(run, "/id"), text(run, "/state")));
        }
        for call in rows(target, Kind::Calls, &[])? {
            if ["waiting", "in-flight"].contains(&text(&call, "/state")) {
                missing.push(format!("the call {} is {}", text(&call, "/capability"), text(&call, "/state")));
            }
        }
        if stand.posts > 0 {
            missing.push("a result of the lab is not taken".to_owned());
        }
        self.quiet = if missing.is_empty() { self.quiet + 1 } else { 0 };
        if missing.is_empty() && self.quiet < QUIET_LOOKS {
            missing.push("nothing more happens, but only just".to_owned());
        }
        Ok(missing)
    }
}

/// The time of the day of a moment, in UTC.
fn clock(time: &str) -> String {
    time.get(11..19).unwrap_or(time).to_owned()
}

/// A chapter in the middle of a sentence.
fn chapter(chapter: Chapter) -> &'static str {
    match chapter {
        Chapter::Producing => "producing as ever",
        Chapter::Wearing => "wearing out",
        Chapter::WornOut => "worn out",
        Chapter::Repairing => "being repaired",
        Chapter::Repaired => "repaired",
    }
}
