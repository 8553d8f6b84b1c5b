//! From a folder to a contract: which files there are, what each becomes, and the checks in their order.

use crate::{
    checks, codes,
    contract::Contract,
    files::{
        assets::AssetsFile, capabilities::CapabilityFile, classes::ClassFile, exceptions::ExceptionsFile,
        identifiers::IdentifiersFile, not_built, ownership::OwnershipFile, project::ProjectFile,
        retention::RetentionFile, routes::RoutesFile, scenarios::ScenarioFile, shelving::ShelvingFile,
        subscribers::SubscriberFile, systems::SystemFile, workflows::WorkflowFile,
    },
    mosquitto,
    problem::{File, Finding, Findings, Problem, Where},
    read::{Raw, read},
    tree::{self, Tree},
};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, fmt::Write as _, path::Path};

/// Files of a project at most: a rule is a file, and a project may have 10,000 rules beside all else.
pub const FILES_MAX: usize = 50_000;
/// Bytes of all files of a project at most.
pub const PROJECT_MAX_BYTES: usize = 64 << 20;

/// A project that was accepted.
#[derive(Debug)]
pub struct Loaded {
    /// The contract.
    pub contract: Contract,
    /// What somebody should know.
    pub warnings: Vec<Problem>,
}

/// The folders of a project with what they hold.
const FOLDERS: [(&str, &str); 12] = [
    ("assets", "one file per site: `assets/<site>.yaml`"),
    ("classes", "`classes/<class>.yaml`"),
    ("sources", "`sources/<source>.yaml`"),
    ("rules", "`rules/<rule>.yaml`"),
    ("schemas", "`schemas/<Name>-<major>.<minor>.json`"),
    ("identifiers", "`identifiers/<system>.yaml`, `identifiers/<system>.csv`"),
    ("workflows", "`workflows/<workflow>.yaml`"),
    ("capabilities", "`capabilities/<name>.yaml`"),
    ("systems", "`systems/<system>.yaml`"),
    (
        "policies",
        "`policies/exceptions.yaml`, `policies/ownership.yaml`, `policies/retention.yaml`, `policies/shelving.yaml`",
    ),
    ("subscribers", "`subscribers/<subscriber>.yaml`"),
    ("tests", "`tests/<scenario>.yaml`"),
];

/// Reads the project in a folder. Hidden files, `README*` and the folder `data` are left alone; everything else must
/// be a file of a project. Settings of brokers that sources name are looked at too; they are no part of the project,
/// and what is wrong with them is a warning.
pub fn load(dir: &Path) -> Result<Loaded, Vec<Problem>> {
    let mut folder = Folder::default();
    folder.read(dir);
    if !folder.refused.is_empty() {
        return Err(folder.told());
    }
    let mut loaded = from_files(folder.files)?;
    loaded.warnings.extend(mosquitto::warnings(dir, &loaded.contract));
    Ok(loaded)
}

/// Reads a project from its files by path (`assets/home.yaml`); touches nothing else.
pub fn from_files(files: BTreeMap<String, String>) -> Result<Loaded, Vec<Problem>> {
    check(files, Vec::new())
}

fn check(files: BTreeMap<String, String>, refused: Vec<Finding>) -> Result<Loaded, Vec<Problem>> {
    if !files.contains_key("andon.yaml") {
        return Err(no_project(refused));
    }
    let project = Project::read(&files, refused);
    let contract = checks::resolve(&project);
    let problems = project.findings.problems();
    match contract {
        Some(contract) if !project.findings.has_errors() => {
            let contract = Contract { revision: revision(&files), files, ..contract };
            Ok(Loaded { contract, warnings: problems })
        }
        _ => Err(problems),
    }
}

fn no_andon_yaml(told: &str) -> Finding {
    let finding = Finding::error(
        codes::NO_PROJECT,
        Where::Path("andon.yaml".to_owned()),
        format!("there is no `andon.yaml` {told}"),
    );
    finding.help("name the folder that holds `andon.yaml`, or make a new project with `andon init DIR`")
}

/// What is told of files that are no project; nothing else about them would help.
fn no_project(refused: Vec<Finding>) -> Vec<Problem> {
    let findings = Findings::new(Vec::new());
    if refused.is_empty() {
        findings.push(no_andon_yaml("among these files"));
    }
    for finding in refused {
        findings.push(finding);
    }
    findings.problems()
}

