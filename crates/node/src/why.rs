//! Why a rule had not fired: the question of the API, answered by layer 2 from what is stored.

use crate::{
    backend::StoreBackend,
    clock,
    history::{fault, near},
};
use andon_api::{
    Problem,
    why::{WhyFinding, WhyNot, WhyQuery},
};
use andon_events::why::{Answer, Finding, Reason, why_not};
use andon_model::{AssetName, Name, Time, span::Span};
use serde_json::json;

/// So much of samples is shown around a time.
const AROUND: Span = Span::from_secs(600);

impl StoreBackend {
    /// Why a rule had not fired.
    pub(crate) fn why_not_of(&self, query: &WhyQuery) -> Result<WhyNot, Problem> {
        let now = clock::now();
        let at = query.at.at(now);
        if at > now {
            return Err(Problem::request(format!("{at} lies in the future")).remedy("name a time up to now"));
        }
        let (rule, asset) = (query.rule.trim(), query.asset.trim());
        let rules = || self.contract.rules.keys().map(Name::as_str);
        let assets = || self.contract.assets.keys().map(AssetName::as_str);
        let unknown_rule = || unknown("rule", rule, near(rule, rules()), "andon list rules");
        let unknown_asset =
            || unknown("asset", asset, near(asset, assets()), "andon list last shows what tells something");
        let rule_name = Name::new(rule).map_err(|_| unknown_rule())?;
        let asset_name = AssetName::new(asset).map_err(|_| unknown_asset())?;
        let answer = why_not(&self.store, &self.contract, &rule_name, &asset_name, at).map_err(|e| fault(&e))?;
        // Neither now nor then: it is rather misspelt.
        if answer.findings.first().is_some_and(|finding| finding.reason == Reason::NoRule) {
            if !rules().any(|known| known == rule) {
                return Err(unknown_rule());
            }
            if !assets().any(|known| known == asset) {
                return Err(unknown_asset());
            }
        }
        Ok(told(&answer))
    }
}

fn unknown(what: &str, name: &str, near: Option<&str>, list: &str) -> Problem {
    let problem = Problem::not_found(format!("there is no {what} {name:?}"));
    match near {
        Some(near) => problem.remedy(format!("did you mean {near}?")),
        None => problem.remedy(list),
    }
}

fn told(answer: &Answer) -> WhyNot {
    let next = |finding: &Finding| next(answer, finding);
    let findings = answer.findings.iter().map(|finding| WhyFinding {
        reason: json!(finding.reason).as_str().unwrap_or_default().to_owned(),
        text: finding.text.clone(),
        time: finding.time.map(|time| time.to_string()),
        values: json!(finding.values),
        event: finding.event.map(|event| event.to_string()),
        next: next(finding),
    });
    WhyNot {
        findings: findings.collect(),
        rule: answer.rule.to_string(),
        asset: answer.asset.to_string(),
        at: answer.at.to_string(),
        fired: answer.fired.map(|event| event.to_string()),
        contract: answer.contract.clone(),
        version: answer.version.clone(),
        from: answer.from.map(|from| from.to_string()),
        samples: answer.samples as u64,
        marks: answer.marks,
        signals: answer.signals.clone(),
    }
}

/// The command that shows more of it.
fn next(answer: &Answer, finding: &Finding) -> String {
    if let Some(event) = finding.event {
        return format!("andon explain {event}");
    }
    let Answer { rule, asset, at, .. } = answer;
    let signal = finding.values.get("signal").and_then(serde_json::Value::as_str);
    let signal = signal.or(answer.signals.first().map(String::as_str)).and_then(|name| name.split_once('/'));
    let samples = |around: Time| {
        let signal = signal.map_or_else(String::new, |(_, signal)| format!(" --signal {signal}"));
        let (from, to) = (around.minus(AROUND), around.plus(AROUND));
        format!("andon list samples --asset {asset}{signal} --from {from} --to {to}")
    };
    match finding.reason {
        Reason::NoRule => "andon list contracts".to_owned(),
        Reason::Disabled => format!("andon alarms enable --rule {rule} --asset {asset} --reason WHY"),
        Reason::Shelved => format!("andon alarms unshelve --rule {rule} --asset {asset} --reason WHY"),
        Reason::Disconnected | Reason::Silent | Reason::NoSample => "andon list sources".to_owned(),
        Reason::ContextUnknown | Reason::ContextStale => format!("andon list objects --where asset={asset}"),
        Reason::ConditionFailed | Reason::ConditionUnknown | Reason::Suppressed => {
            format!("andon list samples --asset {asset} --from {} --to {}", at.minus(AROUND), at.plus(AROUND))
        }
        Reason::Fired | Reason::Told => "andon list events".to_owned(),
        _ => samples(finding.time.unwrap_or(*at)),
    }
}
