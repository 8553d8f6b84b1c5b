//! The office as a real HTTP client meets it, and its file as an auditor reads it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use andon_demo::{Desk, OfficeError, OfficeKind, serve};
use andon_model::Time;
use reqwest::{Client, Response};
use serde_json::{Value as Json, json};
use std::{path::PathBuf, time::Duration};
use tempfile::TempDir;
use tokio::{net::TcpListener, runtime::Runtime};

struct Running {
    folder: TempDir,
    base: String,
    runtime: Option<Runtime>,
}

impl Running {
    fn start(folder: TempDir) -> Self {
        let runtime = Runtime::new().unwrap();
        let file = folder.path().join("requests.jsonl");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move {
            let desk = Desk::one(OfficeKind::Eam, &file, Time(0)).unwrap();
            serve(listener, desk, || Time::parse("2026-03-02T10:00:00Z").unwrap()).await.unwrap();
        });
        Self { folder, base, runtime: Some(runtime) }
    }

    /// Stops everything and starts again on the same file, as after a crash.
    fn again(mut self) -> Self {
        self.runtime.take().unwrap().shutdown_timeout(Duration::from_secs(10));
        Self::start(self.folder)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("requests.jsonl")
    }

    fn lines(&self) -> Vec<Json> {
        let text = std::fs::read_to_string(self.file()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn client() -> Client {
    // Another test may have installed it before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().timeout(Duration::from_mins(1)).build().unwrap()
}

fn request(reference: &str) -> Json {
    json!({ "reference": reference, "description": "too hot", "equipment": "EQ-100042", "plant": "1010" })
}

async fn post(office: &str, body: &Json) -> Result<Response, reqwest::Error> {
    client().post(format!("{office}/requests")).json(body).send().await
}

async fn get(url: String) -> Json {
    client().get(url).send().await.unwrap().json().await.unwrap()
}

async fn fault(office: &str, body: Json) {
    let answer = client().post(format!("{office}/office/faults")).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[test]
fn requests_are_taken_found_and_still_there_after_a_restart() {
    let office = Running::start(tempfile::tempdir().unwrap());
    Runtime::new().unwrap().block_on(async {
        let made = post(&office.base, &request("R1")).await.unwrap();
        assert_eq!(made.status(), 201);
        assert_eq!(made.json::<Json>().await.unwrap()["number"], "MR-000001");
        assert_eq!(get(format!("{}/requests?reference=R1", office.base)).await["requests"][0]["number"], "MR-000001");
        assert_eq!(get(format!("{}/requests/MR-000001", office.base)).await["reference"], "R1");
        assert_eq!(get(format!("{}/healthz", office.base)).await["status"], "ok");
    });
    assert_eq!(office.lines().len(), 1);
    let office = office.again();
    Runtime::new().unwrap().block_on(async {
        assert_eq!(get(format!("{}/requests", office.base)).await["total"], 1);
        assert_eq!(
            post(&office.base, &request("R1")).await.unwrap().json::<Json>().await.unwrap()["number"],
            "MR-000002"
        );
    });
    assert_eq!(office.lines().len(), 2);
}

#[test]
fn a_refused_request_is_a_problem_and_leaves_no_line() {
    let office = Running::start(tempfile::tempdir().unwrap());
    Runtime::new().unwrap().block_on(async {
        let mut wrong = request("R1");
        wrong["equipment"] = json!("machine-01");
        let refused = post(&office.base, &wrong).await.unwrap();
        assert_eq!(refused.status(), 422);
        assert_eq!(refused.headers()["content-type"], "application/problem+json");
        assert_eq!(refused.json::<Json>().await.unwrap()["errors"][0]["pointer"], "/equipment");
        let huge = json!({ "description": "x".repeat(andon_demo::BODY_MAX_BYTES) });
        assert_eq!(post(&office.base, &huge).await.unwrap().status(), 413);
        let query = client().get(format!("{}/requests?reference=%ff%fe&limit=%00", office.base)).send().await.unwrap();
        assert_eq!(query.status(), 400);
    });
    assert_eq!(office.lines().len(), 0);
}

#[test]
fn a_lost_answer_has_its_effect_and_a_dropped_connection_has_none() {
    let office = Running::start(tempfile::tempdir().unwrap());
    Runtime::new().unwrap().block_on(async {
        fault(&office.base, json!({ "next": 1, "kind": "drop-connection" })).await;
        assert!(post(&office.base, &request("R1")).await.is_err());
        assert_eq!(get(format!("{}/requests?reference=R1", office.base)).await["total"], 0);

        fault(&office.base, json!({ "next": 1, "kind": "lose-answer", "method": "POST" })).await;
        assert!(post(&office.base, &request("R2")).await.is_err());
        assert_eq!(get(format!("{}/requests?reference=R2", office.base)).await["total"], 1);
        assert_eq!(get(format!("{}/office/faults", office.base)).await, json!({ "waiting": [], "met": 2 }));
    });
    assert_eq!(office.lines()[0]["reference"], "R2");
}

#[test]
fn failures_have_no_effect_and_end_when_they_are_used_up() {
    let office = Running::start(tempfile::tempdir().unwrap());
    Runtime::new().unwrap().block_on(async {
        fault(&office.base, json!({ "next": 2, "kind": "fail-503", "ms": 1500 })).await;
        fault(&office.base, json!({ "next": 1, "kind": "fail-500" })).await;
        for status in [503, 503, 500, 201] {
            let answer = post(&office.base, &request("R1")).await.unwrap();
            assert_eq!(answer.status(), status);
            assert_eq!(answer.headers().get("retry-after").is_some(), status == 503);
        }
    });
    assert_eq!(office.lines().len(), 1);
}

#[test]
fn late_has_its_effect_before_its_answer_and_hang_neither() {
    let office = Running::start(tempfile::tempdir().unwrap());
    Runtime::new().unwrap().block_on(async {
        fault(&office.base, json!({ "next": 1, "kind": "late", "ms": 3_600_000, "method": "POST" })).await;
        let base = office.base.clone();
        let late = tokio::spawn(async move { post(&base, &request("R1")).await });
        while get(format!("{}/requests?reference=R1", office.base)).await["total"] == 0 {}
        assert!(!late.is_finished());
        late.abort();

        fault(&office.base, json!({ "next": 1, "kind": "hang" })).await;
        let hung = client().post(format!("{}/requests", office.base)).json(&request("R2"));
        assert!(hung.timeout(Duration::from_millis(200)).send().await.unwrap_err().is_timeout());
        assert_eq!(get(format!("{}/requests?reference=R2", office.base)).await["total"], 0);
    });
}

#[test]
fn commands_are_checked_and_forgotten() {
    let office = Running::start(tempfile::tempdir().unwrap());
    Runtime::new().unwrap().block_on(async {
        let url = format!("{}/office/faults", office.base);
        let wrong = client().post(&url).json(&json!({ "next": 1, "kind": "explode" })).send().await.unwrap();
        assert_eq!(wrong.status(), 422);
        fault(&office.base, json!({ "next": 7, "kind": "hang" })).await;
        assert_eq!(get(url.clone()).await["waiting"][0]["next"], 7);
        client().delete(&url).send().await.unwrap();
        assert_eq!(get(url).await["waiting"], json!([]));
    });
}

#[test]
fn a_second_office_on_the_same_file_is_refused() {
    let office = Running::start(tempfile::tempdir().unwrap());
    Runtime::new().unwrap().block_on(async {
        get(format!("{}/healthz", office.base)).await;
        assert!(matches!(Desk::one(OfficeKind::Eam, &office.file(), Time(0)), Err(OfficeError::InUse { .. })));
    });
}

#[test]
fn many_callers_at_once_get_numbers_of_their_own() {
    let office = Running::start(tempfile::tempdir().unwrap());
    Runtime::new().unwrap().block_on(async {
        let calls: Vec<_> = (0..32)
            .map(|n| {
                let base = office.base.clone();
                tokio::spawn(async move { post(&base, &request(&format!("R{n}"))).await.unwrap().status() })
            })
            .collect();
        for call in calls {
            assert_eq!(call.await.unwrap(), 201);
        }
    });
    let mut numbers: Vec<String> = office.lines().iter().map(|l| l["document"].as_str().unwrap().to_owned()).collect();
    numbers.dedup();
    assert_eq!(numbers.len(), 32);
}
