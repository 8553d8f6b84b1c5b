//! The doctor: the store's own examination of a folder, the seams, and calls that nobody is told of.

use crate::{
    backend::{LookError, look},
    clock, given,
};
use andon_observe::seams::Seam;
use andon_store::{Ailment, Examination, Gravity, Looked, Store, StoreError, rows::Write};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// How often equations are looked at of a running instance until they hold: its rows and its log change meanwhile.
const LOOKS_MAX: u32 = 5;

/// Calls that are told by one commit.
const TOLD_AT_ONCE: usize = 500;

/// What a doctor found, and did.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The data folder.
    pub dir: PathBuf,
    /// The instance, where it is known.
    pub instance: Option<String>,
    /// Whether an instance runs on it.
    pub running: bool,
    /// Whether nothing is wrong any more.
    pub well: bool,
    /// What was looked at.
    pub looked: Vec<Looked>,
    /// The equations of all seams.
    pub seams: Vec<Seam>,
    /// What was repaired.
    pub repaired: Vec<Ailment>,
    /// What is wrong.
    pub ailments: Vec<Ailment>,
}

/// Why a folder cannot be examined or repaired.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// An instance runs on it.
    #[error("A7101: {} is not repaired while an instance runs on it ({announced})", dir.display())]
    Running {
        /// The folder.
        dir: PathBuf,
        /// What the instance says of itself.
        announced: String,
    },
    /// It cannot be read, or written to.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl DoctorError {
    /// What to do next.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Running { .. } => {
                "stop the instance, repair, and start it again; without --repair it is looked at as it is"
            }
            // The store's own words say what to do.
            Self::Store(_) => "",
        }
    }
}

/// Looks at a data folder; with `repair` it mends what can be mended without losing anything, and looks again.
pub fn doctor(dir: &Path, repair: bool) -> Result<Report, DoctorError> {
    let (mut seen, mut seams) = examine(dir)?;
    let mut repaired = Vec::new();
    if repair && !seen.ailments.is_empty() {
        if let Some(announced) = andon_store::announced(dir) {
            return Err(DoctorError::Running { dir: dir.to_owned(), announced: announced.trim().to_owned() });
        }
        andon_store::repair(&mut seen)?;
        repaired = seen.ailments.iter().filter(|of| of.repaired.is_some()).cloned().collect();
        repaired.extend(tell_again(dir, &seen)?);
        (seen, seams) = examine(dir)?;
        // What is still there was not repaired, whatever was done.
        repaired.retain(|done| !seen.ailments.iter().any(|of| (of.code, &of.subject) == (done.code, &done.subject)));
    }
    seen.ailments.sort_by_key(|of| of.gravity);
    let Examination { dir, instance, running, looked, ailments } = seen;
    Ok(Report { dir, instance, running, well: ailments.is_empty(), looked, seams, repaired, ailments })
}

fn examine(dir: &Path) -> Result<(Examination, Vec<Seam>), StoreError> {
    let mut seen = andon_store::examine(dir)?;
    let backend = match look(dir) {
        Ok(backend) => backend,
        Err(LookError::Empty) => {
            let told = "no contract was ever activated here: there are none".to_owned();
            seen.looked.push(Looked { part: "seams", told });
            return Ok((seen, Vec::new()));
        }
        Err(error) => {
            // What the store found says why; else this does.
            if seen.ailments.iter().all(|of| of.gravity == Gravity::Warning) {
                seen.ailments.push(Ailment::new("A7103", "the folder", error.to_string()).remedy(error.remedy()));
            }
            return Ok((seen, Vec::new()));
        }
    };
    let tries = if seen.running { LOOKS_MAX } else { 1 };
    let mut seams = Vec::new();
    for _ in 0..tries {
        seams = backend.seams()?;
        if seams.iter().all(|seam| seam.holds) {
            break;
        }
    }
    for seam in seams.iter().filter(|seam| !seam.holds) {
        let ailment = Ailment::new("A7115", &seam.seam, seam.equation());
        seen.ailments.push(ailment.remedy("keep the data folder and report it: something was lost or counted twice"));
    }
    let untold = backend.store.untold_calls()?;
    for call in &untold {
        let detail = format!("{} is parked, and no exception says so", call.capability);
        let mut ailment = Ailment::new("A7113", call.id.to_string(), detail);
        ailment.can_repair = true;
        seen.ailments.push(ailment.remedy("andon doctor --repair, while the instance is stopped"));
    }
    if untold.is_empty() {
        let told = "every one has an exception that has not ended".to_owned();
        seen.looked.push(Looked { part: "parked calls", told });
    }
    Ok((seen, seams))
}