/// SHA-256 over the sorted paths and contents, each with its length.
fn revision(files: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    for (path, text) in files {
        for part in [path, text] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
    }
    hex(&hash.finalize())
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a text cannot fail");
        text
    })
}

/// What was read of a folder.
#[derive(Default)]
struct Folder {
    files: BTreeMap<String, String>,
    refused: Vec<Finding>,
    bytes: usize,
}

impl Folder {
    fn refuse(&mut self, code: &'static str, path: &str, message: String, help: impl Into<String>) {
        self.refused.push(Finding::error(code, Where::Path(path.to_owned()), message).help(help));
    }

    fn read(&mut self, dir: &Path) {
        let Some(entries) = self.entries(dir, ".") else { return };
        if !entries.iter().any(|(name, is_dir)| name == "andon.yaml" && !is_dir) {
            self.refused.push(no_andon_yaml(&format!("in {}", dir.display())));
            return;
        }
        for (name, is_dir) in entries {
            if !is_dir {
                self.file(dir, &name);
            } else if FOLDERS.iter().any(|(folder, _)| *folder == name) {
                self.folder(&dir.join(&name), &name);
            } else if name != "data" {
                // A folder nobody reads is refused by its name, also when it is empty.
                self.files.insert(format!("{name}/"), String::new());
            }
        }
    }

    fn folder(&mut self, dir: &Path, name: &str) {
        for (file, is_dir) in self.entries(dir, name).unwrap_or_default() {
            if is_dir {
                self.files.insert(format!("{name}/{file}/"), String::new());
            } else {
                self.file(dir.parent().unwrap_or(dir), &format!("{name}/{file}"));
            }
        }
    }

    /// Names of a folder, sorted, with whether each is a folder; hidden ones and READMEs left out.
    fn entries(&mut self, dir: &Path, told: &str) -> Option<Vec<(String, bool)>> {
        let read = || -> std::io::Result<Vec<(String, bool)>> {
            let mut entries = Vec::new();
            for entry in std::fs::read_dir(dir)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with('.') || name.starts_with("README") {
                    continue;
                }
                // A link that leads nowhere is told when it is read as a file.
                entries.push((name, entry.path().is_dir()));
                if entries.len() > FILES_MAX {
                    break;
                }
            }
            entries.sort();
            Ok(entries)
        };
        match read() {
            Ok(entries) => Some(entries),
            Err(error) => {
                let message = format!("the folder {} cannot be read: {error}", dir.display());
                self.refuse(codes::UNREADABLE, told, message, "name a folder that exists and that you may read");
                None
            }
        }
    }

    fn file(&mut self, root: &Path, path: &str) {
        let full = root.join(path);
        let meta = std::fs::metadata(&full);
        if meta.as_ref().is_ok_and(|meta| !meta.is_file()) {
            let message = "a pipe, a socket or a device is no file of a project".to_owned();
            return self.refuse(codes::UNREADABLE, path, message, "put a plain file there, or move it elsewhere");
        }
        let size = meta.map_or(0, |meta| usize::try_from(meta.len()).unwrap_or(usize::MAX));
        if size > tree::FILE_MAX_BYTES {
            let message = format!("the file has {size} bytes; {} is the limit", tree::FILE_MAX_BYTES);
            return self.refuse(codes::TOO_LARGE, path, message, "split it, or keep data out of the project");
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.files.len() >= FILES_MAX || self.bytes > PROJECT_MAX_BYTES {
            let message = format!("the project has more than {FILES_MAX} files or {PROJECT_MAX_BYTES} bytes");
            return self.refuse(codes::TOO_LARGE, path, message, "keep data out of the project");
        }
        match std::fs::read(&full).map(String::from_utf8) {
            Ok(Ok(text)) => {
                self.files.insert(path.to_owned(), text);
            }
            Ok(Err(error)) => {
                let message = format!("the file is not UTF-8 from byte {} on", error.utf8_error().valid_up_to());
                self.refuse(codes::UNREADABLE, path, message, "save it as UTF-8");
            }
            Err(error) => {
                let message = format!("the file cannot be read: {error}");
                let help = "let it be readable for this user; remove a link that leads nowhere";
                self.refuse(codes::UNREADABLE, path, message, help);
            }
        }
    }

    /// What was refused, together with the problems of what could be read.
    fn told(self) -> Vec<Problem> {
        match check(self.files, self.refused) {
            Ok(loaded) => loaded.warnings,
            Err(problems) => problems,
        }
    }
}

