//! A listener and clients that speak to it byte by byte: what they are told, and what is in the log when they are.

use crate::common::*;
use andon_contract::Contract;
use andon_edge::{
    given::Env,
    listener::{self, ListenerHandle},
};
use andon_model::{Entry, Value};
use andon_store::{Query, Store};
use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

/// A plant of two sites with one machine each, and two sources of the listener `machines`.
pub(crate) fn project(listener: &str) -> Arc<Contract> {
    project_with(listener, "", "")
}

/// The same with one text of the sources in place of another.
fn project_with(listener: &str, before: &str, after: &str) -> Arc<Contract> {
    let files = [
        (
            "andon.yaml",
            format!(
                "name: plant\nformat: 1\ninstances:\n  plant:\n    role: both\n    zone: plant\n    listeners:\n      \
                 machines:\n{listener}"
            ),
        ),
        ("assets/hamburg.yaml", "site: hamburg\nzone: plant\nassets:\n  press-01: { class: machine }\n".into()),
        ("assets/monterrey.yaml", "site: monterrey\nzone: plant\nassets:\n  press-11: { class: machine }\n".into()),
        ("classes/machine.yaml", "signals:\n  temperature: { kind: f64, unit: Cel }\n  note: { kind: text }\n".into()),
        (
            "sources/cells.yaml",
            "kind: mqtt\nlistener: machines\ntopics:\n  - topic: cell/{asset}/temperature\n    signals:\n      \
             temperature: { value: /v, time: { at: /ts, form: ms } }\n"
                .into(),
        ),
        (
            "sources/notes.yaml",
            "kind: mqtt\nlistener: machines\ntopics:\n  - topic: note/{asset}\n    signals: { note: {} }\n".into(),
        ),
        (
            "policies/ownership.yaml",
            "teams: { plant: { mail: plant@example.com } }\nrules: [{ owner: plant }]\n".into(),
        ),
    ];
    let edited = |text: String| if before.is_empty() { text } else { text.replace(before, after) };
    let files: BTreeMap<String, String> =
        files.into_iter().map(|(path, text)| (path.to_owned(), edited(text))).collect();
    let loaded = andon_contract::from_files(files).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    });
    Arc::new(loaded.contract)
}

pub(crate) const OPEN: &str = "        address: 127.0.0.1:0\n";

pub(crate) fn secrets() -> Env {
    Arc::new(|name| name.strip_prefix("PW_").map(|name| format!("pw-{}", name.to_lowercase())))
}

pub(crate) fn start(contract: &Arc<Contract>, store: &Store) -> ListenerHandle {
    let settings = contract.instances.values().next().unwrap().listeners.values().next().unwrap();
    let clock = Machine::clock();
    listener::start(contract, &name("machines"), settings, store.clone(), secrets(), clock, chance(5)).unwrap()
}

/// A client that says exactly what the test says.
pub(crate) struct Raw {
    stream: TcpStream,
    v5: bool,
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = u16::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut rest = body.len();
    loop {
        let digit = u8::try_from(rest & 0x7F).unwrap();
        rest >>= 7;
        bytes.push(if rest > 0 { digit | 0x80 } else { digit });
        if rest == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

/// What a CONNECT says besides the client id.
#[derive(Default)]
pub(crate) struct Says<'a> {
    pub(crate) user: Option<(&'a str, &'a str)>,
    pub(crate) will: Option<(&'a str, &'a str, u8)>,
    pub(crate) properties: &'a [u8],
    pub(crate) keep_alive: u16,
}

impl Raw {
    fn open(listener: &ListenerHandle, v5: bool) -> Self {
        let stream = TcpStream::connect(listener.address()).unwrap();
        // Longer than the listener waits for anything itself: who is slow to say CONNECT is sent away after 10 s.
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, v5 }
    }

    fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn hello(&mut self, id: &str, says: &Says<'_>) {
        let mut flags = 2;
        let mut body = text("MQTT");
        body.push(if self.v5 { 5 } else { 4 });
        if says.user.is_some() {
            flags |= 0xC0;
        }
        if let Some((_, _, more)) = says.will {
            flags |= 4 | more;
        }
        body.push(flags);
        body.extend_from_slice(&says.keep_alive.to_be_bytes());
        if self.v5 {
            body.push(u8::try_from(says.properties.len()).unwrap());
            body.extend_from_slice(says.properties);
        }
        body.extend(text(id));
        if let Some((topic, payload, _)) = says.will {
            if self.v5 {
                body.push(0);
            }
            body.extend(text(topic));
            body.extend(text(payload));
        }
        if let Some((user, password)) = says.user {
            body.extend(text(user));
            body.extend(text(password));
        }
        self.say(&packet(0x10, &body));
    }

    /// Connects and is taken in.
    pub(crate) fn connected(listener: &ListenerHandle, v5: bool, id: &str, says: &Says<'_>) -> Self {
        let mut raw = Self::open(listener, v5);
        raw.hello(id, says);
        let (first, body) = raw.hear().expect("a CONNACK");
        assert_eq!((first, body.first(), body.get(1)), (0x20, Some(&0), Some(&0)), "{body:02X?}");
        raw
    }

    fn publish(&mut self, topic: &str, payload: &str, qos: u8, id: u16) {
        self.publish_with(topic, payload, qos << 1, id);
    }

    fn publish_with(&mut self, topic: &str, payload: &str, flags: u8, id: u16) {
        let mut body = text(topic);
        if flags & 6 > 0 {
            body.extend_from_slice(&id.to_be_bytes());
        }
        if self.v5 {
            body.push(0);
        }
        body.extend_from_slice(payload.as_bytes());
        self.say(&packet(0x30 | flags, &body));
    }

    fn subscribe(&mut self, id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
        let mut body = id.to_be_bytes().to_vec();
        if self.v5 {
            body.push(0);
        }
        for (filter, options) in filters {
            body.extend(text(filter));
            body.push(*options);
        }
        self.say(&packet(0x82, &body));
        let (first, body) = self.hear().expect("a SUBACK");
        assert_eq!((first, &body[..2]), (0x90, &id.to_be_bytes()[..]));
        body[if self.v5 { 3 } else { 2 }..].to_vec()
    }

    /// The next packet; `None`: the connection is closed.
    fn hear(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut first = [0];
        match self.stream.read(&mut first) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return None,
            Err(e) => panic!("nothing is heard: {e}"),
        }
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let mut digit = [0];
            self.stream.read_exact(&mut digit).unwrap();
            length |= usize::from(digit[0] & 0x7F) << shift;
            shift += 7;
            if digit[0] & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        Some((first[0], body))
    }

    fn expect(&mut self, first: u8, body: &[u8]) {
        let (got, heard) = self.hear().expect("a packet");
        assert_eq!((got, heard.as_slice()), (first, body), "{heard:02X?}");
    }

    /// A publish with this topic: flags, packet id and payload.
    fn message(&mut self) -> (u8, String, String) {
        let (first, body) = self.hear().expect("a publish");
        assert_eq!(first >> 4, 3, "{first:02X} {body:02X?}");
        let length = usize::from(body[0]) << 8 | usize::from(body[1]);
        let topic = String::from_utf8(body[2..2 + length].to_vec()).unwrap();
        let mut at = 2 + length;
        if first & 6 > 0 {
            let id = [body[at], body[at + 1]];
            at += 2;
            self.say(&packet(0x40, &id));
        }
        if self.v5 {
            at += 1 + usize::from(body[at]);
        }
        (first & 0x0F, topic, String::from_utf8(body[at..].to_vec()).unwrap())
    }

    /// The reason code of a DISCONNECT after which the connection is closed.
    fn ended(&mut self) -> u8 {
        let (first, body) = self.hear().expect("a DISCONNECT");
        assert_eq!(first, 0xE0, "{body:02X?}");
        assert_eq!(self.hear(), None);
        body[0]
    }
}

fn sample(n: i64) -> String {
    format!("{{\"ts\":{},\"v\":{n}}}", 1_764_000_000_000 + n)
}