/// Opens the exceptions of parked calls again that have none. Nothing of it where the folder is damaged otherwise.
fn tell_again(dir: &Path, seen: &Examination) -> Result<Vec<Ailment>, StoreError> {
    let damaged = |of: &&Ailment| of.gravity == Gravity::Error && of.repaired.is_none() && of.code != "A7113";
    let mut untold: Vec<Ailment> = seen.ailments.iter().filter(|of| of.code == "A7113").cloned().collect();
    if untold.is_empty() || seen.ailments.iter().any(|of| damaged(&of)) {
        return Ok(Vec::new());
    }
    let Ok(backend) = look(dir) else { return Ok(Vec::new()) };
    let store = Store::open(dir, &mut given::chance)?;
    let now = clock::now();
    for calls in store.untold_calls()?.chunks(TOLD_AT_ONCE) {
        let rows = calls.iter().map(|call| andon_workflows::parked(&backend.contract, call, now));
        store.commit(rows.map(|row| Write::Exception(Box::new(row))).collect())?;
    }
    for ailment in &mut untold {
        ailment.repaired = Some("its exception was opened again".to_owned());
    }
    Ok(untold)
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_store::{
        conformance::{call, event, exception, run},
        rows::{CallState, ContractRow, ExceptionRow, ExceptionState, RunRow, RunState},
    };

    /// A folder with a contract, a run that waits for a parked call, and an event.
    fn folder(told: Option<ExceptionState>) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/machine-temperature");
        let contract = andon_contract::load(&example).unwrap().contract;
        let store = Store::open(dir.path(), &mut |bytes| bytes.fill(3)).unwrap();
        let row = ContractRow { revision: contract.revision, activated: clock::now(), files: contract.files };
        let parked = call(1, CallState::Parked, None);
        let mut writes = vec![
            Write::Contract(Box::new(row)),
            Write::Event(Box::new(event(1)), None),
            Write::Run(Box::new(RunRow { state: RunState::Waiting, ..run(1, None) })),
        ];
        writes.extend(told.map(|state| {
            let of = exception("unknown", 7);
            Write::Exception(Box::new(ExceptionRow { state, call: Some(parked.id), run: Some(parked.run), ..of }))
        }));
        writes.push(Write::Call(Box::new(parked)));
        store.commit(writes).unwrap();
        dir
    }

    fn codes(report: &Report) -> Vec<&'static str> {
        report.ailments.iter().map(|of| of.code).collect()
    }

    #[test]
    fn a_parked_call_that_nobody_is_told_of_is_told_again() {
        assert_eq!(codes(&doctor(folder(Some(ExceptionState::Open)).path(), false).unwrap()), Vec::<&str>::new());
        for told in [None, Some(ExceptionState::Resolved)] {
            let dir = folder(told);
            assert_eq!(codes(&doctor(dir.path(), false).unwrap()), ["A7113"], "{told:?}");
            let report = doctor(dir.path(), true).unwrap();
            assert!(report.well, "{:?}", report.ailments);
            assert_eq!(report.repaired.iter().map(|of| of.code).collect::<Vec<_>>(), ["A7113"]);
            let store = Store::look(dir.path()).unwrap();
            let parked = call(1, CallState::Parked, None);
            let rows = store.exceptions_of_call(parked.id).unwrap();
            let [row] = &rows.into_iter().filter(|row| !row.state.has_ended()).collect::<Vec<_>>()[..] else {
                panic!("it has one")
            };
            assert!(!row.owner.as_str().is_empty() && row.detail.contains(parked.reference.as_str()), "{row:?}");
        }
    }

    #[test]
    fn an_equation_that_does_not_hold_is_told_and_not_repaired() {
        let dir = folder(Some(ExceptionState::Open));
        let store = Store::open(dir.path(), &mut |_| panic!("it has its id")).unwrap();
        // The event was passed, and nobody counted it. The run was there before.
        let rows = [("workflows", 1), ("workflows/from", 0), ("workflows/before", 1)]
            .map(|(name, place)| Write::Cursor(name.to_owned(), place));
        store.commit(rows.into()).unwrap();
        let refused = doctor(dir.path(), true).unwrap_err();
        assert!(refused.to_string().starts_with("A7101"), "{refused}");
        drop(store);
        let report = doctor(dir.path(), true).unwrap();
        assert_eq!(codes(&report), ["A7115"]);
        assert_eq!(report.ailments[0].detail, "events 1 != matching 0 + others 0 + set aside 0 + waiting 0");
        assert!(!report.well && report.repaired.is_empty());
    }

    #[test]
    fn a_damaged_folder_gets_no_new_rows() {
        let dir = folder(None);
        let segment = std::fs::read_dir(dir.path().join("log")).unwrap().next().unwrap().unwrap().path();
        std::fs::write(&segment, "no segment").unwrap();
        let report = doctor(dir.path(), true).unwrap();
        assert!(codes(&report).contains(&"A7104"), "{:?}", report.ailments);
        assert!(report.repaired.iter().all(|of| of.code != "A7113"), "{:?}", report.repaired);
    }
}