/// A file of a folder: its name without ending and what it holds; `None` where it cannot be read.
#[derive(Debug)]
pub(crate) struct Doc<T> {
    pub(crate) file: u32,
    pub(crate) stem: String,
    pub(crate) body: Option<T>,
}

/// A file whose shape its `kind` decides; `root` is its tree.
pub(crate) type RawDoc = Doc<Raw>;

/// All files of a project, each read by itself.
pub(crate) struct Project {
    pub(crate) findings: Findings,
    pub(crate) andon: Option<Doc<ProjectFile>>,
    pub(crate) assets: Vec<Doc<AssetsFile>>,
    pub(crate) classes: Vec<Doc<ClassFile>>,
    pub(crate) sources: Vec<RawDoc>,
    pub(crate) rules: Vec<RawDoc>,
    /// File and stem of each schema; the text is read by its check.
    pub(crate) schemas: Vec<Doc<()>>,
    pub(crate) identifiers: Vec<Doc<IdentifiersFile>>,
    /// The tables of names; the text is read by its check.
    pub(crate) tables: Vec<Doc<()>>,
    pub(crate) workflows: Vec<Doc<(Raw, Option<WorkflowFile>)>>,
    pub(crate) capabilities: Vec<Doc<CapabilityFile>>,
    pub(crate) systems: Vec<Doc<SystemFile>>,
    pub(crate) routes: Option<Doc<RoutesFile>>,
    pub(crate) ownership: Option<Doc<OwnershipFile>>,
    pub(crate) exceptions: Option<Doc<ExceptionsFile>>,
    pub(crate) retention: Option<Doc<RetentionFile>>,
    pub(crate) shelving: Option<Doc<ShelvingFile>>,
    pub(crate) subscribers: Vec<Doc<SubscriberFile>>,
    pub(crate) scenarios: Vec<Doc<ScenarioFile>>,
}

impl Project {
    pub(crate) fn read(files: &BTreeMap<String, String>, refused: Vec<Finding>) -> Self {
        let mut found = Vec::new();
        let mut faults = Vec::new();
        for (number, (path, text)) in (0_u32..).zip(files) {
            let is_yaml = has_ending(path, "yaml");
            let tree = match is_yaml.then(|| parse(text)) {
                Some(Ok(tree)) => Some(tree),
                Some(Err(list)) => {
                    faults.extend(list.into_iter().map(|fault| {
                        Finding::error(fault.code, Where::Bytes(number, fault.at), fault.message).help(fault.help)
                    }));
                    None
                }
                None => None,
            };
            found.push(File::new(path.clone(), text.clone(), tree));
        }
        let findings = Findings::new(found);
        for finding in refused.into_iter().chain(faults) {
            findings.push(finding);
        }
        for (number, path) in (0_u32..).zip(files.keys()) {
            place(&findings, number, path);
        }
        let raw = |folder: &str| docs(&findings, folder, |file| root(&findings, file).map(|spot| Raw { spot }));
        Self {
            andon: one(&findings, "andon.yaml"),
            assets: shaped(&findings, "assets"),
            classes: shaped(&findings, "classes"),
            sources: raw("sources"),
            rules: raw("rules"),
            schemas: docs(&findings, "schemas", |_| Some(())),
            identifiers: shaped(&findings, "identifiers"),
            tables: tables(&findings),
            workflows: docs(&findings, "workflows", |file| {
                let spot = root(&findings, file)?;
                Some((Raw { spot }, read(&findings, spot)))
            }),
            capabilities: shaped(&findings, "capabilities"),
            systems: shaped(&findings, "systems"),
            routes: one(&findings, "routes.yaml"),
            ownership: one(&findings, "policies/ownership.yaml"),
            exceptions: one(&findings, "policies/exceptions.yaml"),
            retention: one(&findings, "policies/retention.yaml"),
            shelving: one(&findings, "policies/shelving.yaml"),
            subscribers: shaped(&findings, "subscribers"),
            scenarios: shaped(&findings, "tests"),
            findings,
        }
    }

    /// Keeps a finding.
    pub(crate) fn push(&self, finding: Finding) {
        self.findings.push(finding);
    }
}