#[test]
fn every_version_and_quality_of_service_is_taken_once_and_in_order() {
    for v5 in [false, true] {
        for qos in [0, 1, 2] {
            let store = Store::memory(&mut chance(3));
            let mut listener = start(&project(OPEN), &store);
            let mut client = Raw::connected(&listener, v5, "c", &Says::default());
            for n in 0..500_u16 {
                client.publish("cell/press-01/temperature", &sample(n.into()), qos, n + 1);
            }
            for n in 0..500_u16 {
                let id = (n + 1).to_be_bytes();
                match qos {
                    1 => client.expect(0x40, &id),
                    2 => client.expect(0x50, &id),
                    _ => {}
                }
            }
            if qos == 2 {
                // Sent again before PUBREL: acknowledged again, taken once [MQTT-4.3.3-10].
                client.publish_with("cell/press-01/temperature", &sample(9_999), 0x0C, 7);
                client.expect(0x50, &[0, 7]);
                for n in 0..500_u16 {
                    client.say(&packet(0x62, &(n + 1).to_be_bytes()));
                    client.expect(0x70, &(n + 1).to_be_bytes());
                }
                client.say(&packet(0x62, &[0, 7]));
                client.expect(0x70, if v5 { &[0, 7, 0x92] } else { &[0, 7] });
            }
            until("all samples", || samples(&store).len() == 500);
            listener.stop();
            let values: Vec<Value> = samples(&store).into_iter().map(|s| s.value).collect();
            assert_eq!(values, (0..500_i32).map(|n| Value::F64(n.into())).collect::<Vec<_>>(), "{v5} {qos}");
            let status = &listener.status().sources[0].1;
            assert!(status.counts.is_whole() && status.counts.stored == 500, "{status:?}");
            let marks: Vec<Entry> = entries(&store).into_iter().filter(|e| matches!(e, Entry::Mark(_))).collect();
            assert_eq!(marks.len(), 4, "two sources, connected and disconnected: {marks:?}");
        }
    }
}

#[test]
fn what_cannot_become_a_sample_is_set_aside_and_acknowledged() {
    let store = Store::memory(&mut chance(3));
    let listener = start(&project(OPEN), &store);
    let mut client = Raw::connected(&listener, true, "c", &Says::default());
    client.publish("cell/press-01/temperature", "no JSON", 1, 1);
    client.publish("cell/press-99/temperature", &sample(1), 1, 2);
    client.publish("cell/press-01/temperature", &sample(2), 1, 3);
    for id in 1..=3 {
        client.expect(0x40, &[0, id]);
    }
    assert_eq!(samples(&store).len(), 1);
    assert_eq!(store.counts().unwrap().get("exceptions.open"), Some(&2));
    until("it is told", || listener.status().sources[0].1.counts.received == 3);
    assert_eq!(listener.status().sources[0].1.counts.quarantined, 2);
}

