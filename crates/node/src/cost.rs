//! What rules cost: their states from the store, their time from the instance that runs.

use crate::backend::StoreBackend;
use andon_api::{Page, Problem, Query, cost::RuleCost};
use andon_events::engine::{Cost, Costs};
use serde_json::json;
use std::collections::BTreeMap;

impl StoreBackend {
    /// A row for each rule, the dearest first, and behind them one for each class.
    pub(crate) fn rule_costs(&self, query: &Query) -> Result<Page, Problem> {
        let failed =
            |e: andon_events::StartError| Problem::fault(e.to_string()).remedy("the log of the instance says more");
        let kept = andon_events::cost::kept(&self.store).map_err(failed)?;
        let mut active: BTreeMap<String, u64> = BTreeMap::new();
        for row in andon_events::alarms::alarms(&self.store).map_err(failed)? {
            *active.entry(row.rule.to_string()).or_default() += u64::from(row.alarm.is_some());
        }
        let costs = self.costs();
        let whole: u64 = costs.iter().flat_map(|costs| costs.rules.values()).map(|cost| cost.nanos).sum();
        let mut rules: Vec<(Cost, RuleCost)> = Vec::new();
        let mut classes: BTreeMap<String, (Cost, RuleCost)> = BTreeMap::new();
        for (name, rule) in &self.contract.rules {
            let cost = costs.as_ref().and_then(|costs| costs.rules.get(name)).copied().unwrap_or_default();
            let row = RuleCost {
                of: "rule".to_owned(),
                rule: Some(name.to_string()),
                kind: rule.assets.values().next().map(|settings| settings.kind.word().to_owned()),
                class: rule.class.to_string(),
                signal: Some(rule.signal.to_string()),
                assets: rule.assets.len() as u64,
                active: active.get(name.as_str()).copied().unwrap_or_default(),
                state_bytes: kept.get(name).map_or(0, |kept| kept.bytes),
                ..RuleCost::default()
            };
            let (sum, of_class) = classes.entry(row.class.clone()).or_insert_with(|| {
                let of_class = RuleCost { of: "class".to_owned(), class: row.class.clone(), ..RuleCost::default() };
                (Cost::default(), of_class)
            });
            sum.evaluations = sum.evaluations.saturating_add(cost.evaluations);
            sum.nanos = sum.nanos.saturating_add(cost.nanos);
            of_class.assets = of_class.assets.saturating_add(row.assets);
            of_class.active = of_class.active.saturating_add(row.active);
            of_class.state_bytes = of_class.state_bytes.saturating_add(row.state_bytes);
            rules.push((cost, row));
        }
        rules.sort_by_key(|(cost, row)| (std::cmp::Reverse((cost.nanos, row.state_bytes)), row.rule.clone()));
        let all = rules.into_iter().chain(classes.into_values());
        let told = all.map(|(cost, row)| json!(timed(row, cost, whole, costs.as_ref())));
        Ok(crate::page::page_of(told, query))
    }
}

/// With its time, where that is measured.
fn timed(row: RuleCost, cost: Cost, whole: u64, costs: Option<&Costs>) -> RuleCost {
    let Some(costs) = costs else { return row };
    let span = u64::try_from(costs.span.nanos()).unwrap_or(0);
    RuleCost {
        evaluations: Some(cost.evaluations),
        ns_per_evaluation: ratio(cost.nanos, cost.evaluations),
        share_percent: ratio(cost.nanos, whole).map(percent),
        core_percent: ratio(cost.nanos, span).map(percent),
        ..row
    }
}

#[expect(clippy::cast_precision_loss, reason = "measured times need no 64 bits")]
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64).map(|ratio| (ratio * 1e6).round() / 1e6)
}

fn percent(ratio: f64) -> f64 {
    (ratio * 1e6).round() / 1e4
}
