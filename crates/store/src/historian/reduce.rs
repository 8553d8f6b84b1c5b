//! Which samples say nothing new: deadband and swinging door, on the way from the log to the files.

use super::{Reduce, parquet::Row};
use andon_model::{Quality, Value, sample::Origin};

/// Whole numbers beyond this are not exact as `f64`; they are always kept.
const EXACT_MAX: u64 = 1 << 53;

/// A sample that may be left out: live, good and a number.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    whole: bool,
    time: i64,
    value: f64,
}

impl Point {
    fn of(row: &Row) -> Option<Self> {
        if row.origin != Origin::Live || row.quality != Quality::GOOD {
            return None;
        }
        let (whole, value) = match row.value {
            Value::F64(value) if value.is_finite() => (false, value),
            #[expect(clippy::cast_precision_loss, reason = "larger ones were sorted out")]
            Value::I64(value) if value.unsigned_abs() <= EXACT_MAX => (true, value as f64),
            _ => return None,
        };
        Some(Self { whole, time: row.time.0, value })
    }

    fn nanos_since(self, earlier: Self) -> i64 {
        self.time.saturating_sub(earlier.time)
    }
}

/// Which of the rows of one signal, sorted by time, are kept. Always kept are the first and the last, what is no
/// number, not good or not live, both its neighbours, and samples of the same time.
pub(crate) fn kept(rows: &[Row], reduce: &Reduce) -> Vec<bool> {
    let mut kept = vec![true; rows.len()];
    let points: Vec<Option<Point>> = rows.iter().map(Point::of).collect();
    let mut at = 0;
    while at < points.len() {
        let run = run(points.get(at..).unwrap_or_default());
        if let Some(kept) = kept.get_mut(at..at + run.len()) {
            thin(&run, reduce, kept);
        }
        at += run.len().max(1);
    }
    kept
}

/// The points at the front that stand in one line: none is missing, of one kind, each later than the one before.
fn run(points: &[Option<Point>]) -> Vec<Point> {
    let mut run: Vec<Point> = Vec::new();
    for point in points {
        let Some(point) = point else { break };
        if run.last().is_some_and(|last| last.whole != point.whole || last.time >= point.time) {
            break;
        }
        run.push(*point);
    }
    run
}

/// The lines from a kept point that pass all later ones closely enough, by their slopes.
struct Door {
    from: Point,
    low: f64,
    high: f64,
}

impl Door {
    fn new(from: Point) -> Self {
        Self { from, low: f64::NEG_INFINITY, high: f64::INFINITY }
    }

    #[expect(clippy::cast_precision_loss, reason = "a span of time between two samples")]
    fn slope(&self, to: Point, off: f64) -> f64 {
        (to.value + off - self.from.value) / to.nanos_since(self.from) as f64
    }

    /// Whether the line to this point passes all those before it.
    fn passes(&self, to: Point) -> bool {
        let slope = self.slope(to, 0.0);
        slope >= self.low && slope <= self.high
    }

    /// Later lines must pass this point, too.
    fn close(&mut self, point: Point, width: f64) {
        self.low = self.low.max(self.slope(point, -width));
        self.high = self.high.min(self.slope(point, width));
    }
}

