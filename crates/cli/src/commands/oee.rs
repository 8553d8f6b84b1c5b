//! `andon oee`: overall equipment effectiveness of an asset, with every part of its formula.

use super::samples::moment;
use crate::{
    args::Oee,
    output::{self, NO},
    target::Target,
};
use andon_api::oee::{OeePart, OeeQuery};
use std::process::ExitCode;

pub(super) fn run(args: &Oee) -> anyhow::Result<ExitCode> {
    let default = OeeQuery::default();
    let query = OeeQuery {
        asset: args.asset.clone(),
        from: moment("--from", args.from.as_ref(), default.from)?,
        to: moment("--to", args.to.as_ref(), default.to)?,
        by: args.by.clone(),
        rule: args.rule.clone(),
    };
    let target = Target::find(&args.instance)?;
    let page = target.oee(&query)?;
    if args.instance.json {
        for part in &page.parts {
            output::line(serde_json::to_string(part)?);
        }
    } else {
        page.parts.iter().flat_map(told).for_each(output::line);
    }
    if page.parts.is_empty() {
        output::hint(format!(
            "nothing of that kind was valid for {} in this time: --by all judges all of it",
            page.asset
        ));
        return Ok(ExitCode::from(NO));
    }
    Ok(ExitCode::SUCCESS)
}

/// The formula of a part as people write it.
fn told(part: &OeePart) -> Vec<String> {
    let of = part.of.as_deref().map(|of| format!("{of}  ")).unwrap_or_default();
    let times = &part.times;
    let mut lines = vec![
        format!("{of}{} to {}", part.from, part.to),
        format!("  OEE            {:>8} = availability x effectiveness x quality", percent(part.oee)),
        format!(
            "  availability   {:>8} = production {} / planned busy {}",
            percent(part.availability),
            length(times.production),
            length(part.planned_busy)
        ),
        format!(
            "  effectiveness  {:>8} = planned run time of what was produced {} / production {}",
            percent(part.effectiveness),
            part.planned_run.map_or_else(|| "-".to_owned(), length),
            length(times.production)
        ),
        format!(
            "  quality        {:>8} = good {} / produced {}",
            percent(part.quality),
            count(part.good),
            count(part.produced)
        ),
        format!("  NEE            {:>8}   with the setups as used", percent(part.nee)),
        format!(
            "  times          production {}, setup {}, delay {}, idle {}, planned down {}, unknown {}",
            length(times.production),
            length(times.setup),
            length(times.delay),
            length(times.idle),
            length(times.planned_down),
            length(times.unknown)
        ),
        format!(
            "  counted        produced {}, good {}, reject {}",
            count(part.produced),
            count(part.good),
            count(part.reject)
        ),
    ];
    if part.over_gaps > 0 {
        lines.push(format!("  {} of them were counted over a gap: their time is not known", part.over_gaps));
    }
    lines.extend(part.missing.iter().map(|why| format!("  unknown: {why}")));
    lines
}

fn percent(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{:.1} %", ratio * 100.0))
}

fn count(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

/// Hours, minutes and seconds.
fn length(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a time is not negative, and saturates"
    )]
    let whole = seconds.round() as u64;
    format!("{}:{:02}:{:02}", whole / 3_600, whole / 60 % 60, whole % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_api::oee::OeeTimes;

    #[test]
    fn the_formula_stands_with_its_parts() {
        let times = OeeTimes {
            production: 19_800.0,
            setup: 2_400.0,
            delay: 3_000.0,
            idle: 0.0,
            planned_down: 3_600.0,
            unknown: 0.0,
        };
        let part = OeePart {
            of: Some("Shift/hamburg/early".into()),
            from: "2026-11-26T06:00:00Z".into(),
            to: "2026-11-26T14:00:00Z".into(),
            times,
            planned_busy: 25_200.0,
            produced: Some(600),
            good: Some(570),
            reject: Some(30),
            over_gaps: 4,
            planned_run: Some(18_000.0),
            availability: Some(0.785_714),
            effectiveness: Some(0.909_091),
            quality: Some(0.95),
            oee: Some(0.678_571),
            nee: None,
            missing: vec!["quality: nothing was produced".into()],
        };
        insta::assert_snapshot!(told(&part).join("\n"));
    }
}
