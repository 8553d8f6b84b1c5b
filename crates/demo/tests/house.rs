//! All offices at one address as real HTTP clients meet them, their files as an auditor reads them, and the page that
//! tells of them.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use andon_demo::{
    Desk, OfficeKind,
    offices::{API_KEY, CLIENT_ID, CLIENT_SECRET, HOOK_SECRET, Repair},
    serve,
};
use andon_model::{Time, span::Span};
use reqwest::{Client, Method, Response};
use serde_json::{Value as Json, json};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, runtime::Runtime};

const REFERENCE: &str = "7K3QF0ZT9M2RX4B8";

fn start() -> Time {
    Time::parse("2026-11-26T08:00:00Z").unwrap()
}

/// The house, with a clock that stands until somebody turns it.
struct House {
    folder: TempDir,
    desk: Desk,
    base: String,
    clock: Arc<AtomicI64>,
    client: Client,
    runtime: Runtime,
}

impl House {
    fn open(folder: TempDir) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let desk = Desk::all(folder.path(), start()).unwrap();
        let clock = Arc::new(AtomicI64::new(Time::parse("2026-11-26T08:21:04Z").unwrap().0));
        let (served, now) = (desk.clone(), clock.clone());
        runtime.spawn(async move {
            serve(listener, served, move || Time(now.load(Ordering::SeqCst))).await.unwrap();
        });
        // Another test may have installed it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().timeout(Duration::from_mins(1)).build().unwrap();
        Self { folder, desk, base, clock, client, runtime }
    }

    /// As after a crash: everything stops, and what is in the files is read again.
    fn again(self) -> Self {
        let Self { folder, desk, runtime, .. } = self;
        runtime.shutdown_timeout(Duration::from_secs(10));
        drop(desk);
        Self::open(folder)
    }

    fn now(&self) -> Time {
        Time(self.clock.load(Ordering::SeqCst))
    }

    fn turn(&self, minutes: i64) {
        self.clock.fetch_add(Span::from_secs(60 * minutes).nanos(), Ordering::SeqCst);
        self.desk.pass(self.now()).unwrap();
    }

    fn send(
        &self,
        method: &str,
        target: &str,
        body: &Json,
        headers: &[(&str, &str)],
    ) -> Result<Response, reqwest::Error> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("{}{target}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if *body != Json::Null {
            request = request.json(body);
        }
        self.runtime.block_on(async { request.send().await })
    }

    /// Status and body, null where there is none.
    fn ask(&self, method: &str, target: &str, body: &Json, headers: &[(&str, &str)]) -> (u16, Json) {
        let answer = self.send(method, target, body, headers).unwrap();
        let status = answer.status().as_u16();
        let text = self.runtime.block_on(async { answer.text().await }).unwrap();
        (status, if text.is_empty() { Json::Null } else { serde_json::from_str(&text).unwrap() })
    }

    fn get(&self, target: &str) -> Json {
        self.ask("GET", target, &Json::Null, &[]).1
    }

    /// The documents in an office's own file.
    fn documents(&self, office: OfficeKind) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join(format!("{}.jsonl", office.name()))).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
        lines.map(|line| line["document"].as_str().unwrap().to_owned()).collect()
    }

    /// A token of the office of customers' cases.
    fn bearer(&self) -> (Json, String) {
        let form = [("grant_type", "client_credentials"), ("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)];
        let body: String = form.map(|(name, value)| format!("{name}={value}")).join("&");
        let request = self.client.post(format!("{}/crm/services/oauth2/token", self.base));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        let token: Json = self.runtime.block_on(async { request.send().await.unwrap().json().await.unwrap() });
        let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
        (token, bearer)
    }

    /// Asks every office for something, as the page shows it, and gives back the answers.
    fn answers(&self) -> Vec<(&'static str, Json)> {
        let mut answers = self.answers_of_maintenance();
        answers.extend(self.answers_of_production());
        answers.extend(self.answers_of_stores());
        answers.extend(self.answers_of_business());
        answers
    }

    fn answers_of_maintenance(&self) -> Vec<(&'static str, Json)> {
        let keys = [("apikey", API_KEY), ("properties", "*")];
        let request = json!({
            "description": "Vibration high", "description_longdescription": "7.3 mm/s", "siteid": "HAM",
            "assetnum": "11072", "reportedpriority": 2, "externalrefid": REFERENCE,
            "reportdate": "2026-11-26T08:20:00+00:00"
        });
        let mut long = request.clone();
        long["description"] = "x".repeat(101).into();
        let create = "/maximo/api/os/mxapisr?lean=1";
        let find =
            format!("{create}&oslc.where=externalrefid=\"{REFERENCE}\"&oslc.select=ticketid,status,externalrefid");
        let other = json!({
            "reference": REFERENCE, "description": "Vibration high", "longDescription": "7.3 mm/s",
            "equipment": "EQ-200212", "plant": "2020", "priority": "high", "reportedAt": "2026-11-26T08:20:00Z"
        });
        vec![
            ("a service request", self.ask("POST", create, &request, &keys).1),
            ("service requests", self.ask("GET", &find, &Json::Null, &keys).1),
            ("an error of maximo", self.ask("POST", create, &long, &keys).1),
            ("a request", self.ask("POST", "/eam/requests", &other, &[]).1),
        ]
    }

    fn answers_of_production(&self) -> Vec<(&'static str, Json)> {
        let set = "/s4/sap/opu/odata/sap/API_PRODUCTION_ORDER_2_SRV/A_ProductionOrder_2";
        let order = format!("{set}('1000123')");
        let found = self.get(&format!("{set}?$filter=ManufacturingOrder eq '1000123'&$expand=to_ProductionOrderItem"));
        let any = [("if-match", "*")];
        let long = json!({ "YY1_RiskReason_ORD": "x".repeat(41) });
        let refused = self.ask("PATCH", &order, &long, &any).1;
        let flag = json!({ "YY1_RiskState_ORD": "A", "YY1_Reference_ORD": REFERENCE });
        let flagged = self.send("PATCH", &order, &flag, &any).unwrap();
        assert_eq!(flagged.status(), 204);
        assert_eq!(flagged.headers()["location"], format!("{order}/to_YY1_Change('0001')"));
        let here = self.get("/legacy-erp/api/orders/70411");
        let body = json!({ "flag": "RISK", "reason": "VIBRATION CARTONER" });
        let put = self.ask("PUT", &format!("/legacy-erp/api/orders/70411/flags/{REFERENCE}"), &body, &[]).1;
        vec![
            ("orders of s4", found),
            ("an error of s4", refused),
            ("orders of the older ERP", json!({ "orders": [here] })),
            ("a flag of the older ERP", put),
        ]
    }

    fn answers_of_stores(&self) -> Vec<(&'static str, Json)> {
        let wanted = json!({
            "material": "4000-6205", "quantity": 1, "unit": "PCE", "warehouse": "HH01", "purpose": "cartoner-07"
        });
        let mut there = wanted.clone();
        there["warehouse"] = "MT01".into();
        let take = json!({ "movementType": "261", "reservation": "RES-000001", "order": "SR1001" });
        let incident = json!({
            "plant": "1010", "batch": "B001000123", "material": "FG-200-20", "asset": "cartoner-07",
            "characteristic": "vibration", "value": "4.9", "limit": "4.5", "unit": "mm/s",
            "evidence": { "event": "ev_7K3QF0ZT9M2RX4B8", "count": 24 }
        });
        let closure = json!({ "reference": REFERENCE, "result": "LR-000001", "verdict": "accepted" });
        let key = [("idempotency-key", REFERENCE)];
        vec![
            ("stock", self.get("/wms/api/stock?material=4000-6205&warehouse=HH01")),
            ("a reservation", self.ask("PUT", &format!("/wms/api/reservations/{REFERENCE}"), &wanted, &[]).1),
            ("a shortage", self.ask("PUT", &format!("/wms/api/reservations/{REFERENCE}X"), &there, &[]).1),
            ("a movement", self.ask("PUT", &format!("/wms/api/movements/{REFERENCE}"), &take, &[]).1),
            ("an incident", self.ask("POST", "/qms/api/incidents", &incident, &key).1),
            ("a closure", self.ask("PUT", "/qms/api/incidents/QI-000001/closure", &closure, &[]).1),
        ]
    }

    fn answers_of_business(&self) -> Vec<(&'static str, Json)> {
        let case = json!({
            "Subject": "Delivery of order 1000123 is late", "Priority": "High", "Origin": "Plant",
            "AccountId": "0015g00000NrdL1AAA"
        });
        let mut long = case.clone();
        long["Subject"] = "x".repeat(256).into();
        let target = format!("/crm/services/data/v66.0/sobjects/Case/Andon_Reference__c/{REFERENCE}");
        let (token, bearer) = self.bearer();
        let shown = [("authorization", bearer.as_str())];
        let disruption = json!({
            "site": "HAM", "order": "1000123", "asset": "cartoner-07", "from": "2026-11-26T08:20:00Z", "minutes": 45
        });
        let notice =
            json!({ "site": "hamburg", "material": "SF-2117", "order": "1000123", "text": "Order 1000123 ends later" });
        let moved = json!({ "site": "HAM", "order": "1000123" });
        let key = [("idempotency-key", REFERENCE)];
        vec![
            ("a token", token),
            ("a session that ended", self.ask("PATCH", &target, &case, &[]).1),
            ("a case", self.ask("PATCH", &target, &case, &shown).1),
            ("an error of crm", self.ask("PATCH", &target, &long, &shown).1),
            ("a disruption", self.ask("PUT", &format!("/planning/api/disruptions/{REFERENCE}"), &disruption, &[]).1),
            ("a reschedule", self.ask("PUT", &format!("/planning/api/reschedules/{REFERENCE}"), &moved, &[]).1),
            ("a notice", self.ask("POST", "/supplier/api/notices", &notice, &key).1),
        ]
    }
}

/// The JSON that a page shows.
fn shown(page: &Path) -> Vec<Json> {
    let text = std::fs::read_to_string(page).unwrap();
    let blocks = text.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.flat_map(|block| serde_json::Deserializer::from_str(block).into_iter::<Json>().map(Result::unwrap)).collect()
}

#[test]
fn every_answer_on_the_page_is_the_one_that_is_given() {
    let house = House::open(tempfile::tempdir().unwrap());
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/offices.md");
    let shown = shown(&page);
    let here = house.base.strip_prefix("http://").unwrap().to_owned();
    let of_page = |answer: &Json| {
        let text = answer.to_string().replace(&here, "127.0.0.1:8740").replace(&"x".repeat(64), "xxx…");
        serde_json::from_str::<Json>(&text).unwrap()
    };
    for (what, answer) in house.answers() {
        let answer = of_page(&answer);
        assert!(shown.contains(&answer), "{what} is not on {}:\n{answer:#}", page.display());
    }
    house.turn(0);
    house.turn(15);
    let result = json!({ "type": "result.released", "data": house.get("/lab/api/results/LR-000001") });
    assert!(shown.contains(&result), "the result is not on {}:\n{result:#}", page.display());
    let text = std::fs::read_to_string(&page).unwrap();
    for secret in [API_KEY, CLIENT_ID, CLIENT_SECRET, HOOK_SECRET] {
        assert!(text.contains(secret), "{secret} is not on {}", page.display());
    }
}

#[test]
fn every_office_keeps_its_documents_across_a_restart() {
    let house = House::open(tempfile::tempdir().unwrap());
    let before = house.answers();
    house.turn(0);
    let documents = andon_demo::offices().map(|office| house.documents(office).join(" "));
    let expected = [
        "SR1001",
        "MR-000001",
        "1000123/0001",
        "70411/001",
        "RES-000001 MVT-000001",
        "QI-000001 QI-000001/1",
        "LS-000001",
        "5005g0000000001AAA",
        "DIS-000001 RSC-000001",
        "N-000001",
    ];
    assert_eq!(documents, expected);

    let house = house.again();
    let after = house.answers();
    for ((what, before), (_, after)) in before.iter().zip(&after) {
        match *what {
            // These two take a reference as often as it comes.
            "a service request" => assert_eq!(after["ticketid"], "SR1002"),
            "a request" => assert_eq!(after["number"], "MR-000002"),
            "a case" => assert_eq!((&after["id"], &after["created"]), (&before["id"], &json!(false))),
            // These tell how things are now.
            "a token" | "service requests" | "orders of s4" | "orders of the older ERP" | "stock" | "an incident" => {}
            _ => assert_eq!(before, after, "{what}"),
        }
    }
    house.turn(0);
    let lines: usize = andon_demo::offices().map(|office| house.documents(office).len()).iter().sum();
    assert_eq!(lines, 13 + 2);
}

#[test]
fn faults_are_those_of_one_office_and_a_lost_answer_was_kept_once() {
    let house = House::open(tempfile::tempdir().unwrap());
    let lose = json!({ "next": 1, "kind": "lose-answer", "method": "PUT" });
    assert_eq!(house.ask("POST", "/wms/office/faults", &lose, &[]).0, 200);
    assert_eq!(house.get("/planning/office/faults")["waiting"], json!([]));
    let wanted = json!({ "material": "4000-6205", "quantity": 1, "unit": "PCE", "warehouse": "HH01" });
    let target = format!("/wms/api/reservations/{REFERENCE}");
    assert!(house.send("PUT", &target, &wanted, &[]).is_err());
    assert_eq!(house.ask("PUT", &target, &wanted, &[]).0, 200);
    assert_eq!(house.documents(OfficeKind::Wms), ["RES-000001"]);
    assert_eq!(house.get("/wms/office/faults")["met"], 1);
    assert_eq!(
        (house.ask("GET", "/healthz", &Json::Null, &[]).0, house.ask("GET", "/wms/healthz", &Json::Null, &[]).0),
        (200, 200)
    );
    assert_eq!(house.ask("GET", "/elsewhere/api", &Json::Null, &[]).0, 404);
    assert_eq!(house.ask("GET", "/", &Json::Null, &[]).0, 404);
}

#[test]
fn an_office_alone_answers_with_and_without_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let desk = Desk::one(OfficeKind::Wms, &folder.path().join("stock.jsonl"), start()).unwrap();
    runtime.spawn(async move { serve(listener, desk, start).await.unwrap() });
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().no_proxy().build().unwrap();
    runtime.block_on(async {
        for (path, status) in [("/api/stock", 200), ("/wms/api/stock", 200), ("/qms/api/incidents", 404)] {
            assert_eq!(client.get(format!("{base}{path}")).send().await.unwrap().status(), status, "{path}");
        }
    });
}

