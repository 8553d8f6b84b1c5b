//! The settings of a Mosquitto broker that decide what is lost, as `mosquitto.conf(5)` describes them.
//!
//! [`look`] is pure: the texts of the files in, findings out. [`warnings`] reads the files that sources name.

use crate::{
    Contract, Problem, codes,
    contract::{MqttSource, MqttVersion, SourceKind},
    problem::{File, Finding, Findings, Where},
};
use andon_model::span::Span;
use std::{collections::BTreeMap, ops::Range, path::Path};

/// Bytes of a file of settings at most.
const FILE_MAX: u64 = 1 << 20;
/// Files of an `include_dir` at most.
const INCLUDED_MAX: usize = 100;
/// Lines looked at in all files together.
const LINES_MAX: usize = 100_000;
/// Messages a broker holds for a client unless told.
const QUEUED_DEFAULT: u64 = 1_000;
/// A queue of so many messages is not warned of: a minute of a busy plant.
const QUEUED_ENOUGH: u64 = 100_000;
/// A queue of so many bytes is not warned of.
const BYTES_ENOUGH: u64 = 64 << 20;
/// Seconds between two saves unless told.
const AUTOSAVE_DEFAULT: u64 = 1_800;
/// Saves as often as this are not warned of.
const AUTOSAVE_ENOUGH: u64 = 60;

/// What a source expects of its broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Needs {
    /// The highest quality of service it subscribes with.
    pub(crate) qos: u8,
    /// How long its session is to be kept; `None`: for ever, as far as MQTT 3.1.1 says.
    pub(crate) session: Option<Span>,
}

impl Needs {
    fn of(source: &MqttSource) -> Self {
        let session = (source.broker.version == MqttVersion::V5).then_some(source.session_expiry);
        Self { qos: source.topics.iter().map(|topic| topic.qos).max().unwrap_or(0), session }
    }

    /// Whether the broker is to keep anything while we are away.
    fn keeps(self) -> bool {
        self.qos > 0 && self.session.is_none_or(|session| session > Span::ZERO)
    }
}

/// A setting where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting<'a> {
    name: &'a str,
    value: &'a str,
    file: u32,
    at: Range<usize>,
}

/// The settings of a file in their order: a name, a space, a value; a line that begins with `#` is none.
fn settings(file: u32, text: &str) -> Vec<Setting<'_>> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n').take(LINES_MAX) {
        let said = line.trim_end();
        let name = said.split([' ', '\t']).next().unwrap_or_default();
        if !said.starts_with('#') && !name.is_empty() {
            let value = said.get(name.len()..).unwrap_or_default().trim();
            found.push(Setting { name, value, file, at: start..start + said.len() });
        }
        start += line.len();
    }
    found
}

/// All settings, the last of each name in force.
struct Conf<'a> {
    all: Vec<Setting<'a>>,
}

impl<'a> Conf<'a> {
    fn last(&self, name: &str) -> Option<&Setting<'a>> {
        self.all.iter().rfind(|setting| setting.name == name)
    }

    fn is_true(&self, name: &str) -> bool {
        self.last(name).is_some_and(|setting| setting.value == "true" || setting.value == "1")
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.last(name)?.value.parse().ok()
    }

    /// Where a setting stands, or the beginning of the main file where it stands nowhere.
    fn place(&self, name: &str) -> Where {
        self.last(name).map_or(Where::File(0), |setting| Where::Bytes(setting.file, setting.at.clone()))
    }
}

/// What the files of a broker, the main one first, let it lose of what a source expects.
pub(crate) fn look<'a>(files: impl IntoIterator<Item = &'a str>, needs: Needs) -> Vec<Finding> {
    let all = (0_u32..).zip(files).flat_map(|(file, text)| settings(file, text)).take(LINES_MAX).collect();
    let conf = Conf { all };
    let mut found = Vec::new();
    if needs.keeps() {
        queue(&conf, &mut found);
        saved(&conf, &mut found);
        session(&conf, needs, &mut found);
    }
    dropped(&conf, needs, &mut found);
    open(&conf, &mut found);
    found
}

