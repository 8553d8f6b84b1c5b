//! Bad input is counted, explained and kept; the others go on.

use crate::support::*;
use std::process::Command;

#[test]
fn whatever_a_machine_sends_is_counted_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(&dir.path().join("broker"), "").unwrap();
    let world = World { mqtt: broker.address(), eam: "http://127.0.0.1:1".into() };
    let (project, data) = (dir.path().join("project"), dir.path().join("data"));
    copy_project(&example(), &project);
    let instance = start_instance(&world, &project, &data);
    let port = broker.port().to_string();
    let publish = |topic: &str, payload: &[u8]| {
        let file = dir.path().join("payload");
        std::fs::write(&file, payload).unwrap();
        let sent = Command::new("mosquitto_pub")
            .args(["-p", &port, "-q", "1", "-t", topic, "-f", file.to_str().unwrap()])
            .status()
            .unwrap();
        assert!(sent.success());
    };
    let topic = "machines/machine-01/temperature";
    let deep =
        format!("{{\"value\": {}1{}, \"timestamp\": \"2026-03-02 08:00:00\"}}", "[".repeat(500), "]".repeat(500));
    let huge = format!("{{\"value\": 1, \"pad\": \"{}\"}}", "x".repeat(2 << 20));
    let wrong: Vec<(&str, Vec<u8>)> = vec![
        (topic, b"".to_vec()),
        (topic, b"{\"value\": 71.5".to_vec()),
        (topic, b"\xff\xfe\x00".to_vec()),
        (topic, b"{\"value\": NaN, \"timestamp\": \"2026-03-02 08:00:00\"}".to_vec()),
        (topic, b"{\"value\": 1e999, \"timestamp\": \"2026-03-02 08:00:00\"}".to_vec()),
        (topic, b"{\"value\": \"warm\", \"timestamp\": \"2026-03-02 08:00:00\"}".to_vec()),
        (topic, b"{\"valve\": 71.5, \"timestamp\": \"2026-03-02 08:00:00\"}".to_vec()),
        (topic, b"{\"value\": 71.5, \"timestamp\": \"yesterday\"}".to_vec()),
        (topic, b"{\"value\": 71.5, \"timestamp\": \"1970-01-21 08:00:00\"}".to_vec()),
        (topic, b"{\"value\": 71.5, \"timestamp\": \"2999-01-01 00:00:00\"}".to_vec()),
        ("machines/machine-99/temperature", b"{\"value\": 71.5, \"timestamp\": \"2026-03-02 08:00:00\"}".to_vec()),
        (topic, deep.into_bytes()),
        (topic, huge.into_bytes()),
    ];
    for (topic, payload) in &wrong {
        publish(topic, payload);
    }
    publish(topic, b"{\"value\": 71.5, \"timestamp\": \"2026-03-02 09:00:00\"}");
    let source = || world.list("sources", &data, &[]).remove(0);
    wait_until("the good one is stored", || source()["stored"] == 1);
    let counts = source();
    let number = |name: &str| counts[name].as_u64().unwrap();
    // A broker does not forward what is larger than we said we take; everything else arrives.
    assert!(number("received") >= wrong.len() as u64, "{counts}");
    assert_eq!(number("received"), 1 + number("quarantined") + number("refused") + number("duplicate"), "{counts}");
    let exceptions = world.list("exceptions", &data, &["kind=input"]);
    assert!(exceptions.len() >= 9, "each cause is an exception of its own: {exceptions:#?}");
    for exception in &exceptions {
        for field in ["cause", "detail", "remedy", "owner"] {
            assert!(!exception[field].as_str().unwrap().is_empty(), "{field}: {exception}");
        }
    }
    let kept = world.list("quarantine", &data, &[]);
    assert_eq!(kept.len() as u64, number("quarantined"));
    assert!(kept.iter().any(|k| k["topic"] == "machines/machine-99/temperature"), "{kept:#?}");
    assert!(source()["connected"] == true);
    drop(instance);
}
