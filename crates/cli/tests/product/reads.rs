//! What is read from a system of record: a little ERP answers, fails, lies and dawdles; the instance is killed.

use crate::support::*;
use serde_json::{Value as Json, json};
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// How the ERP answers.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Well,
    Fails,
    Garbage,
    BreaksOff,
    Dawdles,
}

struct Erp {
    port: u16,
    state: Arc<Mutex<State>>,
}

struct State {
    mood: Mood,
    orders: Vec<Json>,
    asked: Vec<String>,
}

impl Erp {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { mood: Mood::Well, orders: Vec::new(), asked: Vec::new() }));
        let of = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let of = of.clone();
                thread::spawn(move || answer(stream, &of));
            }
        });
        Self { port, state }
    }

    fn mood(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    /// Puts an order in its newest state behind all others.
    fn order(&self, number: u32, status: &str, work_centre: &str) {
        let mut state = self.state.lock().unwrap();
        let changed = state.orders.iter().filter_map(|order| order["changed"].as_u64()).max().unwrap_or(0) + 1;
        state.orders.retain(|order| order["no"] != number);
        state.orders.push(json!({
            "no": number, "status": status, "workCentre": work_centre, "material": "foil", "quantity": 500,
            "changed": changed, "start": "2026-11-22T06:00:00Z",
        }));
    }

    fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }
}

fn answer(stream: TcpStream, of: &Mutex<State>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let token = lines.take_while(|line| !line.is_empty()).any(|line| line == "authorization: Bearer the-token");
    let target = first.split(' ').nth(1).unwrap_or("").to_owned();
    let (mood, body) = {
        let mut state = of.lock().unwrap();
        state.asked.push(target.clone());
        let number = |name: &str| {
            let value = target.split(['?', '&']).find_map(|pair| pair.strip_prefix(&format!("{name}=")));
            value.and_then(|value| value.parse::<u64>().ok()).unwrap_or(0)
        };
        let (since, skip) = (number("since"), usize::try_from(number("skip")).unwrap());
        let found = state.orders.iter().filter(|order| order["changed"].as_u64().unwrap() > since);
        let found: Vec<&Json> = found.skip(skip).take(2).collect();
        (state.mood, json!({ "value": found }).to_string())
    };
    let (status, body, length) = match mood {
        _ if !token => ("401 Unauthorized", "{}".to_owned(), 2),
        Mood::Well => ("200 OK", body.clone(), body.len()),
        Mood::Fails => ("503 Service Unavailable", "maintenance".to_owned(), 11),
        Mood::Garbage => ("200 OK", "<html>{\"value\":".to_owned(), 15),
        Mood::BreaksOff => ("200 OK", body.clone(), body.len() + 100),
        Mood::Dawdles => {
            thread::sleep(Duration::from_secs(5));
            ("200 OK", body.clone(), body.len())
        }
    };
    let mut stream = stream;
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}

const SYSTEM: &str = r#"protocol: rest
base: env:ANDON_EAM else http://127.0.0.1:1
zone: plant
credentials: { bearer: env:ERP_TOKEN }
timeout: 2 s
retry: { first: 200 ms, factor: 2, max: 400 ms }
reads:
  orders:
    object: ProductionOrder/1
    every: 1 s
    request: { path: /orders, query: { since: "${ .cursor // 0 }", skip: "${ .skip }" } }
    items: ${ .value }
    cursor: ${ .last.changed }
    paging: { size: 2 }
    number: ${ .no }
    from: ${ .start }
    assets: ${ [name("erp"; "asset"; .workCentre)] }
    mapping:
      state: '${ {"REL": "Released", "RUN": "Running"}[.status] }'
      material: ${ .material }
      quantity: { value: "${ .quantity | tostring }", unit: kg }
"#;

