//! Which events a workflow consumes: what starts it, and what its tasks wait for.

use super::{ATTRIBUTES, Scope, Vars};
use crate::{
    checks::{
        expressions::{Expr, Told, expression},
        shapes::{Nowhere, follow},
    },
    codes,
    expr::{Step, paths_read},
    files::workflows::{CatchupWord, CorrelateFile, EventFilterFile, MetadataFile, ScheduleFile, StrategyFile},
    problem::{Finding, Spot},
    read::{At, Entries, Raw},
    tree::{Kind, Plain},
    workflow::{Catchup, Consumption, Correlation, DataFilter, EventFilter, Mapping, Schedule, Until},
};
use andon_model::span::Span;
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// Filters of one strategy at most.
const FILTERS_MAX: usize = 64;
/// The shortest time between two runs of a schedule.
const EVERY_MIN: Span = Span::from_secs(1);

impl Scope<'_> {
    /// What starts runs by itself.
    pub(super) fn schedule(&mut self, file: &At<ScheduleFile>) -> Result<Schedule, Told> {
        let told = [file.on.is_some(), file.every.is_some(), file.after.is_some(), file.cron.is_some()];
        if told.iter().filter(|there| **there).count() != 1 {
            let finding = Finding::error(codes::SCHEDULE, file.spot, "a schedule is one thing, and this one is not");
            self.project.push(
                finding
                    .expected("one of `on`, `every`, `after`, `cron`")
                    .help("keep one; write another workflow for another schedule"),
            );
            return Err(Told);
        }
        if let Some(on) = &file.on {
            return self.strategy(on, None).map(Schedule::On);
        }
        if let Some(raw) = file.every {
            return self.pause(raw).map(Schedule::Every);
        }
        if let Some(raw) = file.after {
            return self.pause(raw).map(Schedule::After);
        }
        let cron = file.cron.as_ref().ok_or(Told)?;
        match crate::cron::Cron::parse(cron) {
            Ok(_) => Ok(Schedule::Cron(cron.value.clone())),
            Err(error) => {
                let message = format!("`{}` is no cron expression: {}", cron.value, error.message);
                let finding = Finding::error(codes::SCHEDULE, cron.spot, message);
                self.project.push(finding.expected(error.expected).help("correct the expression"));
                Err(Told)
            }
        }
    }

    /// A time between runs.
    fn pause(&mut self, raw: Raw) -> Result<Span, Told> {
        let span = self.span(raw)?;
        if span < EVERY_MIN {
            let finding = Finding::error(codes::SCHEDULE, raw.spot, "runs would follow each other without a pause");
            self.project.push(finding.expected("a duration of 1 s or more").help("correct the duration"));
            return Err(Told);
        }
        Ok(span)
    }

    /// Which missed instants are made up for.
    pub(super) fn catchup(&self, file: &MetadataFile, schedule: Option<&ScheduleFile>) -> Catchup {
        let Some(word) = &file.catchup else { return Catchup::default() };
        if !schedule.is_some_and(|schedule| schedule.cron.is_some() || schedule.every.is_some()) {
            let finding = Finding::error(codes::SCHEDULE, word.spot, "this workflow has no planned instants");
            self.project.push(finding.expected("beside `schedule.cron` or `schedule.every`").help("leave it out"));
        }
        match word.value {
            CatchupWord::Last => Catchup::Last,
            CatchupWord::All => Catchup::All,
            CatchupWord::None => Catchup::None,
        }
    }

    /// Which events are consumed; `vars` are those of the run, of which a schedule has none.
    pub(super) fn strategy(&mut self, file: &At<StrategyFile>, vars: Option<&Vars>) -> Result<Consumption, Told> {
        let told = [file.one.is_some(), file.any.is_some(), file.all.is_some()];
        if told.iter().filter(|there| **there).count() != 1 {
            let finding =
                Finding::error(codes::EVENTS, file.spot, "which events are meant is told in no way, or in several");
            self.project.push(finding.expected("one of `one`, `any`, `all`").help("keep one"));
            return Err(Told);
        }
        let until = self.until(file, vars);
        if let Some(one) = &file.one {
            let filter = self.event_filter(one, vars);
            until?;
            return Ok(Consumption::One(filter?));
        }
        let filters = file.any.as_ref().or(file.all.as_ref().map(|all| &all.value)).ok_or(Told)?;
        if filters.good.len() > FILTERS_MAX {
            let message = format!("{} events are meant; {FILTERS_MAX} are the limit", filters.good.len());
            let finding = Finding::error(codes::EVENTS, file.spot, message);
            self.project.push(finding.help("take the workflow apart"));
        }
        let read: Vec<Result<EventFilter, Told>> =
            filters.iter().take(FILTERS_MAX).map(|filter| self.event_filter(filter, vars)).collect();
        let read: Vec<EventFilter> = read.into_iter().collect::<Result<_, _>>()?;
        if filters.spoilt > 0 {
            return Err(Told);
        }
        if read.is_empty() && (file.all.is_some() || vars.is_none()) {
            let finding = Finding::error(codes::EVENTS, file.spot, "no event is named, so every event would be meant");
            self.project.push(finding.expected("`- { with: { type: ... } }`").help("name the types of events"));
            return Err(Told);
        }
        if file.all.is_some() && vars.is_none() {
            self.belong_together(file, &read)?;
        }
        if file.all.is_some() {
            Ok(Consumption::All(read))
        } else {
            Ok(Consumption::Any { filters: read, until: until? })
        }
    }

    /// Events that start a run together belong together by the same names.
    fn belong_together(&self, file: &At<StrategyFile>, filters: &[EventFilter]) -> Result<(), Told> {
        let names = |filter: &EventFilter| {
            let open = filter.correlate.iter().filter(|correlation| correlation.expect.is_none());
            open.map(|correlation| correlation.name.clone()).collect::<BTreeSet<_>>()
        };
        let Some(first) = filters.first().map(names) else { return Ok(()) };
        let Some(other) = filters.iter().map(names).find(|other| *other != first) else { return Ok(()) };
        let name = first.symmetric_difference(&other).next().cloned().unwrap_or_default();
        let message = format!("`{name}` is told of one event and not of the others, so they would never be together");
        let finding = Finding::error(codes::EVENTS, file.spot, message);
        self.project.push(
            finding
                .expected("`correlate` with the same names at each event")
                .help("say of each event where the value stands, or leave it out at all of them"),
        );
        Err(Told)
    }

    /// When a listener has enough.
    fn until(&mut self, file: &At<StrategyFile>, vars: Option<&Vars>) -> Result<Option<Until>, Told> {
        let Some(raw) = file.until else { return Ok(None) };
        let refused = match (vars, &file.any) {
            (None, _) => Some(("a schedule goes on for ever", "leave it out; each event that passes starts a run")),
            (_, None) => Some(("`until` stands beside `any` only", "leave it out, or write `any: [...]`")),
            _ => None,
        };
        if let Some((message, help)) = refused {
            self.project.push(Finding::error(codes::EVENTS, raw.spot, message).help(help));
            return Err(Told);
        }
        let vars = vars.ok_or(Told)?;
        let tree = self.project.findings.tree(raw.spot.file).ok_or(Told)?;
        match (&tree.node(raw.spot.node).kind, tree.scalar(raw.spot.node)) {
            (_, Some(Plain::Bool(false))) => Ok(Some(Until::Never)),
            (Kind::Scalar { text, .. }, _) => self.program(text, raw.spot, vars).map(|p| Some(Until::Condition(p))),
            _ => {
                let inner: At<StrategyFile> = self.read(raw.spot)?;
                if let Some(nested) = inner.until {
                    let message = "what ends the listening is not ended by something else again";
                    let finding = Finding::error(codes::EVENTS, nested.spot, message);
                    let finding = finding.expected("`one`, `any` or `all` alone");
                    self.project.push(finding.help("leave out the inner `until`"));
                    return Err(Told);
                }
                self.strategy(&inner, Some(vars)).map(|events| Some(Until::Events(Box::new(events))))
            }
        }
    }

    /// Which event is meant.
    fn event_filter(&mut self, file: &EventFilterFile, vars: Option<&Vars>) -> Result<EventFilter, Told> {
        let with = &file.with;
        let kind = &with.kind;
        let known = &self.schemas.events;
        let is_known = self.open || known.expect(self.project, codes::UNKNOWN_EVENT, kind.spot, "type of event", kind);
        let written = [
            ("id", with.id),
            ("source", with.source),
            ("subject", with.subject),
            ("time", with.time),
            ("dataschema", with.dataschema),
            ("site", with.site),
            ("partitionkey", with.partitionkey),
            ("correlationid", with.correlationid),
            ("causationid", with.causationid),
        ];
        let mut attributes = Vec::new();
        let mut whole = is_known;
        for (name, raw) in written.into_iter().filter_map(|(name, raw)| Some((name, raw?))) {
            match self.text(raw, vars.unwrap_or(&Vars::none())).and_then(|value| self.fixed(value, raw.spot, vars)) {
                Ok(value) => attributes.push((name.to_owned(), value)),
                Err(Told) => whole = false,
            }
        }
        let data = with.data.map(|raw| self.data_filter(raw, kind, vars)).transpose();
        let correlate = self.correlate(file.correlate.as_ref(), kind, vars);
        if !whole {
            return Err(Told);
        }
        Ok(EventFilter { kind: kind.value.clone(), attributes, data: data?, correlate: correlate? })
    }

    /// A value that is fixed where there is no run.
    fn fixed(&self, value: Mapping, spot: Spot, vars: Option<&Vars>) -> Result<Mapping, Told> {
        if vars.is_some() || matches!(value, Mapping::Constant(_)) {
            return Ok(value);
        }
        let finding = Finding::error(codes::EVENTS, spot, "there is no run yet that an expression could look at");
        self.project
            .push(finding.expected("a value").help("write the value; filter over the data by `data: ${ ... }`"));
        Err(Told)
    }

    /// What the data of an event must be.
    fn data_filter(&mut self, raw: Raw, kind: &str, vars: Option<&Vars>) -> Result<DataFilter, Told> {
        let tree = self.project.findings.tree(raw.spot.file).ok_or(Told)?;
        if let Some(text) = tree.text(raw.spot.node) {
            let text = At { value: text.to_owned(), spot: raw.spot };
            let expr = expression(self.project, &text, &[]).ok_or(Told)?;
            if let Some(schema) = self.schemas.json(kind) {
                expr.check_reads(self.project, schema, kind);
            }
            return Ok(DataFilter::Holds(expr.program));
        }
        let value = self.object(raw, vars.unwrap_or(&Vars::none()))?;
        self.fields(raw, kind);
        let value = if vars.is_none() { self.fixed(value, raw.spot, vars)? } else { value };
        Ok(DataFilter::Equals(value))
    }

    fn correlate(
        &mut self,
        file: Option<&Entries<String, CorrelateFile>>,
        kind: &str,
        vars: Option<&Vars>,
    ) -> Result<Vec<Correlation>, Told> {
        let Some(file) = file else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        let mut whole = file.spoilt.is_empty();
        for (name, correlation) in &file.good {
            let from = self.expr(&correlation.from, correlation.from.spot, &Vars::none());
            if let Ok(from) = &from {
                self.exprs.pop();
                self.check_event(from, kind);
            }
            let expect = correlation.expect.as_ref().map(|text| self.expected(text, vars)).transpose();
            match (from, expect) {
                (Ok(from), Ok(expect)) => {
                    all.push(Correlation { name: name.value.clone(), from: from.program, expect });
                }
                _ => whole = false,
            }
        }
        whole.then_some(all).ok_or(Told)
    }

    /// What a correlation must be: an expression, also without `${ }` where it begins with `.` or `$`, or a text.
    fn expected(&mut self, text: &At<String>, vars: Option<&Vars>) -> Result<Mapping, Told> {
        let is_expression = text.trim_start().starts_with(['.', '$']);
        let value = if is_expression {
            Mapping::Expression(self.program(text, text.spot, vars.unwrap_or(&Vars::none()))?)
        } else {
            Mapping::Constant(Json::from(text.as_str()))
        };
        self.fixed(value, text.spot, vars)
    }

    /// Paths of an expression that looks at an event.
    fn check_event(&self, expr: &Expr, kind: &str) {
        let Some(schema) = self.schemas.json(kind) else { return };
        for read in paths_read(&expr.program).iter().filter(|read| read.of.is_none()) {
            let [Step::Key(attribute), rest @ ..] = read.path.as_slice() else { continue };
            let found = match attribute.as_str() {
                "data" => follow(schema, rest),
                known if ATTRIBUTES.contains(&known) => Ok(()),
                _ => Err(Nowhere { key: attribute.clone(), known: ATTRIBUTES.map(str::to_owned).to_vec() }),
            };
            if let Err(Nowhere { key, known }) = found {
                let message = format!("`{read}` leads nowhere: an event `{kind}` has no `{key}` there");
                let finding = Finding::error(codes::NO_SUCH_PATH, expr.place(self.project, &read.at), message);
                let finding = finding.known(&key, known.iter().map(String::as_str));
                self.project.push(finding.help("correct the path, or extend the schema of the event"));
            }
        }
    }
}

/// The types of events that a consumption starts with.
pub(super) fn kinds(consumption: &Consumption) -> Vec<&str> {
    match consumption {
        Consumption::One(filter) => vec![filter.kind.as_str()],
        Consumption::Any { filters, .. } | Consumption::All(filters) => {
            filters.iter().map(|filter| filter.kind.as_str()).collect()
        }
    }
}
