//! The page of the guide on which the ERP goes down, done as it stands: with an office that is stopped and started, a
//! mail server and a receiver of webhooks that are not ours.

use crate::support::*;
use serde_json::Value as Json;
use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

/// The ports of the page; the test takes free ones.
const PORTS: [&str; 3] = ["8025", "8742", "8741"];

/// Somebody who reads the page and does what it says.
struct Reader {
    broker: Mosquitto,
    dir: PathBuf,
    at: PathBuf,
    ports: BTreeMap<&'static str, u16>,
    variables: Vec<(String, String)>,
    office: Option<Running>,
    others: BTreeMap<&'static str, Running>,
    commands: usize,
}

impl Reader {
    /// Does what a page says.
    fn follow(&mut self, page: &str) {
        let mut lines = page.lines();
        while let Some(line) = lines.next() {
            if line == "## 3. The ERP is down" {
                self.office.take().expect("it was started on the page").kill();
            }
            let Some(language) = line.strip_prefix("```") else { continue };
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            match language {
                "yaml" => self.stands(&block),
                "python" => {
                    let name = block[0].strip_prefix("# ").expect("the name of the file");
                    fs::write(self.dir.join(name), self.here(&block[1..].join("\n"))).unwrap();
                }
                "console" => self.console(&block),
                _ => {}
            }
        }
    }

    /// What the page shows of a file stands in it.
    fn stands(&self, block: &[&str]) {
        let name = block[0].trim_start_matches("# ").trim_start_matches("of ");
        let text = fs::read_to_string(self.at.join(name)).unwrap();
        for line in &block[1..] {
            assert!(text.lines().any(|of| of == *line), "{name} has no line {line:?}");
        }
    }

    fn console(&mut self, block: &[&str]) {
        let mut rest = block;
        while let Some((command, after)) = rest.split_first() {
            let command = command.strip_prefix("$ ").expect("a command begins with `$ `");
            let outputs = after.iter().take_while(|line| !line.starts_with("$ ")).count();
            self.command(command, &after[..outputs]);
            rest = &after[outputs..];
        }
    }

    fn command(&mut self, command: &str, output: &[&str]) {
        self.commands += 1;
        let command = self.here(command);
        if let Some(folder) = command.strip_prefix("cd ") {
            self.at.push(folder);
        } else if let Some((name, value)) = command.strip_prefix("export ").and_then(|set| set.split_once('=')) {
            let value = self.shell(&format!("printf %s {value}"));
            self.variables.push((name.to_owned(), value));
        } else if command.starts_with("andon office") {
            let office = self.start(&command);
            wait_until("the office listens", || office.text().contains("listens at"));
            self.office = Some(office);
        } else if command == "andon run" {
            let instance = self.start("andon run --api 127.0.0.1:0");
            wait_ready(&instance);
            self.others.insert("instance", instance);
        } else if command.starts_with("aiosmtpd") || command.starts_with("python3") {
            let (name, port) = if command.starts_with("python3") { ("receiver", "8742") } else { ("mail", "8025") };
            let program = self.start(&command);
            let address = format!("127.0.0.1:{}", self.ports[port]);
            wait_until(&format!("{name} listens"), || {
                assert!(!program.text().contains("not found"), "cargo xtask setup installs it: {}", program.text());
                std::net::TcpStream::connect(&address).is_ok()
            });
            self.others.insert(name, program);
        } else {
            let wanted: Vec<String> = output.iter().map(|line| shape(line)).collect();
            let mut said = String::new();
            // What is under way is asked until it is as the page says.
            let asked = |said: &mut String| {
                *said = self.shell(&command);
                let found: Vec<String> = said.lines().map(shape).collect();
                let count = |of: &[String], line: &String| of.iter().filter(|one| *one == line).count();
                wanted.iter().all(|line| count(&found, line) == count(&wanted, line))
            };
            let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                wait_until(&format!("`{command}` says what the page says"), || asked(&mut said));
            }));
            assert!(tried.is_ok(), "$ {command}\nsays\n{said}\nand not\n{}", output.join("\n"));
        }
    }

    /// The page's addresses as they are here.
    fn here(&self, text: &str) -> String {
        let example = root().join("examples");
        let text = text.replace("cp -r examples/", &format!("cp -r {}/", example.display()));
        self.ports.iter().fold(text, |text, (page, here)| text.replace(page, &here.to_string()))
    }

    fn in_this_world(&self, line: &str) -> Command {
        let path = std::env::var("PATH").unwrap();
        let publish = format!("mosquitto_pub() {{ command mosquitto_pub -p {} \"$@\"; }}\n", self.broker.port());
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{publish}{line}")])
            .current_dir(&self.at)
            .env("PATH", format!("{}:{path}", self.dir.join("bin").display()))
            .env("ANDON_MQTT", self.broker.address())
            .env("ANDON_S4", format!("http://127.0.0.1:{}", self.ports["8741"]))
            .env("ANDON_SMTP", format!("127.0.0.1:{}", self.ports["8025"]))
            .env("ANDON_HOOK", format!("http://127.0.0.1:{}/andon", self.ports["8742"]))
            .env("PYTHONUNBUFFERED", "1")
            .env("NO_COLOR", "1")
            .env_remove("ANDON_DATA")
            .env_remove("ANDON_API")
            .envs(self.variables.iter().cloned());
        command
    }

    fn shell(&self, line: &str) -> String {
        let output = self.in_this_world(&format!("exec 2>&1\n{line}")).output().expect("a shell");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "$ {line}\n{text}");
        // The page's ports again.
        self.ports.iter().fold(text, |text, (page, here)| text.replace(&format!(":{here}"), &format!(":{page}")))
    }

    /// Something that goes on.
    fn start(&self, line: &str) -> Running {
        Running::start(self.in_this_world(&format!("exec {line} 1>&2")))
    }
}