#[test]
fn a_topic_that_nobody_maps_costs_nobody_what_is_mapped() {
    let store = Store::memory(&mut chance(3));
    let listener = start(&project(OPEN), &store);
    // MQTT 5: the reason code 0x90. At QoS 0 nothing can be said. The conversation goes on.
    let mut client = Raw::connected(&listener, true, "five", &Says::default());
    client.publish("elsewhere", "1", 1, 1);
    client.publish("elsewhere", "1", 2, 2);
    client.publish("elsewhere", "1", 0, 0);
    client.publish("cell/press-01/temperature", &sample(1), 1, 3);
    client.expect(0x40, &[0, 1, 0x90]);
    client.expect(0x50, &[0, 2, 0x90]);
    client.expect(0x40, &[0, 3]);
    // 3.1.1 has no packet that refuses, and would send the message again for ever: it is set aside, in its place.
    let mut client = Raw::connected(&listener, false, "four", &Says::default());
    client.publish("elsewhere", "1", 0, 0);
    client.publish("cell/press-01/temperature", &sample(2), 1, 1);
    client.publish("elsewhere", "what was said", 1, 2);
    client.publish_with("elsewhere/else", "what was said", 0x05, 3);
    client.publish("cell/press-01/temperature", &sample(3), 1, 4);
    client.expect(0x40, &[0, 1]);
    client.expect(0x40, &[0, 2]);
    client.expect(0x50, &[0, 3]);
    client.expect(0x40, &[0, 4]);
    assert_eq!(samples(&store).len(), 3);
    let page = store.list("exceptions", &Query { limit: 10, ..Query::default() }).unwrap();
    assert_eq!((page.rows.len(), &page.rows[0]["cause"]), (1, &"no source maps this topic".into()), "{:?}", page.rows);
    let rows = store.quarantined(None, 0, 10).unwrap();
    let kept: Vec<(&str, &[u8])> = rows.iter().map(|(_, row)| (row.topic.as_str(), row.bytes.as_slice())).collect();
    assert_eq!(kept, [("elsewhere", &b"what was said"[..]), ("elsewhere/else", b"what was said")]);
    until("it is counted", || listener.status().refused.get(&0x90) == Some(&4));
    until("it is in the log", || store.source_counts()[&name("cells")].refused == 4);
    assert_eq!(store.source_counts()[&name("cells")].quarantined, 2);
    // A will to such a topic keeps nobody of 3.1.1 out, and is set aside too.
    drop(Raw::connected(&listener, false, "will", &Says { will: Some(("elsewhere", "gone", 8)), ..Says::default() }));
    until("the will is kept", || store.quarantined(None, 0, 10).unwrap().len() == 3);
    // Nothing of it is retained.
    let mut client = Raw::connected(&listener, false, "late", &Says::default());
    client.publish_with("elsewhere", "1", 0x03, 1);
    client.expect(0x40, &[0, 1]);
    client.subscribe(2, &[("#", 0)]);
    client.say(&[0xC0, 0]);
    client.expect(0xD0, &[]);
}

#[test]
fn what_nobody_mapped_is_replayed_by_whichever_source_maps_it_then() {
    let store = Store::memory(&mut chance(3));
    let mut listener = start(&project(OPEN), &store);
    let mut client = Raw::connected(&listener, false, "four", &Says::default());
    client.publish("remark/press-01", "late, but there", 1, 1);
    client.expect(0x40, &[0, 1]);
    listener.stop();
    let mended = project_with(OPEN, "note/{asset}", "remark/{asset}");
    let exception = store.quarantined(None, 0, 1).unwrap()[0].1.exception;
    let now = Machine::clock().now();
    let ask = andon_edge::replay::Ask { exception, after: 0, limit: 10, dry_run: false, now };
    let done = andon_edge::replay::replay(&mended, &store, &ask, &mut chance(5)).unwrap();
    assert_eq!((done.mended, done.stored, done.resolved), (1, 1, true), "{done:?}");
    assert_eq!(samples(&store)[0].value, Value::Text("late, but there".into()));
    assert_eq!(store.source_counts()[&name("notes")].stored, 1, "it is of the source that maps it");
}

#[test]
fn who_may_not_publish_to_a_topic_is_refused_also_where_nobody_maps_it() {
    let settings = format!(
        "{OPEN}        clients:\n          line: {{ password: 'env:PW_LINE', sites: [hamburg], publish: ['cell/#'] }}\n"
    );
    let store = Store::memory(&mut chance(3));
    let listener = start(&project(&settings), &store);
    let line = || Says { user: Some(("line", "pw-line")), ..Says::default() };
    for topic in ["elsewhere", "cell/press-11/temperature", "cell//temperature", "cell/PRESS-01/temperature", "$SYS/x"]
    {
        let mut client = Raw::connected(&listener, true, "five", &line());
        client.publish(topic, "1", 1, 1);
        client.expect(0x40, &[0, 1, 0x87]);
        client.publish(topic, "1", 0, 1);
        assert_eq!(client.ended(), 0x87, "{topic}");
        let mut client = Raw::connected(&listener, false, "four", &line());
        client.publish(topic, "1", 1, 1);
        assert_eq!(client.hear(), None, "{topic}");
    }
    assert_eq!(store.quarantined(None, 0, 1).unwrap().len(), 0);
}

