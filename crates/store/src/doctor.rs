//! Whether what is stored is whole, and whether it belongs together; and the repairs that lose nothing.
//!
//! Every part is looked at by itself, so that damage of one does not hide that of another: the file `format`, the
//! database, the segments of the log, the files of the historian, the states of rules, the chain of what people did,
//! and rows that must agree. Nothing is changed by looking, and a folder that an instance runs on is looked at beside
//! it.

mod files;
mod passed;
mod repair;
#[cfg(test)]
mod tests;

pub use passed::Passed;

use crate::{
    SimDisk, Store, StoreError, announced, db,
    disk::{self, Disk},
    folder::{self, Format},
    log,
    rows::CallRow,
};
use andon_model::Position;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Things of one kind that are told one by one; more are told as a number.
const TOLD_MAX: usize = 20;

/// What was looked at, and what was found.
#[derive(Debug, Clone, Serialize)]
pub struct Examination {
    /// The data folder.
    pub dir: PathBuf,
    /// The instance, where the file `format` says it.
    pub instance: Option<String>,
    /// Whether an instance runs on the folder: then nothing is repaired.
    pub running: bool,
    /// What was looked at, in one line each.
    pub looked: Vec<Looked>,
    /// What is wrong, in the order in which it was found.
    pub ailments: Vec<Ailment>,
}

/// One part that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Looked {
    /// The part.
    pub part: &'static str,
    /// What was there.
    pub told: String,
}

/// How bad an ailment is; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Gravity {
    /// Something is lost, or cannot be trusted.
    Error,
    /// Nothing is lost.
    Warning,
}

/// Something that is wrong with a folder.
#[derive(Debug, Clone, Serialize)]
pub struct Ailment {
    /// Its code: `docs/errors` has a page for it.
    pub code: &'static str,
    /// How bad it is.
    pub gravity: Gravity,
    /// What it is about: a file, a row.
    pub subject: String,
    /// What is wrong.
    pub detail: String,
    /// What to do next.
    pub remedy: String,
    /// Whether `--repair` can mend it without losing anything.
    pub can_repair: bool,
    /// What was done about it.
    pub repaired: Option<String>,
    #[serde(skip)]
    repair: Option<Repair>,
}

/// What mends an ailment.
#[derive(Debug, Clone)]
enum Repair {
    /// The file `format` is written anew.
    Format(Format),
    /// The indexes of the database are made anew from its tables.
    Indexes,
    /// Files go that nothing names.
    Remove(Vec<PathBuf>),
    /// Groups of exceptions are counted anew.
    Groups,
    /// A column is written anew from the row that it stands beside.
    Column(db::Column),
    /// Room is kept back for a full disk.
    Reserve,
}

impl Ailment {
    /// Something that is wrong.
    pub fn new(code: &'static str, subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            code,
            gravity: Gravity::Error,
            subject: subject.into(),
            detail: detail.into(),
            remedy: String::new(),
            can_repair: false,
            repaired: None,
            repair: None,
        }
    }

    /// The same as something that loses nothing.
    #[must_use]
    pub fn mild(self) -> Self {
        Self { gravity: Gravity::Warning, ..self }
    }

    /// The same with what to do next.
    #[must_use]
    pub fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: remedy.into(), ..self }
    }

    /// The same with what mends it.
    fn with(self, repair: Repair) -> Self {
        let remedy = "andon doctor --repair, while the instance is stopped".to_owned();
        Self { can_repair: true, repair: Some(repair), remedy, ..self }
    }
}

impl Examination {
    fn looked(&mut self, part: &'static str, told: impl Into<String>) {
        self.looked.push(Looked { part, told: told.into() });
    }

    fn tell(&mut self, ailment: Ailment) {
        self.ailments.push(ailment);
    }

    /// What the store itself says of damage becomes an ailment; what says nothing about the folder stays an error.
    fn damage(&mut self, code: &'static str, error: StoreError) -> Result<(), StoreError> {
        let (subject, detail) = match &error {
            StoreError::Corrupt { path, place: 0, what } => (path.display().to_string(), what.clone()),
            StoreError::Corrupt { path, place, what } => {
                (path.display().to_string(), format!("at byte {place}: {what}"))
            }
            StoreError::Newer { path, found, known } => {
                (path.display().to_string(), format!("it has format {found}, this version knows up to {known}"))
            }
            StoreError::Io { path, doing, cause } => {
                (path.display().to_string(), format!("cannot {doing} it: {cause}"))
            }
            StoreError::Db(cause) => ("andon.db".to_owned(), cause.to_string()),
            _ => return Err(error),
        };
        self.tell(Ailment::new(code, subject, detail).remedy(COPY));
        Ok(())
    }

