//! A small chart in text: braille dots between the lowest and the highest value of each column.

use andon_api::samples::Series;
use andon_model::Time;
use std::fmt::Write as _;

/// Characters that the chart is wide, without its scale.
pub(crate) const WIDTH: usize = 72;
/// Lines that the chart is high.
pub(crate) const HEIGHT: usize = 8;
/// Dots in a character, across and down.
const DOTS: (usize, usize) = (2, 4);
/// The bits of the dots of a braille character, by column and line.
const BITS: [[u32; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

/// The lowest and the highest value of a column of dots.
type Column = Option<(f64, f64)>;

/// The chart of a series: a scale to the left, the times below. Without buckets there is none.
pub(crate) fn chart(series: &Series, width: usize, height: usize) -> String {
    let (columns, from, to) = columns(series, width * DOTS.0);
    let known = columns.iter().flatten();
    let (low, high) =
        known.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (min, max)| (low.min(*min), high.max(*max)));
    if low > high {
        return String::new();
    }
    let scale = Scale { low, high, dots: height * DOTS.1 };
    let labels = labels(&scale, height);
    let margin = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (line, label) in labels.iter().enumerate() {
        let row: String = columns.chunks(DOTS.0).map(|pair| character(pair, line, &scale)).collect();
        let line = format!("{label:>margin$} {}", row.trim_end_matches('\u{2800}'));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let gap = width.saturating_sub(from.chars().count() + to.chars().count()).max(1);
    let _ = write!(text, "{:margin$} {from}{:gap$}{to}", "", "");
    text
}

/// Buckets as columns of dots; several of one column are one, and one that spans several fills them.
fn columns(series: &Series, count: usize) -> (Vec<Column>, String, String) {
    let mut columns: Vec<Column> = vec![None; count];
    let (Ok(from), Ok(to)) = (Time::parse(&series.from), Time::parse(&series.to)) else {
        return (columns, String::new(), String::new());
    };
    let starts: Vec<(Time, f64, f64)> =
        series.buckets.iter().filter_map(|b| Some((Time::parse(&b.from).ok()?, b.min, b.max))).collect();
    // What is shown is the stretch in which there is something, so that a wide question is no empty picture.
    let apart = |(a, b): (&(Time, f64, f64), &(Time, f64, f64))| b.0.since(a.0).nanos();
    let width = starts.iter().zip(starts.iter().skip(1)).map(apart).min().unwrap_or(0);
    let first = starts.first().map_or(from, |(at, ..)| (*at).max(from));
    let last = starts.last().map_or(to, |(at, ..)| Time(at.0.saturating_add(width)).min(to));
    let span = i128::from(last.since(first).nanos()).max(1);
    let most = i128::try_from(count).unwrap_or(0);
    let place = |at: Time| usize::try_from(i128::from(at.since(first).nanos()) * most / span).unwrap_or(0);
    for (at, min, max) in starts {
        let begin = place(at).min(count.saturating_sub(1));
        let end = place(Time(at.0.saturating_add(width))).clamp(begin + 1, count.max(begin + 1));
        for column in columns.iter_mut().take(end).skip(begin) {
            *column = Some(column.map_or((min, max), |(low, high): (f64, f64)| (low.min(min), high.max(max))));
        }
    }
    (columns, first.to_string(), last.to_string())
}

/// Where a value stands between the lowest and the highest.
struct Scale {
    low: f64,
    high: f64,
    dots: usize,
}

impl Scale {
    /// The line of dots of a value, from the bottom.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a dot is a rounded place between nought and the few lines there are"
    )]
    fn dot(&self, value: f64) -> usize {
        let span = self.high - self.low;
        let part = if span > 0.0 { (value - self.low) / span } else { 0.5 };
        (part * (self.dots - 1) as f64).round() as usize
    }
}

fn character(pair: &[Column], line: usize, scale: &Scale) -> char {
    let mut bits = 0x2800;
    for (column, of) in pair.iter().zip(BITS) {
        let Some((min, max)) = column else { continue };
        let (low, high) = (scale.dot(*min), scale.dot(*max));
        for (down, bit) in of.iter().enumerate() {
            let place = scale.dots - 1 - (line * DOTS.1 + down);
            if (low..=high).contains(&place) {
                bits |= bit;
            }
        }
    }
    char::from_u32(bits).unwrap_or(' ')
}

/// The scale: highest value above, lowest below, the middle between; of a flat line only the middle.
fn labels(scale: &Scale, height: usize) -> Vec<String> {
    let mut labels = vec![String::new(); height];
    if let Some(label) = labels.get_mut(height / 2) {
        *label = number(f64::midpoint(scale.low, scale.high));
    }
    if scale.low >= scale.high {
        return labels;
    }
    if let Some(label) = labels.last_mut() {
        *label = number(scale.low);
    }
    if let Some(label) = labels.first_mut() {
        *label = number(scale.high);
    }
    labels
}

/// A number in about five digits.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 10_000.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 1.0 || value == 0.0 => 2,
        _ => 4,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_api::samples::Bucket;

    fn series(values: impl Iterator<Item = (i64, f64, f64)>) -> Series {
        let bucket = |(second, min, max): (i64, f64, f64)| Bucket {
            from: Time(second * 1_000_000_000).to_string(),
            count: 1,
            min,
            max,
            mean: f64::midpoint(min, max),
        };
        Series {
            signal: "m-1/heat".into(),
            unit: Some("Cel".into()),
            from: Time(0).to_string(),
            to: Time(600_000_000_000).to_string(),
            buckets: values.map(bucket).collect(),
        }
    }

    #[test]
    fn a_wave_with_a_peak_and_a_hole() {
        let wave = (0..600).filter(|second| !(200..260).contains(second)).map(|second| {
            let value = 60.0 + 20.0 * (f64::from(i32::try_from(second).unwrap()) / 50.0).sin();
            (second, value, if second == 400 { 130.0 } else { value })
        });
        insta::assert_snapshot!("wave", chart(&series(wave), 60, 8));
    }

    #[test]
    fn a_flat_line_is_in_the_middle_and_nothing_is_nothing() {
        let flat = chart(&series((0..10).map(|second| (second, 5.0, 5.0))), 10, 3);
        insta::assert_snapshot!("flat", flat);
        assert_eq!(chart(&series(std::iter::empty()), 10, 3), "");
        let one = chart(&series([(3, -0.25, 123_456.0)].into_iter()), 4, 2);
        assert!(one.starts_with("123456 ") && one.contains("-0.25"), "{one}");
    }
}