fn thin(run: &[Point], reduce: &Reduce, kept: &mut [bool]) {
    let width = reduce.deadband.or(reduce.door).filter(|width| *width >= 0.0 && width.is_finite());
    let (Some(width), Some((&first, rest))) = (width, run.split_first()) else { return };
    let swinging = reduce.deadband.is_none();
    let heartbeat = reduce.heartbeat.map(andon_model::span::Span::nanos);
    let (mut door, mut before) = (Door::new(first), None::<(usize, Point)>);
    kept.iter_mut().skip(1).for_each(|kept| *kept = false);
    let mut keep = |at: usize| {
        if let Some(kept) = kept.get_mut(at) {
            *kept = true;
        }
    };
    for (at, &point) in rest.iter().enumerate().map(|(at, point)| (at + 1, point)) {
        loop {
            let late = heartbeat.is_some_and(|longest| point.nanos_since(door.from) > longest);
            let says_nothing =
                if swinging { door.passes(point) } else { (point.value - door.from.value).abs() <= width };
            if says_nothing && !late {
                door.close(point, width);
                before = Some((at, point));
                break;
            }
            // The line ends at the one before; what is outside of a deadband is kept itself.
            let Some((last, end)) = before.take().filter(|_| swinging || late) else {
                keep(at);
                door = Door::new(point);
                break;
            };
            keep(last);
            door = Door::new(end);
        }
    }
    keep(run.len() - 1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_model::{Position, Time, span::Span};
    use proptest::prelude::*;

    fn row(time: i64, value: Value) -> Row {
        Row {
            signal: "a/temp".into(),
            time: Time(time),
            received: Time(time),
            quality: Quality::GOOD,
            value,
            position: Position { epoch: 1, offset: u64::try_from(time).unwrap_or(0) },
            origin: Origin::Live,
        }
    }

    fn rows(values: &[f64]) -> Vec<Row> {
        (0..).zip(values).map(|(time, value)| row(time, Value::F64(*value))).collect()
    }

    fn deadband(width: f64) -> Reduce {
        Reduce { deadband: Some(width), door: None, heartbeat: None }
    }

    fn door(width: f64) -> Reduce {
        Reduce { deadband: None, door: Some(width), heartbeat: None }
    }

    fn times(rows: &[Row], reduce: &Reduce) -> Vec<i64> {
        rows.iter().zip(kept(rows, reduce)).filter(|(_, kept)| *kept).map(|(row, _)| row.time.0).collect()
    }

    #[test]
    fn a_deadband_keeps_what_leaves_it() {
        let rows = rows(&[1.0, 1.2, 0.9, 1.6, 1.5, 1.4, 3.0, 3.0, 3.1]);
        assert_eq!(times(&rows, &deadband(0.5)), [0, 3, 6, 8]);
        assert_eq!(times(&rows, &Reduce { heartbeat: Some(Span::from_nanos(2)), ..deadband(0.5) }), [0, 2, 3, 5, 6, 8]);
        assert_eq!(times(&rows, &Reduce { deadband: None, door: None, heartbeat: Some(Span::from_nanos(2)) }).len(), 9);
    }

    #[test]
    fn a_door_keeps_the_corners() {
        let rows = rows(&[0.0, 1.0, 2.0, 3.0, 4.0, 4.0, 4.0, 4.0, 0.0, 0.0]);
        assert_eq!(times(&rows, &door(0.0)), [0, 4, 7, 8, 9]);
    }

    #[test]
    fn what_is_not_good_not_live_or_no_number_stays_with_its_neighbours() {
        let flat = || rows(&[5.0; 9]);
        let changed = |change: &dyn Fn(&mut Row)| {
            let mut rows = flat();
            change(&mut rows[4]);
            times(&rows, &deadband(1.0))
        };
        assert_eq!(times(&flat(), &deadband(1.0)), [0, 8]);
        assert_eq!(changed(&|row| row.quality = Quality::UNCERTAIN), [0, 3, 4, 5, 8]);
        assert_eq!(changed(&|row| row.origin = Origin::Retained), [0, 3, 4, 5, 8]);
        assert_eq!(changed(&|row| row.value = Value::Text("off".into())), [0, 3, 4, 5, 8]);
        assert_eq!(changed(&|row| row.value = Value::F64(f64::NAN)), [0, 3, 4, 5, 8]);
        assert_eq!(changed(&|row| row.value = Value::I64(5)), [0, 3, 4, 5, 8]);
        // Same time, other value: both stay.
        assert_eq!(changed(&|row| row.time = Time(3)), [0, 3, 3, 8]);
    }

    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn line(from: &Row, to: &Row, at: i64) -> f64 {
        let value = |row: &Row| if let Value::F64(value) = row.value { value } else { f64::NAN };
        let part = (at - from.time.0) as f64 / (to.time.0 - from.time.0) as f64;
        value(from) + (value(to) - value(from)) * part
    }

    proptest! {
        #[test]
        fn what_goes_lies_within_the_width_and_the_heartbeat(
            steps in proptest::collection::vec((1_i64..9, -3.0_f64..3.0), 1..200),
            width in 0.0_f64..4.0,
            swinging in any::<bool>(),
            heartbeat in proptest::option::of(1_i64..40),
        ) {
            let (mut time, mut value) = (0, 0.0);
            let rows: Vec<Row> = steps.iter().map(|(wait, step)| {
                (time, value) = (time + wait, value + step);
                row(time, Value::F64(value))
            }).collect();
            let reduce = Reduce {
                deadband: (!swinging).then_some(width),
                door: swinging.then_some(width),
                heartbeat: heartbeat.map(Span::from_nanos),
            };
            let kept = kept(&rows, &reduce);
            prop_assert!(kept[0] && kept[rows.len() - 1]);
            let stays: Vec<usize> = (0..rows.len()).filter(|at| kept[*at]).collect();
            for pair in stays.windows(2) {
                let (from, to) = (&rows[pair[0]], &rows[pair[1]]);
                for gone in &rows[pair[0] + 1..pair[1]] {
                    let Value::F64(value) = gone.value else { panic!() };
                    let Value::F64(held) = from.value else { panic!() };
                    let expected = if swinging { line(from, to, gone.time.0) } else { held };
                    prop_assert!((value - expected).abs() <= width + 1e-9, "{value} is not near {expected}");
                }
                if let Some(longest) = heartbeat {
                    prop_assert!(to.time.0 - from.time.0 <= longest || pair[1] == pair[0] + 1);
                }
            }
        }
    }
}
