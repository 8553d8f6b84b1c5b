//! `cargo xtask sim`: runs the simulation over many seeds; a failure names the seed that repeats it.

use anyhow::{Result, bail};

use crate::command;

/// Which seeds.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut command = command::cargo();
    command
        .args(["test", "--package", "andon-sim", "--", "--nocapture"])
        .env("ANDON_SIM_SEEDS", arguments.seeds.to_string())
        .env("ANDON_SIM_FROM", arguments.from.to_string());
    if command.status()?.success() {
        println!("{} seeds from {} hold", arguments.seeds, arguments.from);
        return Ok(());
    }
    bail!("the simulation failed; repeat one seed with: cargo xtask sim --seeds 1 --from SEED")
}
