//! OEE as the API tells it.

use crate::{
    backend::StoreBackend,
    clock,
    history::{fault, stretch},
};
use andon_api::{
    Problem,
    oee::{OeePage, OeePart, OeeQuery, OeeTimes},
};
use andon_contract::contract::RuleKind;
use andon_model::{AssetName, span::Span};
use andon_observe::oee::{By, Oee, OeeError, Question, ask};

impl StoreBackend {
    pub(crate) fn oee_of(&self, query: &OeeQuery) -> Result<OeePage, Problem> {
        let asset = self.asset(&query.asset)?.0;
        let now = clock::now();
        let (from, to) = stretch(query.from.at(now), query.to.at(now))?;
        let by = By::of(&query.by).ok_or_else(|| Problem::request(format!("{:?} divides nothing", query.by)))?;
        let known = self.contract.assets.get(&asset);
        let question = Question {
            site: known
                .map(|known| known.site.clone())
                .ok_or_else(|| Problem::not_found(format!("{asset} has no site")))?,
            line: known.and_then(|known| known.line.clone()),
            // What is not over yet is judged up to now.
            to: to.min(now.max(from)),
            from,
            by,
            rule: query.rule.clone(),
            kinds: self.kinds_of(&asset),
            asset,
        };
        let parts = ask(&self.store, &question).map_err(|error| match error {
            OeeError::Store(error) => fault(&error),
            OeeError::Rules { .. } => Problem::request(error.to_string()).remedy("name one with `rule`"),
            OeeError::TooMuch(cause) => Problem::request(cause).remedy("ask for a shorter time"),
        })?;
        Ok(OeePage { asset: question.asset.to_string(), by: query.by.clone(), parts: parts.iter().map(part).collect() })
    }
}

impl StoreBackend {
    /// What rules of the project count of an asset.
    fn kinds_of(&self, asset: &AssetName) -> Vec<String> {
        let settings = self.contract.rules.values().filter_map(|rule| rule.assets.get(asset));
        let counts = settings.filter_map(|settings| match &settings.kind {
            RuleKind::Counter(counter) => Some(counter.counts.iter().map(|kind| kind.word().to_owned())),
            _ => None,
        });
        counts.flatten().collect()
    }
}

fn part(of: &Oee) -> OeePart {
    let times = of.times;
    OeePart {
        of: of.of.clone(),
        from: of.from.to_string(),
        to: of.to.to_string(),
        times: OeeTimes {
            production: seconds(times.production),
            setup: seconds(times.setup),
            delay: seconds(times.delay),
            idle: seconds(times.idle),
            planned_down: seconds(times.planned_down),
            unknown: seconds(times.unknown),
        },
        planned_busy: seconds(of.planned_busy),
        produced: of.counted.produced,
        good: of.counted.good,
        reject: of.counted.reject,
        over_gaps: of.counted.over_gaps,
        planned_run: of.planned_run.map(seconds),
        availability: of.availability,
        effectiveness: of.effectiveness,
        quality: of.quality,
        oee: of.oee,
        nee: of.nee,
        missing: of.missing.clone(),
    }
}

fn seconds(span: Span) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "seconds for people; 2^53 ns are 104 days, and then a ns is lost")]
    let nanos = span.nanos() as f64;
    nanos / 1e9
}