#[test]
fn those_who_say_nothing_keep_nobody_out() {
    let store = Store::memory(&mut chance(3));
    let listener = start(&project(&format!("{OPEN}        connections: 2\n")), &store);
    let mut silent: Vec<Raw> = (0..40).map(|_| Raw::open(&listener, true)).collect();
    for (n, raw) in silent.iter_mut().enumerate() {
        // Half a CONNECT, or nothing; some are closed already.
        if n % 2 == 0 {
            let _ = raw.stream.write_all(&[0x10, 0xFF, 0x01, 0, 4]);
        }
    }
    until("there is room", || {
        let mut client = Raw::open(&listener, false);
        let mut hello = text("MQTT");
        hello.extend([4, 2, 0, 0, 0, 1, b'c']);
        let mut answer = [0; 4];
        client.stream.write_all(&packet(0x10, &hello)).is_ok() && client.stream.read_exact(&mut answer).is_ok()
    });
}

#[test]
fn a_full_disk_stops_the_acknowledgements_of_all_and_each_is_given_in_order_afterwards() {
    use andon_store::Fault;
    let store = Store::memory(&mut chance(3));
    let mut listener = start(&project(OPEN), &store);
    let mut clients: Vec<Raw> =
        (0..3).map(|n| Raw::connected(&listener, n > 0, &format!("c{n}"), &Says::default())).collect();
    // What follows is refused by the disk, twice.
    store.plan_fault(0, Fault::Before);
    store.plan_fault(1, Fault::Before);
    for round in 0..50_u16 {
        for (n, client) in clients.iter_mut().enumerate() {
            let at = i64::from(round) * 3 + i64::try_from(n).unwrap();
            client.publish("cell/press-01/temperature", &sample(at), if n == 2 { 2 } else { 1 }, round + 1);
        }
        if round == 0 {
            until("it is told", || !listener.status().reason.is_empty());
            assert_eq!(samples(&store).len(), 0);
        }
    }
    for (n, client) in clients.iter_mut().enumerate() {
        for round in 0..50_u16 {
            client.expect(if n == 2 { 0x50 } else { 0x40 }, &(round + 1).to_be_bytes());
        }
    }
    until("it is told", || listener.status().reason.is_empty());
    listener.stop();
    let mut times: Vec<i64> = samples(&store).iter().map(|s| s.time.millis()).collect();
    times.sort_unstable();
    assert_eq!(times, (0..150).map(|n| 1_764_000_000_000 + n).collect::<Vec<_>>(), "each once");
}

#[test]
fn the_receive_maximum_and_the_keep_alive_are_enforced() {
    let store = Store::memory(&mut chance(3));
    let listener = start(&project(&format!("{OPEN}        receive-maximum: 2\n        keep-alive: 1 s\n")), &store);
    // QoS 2 gives its place back only with PUBCOMP.
    let mut client = Raw::connected(&listener, true, "five", &Says::default());
    for id in 1..=2 {
        client.publish("cell/press-01/temperature", &sample(id), 2, u16::try_from(id).unwrap());
        client.expect(0x50, &[0, u8::try_from(id).unwrap()]);
    }
    client.publish("cell/press-01/temperature", &sample(3), 1, 3);
    assert_eq!(client.ended(), 0x93);
    // 3.1.1 is not read for a while instead.
    let mut client = Raw::connected(&listener, false, "four", &Says::default());
    for id in 1..=100 {
        client.publish("cell/press-01/temperature", &sample(100 + i64::from(id)), 1, id);
    }
    for id in 1..=100 {
        client.expect(0x40, &[0, id]);
    }
    until("what was refused is not there, all else is", || samples(&store).len() == 102);
    let mut silent = Raw::connected(&listener, true, "silent", &Says { keep_alive: 60, ..Says::default() });
    assert_eq!(silent.ended(), 0x8D, "60 s were asked for, 1 s is the longest");
    let mut silent = Raw::connected(&listener, false, "silent", &Says::default());
    assert_eq!(silent.hear(), None);
}