fn project(dir: &Path) -> PathBuf {
    let project = dir.join("project");
    let identifiers = "system: erp\nnames:\n  asset: { press-01: WC-1, press-02: WC-2 }\n";
    for (path, text) in [
        ("andon.yaml", "format: 1\nname: reads\ninstances: { plant: { role: both, zone: plant } }\n"),
        (
            "assets/home.yaml",
            "site: home\nzone: plant\ntimezone: UTC\n\
             assets: { press-01: { class: press }, press-02: { class: press } }\n",
        ),
        ("classes/press.yaml", "signals: { heat: { kind: f64, unit: Cel } }\n"),
        ("policies/ownership.yaml", "teams: { people: { mail: a@b.example } }\nrules: [{ owner: people }]\n"),
        ("sources/posted.yaml", "kind: http\n"),
        ("identifiers/erp.yaml", identifiers),
        ("systems/erp.yaml", SYSTEM),
    ] {
        let file = project.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    project
}

fn start(world: &World, project: &Path, data: &Path) -> (Running, String) {
    let mut command = world.command(&["run", project.to_str().unwrap(), "--data", data.to_str().unwrap()]);
    command.args(["--api", "127.0.0.1:0"]).env("ERP_TOKEN", "the-token");
    let running = Running::start(command);
    wait_ready(&running);
    let api = api_of(&running);
    (running, api)
}

fn numbers(world: &World, data: &Path, filters: &[&str]) -> Vec<String> {
    let rows = world.list("objects", data, filters);
    let mut all: Vec<String> = rows.iter().map(|row| row["number"].as_str().unwrap().to_owned()).collect();
    all.sort();
    all
}

fn read(world: &World, data: &Path) -> Json {
    world.list("reads", data, &[]).remove(0)
}

fn curl(method: &str, url: &str, headers: &[&str], body: &Json) -> (u16, Json) {
    let mut command = Command::new("curl");
    command.args(["-s", "-X", method, "-w", "\n%{http_code}", url, "-d", &body.to_string()]);
    let json = ["content-type: application/json"];
    for header in headers.iter().chain(json.iter().filter(|_| !headers.iter().any(|h| h.starts_with("content-type")))) {
        command.args(["-H", header]);
    }
    let text = String::from_utf8(command.output().expect("curl is installed").stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Json::Null))
}

#[test]
fn orders_are_read_page_by_page_and_nothing_is_told_twice_whatever_the_system_does() {
    let dir = tempfile::tempdir().unwrap();
    let erp = Erp::start();
    let world = World { mqtt: "127.0.0.1:9".into(), eam: format!("http://127.0.0.1:{}", erp.port) };
    let (project, data) = (project(dir.path()), dir.path().join("data"));
    for number in 1..=5 {
        erp.order(number, "REL", if number % 2 == 0 { "WC-2" } else { "WC-1" });
    }
    erp.order(6, "RUN", "WC-9");
    let (mut running, _) = start(&world, &project, &data);
    wait_until("five orders are there", || numbers(&world, &data, &[]).len() == 5);
    wait_until("the first poll is whole", || read(&world, &data)["answered"].is_string());
    // Three pages with the cursor of the beginning, then only what is new.
    wait_until("it is asked again", || erp.asked().len() >= 5);
    let asked = erp.asked();
    let pages = ["/orders?since=0&skip=0", "/orders?since=0&skip=2", "/orders?since=0&skip=4"];
    assert_eq!(asked.get(..3).unwrap(), pages, "{asked:?}");
    assert!(asked.iter().skip(4).all(|target| target == "/orders?since=6&skip=0"), "{asked:?}");
    assert_eq!(numbers(&world, &data, &["type=ProductionOrder", "asset=press-02"]), ["2", "4"]);
    // The one with an unknown name is set aside with its bytes, once.
    let [exception] = world.list("exceptions", &data, &[]).try_into().unwrap();
    assert_eq!((exception["count"].as_u64(), exception["state"].as_str()), (Some(1), Some("open")));
    assert!(exception["remedy"].as_str().unwrap().contains("identifiers/erp.yaml"), "{exception}");
    let shown = world.ok(&["show", exception["id"].as_str().unwrap(), "--data", data.to_str().unwrap()]);
    assert!(shown.contains("WC-9"), "{shown}");

    // The system fails in every way; the read says so, and nothing is lost.
    for (mood, says) in [
        (Mood::Fails, "503"),
        (Mood::Garbage, "cannot be read"),
        (Mood::BreaksOff, "broke off"),
        (Mood::Dawdles, "no answer within"),
    ] {
        erp.mood(mood);
        wait_until("the read says so", || read(&world, &data)["detail"].as_str().unwrap().contains(says));
        let status = world.run(&["status", "--data", data.to_str().unwrap()]);
        let status = String::from_utf8(status.stdout).unwrap();
        assert!(status.contains("read erp.orders (home)") && status.contains("not answered"), "{status}");
    }
    erp.mood(Mood::Well);
    erp.order(1, "RUN", "WC-1");
    let running_order = || world.list("events", &data, &["data.change=changed"]);
    wait_until("the change is told", || running_order().len() == 1);
    assert_eq!(running_order()[0]["subject"], "ProductionOrder/home/1");
    assert_eq!(running_order()[0]["data"]["changes"], json!([{"field": "state", "from": "Released", "to": "Running"}]));
    wait_until("it is well again", || read(&world, &data)["state"] == "ok");

    // Killed wherever it is, it goes on behind its cursor.
    for _ in 0..3 {
        running.kill();
        erp.order(2, "RUN", "WC-2");
        running = start(&world, &project, &data).0;
        wait_until("it is asked again", || read(&world, &data)["state"] == "ok");
    }
    wait_until("the last change is there", || running_order().len() == 2);
    let events = world.list("events", &data, &[]);
    assert_eq!(events.len(), 7, "{events:?}");
    let shown = world.ok(&["show", "ProductionOrder/home/1", "--data", data.to_str().unwrap(), "--json"]);
    let shown: Json = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (shown["versions"].as_array().unwrap().len(), &shown["object"]["data"]["state"]),
        (2, &json!("Running"))
    );

    // The name is given to the identifiers: with the edit everything is read once more, and only the one is new.
    running.stop();
    let stopped = read(&world, &data);
    assert_eq!((stopped["state"].as_str(), stopped["cursor"].as_u64()), (Some("stale"), Some(10)), "{stopped}");
    let names = "system: erp\nnames:\n  asset: { press-01: WC-1, press-02: WC-9 }\n";
    fs::write(project.join("identifiers/erp.yaml"), names.replace("WC-9", "WC-2")).unwrap();
    let edited = "system: erp\nnames:\n  asset: { press-01: WC-9, press-02: WC-2 }\n";
    fs::write(project.join("identifiers/erp.yaml"), edited).unwrap();
    let (_running, _) = start(&world, &project, &data);
    wait_until("the sixth is there", || numbers(&world, &data, &[]).len() == 6);
}