fn told(conf: &Conf<'_>, name: &str, message: String, help: &str) -> Finding {
    Finding::warning(codes::BROKER_LOSES, conf.place(name), message).help(help)
}

/// What it holds for us while we are away or slow.
fn queue(conf: &Conf<'_>, found: &mut Vec<Finding>) {
    let messages = conf.number("max_queued_messages");
    if messages != Some(0) && messages.unwrap_or(QUEUED_DEFAULT) < QUEUED_ENOUGH {
        let count = messages.unwrap_or(QUEUED_DEFAULT);
        let (name, by) = ("max_queued_messages", if messages.is_none() { ", the default" } else { "" });
        let message = format!("`{name}` is {count}{by}: while we are away, every message beyond is dropped silently");
        let help = "set it to 0 (no limit), or to more than come in the longest time that Andon may be away";
        found.push(told(conf, name, message, help));
    }
    if let Some(bytes) = conf.number("max_queued_bytes").filter(|bytes| (1..BYTES_ENOUGH).contains(bytes)) {
        let message = format!("`max_queued_bytes` is {bytes}: while we are away, what goes beyond is dropped silently");
        found.push(told(conf, "max_queued_bytes", message, "set it to 0 (no limit), or to 64 MiB or more"));
    }
    if !conf.is_true("queue_qos0_messages") && !conf.is_true("upgrade_outgoing_qos") {
        let message = "`queue_qos0_messages` is false: what machines publish at QoS 0 is not held while we are away, \
                       whatever we subscribe with";
        let help = "let the machines publish at QoS 1, or set it to true";
        found.push(told(conf, "queue_qos0_messages", message.to_owned(), help));
    }
}

/// What of it survives the end of the broker.
fn saved(conf: &Conf<'_>, found: &mut Vec<Finding>) {
    if !conf.is_true("persistence") {
        let default = if conf.last("persistence").is_none() { ", the default" } else { "" };
        let message = format!("`persistence` is false{default}: what the broker holds for us is gone when it restarts");
        found.push(told(conf, "persistence", message, "set `persistence true` and a `persistence_location`"));
        return;
    }
    let every = conf.number("autosave_interval").unwrap_or(AUTOSAVE_DEFAULT);
    let loses = match (every, conf.is_true("autosave_on_changes")) {
        (0, _) => "everything it took since its start".to_owned(),
        (_, true) if every > QUEUED_DEFAULT => format!("up to {every} messages that it acknowledged"),
        (_, false) if every > AUTOSAVE_ENOUGH => format!("up to {every} s of messages that it acknowledged"),
        _ => return,
    };
    let message = format!("`autosave_interval` is {every}: a crash of the broker loses {loses}");
    found.push(told(conf, "autosave_interval", message, "set `autosave_interval 60`, or less"));
}

/// How long it keeps our session.
fn session(conf: &Conf<'_>, needs: Needs, found: &mut Vec<Finding>) {
    let name = "persistent_client_expiration";
    let Some(setting) = conf.last(name) else { return };
    let Some(kept) = expiration(setting.value) else { return };
    if needs.session.is_none_or(|session| kept < session) {
        let wanted = needs.session.map_or_else(|| "as long as it can".to_owned(), |session| session.to_string());
        let message = format!(
            "`{name}` is {}: the broker forgets our session, and the messages in it, after {kept}; the source wants it \
             kept {wanted}",
            setting.value
        );
        found.push(told(conf, name, message, "set it longer than `session.expiry` of the source, or leave it out"));
    }
}