#[test]
fn clients_are_given_what_was_published_and_no_more_than_they_may_see() {
    let settings = format!(
        "{OPEN}        clients:\n          north: {{ password: 'env:PW_NORTH', sites: [hamburg] }}\n          \
         all: {{ password: 'env:PW_ALL' }}\n"
    );
    let store = Store::memory(&mut chance(3));
    let listener = start(&project(&settings), &store);
    let all = Says { user: Some(("all", "pw-all")), ..Says::default() };
    let mut machine = Raw::connected(&listener, false, "machine", &all);
    let mut north =
        Raw::connected(&listener, true, "n", &Says { user: Some(("north", "pw-north")), ..Says::default() });
    let mut hub = Raw::connected(&listener, false, "h", &all);
    // Overlapping filters: once, at the highest QoS. Invalid and shared ones are refused each for itself.
    let codes = north.subscribe(1, &[("cell/#", 0), ("cell/+/temperature", 2), ("a/#/b", 0), ("$share/x/cell/#", 0)]);
    assert_eq!(codes, [0, 1, 0x8F, 0x9E]);
    assert_eq!(hub.subscribe(1, &[("#", 1), ("a/#/b", 0)]), [1, 0x80]);
    for asset in ["press-11", "press-01"] {
        machine.publish(&format!("cell/{asset}/temperature"), &sample(1), 1, 1);
        machine.expect(0x40, &[0, 1]);
    }
    assert_eq!(north.message(), (2, "cell/press-01/temperature".into(), sample(1)));
    assert_eq!(hub.message(), (2, "cell/press-11/temperature".into(), sample(1)));
    assert_eq!(hub.message(), (2, "cell/press-01/temperature".into(), sample(1)));
    // A message of the instance itself, for one site.
    let site = andon_model::SiteName::new("monterrey").unwrap();
    let topic = "andon/v1/monterrey/events/asset.alarm/press-11";
    assert_eq!(north.subscribe(2, &[("andon/#", 1)]), [1]);
    let now = Machine::clock().now();
    listener.hub().publish(topic, b"{}".to_vec(), 1, false, Some(&site), now);
    assert_eq!(hub.message(), (2, topic.into(), "{}".into()));
    // What north may publish ends at its site; an asset that nobody knows is nobody's.
    for (topic, code) in [("cell/press-11/temperature", 0x87), ("cell/press-99/temperature", 0x87), ("x", 0x90)] {
        north.publish(topic, &sample(1), 1, 9);
        north.expect(0x40, &[0, 9, code]);
    }
    // Nobody publishes events but the instance.
    north.publish("andon/v1/hamburg/events/asset.alarm/press-01", "{}", 1, 9);
    north.expect(0x40, &[0, 9, 0x90]);
}

#[test]
fn retained_messages_are_there_after_a_start_and_an_empty_one_forgets() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = Store::open(dir.path(), &mut *chance(3)).unwrap();
        let listener = start(&project(OPEN), &store);
        let mut client = Raw::connected(&listener, true, "c", &Says::default());
        for (topic, n) in [("note/press-01", "1"), ("note/press-11", "2"), ("note/press-01", "3")] {
            client.publish_with(topic, n, 0x03, 1);
            client.expect(0x40, &[0, 1]);
        }
        client.publish_with("note/press-11", "", 0x03, 1);
        client.expect(0x40, &[0, 1]);
    }
    let store = Store::open(dir.path(), &mut *chance(4)).unwrap();
    let listener = start(&project(OPEN), &store);
    let mut client = Raw::connected(&listener, true, "c", &Says::default());
    client.subscribe(1, &[("note/#", 0)]);
    assert_eq!(client.message(), (1, "note/press-01".into(), "3".into()));
    // Retain handling 1: only with a new subscription; 2: never; 0: each time [MQTT-3.3.1-9 to -11].
    client.subscribe(2, &[("note/#", 0x10)]);
    client.subscribe(3, &[("note/+", 0x20)]);
    client.subscribe(4, &[("note/#", 0x00)]);
    assert_eq!(client.message().2, "3");
    // Retain as published, and what comes live has the flag of a live message [MQTT-3.3.1-12, -13].
    client.subscribe(5, &[("note/press-11", 0x28)]);
    client.publish_with("note/press-11", "4", 0x01, 0);
    assert_eq!(client.message(), (1, "note/press-11".into(), "4".into()));
    client.publish_with("note/press-01", "5", 0x01, 0);
    assert_eq!(client.message(), (0, "note/press-01".into(), "5".into()));
    assert_eq!(samples(&store).len(), 5, "an empty retained message is no sample");
    assert_eq!(store.counts().unwrap().get("exceptions.open"), None);
}