#[test]
fn objects_are_given_by_the_api_by_a_file_and_by_events() {
    let dir = tempfile::tempdir().unwrap();
    let erp = Erp::start();
    let world = World { mqtt: "127.0.0.1:9".into(), eam: format!("http://127.0.0.1:{}", erp.port) };
    let (project, data) = (project(dir.path()), dir.path().join("data"));
    let (_running, api) = start(&world, &project, &data);
    let url = format!("http://{api}/v1/objects/ProductionOrder/home/A%2F1");
    let object = json!({"state": "Running", "material": "foil", "quantity": {"value": "5", "unit": "kg"}});
    let body = json!({"object": object, "from": "2026-11-22T06:00:00Z", "assets": ["press-01"]});
    let (status, first) = curl("PUT", &url, &["If-None-Match: *"], &body);
    assert_eq!((status, &first["name"], &first["changed"]), (200, &json!("ProductionOrder/home/A/1"), &json!(true)));
    let (status, again) = curl("PUT", &url, &[], &body);
    assert_eq!((status, &again["changed"], &again["revision"]), (200, &json!(false), &first["revision"]));
    assert_eq!(curl("PUT", &url, &["If-None-Match: *"], &body).0, 412);
    let mut wrong = body.clone();
    wrong["object"]["quantity"]["value"] = json!(5);
    let (status, problem) = curl("PUT", &url, &[], &wrong);
    assert_eq!((status, &problem["problems"][0]["at"]), (422, &json!("/object/quantity/value")), "{problem}");
    wrong = body.clone();
    wrong["assets"] = json!(["press-09"]);
    assert_eq!(curl("PUT", &url, &[], &wrong).1["problems"][0]["at"], "/assets");

    let file = dir.path().join("orders.jsonl");
    let line = |n: u32| json!({"name": format!("ProductionOrder/home/B{n}"), "object": object, "assets": ["press-02"]});
    fs::write(&file, format!("{}\n{}\n", line(1), line(2))).unwrap();
    let told = world.ok(&["objects", "put", file.to_str().unwrap(), "--data", data.to_str().unwrap()]);
    assert!(told.contains("2 objects, 2 of them new"), "{told}");

    let event = json!({"specversion": "1.0", "id": "1", "source": "mes", "type": "production-order.changed",
                       "subject": "ProductionOrder/home/C1", "data": {"object": {"number": "C1", "site": "home",
                       "state": "Running", "material": "foil", "quantity": {"value": "5", "unit": "kg"}}}});
    let events = format!("http://{api}/v1/sources/posted/events");
    let (status, answer) = curl("POST", &events, &["content-type: application/cloudevents+json"], &event);
    assert_eq!(status, 202, "{answer}");
    wait_until("it is known", || numbers(&world, &data, &[]) == ["A/1", "B1", "B2", "C1"]);
    assert_eq!(world.list("objects", &data, &["number=C1"])[0]["origin"], "sources/posted");
    let mut nobody = event.clone();
    nobody["subject"] = json!("ProductionOrder/nowhere/C1");
    nobody["id"] = json!("2");
    assert_eq!(curl("POST", &events, &["content-type: application/cloudevents+json"], &nobody).0, 422);
    assert_eq!(world.list("events", &data, &["type=production-order.changed"]).len(), 4);
}

