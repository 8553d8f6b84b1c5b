//! No secret is ever shown: systems repeat in their refusals all that they were sent, in every way of writing it, and
//! nothing of it is in the database, in the data folder, in the log, or in any answer.

use crate::support::*;
use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Each secret: its variable and its value. What begins each stands nowhere else, however the rest is written.
const SECRETS: [(&str, &str); 9] = [
    ("BEARER", "zq7bearer-A/1+2=="),
    ("PASSWORD", "zq7password\"&<w x>\\1"),
    ("KEY", "zq7key/%41"),
    ("CLIENT", "zq7client\"s&cret+/"),
    ("REFUSED", "zq7refused&\"cret"),
    ("PROXY", "zq7proxy \"&/"),
    ("CLERK", "zq7clerk.token/1"),
    ("HOOK", "zq7hook-of-reads"),
    ("POSTER", "zq7poster"),
];
/// What the token's server gives; and user and password in base64, as headers carry them.
const OTHERS: [&str; 6] =
    ["zq7access", "zq7refresh", "dTp6cTdwYXNzd29yZCImPHcgeD5cMQ==", "cDp6cTdwcm94eSAiJi8=", "YW5kb246enE3", "zq7"];

const SERVER: &str = r#"
import base64, html, http.server, json, sys, urllib.parse
class Repeats(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def seen(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        seen = [f"{name}: {value}" for name, value in self.headers.items()] + [body, urllib.parse.unquote_plus(body)]
        for value in self.headers.values():
            if value.startswith("Basic "):
                plain = base64.b64decode(value[6:]).decode()
                secret = urllib.parse.unquote(plain)
                seen += [plain, secret, urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret)]
        return seen + (["the hook is zq7hook-of-reads"] if "/hooked" in self.path else [])
    def answer(self, status, kind, text):
        body = text.encode()
        self.send_response(status)
        for name, value in [("content-type", kind), ("content-length", str(len(body))),
                            ("x-request-id", self.headers.get("authorization") or self.headers.get("apikey") or "-")]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
    def do_CONNECT(self):
        plain = " ".join(self.seen())
        self.send_response(403, plain)
        self.send_header("content-length", "0")
        self.end_headers()
    def do_GET(self):
        seen, path = self.seen(), urllib.parse.urlparse(self.path).path
        print(path, flush=True)
        if path.endswith("/token/good"):
            token = {"access_token": "zq7access", "refresh_token": "zq7refresh", "token_type": "Bearer"}
            return self.answer(200, "application/json", json.dumps(token))
        if path.endswith("/token/bad"):
            error = {"error": "invalid_client", "error_description": " ".join(seen)}
            return self.answer(400, "application/json", json.dumps(error))
        if path.endswith("/html"):
            page = "<html><title>%s</title><p>%s</p></html>" % ((html.escape(" ".join(seen)),) * 2)
            return self.answer(400, "text/html", page)
        if path.endswith("/text"):
            return self.answer(400, "text/plain", " ".join(seen))
        text = " | ".join(seen)
        self.answer(422, "application/json", json.dumps(
            {"error": {"message": text, "code": seen[0]}, "seen": seen, "nested": json.dumps(seen), text: 1}))
    do_POST = do_GET
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Repeats)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

/// Looks through all rows of a database.
const DUMP: &str = r#"
import sqlite3, sys
of = sqlite3.connect(sys.argv[1])
count = 0
for (table,) in of.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
    for row in of.execute(f'SELECT * FROM "{table}"'):
        count += 1
        for value in row:
            text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
            for secret in sys.argv[2:]:
                if secret in text:
                    at = text.index(secret)
                    print(table, text[max(0, at - 200):at + 100])
print("rows", count)
"#;

