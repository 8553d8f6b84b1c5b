//! The pages of the guide, done as they stand: their files are written, their commands typed, their outputs compared.
//!
//! With `ANDON_REGENERATE=1` the first hour is written anew, with the outputs of this time.

use crate::support::*;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

/// The day on which the messages of the page are measured: its times are compared, all others are of the moment.
const DAY: &str = "2026-01-12T";
/// The port of the receiver on the page; the test takes a free one.
const DESK: &str = "127.0.0.1:8099";
/// How often a command is asked that looks at what is under way, and how long between.
const ASKED_MAX: usize = 600;
const ASKED_EVERY: Duration = Duration::from_millis(100);
/// So often in a row a command has said the same when the page is written anew.
const SETTLED: usize = 5;

fn page(name: &str) -> PathBuf {
    root().join("docs/guide").join(name)
}

/// Somebody who reads the first hour and does what it says.
struct Reader {
    world: World,
    broker: Mosquitto,
    desk: String,
    /// The folder in which the project is made.
    dir: PathBuf,
    /// The folder of the first two terminals.
    at: PathBuf,
    instance: Option<Running>,
    receiver: Option<Running>,
    /// The ids of the page and those of this time.
    ids: BTreeMap<String, String>,
    /// The page is written anew.
    anew: bool,
    commands: usize,
}

impl Reader {
    fn new(dir: &Path) -> Self {
        let broker = Mosquitto::start(&dir.join("broker"), "").unwrap();
        let bin = dir.join("bin");
        fs::create_dir_all(&bin).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_andon"), bin.join("andon")).unwrap();
        let desk = format!("127.0.0.1:{}", free_port());
        Self {
            world: World { mqtt: broker.address(), eam: String::new() },
            broker,
            desk,
            dir: dir.to_owned(),
            at: dir.to_owned(),
            instance: None,
            receiver: None,
            ids: BTreeMap::new(),
            anew: std::env::var_os("ANDON_REGENERATE").is_some(),
            commands: 0,
        }
    }

    /// Does what a page says and gives the page with what was really said.
    fn follow(&mut self, page: &str) -> String {
        let mut told = String::new();
        let mut lines = page.lines();
        while let Some(line) = lines.next() {
            told.extend([line, "\n"]);
            let Some(language) = line.strip_prefix("```") else { continue };
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            let block = self.block(language, &block);
            told.extend(block.iter().map(|line| format!("{line}\n")));
            told += "```\n";
        }
        told
    }

    fn block(&mut self, language: &str, block: &[&str]) -> Vec<String> {
        let mut told: Vec<String> = block.iter().map(|line| (*line).to_owned()).collect();
        match language {
            "yaml" => write(&self.at, block),
            // The receiver stands beside the project, and listens where it is free.
            "python" => {
                let block: Vec<String> = block.iter().map(|line| line.replace("8099", port(&self.desk))).collect();
                write(&self.dir, &block.iter().map(String::as_str).collect::<Vec<_>>());
            }
            "console" => {
                told.clear();
                let mut rest = block;
                while let Some((command, after)) = rest.split_first() {
                    let command = command.strip_prefix("$ ").expect("a command begins with `$ `");
                    let outputs = after.iter().take_while(|line| !line.starts_with("$ ")).count();
                    let (output, next) = after.split_at(outputs);
                    let (command, output) = self.command(command, output);
                    told.push(format!("$ {command}"));
                    told.extend(output);
                    rest = next;
                }
            }
            _ => {}
        }
        told
    }

    /// Types a command whose output stands on the page; gives both as they are this time.
    fn command(&mut self, command: &str, output: &[&str]) -> (String, Vec<String>) {
        self.commands += 1;
        let typed = self.ids.iter().fold(command.to_owned(), |typed, (page, now)| typed.replace(page, now));
        let as_before = || output.iter().map(|line| (*line).to_owned()).collect();
        if let Some(folder) = command.strip_prefix("cd ") {
            self.at.push(folder);
            return (typed, vec![]);
        }
        if command == "andon run" {
            self.start(output);
            return (typed, as_before());
        }
        if command == "python3 receiver.py" {
            let mut receiver = Command::new("sh");
            receiver.args(["-c", "exec python3 receiver.py 1>&2"]).current_dir(&self.dir);
            let receiver = self.receiver.insert(Running::start(receiver));
            wait_until("the receiver is told", || !receiver.text().is_empty());
            let said = receiver.text();
            self.compare(command, output, &said).unwrap_or_else(|why| panic!("{why}"));
            return (typed, said.lines().map(str::to_owned).collect());
        }
        // What is under way is asked until it is as the page says; the others say it at once.
        let waits =
            ["list", "explain", "why-not", "status"].iter().any(|word| typed.starts_with(&format!("andon {word}")));
        let (mut last, mut same) = (String::new(), 0);
        for asked in 1.. {
            let said = self.shell(&typed);
            same = if said == last { same + 1 } else { 0 };
            let settled = !waits || if self.anew { same >= SETTLED } else { asked >= ASKED_MAX };
            last = said;
            match self.compare(command, output, &last) {
                Ok(()) if !self.anew || settled => break,
                Err(why) if settled => panic!("{why}"),
                _ => thread::sleep(ASKED_EVERY),
            }
        }
        (typed, last.lines().map(|line| line.trim_end().to_owned()).collect())
    }

