//! Reductions of signals: one way to find what says nothing new, on numbers, by a number.

use super::units::word;
use crate::{
    codes,
    contract::{ReduceBy, Reduction},
    files::{classes::SignalFile, reduction::ReduceFile},
    load::Project,
    problem::{Finding, Spot},
    read::At,
};
use andon_model::{span::Span, value::Kind};

pub(crate) fn resolve(project: &Project, signal: &SignalFile) -> Option<Reduction> {
    let reduce = signal.reduce.as_ref()?;
    let refuse = |spot: Spot, message: String, expected: &str, help: &str| {
        project.push(Finding::error(codes::REDUCTION, spot, message).expected(expected).help(help));
    };
    if !matches!(signal.kind.value, Kind::F64 | Kind::I64) {
        let message = format!("values of kind `{}` have no distance", word(signal.kind.value));
        refuse(reduce.spot, message, "a signal of kind f64 or i64", "leave `reduce` out; every sample is kept");
        return None;
    }
    let by = by(&reduce.value, reduce.spot, &refuse);
    if let Some(heartbeat) = reduce.heartbeat.as_ref().filter(|heartbeat| heartbeat.value.0 <= Span::ZERO) {
        refuse(
            heartbeat.spot,
            "a heartbeat of no time keeps everything".into(),
            "a duration like 10 min",
            "correct it",
        );
    }
    Some(Reduction { by: by?, heartbeat: reduce.heartbeat.as_ref().map(|heartbeat| heartbeat.value.0) })
}

fn by(reduce: &ReduceFile, spot: Spot, refuse: &dyn Fn(Spot, String, &str, &str)) -> Option<ReduceBy> {
    const ONE: &str = "`deadband` or `swinging-door`, one of them";
    let (number, by): (&At<f64>, fn(f64) -> ReduceBy) = match (&reduce.deadband, &reduce.swinging_door) {
        (Some(deadband), None) => (deadband, ReduceBy::Deadband),
        (None, Some(door)) => (door, ReduceBy::SwingingDoor),
        (Some(_), Some(door)) => {
            refuse(door.spot, "a signal is reduced in one way".into(), ONE, "leave one of the two out");
            return None;
        }
        (None, None) => {
            refuse(spot, "nothing says which samples need not be kept".into(), ONE, "add one of the two");
            return None;
        }
    };
    if !number.value.is_finite() || number.value < 0.0 {
        let help = "0 stands for values that are equal, or on the line";
        refuse(
            number.spot,
            format!("{} is no distance", number.value),
            "a number from 0, in the unit of the signal",
            help,
        );
        return None;
    }
    Some(by(number.value))
}