struct Server(Child, u16);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn server() -> Server {
    let mut child = Command::new("python3").args(["-c", SERVER]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let port = lines.next().unwrap().parse().unwrap();
    std::thread::spawn(move || lines.for_each(drop));
    Server(child, port)
}

/// Systems by their names: how they are reached, and where their one operation leads.
fn systems(port: u16) -> [(&'static str, String, &'static str); 8] {
    let here = format!("base: http://127.0.0.1:{port}");
    let proxy = |base: &str| {
        let credentials = "credentials: { user: p, password: env:PROXY }";
        format!("base: {base}\nproxy: {{ address: http://127.0.0.1:{port}, {credentials} }}")
    };
    let oauth = |of: &str, secret: &str| {
        let client = format!("client: {{ id: andon, secret: env:{secret} }}");
        format!("{here}/{of}\ncredentials:\n  oauth2: {{ token: /token/{of}, grant: client-credentials, {client} }}")
    };
    [
        ("bearer", format!("{here}/bearer\ncredentials: {{ bearer: env:BEARER }}"), "/json"),
        ("page", format!("{here}/page\ncredentials: {{ basic: {{ user: u, password: env:PASSWORD }} }}"), "/html"),
        ("basic", format!("{here}/basic\ncredentials: {{ basic: {{ user: u, password: env:PASSWORD }} }}"), "/json"),
        ("apikey", format!("{here}/key\ncredentials: {{ api-key: {{ header: apikey, key: env:KEY }} }}"), "/text"),
        ("good", oauth("good", "CLIENT"), "/json"),
        ("bad", oauth("bad", "REFUSED"), "/json"),
        ("proxied", proxy("http://far.example"), "/json"),
        ("tunnelled", proxy("https://far.example"), "/json"),
    ]
}

const WITH: &str = r#"      with:
        title: "${ $workflow.input.of }"
        description: it
        asset: press-01
        site: home
        priority: 2
        reportedAt: "2026-11-22T06:00:00Z"
        reportedBy: somebody
"#;

const HOOKED: &str = r#"
reads:
  orders:
    object: ProductionOrder/1
    every: 1 s
    request: { path: /orders }
    webhook: { signature: { secret: env:HOOK } }
    number: ${ .no }
    mapping: { state: "${ .status }", material: "${ .material }", quantity: { value: "1", unit: kg } }
"#;

fn project(dir: &Path, port: u16) -> PathBuf {
    let project = dir.join("project");
    let write = |path: &str, text: &str| {
        let file = project.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    };
    write("andon.yaml", "format: 1\nname: secrecy\ninstances: { plant: { role: both, zone: plant } }\n");
    write("assets/home.yaml", "site: home\nzone: plant\ntimezone: UTC\nassets: { press-01: { class: press } }\n");
    write("classes/press.yaml", "signals: { heat: { kind: f64, unit: Cel } }\n");
    write("policies/ownership.yaml", "teams: { people: { mail: a@b.example } }\nrules: [{ owner: people }]\n");
    write("sources/posted.yaml", "kind: http\ntoken: env:POSTER\n");
    let hooked = format!("protocol: rest\nbase: http://127.0.0.1:{port}/hooked\nzone: plant\n{}", HOOKED.trim_start());
    write("systems/hooked.yaml", &hooked);
    let mut routes = String::new();
    let workflow = |name: &str, task: &str| {
        let head = format!("document: {{ dsl: 1.0.3, namespace: home, name: {name}, version: 1.0.0 }}\n");
        write(&format!("workflows/{name}.yaml"), &format!("{head}do:\n  - ask:\n{task}"));
    };
    for (name, reached, path) in systems(port) {
        let of = "of: \"${ .title }\"";
        let request = format!("{{ method: POST, path: {path}, query: {{ {of} }}, body: {{ {of} }} }}");
        let operation = format!(
            "operations:\n  find:\n    implements: {name}.find\n    request: {request}\n    \
             response: {{ output: {{ found: \"${{ .found }}\" }} }}\n"
        );
        write(&format!("systems/{name}.yaml"), &format!("protocol: rest\n{reached}\nzone: plant\n{operation}"));
        let capability = "version: 1\ndomain: maintenance\nowner: people\neffect: reads\n\
                          input: { schema: MaintenanceRequest/1 }\noutput: { found: string }\n";
        write(&format!("capabilities/{name}.find.yaml"), capability);
        routes.extend(["- { capability: ", name, ".find, site: '*', use: ", name, ".find }\n"]);
        workflow(name, &format!("      call: {name}.find\n{WITH}"));
    }
    write("routes.yaml", &routes);
    let endpoint = format!("uri: http://127.0.0.1:{port}/bearer/json");
    workflow(
        "clerk",
        &format!(
            "      call: http\n      with: {{ method: get, endpoint: {{ {endpoint}, authentication: {{ bearer: {{ \
             token: env:CLERK }} }} }} }}\n"
        ),
    );
    project
}

fn post(url: &str, headers: &[&str], body: &str) -> (u16, String) {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-X", "POST", "-w", "\n%{http_code}", url, "-H", "content-type: application/json", "-d", body]);
    for header in headers {
        curl.args(["-H", header]);
    }
    let text = String::from_utf8(curl.output().expect("curl is installed").stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

/// Nothing of a secret may stand in a text.
fn assert_silent(of: &str, text: &str) {
    for secret in OTHERS {
        let at = text.find(secret);
        let around = at.map(|at| text.get(text.floor_char_boundary(at.saturating_sub(300))..at + secret.len()));
        assert!(at.is_none(), "{of} shows {secret}: {around:?}");
    }
}

#[test]
fn no_secret_is_kept_logged_or_told_although_systems_repeat_them_all() {
    let dir = tempfile::tempdir().unwrap();
    let server = server();
    let world = World { mqtt: "127.0.0.1:9".into(), eam: "http://127.0.0.1:1".into() };
    let (project, data) = (project(dir.path(), server.1), dir.path().join("data"));
    let folder = data.to_str().unwrap();
    let mut command = world.command(&["run", project.to_str().unwrap(), "--data", folder, "--api", "127.0.0.1:0"]);
    command.envs(SECRETS).env("ANDON_LOG", "debug").env("RUST_LOG", "debug");
    let mut running = Running::start(command);
    wait_ready(&running);
    let api = api_of(&running);

    let names: Vec<&str> = systems(server.1).iter().map(|(name, ..)| *name).chain(["clerk"]).collect();
    for name in &names {
        let wait = if *name == "tunnelled" { "" } else { "?wait=30s" };
        let (status, body) = post(&format!("http://{api}/v1/workflows/{name}/runs/one{wait}"), &[], r#"{"of": "it"}"#);
        assert!(status == 200 || status == 201, "{name}: {status} {body}");
        assert_silent(&format!("the answer to {name}"), &body);
    }
    let sample = r#"{"asset": "press-01", "signal": "heat", "value": "hot"}"#;
    for (token, wanted) in [("zq7poster", 422), ("zq7bearer-A/1+2==", 401)] {
        let header = format!("authorization: Bearer {token}");
        let (status, body) = post(&format!("http://{api}/v1/sources/posted/samples"), &[&header], sample);
        assert_eq!(status, wanted, "{body}");
        assert_silent("the answer to a post", &body);
    }
    let hook = format!("http://{api}/v1/systems/hooked/reads/orders");
    assert_eq!(post(&hook, &["webhook-id: 1", "webhook-timestamp: 1", "webhook-signature: v1,zq7hook"], "{}").0, 401);
    wait_until("the one behind the tunnel was tried", || {
        world.list("attempts", &data, &["system=tunnelled"]).iter().any(|row| row["outcome"].is_object())
    });
    wait_until("the read was answered", || {
        world.list("reads", &data, &[]).iter().any(|row| row["detail"].as_str().unwrap_or_default().contains("422"))
    });
    wait_until("all outcomes are there", || {
        let rows = world.list("attempts", &data, &[]);
        names
            .iter()
            .filter(|name| **name != "clerk")
            .all(|name| rows.iter().any(|row| row["system"] == **name && row["outcome"].is_object()))
    });

    // Each was sent what it should have been, or the test says nothing.
    let attempts = world.list("attempts", &data, &[]);
    for (name, status) in
        [("bearer", 422), ("page", 400), ("basic", 422), ("apikey", 400), ("good", 422), ("proxied", 422)]
    {
        let row = attempts.iter().find(|row| row["system"] == name).unwrap();
        assert_eq!(row["outcome"]["status"], status, "{row}");
        let kept = row["outcome"]["response"].as_str().unwrap();
        assert!(kept.contains("[redacted]"), "{row}");
    }
    let of = |name: &str| attempts.iter().find(|row| row["system"] == name).unwrap();
    assert_eq!(of("good")["outcome"]["exchanges"][0]["what"], "token", "{}", of("good"));
    assert!(of("bad")["outcome"]["detail"].as_str().unwrap().contains("invalid_client"), "{}", of("bad"));
    assert!(of("tunnelled")["outcome"]["detail"].as_str().unwrap().contains("403"), "{}", of("tunnelled"));

    for of in ["andon", "stopped"] {
        if of == "stopped" {
            running.stop();
        }
        everything_is_silent(&world, &data);
    }
    let dump = Command::new("python3").args(["-c", DUMP]).arg(data.join("andon.db")).args(OTHERS).output().unwrap();
    let dump = String::from_utf8(dump.stdout).unwrap();
    assert!(dump.starts_with("rows "), "{dump}");
    files_are_silent(&data);
    assert_silent("the log", &running.text());
}

#[test]
fn what_an_expression_gives_to_identify_us_is_kept_and_not_told() {
    let dir = tempfile::tempdir().unwrap();
    let server = server();
    let world = World { mqtt: "127.0.0.1:9".into(), eam: "http://127.0.0.1:1".into() };
    let (project, data) = (project(dir.path(), server.1), dir.path().join("data"));
    let endpoint = format!("uri: http://127.0.0.1:{}/bearer/json", server.1);
    for (name, authentication) in [
        ("token", r#"bearer: { token: "${ .word }" }"#),
        ("pair", r#"basic: { username: "${ .who }", password: "${ .word }" }"#),
    ] {
        let head = format!("document: {{ dsl: 1.0.3, namespace: home, name: {name}, version: 1.0.0 }}\n");
        let with = format!("{{ method: get, endpoint: {{ {endpoint}, authentication: {{ {authentication} }} }} }}");
        let tasks = format!(
            "do:\n  - keep: {{ set: \"${{ . }}\", export: {{ as: \"${{ . }}\" }} }}\n  - ask: {{ call: http, with: \
             {with} }}\n"
        );
        fs::write(project.join(format!("workflows/{name}.yaml")), head + &tasks).unwrap();
    }
    let head = "document: { dsl: 1.0.3, namespace: home, name: later, version: 1.0.0 }\n";
    fs::write(project.join("workflows/later.yaml"), format!("{head}do:\n  - rest: {{ wait: {{ hours: 1 }} }}\n"))
        .unwrap();
    let folder = data.to_str().unwrap();
    let mut command = world.command(&["run", project.to_str().unwrap(), "--data", folder, "--api", "127.0.0.1:0"]);
    command.envs(SECRETS).env("ANDON_LOG", "debug").env("RUST_LOG", "debug");
    let mut running = Running::start(command);
    wait_ready(&running);
    let api = api_of(&running);
    let start = |name: &str, input: &str, wait: &str| {
        let (status, body) = post(&format!("http://{api}/v1/workflows/{name}/runs/one{wait}"), &[], input);
        assert!(status == 200 || status == 201, "{name}: {status} {body}");
        assert_silent(&format!("the answer to {name}"), &body);
    };
    let input = r#"{"who": "u", "word": "zq7password\"&<w x>\\1"}"#;
    start("token", input, "?wait=30s");
    start("pair", input, "?wait=30s");
    // Nothing has identified us with it yet: its name tells.
    start("later", r#"{"credentials": {"api-key": "zq7key", "plant": "north"}, "password": "zq7password"}"#, "");

    // It was sent, and repeated to us, or the test says nothing.
    let attempts = world.list("attempts", &data, &["system=bearer"]);
    assert_eq!(attempts.len(), 2, "{attempts:#?}");
    for row in &attempts {
        assert!(row["outcome"]["response"].as_str().unwrap().contains("[redacted]"), "{row}");
    }
    for stopped in [false, true] {
        if stopped {
            running.stop();
        }
        let ids = all_that_is_shown(&world, &data);
        assert!(ids.len() >= 5, "{ids:?}");
        let calls = world.list("calls", &data, &["capability=http"]);
        let identities: Vec<&serde_json::Value> = calls.iter().map(|call| &call["input"]["identity"]).collect();
        let hidden = serde_json::json!({ "text": "[redacted]" });
        assert_eq!(identities[0]["bearer"]["token"], hidden, "{identities:?}");
        let pair = serde_json::json!({ "username": { "text": "u" }, "password": hidden });
        assert_eq!(identities[1]["basic"], pair, "{identities:?}");
        let later = world.list("runs", &data, &["workflow=later"]).remove(0);
        let given = serde_json::json!({ "credentials": "[redacted]", "password": "[redacted]" });
        assert_eq!(later["input"], given);
    }
    assert_silent("the log", &running.text());
}

/// All that the commands show, of a running or a stopped instance.
fn everything_is_silent(world: &World, data: &Path) {
    let ids = all_that_is_shown(world, data);
    assert!(ids.len() > 20, "{ids:?}");
    let folder = data.to_str().unwrap();
    let call = world.list("calls", data, &["system=basic"]).remove(0);
    let shown = world.ok(&["show", call["id"].as_str().unwrap(), "--data", folder]);
    assert!(shown.contains("  > POST http://127.0.0.1") && shown.contains("  < 422"), "{shown}");
}

/// Looks at every list, and at everything that is listed; what that is by its ids.
fn all_that_is_shown(world: &World, data: &Path) -> Vec<String> {
    let folder = data.to_str().unwrap();
    let mut ids: Vec<String> = Vec::new();
    let kinds = "events runs tasks calls attempts exceptions quarantine sources objects reads contracts";
    for kind in kinds.split(' ') {
        for row in world.list(kind, data, &[]) {
            assert_silent(&format!("list {kind}"), &row.to_string());
            ids.extend(row["id"].as_str().filter(|id| id.contains('_')).map(str::to_owned));
        }
    }
    for id in &ids {
        for args in [&["show", id][..], &["show", id, "--json"], &["explain", id], &["explain", id, "--json"]] {
            let output = world.run(&[args, &["--data", folder]].concat());
            assert_silent(&args.join(" "), &String::from_utf8_lossy(&output.stdout));
            assert_silent(&args.join(" "), &String::from_utf8_lossy(&output.stderr));
        }
    }
    let status = world.run(&["status", "--data", folder]);
    assert_silent("status", &String::from_utf8_lossy(&status.stdout));
    ids
}

fn files_are_silent(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_are_silent(&path);
        } else {
            let bytes = fs::read(&path).unwrap();
            assert_silent(&path.display().to_string(), &String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn the_other_ways_of_writing_are_those_of_the_secrets() {
    // So that an edit of a secret is no silent end of the test.
    let coded = |text: &str| {
        let code = "import base64, sys; print(base64.b64encode(sys.argv[1].encode()).decode())";
        let output = Command::new("python3").args(["-c", code, text]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let secret = |name: &str| SECRETS.iter().find(|(of, _)| *of == name).unwrap().1;
    assert_eq!(coded(&format!("u:{}", secret("PASSWORD"))), OTHERS[2]);
    assert_eq!(coded(&format!("p:{}", secret("PROXY"))), OTHERS[3]);
    assert!(coded(&format!("andon:{}", secret("CLIENT"))).starts_with(OTHERS[4]));
}