    /// Whether nothing is wrong, or all of it was repaired.
    pub fn is_well(&self) -> bool {
        self.ailments.iter().all(|of| of.repaired.is_some())
    }
}

impl Store {
    /// Bytes that are free on the disk of the data folder; `None` in memory and of a look.
    pub fn free_bytes(&self) -> Option<u64> {
        self.ground().map(|ground| ground.folder.room.free())
    }

    /// Parked calls that have no exception which has not ended: nobody is told that a person is needed.
    pub fn untold_calls(&self) -> Result<Vec<CallRow>, StoreError> {
        self.ask(db::untold)
    }
}

/// What to do where bytes are gone.
const COPY: &str = "keep a copy of the folder as it is, then put back one from before the damage";

/// Looks at a data folder, of a stopped instance or beside a running one.
pub fn examine(dir: &Path) -> Result<Examination, StoreError> {
    examined(&Disk::System, dir, announced(dir).is_some())
}

impl SimDisk {
    /// Looks at the data folder of this disk as [`examine`] does.
    pub fn examine(&self) -> Result<Examination, StoreError> {
        examined(&Disk::Simulated(self.process()), Path::new(disk::FOLDER), self.is_in_use())
    }
}

fn examined(disk: &Disk, dir: &Path, running: bool) -> Result<Examination, StoreError> {
    let names = ["format", "andon.db", "log"];
    if !names.iter().any(|name| disk.exists(&dir.join(name))) {
        return Err(StoreError::Refused(format!(
            "{} is no data folder: it has neither `format` nor a database nor a log. Name the folder an instance runs \
             on",
            dir.display()
        )));
    }
    let mut seen =
        Examination { dir: dir.to_owned(), instance: None, running, looked: Vec::new(), ailments: Vec::new() };
    let known = format(disk, dir, &mut seen)?;
    seen.instance = known.map(|format| format.instance.to_string());
    // Before the log: what has read it cannot have read further than it reaches now.
    let states = files::states(disk, dir, &mut seen)?;
    let rows = database(disk, dir, &mut seen)?;
    let log = segments((disk, dir), known, rows.as_ref(), &mut seen)?;
    if let (Some(rows), Some(end)) = (&rows, log) {
        beyond(states.into_iter().chain(rows.read.iter().cloned()), end, &mut seen);
    }
    if let Some(rows) = &rows {
        files::historian(disk, dir, rows, &mut seen)?;
    }
    files::leftovers(disk, dir, &mut seen)?;
    files::reserve(disk, dir, &mut seen);
    Ok(seen)
}

/// Mends what can be mended without losing anything, of a folder that nobody runs on. Each ailment says what was done.
pub fn repair(seen: &mut Examination) -> Result<(), StoreError> {
    repair::repair(seen)
}

/// The file `format`. Where it is gone, the newest segment of the log says what stood in it.
fn format(disk: &Disk, dir: &Path, seen: &mut Examination) -> Result<Option<Format>, StoreError> {
    let path = dir.join("format");
    let (what, found) = match folder::read_format(disk, dir) {
        Ok(Some(format)) => {
            let Format { version, instance, epoch } = format;
            seen.looked("format", format!("version {version}, instance {instance}, epoch {epoch}"));
            return Ok(Some(format));
        }
        Ok(None) => ("the file is missing".to_owned(), None),
        Err(StoreError::Corrupt { what, .. }) => (what, None),
        Err(error) => (String::new(), Some(error)),
    };
    if let Some(error) = found {
        seen.damage("A7102", error)?;
        return Ok(None);
    }
    let named =
        log::named_by_newest(disk, &dir.join("log"))?.map(|(instance, epoch)| folder::of_version(instance, epoch));
    let ailment = Ailment::new("A7102", path.display().to_string(), what).remedy(COPY);
    seen.tell(match named {
        Some(format) => ailment.with(Repair::Format(format)),
        None => ailment,
    });
    Ok(named)
}

/// The database and its rows; `None` where it cannot be read.
fn database(disk: &Disk, dir: &Path, seen: &mut Examination) -> Result<Option<db::Rows>, StoreError> {
    let path = dir.join("andon.db");
    let checked = match db::integrity(disk, &path, seen.running) {
        Ok(checked) => checked,
        Err(error) => {
            seen.damage("A7103", error)?;
            return Ok(None);
        }
    };
    if let Some(first) = checked.wrong.first() {
        let detail = format!("{} places, the first: {first}", checked.wrong.len());
        let ailment = Ailment::new("A7103", path.display().to_string(), detail);
        if !checked.tables_are_whole {
            seen.tell(ailment.remedy(COPY));
            return Ok(None);
        }
        seen.tell(ailment.mild().with(Repair::Indexes));
    } else {
        let (version, bytes) = (checked.version, checked.bytes);
        seen.looked("database", format!("version {version}, {bytes} bytes, every page and index as it should be"));
    }
    match db::rows(disk, &path) {
        Ok(rows) => {
            told_of_rows(&rows, seen);
            Ok(Some(rows))
        }
        Err(error) => {
            seen.damage("A7103", error)?;
            Ok(None)
        }
    }
}