/// A number followed by one of `h d w m y`.
fn expiration(value: &str) -> Option<Span> {
    let unit = value.chars().last()?;
    let hours = match unit {
        'h' => 1,
        'd' => 24,
        'w' => 7 * 24,
        'm' => 30 * 24,
        'y' => 365 * 24,
        _ => return None,
    };
    let count = value.strip_suffix(unit)?.trim().parse::<i64>().ok().filter(|count| *count >= 0)?;
    Some(Span::from_secs(count.saturating_mul(hours).saturating_mul(3_600)))
}

/// What it drops whether we are there or not.
fn dropped(conf: &Conf<'_>, needs: Needs, found: &mut Vec<Finding>) {
    if let Some(limit) = conf.number("memory_limit").filter(|limit| *limit > 0) {
        let message = format!("`memory_limit` is {limit}: with so many bytes in use, messages are dropped");
        found.push(told(conf, "memory_limit", message, "leave it out, and let the machine have memory enough"));
    }
    if let Some(limit) = conf.number("message_size_limit").filter(|limit| *limit > 0) {
        let message = format!(
            "`message_size_limit` is {limit}: a larger payload is dropped, and a machine that speaks MQTT 3.1.1 is \
             told that it was taken"
        );
        found.push(told(
            conf,
            "message_size_limit",
            message,
            "leave it out; `max_packet_size` ends the connection instead",
        ));
    }
    let lowest =
        conf.all.iter().filter(|s| s.name == "max_qos").find(|s| s.value.parse::<u8>().is_ok_and(|q| q < needs.qos));
    if let Some(setting) = lowest {
        let message =
            format!("`max_qos` is {}: the source subscribes at QoS {}, and gets less", setting.value, needs.qos);
        let at = Where::Bytes(setting.file, setting.at.clone());
        let help = "leave it out of the listener that Andon connects to";
        found.push(Finding::warning(codes::BROKER_LOSES, at, message).help(help));
    }
}

/// Whether anybody on the network may publish.
fn open(conf: &Conf<'_>, found: &mut Vec<Finding>) {
    let alone = conf.is_true("per_listener_settings");
    // Where no listener is defined, the broker serves its own machine only.
    let mut beyond = false;
    for setting in &conf.all {
        match setting.name {
            "listener" => {
                let here = !is_loopback(setting.value.split_whitespace().nth(1));
                beyond = if alone { here } else { beyond || here };
            }
            "port" if !conf.all.iter().any(|s| s.name == "bind_address" && is_loopback(Some(s.value))) => beyond = true,
            _ => {}
        }
        if alone && beyond && setting.name == "allow_anonymous" && setting.value == "true" {
            found.push(anonymous(setting));
        }
    }
    if !alone
        && beyond
        && let Some(setting) = conf.last("allow_anonymous").filter(|setting| setting.value == "true")
    {
        found.push(anonymous(setting));
    }
}

fn anonymous(setting: &Setting<'_>) -> Finding {
    let message =
        "`allow_anonymous` is true on a listener that the network reaches: anybody may publish what rules read";
    let at = Where::Bytes(setting.file, setting.at.clone());
    let help = "set a `password_file` and `allow_anonymous false`, or bind the listener to 127.0.0.1";
    Finding::warning(codes::BROKER_LOSES, at, message).help(help)
}