#[test]
fn a_will_is_published_when_a_client_is_gone_and_not_when_it_leaves() {
    let store = Store::memory(&mut chance(3));
    let mut listener = start(&project(OPEN), &store);
    let will = |text| Says { will: Some(("note/press-01", text, 0x08)), ..Says::default() };
    for v5 in [false, true] {
        drop(Raw::connected(&listener, v5, "gone", &will("gone")));
        until("the will is published", || !samples(&store).is_empty());
        let mut client = Raw::connected(&listener, v5, "leaving", &will("left"));
        client.say(&[0xE0, 0]);
        assert_eq!(client.hear(), None);
        let first = Raw::connected(&listener, v5, "twice", &will("taken over"));
        let mut second = Raw::connected(&listener, v5, "twice", &Says::default());
        second.publish("note/press-11", "there", 1, 1);
        second.expect(0x40, &[0, 1]);
        drop(first);
    }
    // A will that could never be published does not come in.
    for (topic, code) in [("elsewhere", 0x90), ("a/#", 0x90)] {
        let mut client = Raw::open(&listener, true);
        client.hello("w", &Says { will: Some((topic, "x", 0)), ..Says::default() });
        let (first, body) = client.hear().unwrap();
        assert_eq!((first, body[1]), (0x20, code));
    }
    let staying = Raw::connected(&listener, true, "staying", &will("stopped"));
    listener.stop();
    drop(staying);
    let texts: Vec<String> = samples(&store).into_iter().map(|s| format!("{:?}", s.value)).collect();
    let count = |wanted: &str| texts.iter().filter(|text| text.contains(wanted)).count();
    assert_eq!((count("gone"), count("left"), count("taken over"), count("stopped")), (2, 0, 2, 0), "{texts:?}");
}

#[test]
fn who_comes_in_and_who_does_not_is_told_in_the_words_of_the_version() {
    let settings = format!("{OPEN}        connections: 2\n");
    let store = Store::memory(&mut chance(3));
    let mut listener = start(&project(&settings), &store);
    let mut assigned = Raw::open(&listener, true);
    assigned.hello("", &Says::default());
    let (_, body) = assigned.hear().unwrap();
    assert!(String::from_utf8_lossy(&body).contains("andon-machines-"), "an id is given [MQTT-3.1.3-6]");
    let mut four = Raw::connected(&listener, false, "", &Says::default());
    for (v5, code) in [(true, 0x89), (false, 3)] {
        let mut one_more = Raw::open(&listener, v5);
        one_more.hello("more", &Says::default());
        let (first, body) = one_more.hear().unwrap();
        assert_eq!((first, body[1]), (0x20, code));
        assert_eq!(one_more.hear(), None);
    }
    // Another method of authentication: 0x8C. A long client id: 0x85.
    let mut other = Raw::open(&listener, true);
    other.hello("a", &Says { properties: &[21, 0, 1, b'x'], ..Says::default() });
    assert_eq!(other.hear().unwrap().1[1], 0x8C);
    let mut long = Raw::open(&listener, true);
    long.hello(&"x".repeat(257), &Says::default());
    assert_eq!(long.hear().unwrap().1[1], 0x85);
    // The same id again: the first is told 0x8E.
    let mut first = {
        assigned.say(&[0xE0, 0]);
        assert_eq!(assigned.hear(), None);
        until("there is room", || listener.status().connections == 1);
        Raw::connected(&listener, true, "same", &Says::default())
    };
    four.say(&[0xE0, 0]);
    until("there is room", || listener.status().connections == 1);
    let mut second = Raw::connected(&listener, true, "same", &Says::default());
    assert_eq!(first.ended(), 0x8E);
    listener.stop();
    assert_eq!(second.ended(), 0x8B);
}

