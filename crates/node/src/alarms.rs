//! Alarms: what stands and what keeps it quiet, and what a person does to it.

use crate::{audit::audited, backend::StoreBackend, clock, given, history::fault};
use andon_api::{
    Page, Problem, Query,
    alarms::{Act, Alarm, Control, ControlQuery},
};
use andon_events::alarms::{AlarmRow, GateState};
use andon_model::{
    Entry, Mark, Name, Time,
    sample::{Control as Done, ControlAct, Part},
};
use andon_store::Store;
use serde_json::json;
use std::{collections::BTreeMap, path::Path};

impl StoreBackend {
    /// The alarms that stand, and what is shelved, suppressed or disabled.
    pub(crate) fn alarms(&self, query: &Query) -> Result<Page, Problem> {
        let rows = self.alarm_rows()?;
        Ok(crate::page::page_of(rows.into_iter().map(|row| json!(alarm(row))), query))
    }

    fn alarm_rows(&self) -> Result<Vec<AlarmRow>, Problem> {
        andon_events::alarms::alarms(&self.store)
            .map_err(|e| Problem::fault(e.to_string()).remedy("the log of the instance says more"))
    }

    /// How many alarms stand, and how many rules for assets are kept quiet, by what.
    pub(crate) fn count_alarms(&self, counts: &mut BTreeMap<String, u64>) -> Result<(), Problem> {
        let rows = self.alarm_rows()?;
        let mut gates: BTreeMap<(&Name, &str), GateState> = BTreeMap::new();
        for row in &rows {
            gates.insert((&row.rule, row.asset.as_str()), row.gate);
        }
        let active = rows.iter().filter(|row| row.alarm.as_ref().is_some_and(|alarm| alarm.raised)).count();
        counts.insert("alarms.active".to_owned(), active as u64);
        for gate in [GateState::Shelved, GateState::Suppressed, GateState::Disabled] {
            let of = gates.values().filter(|found| **found == gate).count();
            counts.insert(format!("alarms.{}", gate.word()), of as u64);
        }
        Ok(())
    }

    /// Writes what a person does into the log; rules read it there.
    pub(crate) fn control_alarm(&self, query: &ControlQuery, stopped: Option<&Path>) -> Result<Control, Problem> {
        let (rule, asset) = (query.rule.as_str(), query.asset.as_str());
        let Some((rule, of)) = self.contract.rules.get_key_value(rule) else {
            let problem = Problem::not_found(format!("there is no rule {rule:?}"));
            return Err(problem.remedy("correct the name; `andon list rules` names them all"));
        };
        let Some((asset, _)) = of.assets.get_key_value(asset) else {
            let problem = Problem::not_found(format!("the rule {rule} does not hold for an asset {asset:?}"));
            return Err(problem.remedy(format!("it holds for the assets of the class {}", of.class)));
        };
        let site = self.contract.assets.get(asset).map(|asset| asset.site.clone());
        let site = site.ok_or_else(|| Problem::fault(format!("the asset {asset} has no site")))?;
        let at = clock::now();
        let act = match query.act {
            Act::Shelve { within, once } => {
                let max = self.contract.shelving.max_of(rule);
                if within.is_some_and(|within| within > max) {
                    let asked = within.unwrap_or(max);
                    let problem =
                        Problem::content(format!("alarms of {rule} are shelved for {max} at most, not {asked}"));
                    return Err(
                        problem.remedy("shelve them again later, or set MaxTimeShelved in policies/shelving.yaml")
                    );
                }
                // Whole milliseconds, which people can read.
                let until = Time::from_millis(at.plus(within.unwrap_or(max)).0.div_euclid(1_000_000));
                ControlAct::Shelve { until, once }
            }
            Act::Unshelve => ControlAct::Unshelve,
            Act::Disable => ControlAct::Disable,
            Act::Enable => ControlAct::Enable,
        };
        let (actor, reason) = (query.actor.clone(), query.reason.clone());
        let done = Done { rule: rule.clone(), asset: asset.clone(), act, at, actor, reason };
        let mut part = Part::new(site, Name::new("andon").expect("it is a name"));
        part.entries.push(Entry::Mark(Mark::Control(Box::new(done))));
        let opened = stopped.map(|dir| Store::open(dir, &mut given::chance)).transpose();
        let store = opened.map_err(|e| Problem::unavailable(e.to_string()).remedy("ask the instance that holds it"))?;
        let written = store.as_ref().unwrap_or(&self.store).append(vec![part]).map_err(|e| match e {
            full if full.is_full() => Problem::unavailable(full.to_string()).remedy("free space, and ask again"),
            other => fault(&other),
        })?;
        let position = written.first().map_or_else(String::new, |batch| batch.first.to_string());
        let (until, once) = match act {
            ControlAct::Shelve { until, once } => (Some(until.to_string()), once),
            _ => (None, false),
        };
        let detail = json!({ "reason": query.reason, "until": until, "once": once, "position": position });
        let act = format!("alarm.{}", query.act.word());
        audited(store.as_ref().unwrap_or(&self.store), &query.actor, &act, format!("{rule}/{asset}"), detail)?;
        Ok(Control {
            rule: rule.to_string(),
            asset: asset.to_string(),
            act: query.act.word().to_owned(),
            actor: query.actor.clone(),
            reason: query.reason.clone(),
            at: at.to_string(),
            until,
            once,
            position,
        })
    }
}

fn alarm(row: AlarmRow) -> Alarm {
    let standing = row.alarm.as_ref();
    Alarm {
        rule: row.rule.to_string(),
        asset: row.asset.to_string(),
        site: row.site.to_string(),
        active: standing.is_some(),
        raised: standing.is_some_and(|alarm| alarm.raised),
        gate: row.gate.word().to_owned(),
        condition: standing.map(|alarm| alarm.condition.to_owned()),
        limit: standing.and_then(|alarm| alarm.limit).map(str::to_owned),
        outcome: standing.and_then(|alarm| alarm.outcome.clone()),
        severity: standing.map(|alarm| alarm.severity),
        since: standing.map(|alarm| alarm.since.to_string()),
        event: standing.map(|alarm| alarm.event.to_string()),
        actor: row.actor,
        reason: row.reason,
        until: row.until.map(|until| until.to_string()),
        once: row.once,
    }
}
