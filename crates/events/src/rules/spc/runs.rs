//! Run rules: whether the newest points of a chart make a pattern.

use andon_contract::contract::{Lines, RunPattern};

/// How many of the newest points make the pattern; `None` where they do not.
pub fn run(pattern: RunPattern, lines: Lines, points: &[f64]) -> Option<usize> {
    let newest = *points.last()?;
    let Lines { centre, sigma } = lines;
    let last = |count: usize| points.get(points.len().checked_sub(count)?..);
    match pattern {
        RunPattern::Beyond { points: wanted, of, sigma: times } => {
            let (low, high) = (centre - times * sigma, centre + times * sigma);
            let above = newest > high;
            if !above && newest >= low {
                return None;
            }
            let beyond = |point: f64| if above { point > high } else { point < low };
            let found = points.iter().rev().take(of).enumerate().filter(|(_, point)| beyond(**point));
            found.map(|(back, _)| back + 1).nth(wanted.checked_sub(1)?)
        }
        RunPattern::Trend(count) => {
            let run = last(count)?;
            let steps = || run.windows(2).filter_map(|pair| pair.first().zip(pair.last()));
            let one_way = steps().all(|(a, b)| a < b) || steps().all(|(a, b)| a > b);
            one_way.then_some(count)
        }
        RunPattern::Alternating(count) => {
            let run = last(count)?;
            let turns = run.windows(3).all(|three| match three {
                [a, b, c] => (a < b && b > c) || (a > b && b < c),
                _ => false,
            });
            turns.then_some(count)
        }
        RunPattern::Within(count) => {
            let run = last(count)?;
            let within = |point: &f64| *point >= centre - sigma && *point <= centre + sigma;
            run.iter().all(within).then_some(count)
        }
        RunPattern::Without(count) => {
            let run = last(count)?;
            let above = run.iter().filter(|point| **point > centre + sigma).count();
            let below = run.iter().filter(|point| **point < centre - sigma).count();
            (above + below == count && above > 0 && below > 0).then_some(count)
        }
    }
}

/// The line that a pattern is about, on the side of the newest point; the centre where it is about none.
pub fn setting(pattern: RunPattern, lines: Lines, newest: f64) -> f64 {
    let times = match pattern {
        RunPattern::Beyond { sigma, .. } => sigma,
        RunPattern::Within(_) | RunPattern::Without(_) => 1.0,
        RunPattern::Trend(_) | RunPattern::Alternating(_) => 0.0,
    };
    let side = if newest < lines.centre { -1.0 } else { 1.0 };
    lines.centre + side * times * lines.sigma
}