fn is_loopback(address: Option<&str>) -> bool {
    address.is_some_and(|address| {
        address == "localhost"
            || address.starts_with('/')
            || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}

/// Paths and texts of files, the main one first.
type Files = Vec<(String, String)>;

/// What the settings of brokers that sources name let be lost. Paths are relative to the project's folder.
pub(crate) fn warnings(dir: &Path, contract: &Contract) -> Vec<Problem> {
    let mut all = Vec::new();
    let mut read: BTreeMap<&str, Result<Files, String>> = BTreeMap::new();
    for (name, source) in &contract.sources {
        let SourceKind::Mqtt(mqtt) = &source.kind else { continue };
        let Some(path) = mqtt.broker_settings.as_deref() else { continue };
        let files = read.entry(path).or_insert_with(|| read_conf(dir, path));
        let (files, list) = match files {
            Ok(files) => (&**files, look(files.iter().map(|(_, text)| text.as_str()), Needs::of(mqtt))),
            Err(error) => {
                let at = Where::Path(format!("sources/{name}.yaml"));
                let finding = Finding::warning(codes::BROKER_SETTINGS, at, format!("`broker-settings`: {error}"));
                (&[][..], vec![finding.help("name the broker's mosquitto.conf, or a copy of it, or leave the key out")])
            }
        };
        let files = files.iter().map(|(path, text)| File::new(path.clone(), text.clone(), None)).collect();
        let findings = Findings::new(files);
        for finding in list {
            findings.push(finding);
        }
        all.extend(findings.problems().into_iter().filter(|problem| !all.contains(problem)).collect::<Vec<_>>());
    }
    all
}

/// The main file and those of its `include_dir`, in the order in which the broker reads them.
fn read_conf(dir: &Path, path: &str) -> Result<Files, String> {
    let main = read_file(&dir.join(path))?;
    let mut files = vec![(path.to_owned(), main)];
    let included: Option<String> = files.first().and_then(|(_, text)| {
        settings(0, text).into_iter().rfind(|setting| setting.name == "include_dir").map(|s| s.value.to_owned())
    });
    let Some(folder) = included else { return Ok(files) };
    // The broker reads the path from where it was started; beside the main file is where copies lie.
    let folder = dir.join(path).parent().unwrap_or(dir).join(folder);
    let cannot = |error: std::io::Error| format!("the folder {} cannot be read: {error}", folder.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(cannot)? {
        let name = entry.map_err(cannot)?.file_name().to_string_lossy().into_owned();
        if Path::new(&name).extension().is_some_and(|ending| ending == "conf") {
            names.push(name);
        }
        if names.len() > INCLUDED_MAX {
            return Err(format!("the folder {} holds more than {INCLUDED_MAX} files", folder.display()));
        }
    }
    names.sort_by(|a, b| (a.to_lowercase(), a).cmp(&(b.to_lowercase(), b)));
    for name in names {
        let path = folder.join(name);
        let text = read_file(&path)?;
        files.push((path.strip_prefix(dir).unwrap_or(&path).display().to_string(), text));
    }
    Ok(files)
}

fn read_file(path: &Path) -> Result<String, String> {
    use std::io::Read as _;
    let cannot = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let meta = std::fs::metadata(path).map_err(cannot)?;
    if !meta.is_file() {
        return Err(format!("{} is no plain file", path.display()));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(cannot)?.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(format!("{} is larger than 1 MiB", path.display()));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NEEDS: Needs = Needs { qos: 1, session: Some(Span::from_secs(3_600)) };
    const GOOD: &str = "listener 1883 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\npersistence true\n\
                        autosave_interval 30\nqueue_qos0_messages true\n";

    fn told(conf: &str, needs: Needs) -> Vec<String> {
        look([conf], needs).into_iter().map(|finding| finding.message).collect()
    }

    /// The names of the settings that are told, in their order.
    fn names(conf: &str, needs: Needs) -> Vec<String> {
        told(conf, needs).iter().filter_map(|message| Some(message.split('`').nth(1)?.to_owned())).collect()
    }

    #[test]
    fn the_defaults_lose_and_good_settings_do_not() {
        assert_eq!(names("", NEEDS), ["max_queued_messages", "queue_qos0_messages", "persistence"]);
        assert_eq!(names(GOOD, NEEDS), [""; 0]);
        // Where nothing is to be kept, nothing of this matters.
        assert_eq!(names("", Needs { qos: 0, ..NEEDS }), [""; 0]);
        assert_eq!(names("", Needs { session: Some(Span::ZERO), ..NEEDS }), [""; 0]);
    }

    #[test]
    fn each_setting_that_loses_is_named_with_its_value() {
        let of = |line: &str| names(&format!("{GOOD}{line}\n"), NEEDS);
        for (line, name) in [
            ("max_queued_messages 5000", "max_queued_messages"),
            ("max_queued_bytes 1000000", "max_queued_bytes"),
            ("queue_qos0_messages false", "queue_qos0_messages"),
            ("persistence false", "persistence"),
            ("autosave_interval 1800", "autosave_interval"),
            ("autosave_interval 0", "autosave_interval"),
            ("memory_limit 100000000", "memory_limit"),
            ("message_size_limit 1000", "message_size_limit"),
            ("listener 1884\nmax_qos 0", "max_qos"),
            ("listener 1884 0.0.0.0", "allow_anonymous"),
        ] {
            let told = of(line);
            assert!(told.iter().any(|found| found == name), "{line}: {told:?}");
        }
        for line in [
            "max_queued_messages 100000",
            "max_queued_bytes 0",
            "# persistence false",
            "persistent_client_expiration 1h",
            "autosave_on_changes true\nautosave_interval 1000",
            "upgrade_outgoing_qos true\nqueue_qos0_messages false",
            "listener 0 /run/mosquitto.sock",
            "max_qos 1",
            "per_listener_settings true\nlistener 8883\nallow_anonymous false",
        ] {
            assert_eq!(of(line), [""; 0], "{line}");
        }
        assert!(
            told(&format!("{GOOD}autosave_on_changes true\nautosave_interval 5000"), NEEDS)[0]
                .contains("5000 messages")
        );
    }

    #[test]
    fn a_session_that_is_kept_for_less_than_wanted_is_told() {
        let of = |line: &str, session| names(&format!("{GOOD}{line}\n"), Needs { qos: 1, session });
        let name = "persistent_client_expiration";
        assert_eq!(of("persistent_client_expiration 1h", Some(Span::from_secs(7_200))), [name]);
        assert_eq!(of("persistent_client_expiration 2h", Some(Span::from_secs(7_200))), [""; 0]);
        assert_eq!(of("persistent_client_expiration 1y", None), [name]);
        assert_eq!(of("persistent_client_expiration soon", None), [""; 0]);
    }

    #[test]
    fn files_are_read_in_the_order_of_the_broker_and_told_with_their_lines() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("conf.d");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(dir.path().join("m.conf"), format!("{GOOD}include_dir conf.d\n")).unwrap();
        for (name, text) in
            [("b.conf", "persistence true"), ("A.conf", "persistence false\n"), ("c.txt", "persistence no")]
        {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let files = read_conf(dir.path(), "m.conf").unwrap();
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["m.conf", "conf.d/A.conf", "conf.d/b.conf"]);
        assert_eq!(look(files.iter().map(|(_, text)| text.as_str()), NEEDS), []);
        std::fs::write(folder.join("b.conf"), "\npersistence false").unwrap();
        let files = read_conf(dir.path(), "m.conf").unwrap();
        let found = look(files.iter().map(|(_, text)| text.as_str()), NEEDS);
        assert_eq!(found[0].at, Where::Bytes(2, 1..18));
        assert!(read_conf(dir.path(), "none.conf").unwrap_err().contains("none.conf"));
        assert!(read_conf(dir.path(), "conf.d").unwrap_err().contains("no plain file"));
        std::fs::write(folder.join("d.conf"), vec![b'x'; (1 << 20) + 1]).unwrap();
        assert!(read_conf(dir.path(), "m.conf").unwrap_err().contains("larger than 1 MiB"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(?s).{0,400}", lines in prop::collection::vec(
            concat!(
                "(listener|port|max_qos|persistence|autosave_interval|persistent_client_expiration|allow_anonymous|#)",
                "[ \t]*[ -~é]{0,20}"
            ), 0..20)
        ) {
            let joined = lines.join("\n");
            for finding in look([text.as_str(), joined.as_str()], NEEDS) {
                if let Where::Bytes(file, at) = finding.at {
                    prop_assert!([&text, &joined][file as usize].get(at).is_some());
                }
            }
        }
    }
}