    /// Runs a line in a shell, in the folder of the reader, and gives what stands in his terminal then.
    fn shell(&self, line: &str) -> String {
        let path = std::env::var("PATH").unwrap();
        let publish = format!("mosquitto_pub() {{ command mosquitto_pub -p {} \"$@\"; }}\n", self.broker.port());
        let output = self
            .in_this_world(Command::new("sh"))
            .args(["-c", &format!("exec 2>&1\n{publish}{line}")])
            .env("PATH", format!("{}:{path}", self.dir.join("bin").display()))
            .output()
            .expect("a shell");
        String::from_utf8(output.stdout).unwrap().replace(&self.desk, DESK)
    }

    fn in_this_world(&self, mut command: Command) -> Command {
        command
            .current_dir(&self.at)
            .env("ANDON_MQTT", &self.world.mqtt)
            .env("ANDON_DESK", format!("http://{}", self.desk))
            .env_remove("ANDON_DATA")
            .env_remove("ANDON_API")
            .env("NO_COLOR", "1");
        command
    }

    /// Ends the instance, where one runs, and starts it; its log says what the page says of it.
    fn start(&mut self, output: &[&str]) {
        if let Some(mut before) = self.instance.take() {
            before.stop();
        }
        let mut command = self.in_this_world(Command::new(env!("CARGO_BIN_EXE_andon")));
        command.args(["run", "--api", "127.0.0.1:0"]);
        let running = Running::start(command);
        wait_ready(&running);
        for line in output {
            let message = line.split_once("INFO ").expect("a line of the log").1;
            let words: Vec<&str> = message.split(' ').take_while(|word| !word.contains('=')).collect();
            let message = words.join(" ");
            assert!(
                running.text().contains(&format!("\"{message}\"")),
                "{message} is not in the log\n{}",
                running.text()
            );
        }
        self.instance = Some(running);
    }

    /// Compares what the page says with what was said, and learns which id of the page is which.
    fn compare(&mut self, command: &str, page: &[&str], said: &str) -> Result<(), String> {
        let (expected, of_page) = plain(&page.join("\n"));
        let (found, of_now) = plain(said);
        let mut ids = self.ids.clone();
        let bound = of_page.into_iter().zip(of_now).all(|(page, now)| *ids.entry(page).or_insert(now.clone()) == now);
        if (expected != found || !bound) && !self.anew {
            let page = page.join("\n");
            return Err(format!("$ {command}\nsays\n{said}\nand not, as the page does,\n{page}"));
        }
        self.ids = ids;
        Ok(())
    }
}

fn port(address: &str) -> &str {
    address.split_once(':').unwrap().1
}

/// Writes the file that a block shows under the name in its first line.
fn write(dir: &Path, block: &[&str]) {
    let path = dir.join(block[0].strip_prefix("# ").expect("the path of the file"));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, block[1..].join("\n") + "\n").unwrap();
}

/// A text without what is another each time (ids, hashes, times but those of the machine, counts), and its ids.
fn plain(text: &str) -> (String, Vec<String>) {
    let mut ids = Vec::new();
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let mut told = String::new();
        for word in line.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && !"_:.-".contains(c)) {
            let core = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            let kind = if is_id(core) {
                ids.push(core.to_owned());
                "ID"
            } else if core.len() >= 20 && core.ends_with('Z') && core.contains('T') && !core.starts_with(DAY) {
                "TIME"
            } else if core.len() >= 8 && core.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')) {
                "HASH"
            } else {
                core
            };
            told += &word.replacen(core, kind, 1);
        }
        let told = uncounted(&told);
        // A system that is away may be asked once more than on the page.
        if lines.last() != Some(&told) {
            lines.push(told);
        }
    }
    (lines.join("\n"), ids)
}

/// A line without widths, positions in the log, and the numbers of attempts.
fn uncounted(line: &str) -> String {
    let is_number = |word: &str| word.chars().all(|c| c.is_ascii_digit());
    let words: Vec<&str> = line.split_whitespace().collect();
    let counted = |(index, word): (usize, &&str)| {
        let position = word.trim_matches(['[', ']', ':']).split_once('/');
        let of_attempt = words.get(index + 1) == Some(&"no") || (index > 0 && words[index - 1] == "attempt");
        match position {
            Some((epoch, offset)) if is_number(epoch) && is_number(offset) => "POSITION".to_owned(),
            _ if is_number(word) && of_attempt => "N".to_owned(),
            _ => (*word).to_owned(),
        }
    };
    words.iter().enumerate().map(counted).collect::<Vec<_>>().join(" ")
}

