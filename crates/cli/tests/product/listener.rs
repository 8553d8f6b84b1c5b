//! A machine publishes to the listener of an instance that is killed: what was acknowledged is in the log, and what was
//! not is sent again and stored once.

use crate::support::*;
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    time::Duration,
};

/// Publishes under way at once.
const WINDOW: usize = 300;
/// Samples that are acknowledged before the kill.
const BEFORE_KILL: usize = 20_000;

/// The example with a listener instead of a broker.
fn project(dir: &Path, port: u16) -> PathBuf {
    let project = dir.join("project");
    copy_project(&root().join("examples/machine-temperature"), &project);
    let andon = project.join("andon.yaml");
    let text = fs::read_to_string(&andon).unwrap();
    fs::write(andon, format!("{text}    listeners:\n      machines: {{ address: '127.0.0.1:{port}' }}\n")).unwrap();
    for entry in fs::read_dir(project.join("sources")).unwrap() {
        let path = entry.unwrap().path();
        let source = "kind: mqtt\nlistener: machines\nclock: recorded\n\
                      topics:\n  - topic: machines/{asset}/temperature\n    signals:\n\
                      \x20     temperature: { value: /value, time: { at: /timestamp, form: ms } }\n";
        fs::write(path, source).unwrap();
    }
    project
}

/// A machine that publishes at QoS 1 with MQTT 3.1.1 and counts its acknowledgements, in order.
struct Machine {
    stream: TcpStream,
    under_way: usize,
}

impl Machine {
    fn connect(port: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(b"\x10\x13\0\x04MQTT\x04\x02\0\x3c\0\x07machine").unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [0x20, 2, 0, 0]);
        Self { stream, under_way: 0 }
    }

    fn publish(&mut self, n: usize) -> std::io::Result<()> {
        let topic = b"machines/machine-01/temperature";
        let payload = format!("{{\"timestamp\":{},\"value\":{}}}", 1_764_000_000_000 + n, n % 80);
        let id = u16::try_from(n % 60_000 + 1).unwrap();
        let length = 2 + topic.len() + 2 + payload.len();
        let mut bytes = vec![0x32, u8::try_from(length).expect("less than 128")];
        bytes.extend([0, u8::try_from(topic.len()).unwrap()]);
        bytes.extend_from_slice(topic);
        bytes.extend(id.to_be_bytes());
        bytes.extend(payload.as_bytes());
        self.under_way += 1;
        self.stream.write_all(&bytes)
    }

    /// Waits for the next acknowledgement, which must be that of `n`.
    fn acknowledged(&mut self, n: usize) -> std::io::Result<()> {
        let mut ack = [0; 4];
        self.stream.read_exact(&mut ack)?;
        let id = u16::try_from(n % 60_000 + 1).unwrap().to_be_bytes();
        assert_eq!(ack, [0x40, 2, id[0], id[1]], "acknowledgements come in order");
        self.under_way -= 1;
        Ok(())
    }
}

fn stored(world: &World, data: &Path) -> usize {
    world.ok(&["list", "samples", "--count", "--data", data.to_str().unwrap()]).trim().parse().unwrap()
}

#[test]
fn what_was_acknowledged_survives_kill_9_and_what_was_not_is_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let (port, data) = (free_port(), dir.path().join("data"));
    let project = project(dir.path(), port);
    let world = World { mqtt: String::new(), eam: "http://127.0.0.1:9".into() };
    let mut running = start_instance(&world, &project, &data);
    let mut machine = Machine::connect(port);
    let (mut sent, mut acknowledged) = (0, 0);
    loop {
        while machine.under_way < WINDOW && machine.publish(sent).is_ok() {
            sent += 1;
        }
        if acknowledged == BEFORE_KILL {
            // In the middle of what is under way.
            running.kill();
        }
        if machine.acknowledged(acknowledged).is_err() {
            break;
        }
        acknowledged += 1;
    }
    assert!(acknowledged >= BEFORE_KILL && sent > acknowledged, "{acknowledged} of {sent}");
    let found = stored(&world, &data);
    assert!((acknowledged..=sent).contains(&found), "{found} stored, {acknowledged} acknowledged, {sent} sent");
    let mut again = start_instance(&world, &project, &data);
    let mut machine = Machine::connect(port);
    for n in acknowledged..sent {
        machine.publish(n).unwrap();
    }
    for n in acknowledged..sent {
        machine.acknowledged(n).unwrap();
    }
    assert_eq!(stored(&world, &data), sent, "each once");
    again.stop();
    assert_eq!(stored(&world, &data), sent);
}