/// Posts orders 1 to 20, each twice in two states, signed as Standard Webhooks say; sends again what is not answered.
const SENDER: &str = r#"
import base64, hashlib, hmac, json, sys, time, urllib.error, urllib.request
url, key = sys.argv[1], base64.b64decode("c2VjcmV0LW9mLXRoZS1ob29r")
counts = {"replayed": 0, "set_aside": 0}
def post(id, order):
    body = json.dumps({"type": "order.changed", "data": [order]}).encode()
    while True:
        stamp = str(int(time.time()))
        tag = hmac.new(key, f"{id}.{stamp}.".encode() + body, hashlib.sha256).digest()
        headers = {"content-type": "application/json", "webhook-id": id, "webhook-timestamp": stamp,
                   "webhook-signature": "v1," + base64.b64encode(tag).decode()}
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=5) as answer:
                told = json.load(answer)
                counts["replayed"] += answer.headers.get("idempotent-replayed") == "true"
                counts["set_aside"] += len(told["set_aside"])
                return
        except (urllib.error.URLError, OSError, ValueError) as error:
            if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                raise
            time.sleep(0.05)
for number in range(1, 21):
    for status in ("REL", "RUN"):
        post(f"msg-{number}-{status}", {"no": number, "status": status, "workCentre": "WC-1", "material": "foil",
                                      "quantity": 5, "start": "2026-11-22T06:00:00Z"})
        print(number, flush=True)
post("msg-1-REL", {"no": 1, "status": "REL", "workCentre": "WC-1", "material": "foil", "quantity": 5,
                   "start": "2026-11-22T06:00:00Z"})
print(json.dumps(counts), flush=True)
"#;

#[test]
fn what_a_system_posts_is_taken_once_although_the_instance_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let world = World { mqtt: "127.0.0.1:9".into(), eam: "http://127.0.0.1:1".into() };
    let (project, data) = (project(dir.path()), dir.path().join("data"));
    let hook = "    webhook:\n      signature: { secret: env:ERP_HOOK }\n      when: ${ .type == \"order.changed\" \
    }\n      \
                items: ${ .data }\n    sites: [home]\n    number: ${ .no }";
    let asked = SYSTEM.find("    every: 1 s").unwrap()..SYSTEM.find("    number: ${ .no }").unwrap();
    let mut posted = SYSTEM.to_owned();
    posted.replace_range(asked, "");
    let posted = posted.replace("    number: ${ .no }", hook);
    fs::write(project.join("systems/erp.yaml"), posted).unwrap();
    let port = free_port();
    let start = || {
        let mut command = world.command(&["run", project.to_str().unwrap(), "--data", data.to_str().unwrap()]);
        command.args(["--api", &format!("127.0.0.1:{port}")]).env("ERP_TOKEN", "the-token");
        command.env("ERP_HOOK", "whsec_c2VjcmV0LW9mLXRoZS1ob29r");
        let running = Running::start(command);
        wait_ready(&running);
        running
    };
    let mut running = start();
    let url = format!("http://127.0.0.1:{port}/v1/systems/erp/reads/orders");
    let order = json!({"type": "order.changed", "data": []});
    assert_eq!(curl("POST", &url, &[], &order).0, 401);
    assert_eq!(curl("POST", &url.replace("orders", "others"), &[], &order).0, 404);

    let mut sender = Command::new("python3");
    sender.args(["-c", SENDER, &url]).stdout(std::process::Stdio::piped());
    let mut sender = sender.spawn().unwrap();
    let mut lines = BufReader::new(sender.stdout.take().unwrap()).lines().map_while(Result::ok);
    for _ in 0..2 {
        for _ in 0..12 {
            lines.next().unwrap();
        }
        running.kill();
        running = start();
    }
    let last = lines.last().unwrap();
    assert!(sender.wait().unwrap().success());
    let counts: Json = serde_json::from_str(&last).unwrap();
    // The last one was sent again at the end: what is newer stays.
    assert!(counts["replayed"].as_u64().unwrap() >= 1 && counts["set_aside"] == 0, "{counts}");
    assert_eq!(numbers(&world, &data, &[]).len(), 20);
    assert_eq!(world.list("events", &data, &["data.change=created"]).len(), 20);
    assert_eq!(world.list("events", &data, &["data.change=changed"]).len(), 20);
    assert!(world.list("objects", &data, &[]).iter().all(|row| row["data"]["state"] == "Running"));
    let read = read(&world, &data);
    assert_eq!((&read["by"], &read["posts"], &read["changed"]), (&json!("webhook"), &json!(40), &json!(40)), "{read}");
    assert_eq!(read["duplicates"], counts["replayed"], "{read}");
    running.stop();
}