/// Rows that must agree.
fn told_of_rows(rows: &db::Rows, seen: &mut Examination) {
    match &rows.chain.broken {
        None => seen.looked("chain of what people did", format!("{} rows, every hash fits", rows.chain.rows)),
        Some(broken) => {
            let subject = format!("audit row {}", broken.number);
            seen.tell(Ailment::new("A7110", subject, &broken.what).remedy(
                "somebody has changed what is kept of what people did: keep the folder as it is, and compare the row \
                 with a copy of the folder from before",
            ));
        }
    }
    if rows.groups.is_empty() {
        seen.looked("groups of exceptions", format!("{} exceptions are counted as they stand", rows.exceptions));
    } else {
        let first = rows.groups.first().cloned().unwrap_or_default();
        let detail =
            format!("{} groups are not counted as their exceptions stand, the first: {first}", rows.groups.len());
        seen.tell(Ailment::new("A7111", "groups of exceptions", detail).mild().with(Repair::Groups));
    }
    for (column, ids) in &rows.columns {
        let detail = format!("{} of {} rows: {}", column.name(), column.table(), some(ids));
        let detail = format!("a column does not say what its row says, and rows are looked for by it: {detail}");
        seen.tell(Ailment::new("A7112", column.table(), detail).mild().with(Repair::Column(*column)));
    }
    if rows.columns.is_empty() {
        seen.looked("rows", "the columns by which runs, calls and exceptions are found say what the rows say");
    }
    for (what, ids) in &rows.strays {
        let detail = format!("{what}: {}", some(ids));
        seen.tell(Ailment::new("A7114", "rows that belong to nothing", detail).remedy(COPY));
    }
    for id in rows.stranded.iter().take(TOLD_MAX) {
        seen.tell(
            Ailment::new("A7118", id, "it waits, and nothing that is there can wake it")
                .mild()
                .remedy(format!("andon explain {id} shows how far it came; andon runs cancel {id} ends it")),
        );
    }
    if rows.stranded.is_empty() {
        seen.looked("waiting runs", format!("{} wait, each for something that is there", rows.waiting));
    }
}

fn some(ids: &[String]) -> String {
    let shown = ids.iter().take(TOLD_MAX).cloned().collect::<Vec<_>>().join(", ");
    if ids.len() > TOLD_MAX { format!("{shown} and {} more", ids.len() - TOLD_MAX) } else { shown }
}

/// The log; its end, where it can be known.
fn segments(
    (disk, dir): (&Disk, &Path),
    format: Option<Format>,
    rows: Option<&db::Rows>,
    seen: &mut Examination,
) -> Result<Option<Position>, StoreError> {
    let instance = format.map(|format| format.instance);
    let found = log::examine(disk, &dir.join("log"), instance, seen.running)?;
    let sealed = rows.and_then(|rows| rows.sealed.place);
    for damage in &found.damages {
        let is_kept = damage.until.zip(sealed).is_some_and(|(until, sealed)| until.offset <= sealed.offset);
        let kept = if is_kept { ". What was in it is in files of the historian" } else { "" };
        let what = format!("{}{kept}", damage.what);
        let ailment = Ailment::new(damage.code, damage.path.display().to_string(), what);
        seen.tell(ailment.remedy(COPY));
    }
    if found.damages.is_empty() {
        let log::Walk { segments, frames, bytes, torn, .. } = found;
        let torn = if torn { ", and the torn end of a write that nobody was told of" } else { "" };
        let told = format!("{segments} segments, {frames} frames, {bytes} bytes, every checksum fits{torn}");
        seen.looked("log", told);
    }
    if let (Some(start), Some(rows)) = (found.start, rows)
        && rows.sealed.place.map_or(0, |place| place.offset) < start.offset
    {
        let sealed =
            rows.sealed.place.map_or_else(|| "nothing was".into(), |place| format!("what is before {place} was"));
        let detail = format!("it begins at {start}, and only {sealed} sealed: what is between is in neither");
        seen.tell(Ailment::new("A7117", "log", detail).remedy(COPY));
    }
    Ok(found.end)
}

/// Whoever has read further than the log reaches.
fn beyond(read: impl Iterator<Item = (String, Position)>, end: Position, seen: &mut Examination) {
    for (what, at) in read.filter(|(_, at)| at.offset > end.offset || at.epoch > end.epoch).take(TOLD_MAX) {
        let detail = format!("it has read up to {at}, and the log ends at {end}");
        seen.tell(Ailment::new("A7117", what, detail).remedy(COPY));
    }
}