/// The next packet of a client; `None`: nothing came in time, or the connection is closed.
fn packet(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut byte = [0];
    stream.read_exact(&mut byte).ok()?;
    let first = byte[0];
    let (mut length, mut shift) = (0, 0);
    loop {
        stream.read_exact(&mut byte).ok()?;
        length |= usize::from(byte[0] & 0x7F) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((first, body))
}

#[test]
fn the_alarm_of_a_rule_reaches_a_client_that_has_subscribed_events() {
    let dir = tempfile::tempdir().unwrap();
    let (port, data) = (free_port(), dir.path().join("data"));
    let project = project(dir.path(), port);
    let world = World { mqtt: String::new(), eam: "http://127.0.0.1:9".into() };
    let mut running = start_instance(&world, &project, &data);
    let mut board = Machine::connect(port).stream;
    let filter = b"andon/v1/+/events/asset.alarm/#";
    let mut subscribe =
        vec![0x82, u8::try_from(5 + filter.len()).unwrap(), 0, 1, 0, u8::try_from(filter.len()).unwrap()];
    subscribe.extend_from_slice(filter);
    subscribe.push(1);
    board.write_all(&subscribe).unwrap();
    assert_eq!(packet(&mut board), Some((0x90, vec![0, 1, 1])));
    // Another client id, so that nobody is driven out; too hot for more than an hour.
    let mut machine = TcpStream::connect(("127.0.0.1", port)).unwrap();
    machine.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    machine.write_all(b"\x10\x0f\0\x04MQTT\x04\x02\0\x3c\0\x03hot").unwrap();
    assert_eq!(packet(&mut machine), Some((0x20, vec![0, 0])));
    let mut machine = Machine { stream: machine, under_way: 0 };
    for minute in 0..90 {
        let topic = b"machines/machine-01/temperature";
        let payload = format!("{{\"timestamp\":{},\"value\":120}}", 1_764_000_000_000_u64 + minute * 60_000);
        let mut bytes = vec![0x32, u8::try_from(4 + topic.len() + payload.len()).expect("less than 128")];
        bytes.extend([0, u8::try_from(topic.len()).unwrap()]);
        bytes.extend_from_slice(topic);
        bytes.extend([0, 1]);
        bytes.extend(payload.as_bytes());
        machine.stream.write_all(&bytes).unwrap();
        machine.under_way += 1;
        machine.acknowledged(0).unwrap();
    }
    let (first, body) = packet(&mut board).expect("the event");
    assert_eq!(first, 0x32, "at QoS 1");
    let topic = b"andon/v1/foundry/events/asset.alarm/machine-01";
    assert_eq!(body.get(2..2 + topic.len()), Some(&topic[..]), "{}", String::from_utf8_lossy(&body));
    let event: serde_json::Value = serde_json::from_slice(&body[4 + topic.len()..]).unwrap();
    let listed = world.list("events", &data, &["type=asset.alarm"]);
    assert_eq!((&event["id"], &event["data"]["change"]), (&listed[0]["id"], &"activated".into()));
    running.stop();
    // Who is told goodbye of 3.1.1 is told by the end of the connection.
    assert_eq!(packet(&mut board), None);
}