#[test]
fn a_repair_is_seen_by_the_machine_and_the_result_by_whoever_takes_posts() {
    let house = House::open(tempfile::tempdir().unwrap());
    assert_eq!(house.desk.repair("cartoner-07", house.now()), Repair::None);
    house.answers();
    let seen = [0, 6, 12].map(|minutes| {
        house.turn(minutes);
        house.desk.repair("cartoner-07", house.now())
    });
    assert_eq!(seen, [Repair::Planned, Repair::InProgress, Repair::Done]);
    let [post] = house.desk.posts(house.now()).try_into().unwrap();
    house.desk.posted(&post.id);
    assert!(house.desk.posts(house.now()).is_empty());
}

#[test]
fn a_file_of_another_office_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wms.jsonl");
    let line = r#"{"at":"2026-11-26T08:00:00Z","document":"QI-000001","reference":"R","kind":"incident"}"#;
    std::fs::write(&path, format!("{line}\n")).unwrap();
    let refused = Desk::one(OfficeKind::Wms, &path, start()).unwrap_err().to_string();
    assert!(refused.contains("wms.jsonl:1: \"incident\" is no kind of line of wms"), "{refused}");
    assert!(Desk::one(OfficeKind::Qms, &path, start()).is_ok());
}

#[test]
fn who_comes_with_an_earlier_time_comes_at_the_latest_one() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::all(folder.path(), start()).unwrap();
    let request = |reference: &str| andon_demo::offices::Request {
        method: "POST".into(),
        path: vec!["requests".into()],
        headers: vec![("content-type".into(), "application/json".into())],
        body: json!({ "reference": reference, "description": "a", "equipment": "EQ-100072", "plant": "1010" })
            .to_string()
            .into_bytes(),
        ..Default::default()
    };
    let later = start().plus(Span::from_secs(1));
    desk.answer(OfficeKind::Eam, &request("R1"), later);
    desk.answer(OfficeKind::Eam, &request("R2"), start());
    let times: Vec<Time> = desk.lines(OfficeKind::Eam).iter().map(|line| line.at).collect();
    assert_eq!(times, [later, later]);
}