/// A kind and 16 characters, or a reference alone.
fn is_id(word: &str) -> bool {
    let number = word.split_once('_').map_or(word, |(_, number)| number);
    number.len() == 16 && number.chars().all(|c| matches!(c, '0'..='9' | 'A'..='Z'))
}

#[test]
fn the_first_hour_leads_from_a_topic_to_an_address() {
    let dir = tempfile::tempdir().unwrap();
    let mut reader = Reader::new(dir.path());
    let path = page("first-hour.md");
    let told = reader.follow(&fs::read_to_string(&path).unwrap());
    assert!(reader.commands >= 20, "{} commands", reader.commands);
    let receiver = reader.receiver.expect("the page starts a receiver");
    let body: serde_json::Value = serde_json::from_str(&receiver.text()).expect("one body, told once");
    assert_eq!(body["text"], "press-07 is at 221.7 bar");
    assert_eq!(body["machine"], "Press 7");
    reader.instance.expect("the page starts an instance").stop();
    if reader.anew {
        fs::write(path, told).unwrap();
    }
}

#[test]
fn one_more_plant_is_at_most_sixty_lines_touches_no_rule_and_no_workflow_and_plays_the_story() {
    let dir = tempfile::tempdir().unwrap();
    copy_project(&root().join("examples/packaging-line"), dir.path());
    let text = fs::read_to_string(page("second-plant.md")).unwrap();
    let (mut written, mut said) = (0, vec![]);
    for part in text.split("```").skip(1).step_by(2) {
        let (language, block) = part.split_once('\n').unwrap();
        let lines: Vec<&str> = block.lines().collect();
        let name = lines[0].trim_start_matches(['#', '-', ' ']);
        let path = dir.path().join(name);
        match language {
            "yaml" | "csv" => {
                // The scenario shows the plant and is no part of it.
                written += if name.starts_with("tests/") { 0 } else { lines.len() - 1 };
                assert!(!path.exists(), "{name} is new");
                write(dir.path(), &lines);
            }
            "diff" => {
                written += lines[1..].iter().filter(|line| line.starts_with('+')).count();
                let text = fs::read_to_string(&path).unwrap();
                fs::write(&path, patched(&text, &lines[1..])).unwrap();
            }
            "console" => said.extend(lines.iter().copied().filter(|line| line.starts_with("ok "))),
            _ => {}
        }
        assert!(!lines[0].contains("rules/") && !lines[0].contains("workflows/"), "{}", lines[0]);
    }
    assert!((40..=60).contains(&written), "{written} lines");
    let loaded = andon_contract::load(dir.path()).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n"))
    });
    assert!(loaded.warnings.is_empty(), "{:#?}", loaded.warnings);
    assert_eq!((loaded.contract.sites.len(), loaded.contract.assets.len()), (3, 12));
    let world = World { mqtt: String::new(), eam: String::new() };
    let played = world.ok(&["test", dir.path().to_str().unwrap()]);
    assert_eq!(said.len(), 1, "the page says what the scenario says");
    assert!(played.contains(said[0]), "{played}");
    assert!(played.lines().filter(|line| line.starts_with("ok ")).count() >= 8, "and the other plants': {played}");
    // A scenario is not as expected where another system is asked.
    let routes = fs::read_to_string(dir.path().join("routes.yaml")).unwrap();
    let moved =
        routes.replace("[monterrey, pune], use: eam.create-request", "[monterrey, pune], use: maximo.create-request");
    assert_ne!(routes, moved);
    fs::write(dir.path().join("routes.yaml"), moved).unwrap();
    let output = world.run(&["test", dir.path().to_str().unwrap(), "--only", "the-first-story-at-pune"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

/// A text with the changes of a block: what goes or stands is found, everywhere, and what comes takes its place.
fn patched(text: &str, changes: &[&str]) -> String {
    let mut text = text.to_owned();
    let mut hunks: Vec<(Vec<&str>, Vec<&str>)> = vec![];
    let mut last = ' ';
    for line in changes {
        let sign = line.chars().next().unwrap();
        // A line that goes after one that came, or anything after one that stands, begins another change.
        if hunks.is_empty() || (sign == '-' && last != '-') || (sign == '+' && last == ' ') {
            hunks.push((vec![], vec![]));
        }
        let (old, new) = hunks.last_mut().unwrap();
        if sign != '+' {
            old.push(&line[1..]);
        }
        if sign != '-' {
            new.push(&line[1..]);
        }
        last = sign;
    }
    for (old, new) in hunks {
        let (old, new) = (old.join("\n") + "\n", new.join("\n") + "\n");
        assert!(text.contains(&old), "{old:?} stands in the file");
        text = text.replace(&old, &new);
    }
    text
}
