//! `andon why-not`: what kept a rule from firing for an asset at a time.

use super::samples::moment;
use crate::{
    args::Why,
    output::{self, NO},
    target::Target,
};
use andon_api::{
    samples::Moment,
    why::{WhyNot, WhyQuery},
};
use andon_model::span::Span;
use std::process::ExitCode;

pub(super) fn run(args: &Why) -> anyhow::Result<ExitCode> {
    let query = WhyQuery {
        rule: args.rule.clone(),
        asset: args.asset.clone(),
        at: moment("--at", args.at.as_ref(), Moment::Ago(Span::ZERO))?,
    };
    let answer = Target::find(&args.instance)?.why_not(&query)?;
    if args.instance.json {
        output::line(serde_json::to_string(&answer)?);
    } else {
        told(&answer).into_iter().for_each(output::line);
    }
    Ok(if answer.fired.is_some() { ExitCode::from(NO) } else { ExitCode::SUCCESS })
}

/// The answer as people read it.
fn told(answer: &WhyNot) -> Vec<String> {
    let WhyNot { rule, asset, at, .. } = answer;
    let mut lines = vec![match &answer.fired {
        Some(event) => format!("{rule} had fired for {asset} at {at}: {event}"),
        None => format!("{rule} had not fired for {asset} at {at}:"),
    }];
    for (number, finding) in answer.findings.iter().enumerate() {
        lines.push(format!("  {}. {} ({})", number + 1, finding.text, finding.reason));
        lines.push(format!("     next: {}", finding.next));
    }
    if answer.findings.is_empty() {
        lines.push("  nothing that is stored says why".to_owned());
    }
    if let Some(from) = &answer.from {
        let marks = if answer.marks { "" } else { ", without the marks of the log" };
        lines.push(format!("  replayed from {from}: {} samples{marks}", answer.samples));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_api::why::WhyFinding;
    use serde_json::json;

    #[test]
    fn an_answer_reads_well() {
        let finding = |reason: &str, text: &str, next: &str| WhyFinding {
            reason: reason.into(),
            text: text.into(),
            time: None,
            values: json!({}),
            event: None,
            next: next.into(),
        };
        let answer = WhyNot {
            rule: "cartoner-vibration".into(),
            asset: "cartoner-07".into(),
            at: "2026-03-02T08:00:05Z".into(),
            fired: None,
            contract: "9f2c".into(),
            version: Some("71aa".into()),
            from: Some("2026-03-02T07:50:05Z".into()),
            samples: 600,
            marks: false,
            signals: vec!["cartoner-07/vibration".into()],
            findings: vec![
                finding("condition-failed", "when state is Execute: it was Idle did not hold", "andon list samples"),
                finding("not-beyond", "vibration was 4.2 mm/s: not beyond High 7.1", "andon list samples"),
            ],
        };
        assert_eq!(
            told(&answer),
            [
                "cartoner-vibration had not fired for cartoner-07 at 2026-03-02T08:00:05Z:",
                "  1. when state is Execute: it was Idle did not hold (condition-failed)",
                "     next: andon list samples",
                "  2. vibration was 4.2 mm/s: not beyond High 7.1 (not-beyond)",
                "     next: andon list samples",
                "  replayed from 2026-03-02T07:50:05Z: 600 samples, without the marks of the log",
            ]
        );
    }
}