fn parse(text: &str) -> Result<Tree, Vec<tree::Fault>> {
    if text.len() > tree::FILE_MAX_BYTES {
        let message = format!("the file has {} bytes; {} is the limit", text.len(), tree::FILE_MAX_BYTES);
        let help = "split it, or keep data out of the project";
        return Err(vec![tree::Fault { code: codes::TOO_LARGE, at: 0..0, message, help }]);
    }
    Tree::parse(text)
}

/// Refuses a file that has no place in a project.
fn place(findings: &Findings, number: u32, path: &str) {
    let refuse = |code, message: String, help: String| {
        findings.push(Finding::error(code, Where::File(number), message).help(help));
    };
    let told = path.trim_end_matches('/');
    let plain = told.rsplit_once('.').map_or(told, |(stem, _)| stem);
    if let Some(help) = not_built::path(plain).or_else(|| not_built::path(told.split('/').next().unwrap_or(told))) {
        return refuse(codes::NOT_BUILT, format!("`{told}` is not built yet"), help.to_owned());
    }
    let folders: Vec<&str> = FOLDERS.iter().map(|(name, _)| *name).collect();
    let (folder, file) = path.split_once('/').unwrap_or(("", path));
    let holds = FOLDERS.iter().find(|(name, _)| *name == folder).map(|(_, holds)| *holds);
    let is_known = match folder {
        "" => path == "andon.yaml" || path == "routes.yaml",
        "policies" => ["exceptions.yaml", "ownership.yaml", "retention.yaml", "shelving.yaml"].contains(&file),
        "schemas" => has_ending(file, "json") || has_ending(file, "yaml"),
        "identifiers" => has_ending(file, "csv") || has_ending(file, "yaml"),
        _ => holds.is_some() && has_ending(file, "yaml"),
    };
    if is_known && !file.contains('/') {
        return;
    }
    let finding =
        Finding::error(codes::UNKNOWN_FILE, Where::File(number), format!("`{told}` has no place in a project"));
    findings.push(match holds {
        Some(holds) => finding.expected(holds).help("name it so, or move it out of the project"),
        None if folder.is_empty() => finding
            .known(path, ["andon.yaml", "routes.yaml"])
            .help("rename it, move it out of the project, or into the folder `data`, which nobody reads"),
        None => finding.known(folder, folders).help("rename the folder, or move it out of the project"),
    });
}

/// Whether a file's name ends so; endings are lower-case.
pub(crate) fn has_ending(path: &str, ending: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, found)| found == ending)
}

fn root(findings: &Findings, file: u32) -> Option<crate::problem::Spot> {
    Some(crate::problem::Spot { file, node: findings.tree(file)?.root() })
}

/// The files of a folder, each read by itself.
fn docs<T>(findings: &Findings, folder: &str, read: impl Fn(u32) -> Option<T>) -> Vec<Doc<T>> {
    let mut docs = Vec::new();
    for (file, found) in (0_u32..).zip(&findings.files) {
        let Some((in_folder, name)) = found.path.split_once('/') else { continue };
        let stem = name.strip_suffix(".yaml").or_else(|| name.strip_suffix(".json"));
        if let Some(stem) = stem.filter(|stem| in_folder == folder && !stem.contains('/')) {
            docs.push(Doc { file, stem: stem.to_owned(), body: read(file) });
        }
    }
    docs
}

/// The tables of `identifiers/`.
fn tables(findings: &Findings) -> Vec<Doc<()>> {
    let mut docs = Vec::new();
    for (file, found) in (0_u32..).zip(&findings.files) {
        let name = found.path.strip_prefix("identifiers/").and_then(|name| name.strip_suffix(".csv"));
        if let Some(stem) = name.filter(|stem| !stem.contains('/')) {
            docs.push(Doc { file, stem: stem.to_owned(), body: Some(()) });
        }
    }
    docs
}

fn shaped<T: DeserializeOwned>(findings: &Findings, folder: &str) -> Vec<Doc<T>> {
    docs(findings, folder, |file| read(findings, root(findings, file)?))
}

fn one<T: DeserializeOwned>(findings: &Findings, path: &str) -> Option<Doc<T>> {
    let (file, _) = (0_u32..).zip(&findings.files).find(|(_, file)| file.path == path)?;
    let body = root(findings, file).and_then(|spot| read(findings, spot));
    Some(Doc { file, stem: path.to_owned(), body })
}