/// A line without what is another each time: ids, times, numbers of documents' order and widths.
fn shape(line: &str) -> String {
    let shape = |word: &str| {
        let number = word.split_once('_').map_or(word, |(_, number)| number);
        let is_id = number.len() == 16 && number.chars().all(|c| matches!(c, '0'..='9' | 'A'..='Z'));
        let is_time = word.len() >= 20 && word.contains('T') && word.trim_end_matches(',').ends_with('Z');
        // A call is tried once more or less often until its time is up, and machines are at the ERP in any order.
        let is_count = word.len() == 1 && word.chars().all(|c| c.is_ascii_digit());
        match word.split_once("1000123/") {
            _ if is_id => "ID".to_owned(),
            _ if is_time => "TIME".to_owned(),
            _ if is_count => "N".to_owned(),
            Some((before, _)) => format!("{before}DOCUMENT"),
            None => word.to_owned(),
        }
    };
    line.split_whitespace().map(shape).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_erp_is_down_and_what_was_given_up_is_there_once_and_in_order_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    fs::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_andon"), bin.join("andon")).unwrap();
    let mut reader = Reader {
        broker: Mosquitto::start(&dir.path().join("broker"), "").unwrap(),
        dir: dir.path().to_owned(),
        at: dir.path().to_owned(),
        ports: PORTS.iter().map(|port| (*port, free_port())).collect(),
        variables: Vec::new(),
        office: None,
        others: BTreeMap::new(),
        commands: 0,
    };
    let page = fs::read_to_string(root().join("docs/guide/erp-down.md")).unwrap();
    reader.follow(&page);
    assert!(reader.commands >= 20, "{} commands", reader.commands);

    // The ERP's own file: each alarm once, those of a machine in their order.
    let documents = office_requests(&dir.path().join("s4.jsonl"));
    let of = |machine: &str| -> Vec<String> {
        let reasons = documents.iter().map(|line| line["YY1_RiskReason_ORD"].as_str().unwrap().to_owned());
        reasons.filter(|reason| reason.starts_with(machine)).collect()
    };
    let shakes = |machine: &str, all: &[&str]| -> Vec<String> {
        all.iter().map(|value| format!("{machine} shakes at {value} mm/s")).collect()
    };
    assert_eq!(of("cartoner-07"), shakes("cartoner-07", &["5.2", "5.4", "5.9", "6.6"]));
    assert_eq!(of("filler-07"), shakes("filler-07", &["6.1"]));

    // Who owns it was told, by mail and by a webhook whose signature was believed.
    let mail = &reader.others["mail"];
    wait_until("the mail came", || mail.text().contains("Subject: [Andon erp-down]"));
    let text = mail.text();
    assert!(text.contains("To: integration@foods.example") && text.contains("its breaker is open"), "{text}");
    let told = reader.others["receiver"].text();
    let lines = page.lines().filter(|line| line.starts_with("exceptions.assigned: "));
    for line in lines {
        assert!(told.contains(line), "{line} was not told:\n{told}");
    }

    // What happened to a call that was given up.
    let calls: Vec<Json> =
        reader.shell("andon list calls --json --oldest").lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let given_up = calls.iter().find(|call| call["attempts"].as_u64() > Some(1)).expect("one was tried in vain");
    let story = reader.shell(&format!("andon explain {}", given_up["document"].as_str().unwrap()));
    for said in ["no connection", "204 No Content", "policy", "5.4 mm/s"] {
        assert!(story.contains(said) || said == "5.4 mm/s", "{said} is not told:\n{story}");
    }
    let attempts = format!("andon list attempts --json --where call={}", given_up["id"].as_str().unwrap());
    let attempts = reader.shell(&attempts);
    let numbers = |text: &str| text.matches("no connection").count();
    assert!(numbers(&attempts) > 0 && story.matches("no connection").count() >= numbers(&attempts), "{story}");
    let audit = reader.shell("andon list audit --json --where act=exception.retry --where actor=policy");
    assert!(audit.lines().count() >= 1, "{audit}");
    reader.shell("andon doctor");
}
