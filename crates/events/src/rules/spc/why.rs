//! What a chart says of itself: its lines, its newest points, and what each run rule lacks.

use super::{Settings, State, run, told};
use crate::why::{Finding, Look, Reason};
use andon_contract::contract::RunPattern;
use andon_model::quantity::decimal;
use serde_json::{Map, Value as Json};

impl State {
    /// The lines in force.
    pub(crate) fn shown(&self, set: &Settings) -> Map<String, Json> {
        let mut all = Map::new();
        if let Some(lines) = self.lines(set) {
            all.insert("lines".to_owned(), told(lines, &set.unit));
        }
        all
    }

    /// Why it has not fired.
    pub(crate) fn why(&self, set: &Settings, look: &Look) -> Vec<Finding> {
        let mut all = Vec::new();
        for active in &self.active {
            let text = format!("the alarm of {} stands since {}", active.rule.word(), active.since);
            let mut finding = Finding::new(Reason::Fired, text).at(active.since);
            finding.event = Some(active.activation);
            all.push(finding);
        }
        let Some(lines) = self.lines(set) else {
            let (count, wanted) = (self.learning.count(), set.learn.map_or(0, |learn| learn.samples));
            let text = format!("the lines are not learned: {count} of {wanted} good samples so far");
            all.push(Finding::new(Reason::Learning, text).with("samples", count).with("of", wanted));
            return all;
        };
        let Some(newest) = self.points.last() else {
            let text = format!("no point was made: it takes {} good samples", set.subgroup);
            all.push(Finding::new(Reason::Learning, text));
            return all;
        };
        let time = self.samples.last().map(|raw| raw.time);
        for (rule, _) in &set.rules {
            let pattern = rule.pattern();
            if run(pattern, lines, &self.points).is_some() {
                continue;
            }
            let (wanted, known) = (pattern.points(), self.points.len());
            let (centre, sigma) = (decimal(lines.centre), decimal(lines.sigma));
            let text = if known < wanted && !matches!(pattern, RunPattern::Beyond { .. }) {
                format!("{} looks at {wanted} points, and there are {known}", rule.word())
            } else {
                let from = known.saturating_sub(wanted);
                let points = self.points.get(from..).unwrap_or_default();
                let points = points.iter().map(|point| decimal(*point)).collect::<Vec<_>>().join(", ");
                format!(
                    "{} ({}) is not made by the newest points of {}: {points}; centre {centre}, sigma {sigma}",
                    rule.word(),
                    words(pattern),
                    look.name(0)
                )
            };
            let mut finding = Finding::new(Reason::NotBeyond, text).with("point", *newest);
            finding.time = time;
            all.push(finding.with("centre", lines.centre).with("sigma", lines.sigma).with("rule", rule.word()));
        }
        all
    }
}

fn words(pattern: RunPattern) -> String {
    match pattern {
        RunPattern::Beyond { points: 1, sigma, .. } => format!("a point beyond {} sigma", decimal(sigma)),
        RunPattern::Beyond { points, of, sigma } if points == of => {
            format!("{points} in a row beyond {} sigma on one side", decimal(sigma))
        }
        RunPattern::Beyond { points, of, sigma } => {
            format!("{points} of {of} beyond {} sigma on one side", decimal(sigma))
        }
        RunPattern::Trend(points) => format!("{points} that rise or fall all the time"),
        RunPattern::Alternating(points) => format!("{points} that rise and fall in turn"),
        RunPattern::Within(points) => format!("{points} in a row within 1 sigma"),
        RunPattern::Without(points) => format!("{points} in a row beyond 1 sigma, some on either side"),
    }
}
