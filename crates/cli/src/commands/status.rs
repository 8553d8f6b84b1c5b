//! `andon status`: health with reasons and what to do next.

use crate::{
    args,
    output::{self, NO_INSTANCE},
    target::Target,
};
use std::process::ExitCode;

pub(super) fn run(args: &args::Status) -> anyhow::Result<ExitCode> {
    let target = Target::find(&args.instance)?;
    let status = target.status()?;
    if args.instance.json {
        output::line(serde_json::to_string(&status)?);
    } else {
        let at_work = if status.running { "running" } else { "stopped" };
        output::line(format!("{} ({}), {at_work}: {}", status.project, status.instance, status.health));
        for finding in &status.findings {
            let since = finding.since.as_deref().map(|s| format!(", since {s}")).unwrap_or_default();
            output::line(format!("  {}: {}: {}{since}", finding.level, finding.subject, finding.detail));
            output::line(format!("    next: {}", finding.remedy));
        }
        for seam in &status.seams {
            let terms: Vec<String> = seam.terms.iter().map(|t| format!("{} {}", t.name, t.count)).collect();
            let sign = if seam.holds { "=" } else { "!=" };
            if let Some((first, rest)) = terms.split_first() {
                output::line(format!("  {}: {first} {sign} {}", seam.seam, rest.join(" + ")));
            }
        }
    }
    // Systems may be down and exceptions open: those are warnings.
    let at_work = status.running && status.findings.iter().all(|finding| finding.level != "error");
    Ok(if at_work { ExitCode::SUCCESS } else { ExitCode::from(NO_INSTANCE) })
}