#[test]
fn what_a_system_posted_and_was_set_aside_is_told_again_once_its_names_are_known() {
    let dir = tempfile::tempdir().unwrap();
    let world = World { mqtt: "127.0.0.1:9".into(), eam: "http://127.0.0.1:1".into() };
    let (project, data) = (project(dir.path()), dir.path().join("data"));
    let asked = SYSTEM.find("    every: 1 s").unwrap()..SYSTEM.find("    number: ${ .no }").unwrap();
    let mut posted = SYSTEM.to_owned();
    posted.replace_range(asked, "    webhook: { token: env:ERP_TOKEN }\n    sites: [home]\n");
    fs::write(project.join("systems/erp.yaml"), posted).unwrap();
    let post = |api: &str, id: &str, status: &str, work_centre: &str| {
        let order = json!({ "no": 1, "status": status, "workCentre": work_centre, "material": "foil", "quantity": 5,
                            "start": "2026-11-22T06:00:00Z" });
        let headers = ["authorization: Bearer the-token", &format!("idempotency-key: {id}")];
        curl("POST", &format!("http://{api}/v1/systems/erp/reads/orders"), &headers, &order)
    };
    let (mut running, api) = start(&world, &project, &data);
    for (id, status) in [("a", "REL"), ("b", "RUN")] {
        let (code, told) = post(&api, id, status, "WC-9");
        assert_eq!((code, told["set_aside"].as_array().map(Vec::len)), (202, Some(1)), "{told}");
    }
    let [exception] = world.list("exceptions", &data, &[]).try_into().unwrap();
    let id = exception["id"].as_str().unwrap();
    let replay = |options: &[&str]| {
        let output = world.run(&[&["exceptions", "replay", id, "--data", data.to_str().unwrap()], options].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    let told = replay(&[]);
    assert!(told.contains("2 still wrong") && told.contains("WC-9"), "{told}");
    running.stop();
    let names = "system: erp\nnames:\n  asset: { press-01: WC-1, press-02: WC-9 }\n";
    fs::write(project.join("identifiers/erp.yaml"), names).unwrap();
    let (_running, api) = start(&world, &project, &data);
    let told = replay(&["--dry-run"]);
    assert!(told.contains("2 would be mended") && numbers(&world, &data, &[]).is_empty(), "{told}");
    let told = replay(&[]);
    assert!(told.contains("2 mended (2 stored, 0 there already), 0 still wrong"), "{told}");
    let orders = world.list("objects", &data, &["asset=press-02"]);
    assert_eq!((orders.len(), &orders[0]["data"]["state"]), (1, &json!("Running")), "in the order in which they came");
    assert_eq!(world.list("exceptions", &data, &["state=resolved"]).len(), 1);
    assert_eq!(world.list("quarantine", &data, &[]).len(), 0);
    // The post itself stays answered as it was.
    assert_eq!(post(&api, "b", "RUN", "WC-9").1["set_aside"].as_array().map(Vec::len), Some(1));
}
