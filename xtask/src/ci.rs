//! `cargo xtask ci`: what CI runs and nothing else; its end says all that is wrong.

use std::time::Duration;

use anyhow::Result;

use crate::clock::spoken;
use crate::parts::{Parts, Problems};
use crate::{check, setup, test};

/// The longest a run may take; a longer one is a failure, so that it is noticed before CI stops it.
const TIME_MAX: Duration = Duration::from_mins(75);

/// The command.
pub(crate) fn run() -> Result<()> {
    let mut parts = Parts::default();
    parts.run("setup", || setup::all().map(|()| Problems::new()));
    check::all(&mut parts);
    parts.run("test", || {
        let tally = test::tests(false)?;
        let names = tally.failures.iter().map(|name| format!("failed: {name}"));
        Ok((!tally.reasons.is_empty()).then(|| tally.reasons.join("\n")).into_iter().chain(names).collect())
    });
    let (table, total) = (parts.table(), parts.total());
    if total > TIME_MAX {
        let limit = TIME_MAX.as_secs() / 60;
        parts.add("time", format!("CI took {}; its limit is {limit} min", spoken(total)));
    }
    println!("\n{table}");
    parts.finish()
}