#[test]
fn a_client_that_breaks_the_protocol_harms_nobody_else() {
    let store = Store::memory(&mut chance(3));
    let listener = start(&project(OPEN), &store);
    let mut good = Raw::connected(&listener, true, "good", &Says::default());
    for bytes in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xFF; 64], &[0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], &[0x10, 0], &[0; 300]]
    {
        let mut bad = Raw::open(&listener, true);
        // It may be cut off before all is written.
        let _ = bad.stream.write_all(bytes);
        assert_eq!(bad.hear().map(|(first, _)| first).filter(|first| *first != 0x20), None);
    }
    let mut large = Raw::connected(&listener, true, "large", &Says::default());
    large.say(&[0x32, 0xFF, 0xFF, 0xFF, 0x7F]);
    assert_eq!(large.ended(), 0x95);
    good.publish("note/press-01", &"x".repeat(60_000), 1, 1);
    good.expect(0x40, &[0, 1]);
    good.say(&[0xC0, 0]);
    good.expect(0xD0, &[]);
}

#[test]
fn while_the_disk_takes_nothing_nothing_is_acknowledged_and_nothing_is_lost() {
    use andon_store::Fault;
    let store = Store::memory(&mut chance(3));
    let listener = start(&project(OPEN), &store);
    let mut client = Raw::connected(&listener, true, "c", &Says::default());
    client.publish("cell/press-01/temperature", &sample(1), 1, 1);
    client.expect(0x40, &[0, 1]);
    store.plan_fault(0, Fault::Before);
    store.plan_fault(1, Fault::Before);
    client.publish("cell/press-01/temperature", "no JSON", 1, 2);
    client.publish("cell/press-01/temperature", &sample(3), 1, 3);
    until("it is told", || !listener.status().reason.is_empty());
    // The conversation goes on meanwhile.
    client.say(&[0xC0, 0]);
    client.expect(0xD0, &[]);
    assert_eq!(samples(&store).len(), 1);
    client.expect(0x40, &[0, 2]);
    client.expect(0x40, &[0, 3]);
    assert_eq!(samples(&store).len(), 2);
    assert_eq!(store.counts().unwrap().get("exceptions.open"), Some(&1));
    until("it is told", || listener.status().reason.is_empty());
}

#[test]
fn what_is_sent_again_over_another_connection_is_stored_once() {
    let store = Store::memory(&mut chance(3));
    let mut listener = start(&project(OPEN), &store);
    for v5 in [false, true] {
        for qos in [1, 2] {
            let at = i64::from(qos) + if v5 { 10 } else { 20 };
            // Once before anything is heard, once after the first half of QoS 2; the next connection takes over.
            for heard in [false, true] {
                let mut client = Raw::connected(&listener, v5, "same", &Says::default());
                client.publish_with("cell/press-01/temperature", &sample(at), qos << 1 | 8, 1);
                if heard {
                    client.expect(if qos == 1 { 0x40 } else { 0x50 }, &[0, 1]);
                }
            }
            let mut client = Raw::connected(&listener, v5, "same", &Says::default());
            if qos == 2 {
                // The session is not there any more, and with it the id [MQTT-4.3.3].
                client.say(&packet(0x62, &[0, 1]));
                client.expect(0x70, if v5 { &[0, 1, 0x92] } else { &[0, 1] });
            }
            client.publish_with("cell/press-01/temperature", &sample(at), qos << 1 | 8, 1);
            client.expect(if qos == 1 { 0x40 } else { 0x50 }, &[0, 1]);
        }
    }
    listener.stop();
    let mut times: Vec<i64> = samples(&store).iter().map(|s| s.time.millis() - 1_764_000_000_000).collect();
    times.sort_unstable();
    assert_eq!(times, [11, 12, 21, 22]);
}
