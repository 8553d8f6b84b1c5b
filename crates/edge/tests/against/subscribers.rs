//! Subscribers against a real broker.

use crate::common::*;
use andon_contract::contract::{Contract, MqttVersion, PublishTo, Subscriber};
use andon_edge::mqtt::{BrokerAddress, Client, Happened, Link, Settings, Waker, transport::Bytes};
use andon_edge::subscriber::{Hubs, SubscriberHandle, start_subscriber};
use andon_model::{Event, EventId, SiteName, Time};
use andon_store::{Query, Store, Write};
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

fn event(n: u64) -> Event {
    let id = EventId::derived(&[b"test", &n.to_le_bytes()]);
    Event {
        id,
        kind: "asset.alarm".into(),
        source: "/home/rules/temperature".into(),
        time: Time(1_764_000_000_000_000_000),
        subject: "machine-000".into(),
        schema: "andon:asset.alarm/1.0".into(),
        site: SiteName::new("home").expect("a name"),
        key: "machine-000".into(),
        correlation: id,
        causation: None,
        recorded: Time(1_764_000_000_000_000_000),
        data: serde_json::json!({ "n": n }),
    }
}

pub(crate) fn with_subscriber(address: &str, version: MqttVersion, qos: u8, topic: &str) -> Arc<Contract> {
    let mut contract = contract(address, version, 1, 1);
    let subscriber = Subscriber {
        to: PublishTo::Broker(broker(address, version)),
        types: vec!["asset.alarm".into()],
        qos,
        topic: template(topic),
        payload: None,
    };
    contract.subscribers.insert(name("alarms"), subscriber);
    Arc::new(contract)
}

fn start(contract: Arc<Contract>, store: &Store) -> SubscriberHandle {
    let (env, clock) = (no_env(), Machine::clock());
    start_subscriber(contract, &name("alarms"), &Hubs::default(), store.clone(), env, clock, chance(5))
        .expect("it starts")
}

/// Listens to everything under `andon/`; what comes is told by topic and payload.
struct Listener {
    messages: mpsc::Receiver<(String, Vec<u8>)>,
    stop: Arc<AtomicBool>,
}

impl Listener {
    fn start(port: u16) -> Self {
        let (tell, messages) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, wait) = mpsc::channel();
        let stopped = Arc::clone(&stop);
        std::thread::spawn(move || listen(port, &tell, &ready, &stopped));
        wait.recv().expect("it subscribes");
        Self { messages, stop }
    }

    /// The next `count` different numbers of events from `first` on, in the order of their first arrival.
    fn numbers(&self, first: u64, count: usize) -> Vec<u64> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            let (_, payload) = self.messages.recv_timeout(Duration::from_secs(30)).expect("events come");
            let json: serde_json::Value = serde_json::from_slice(&payload).expect("an event is JSON");
            let n = json["data"]["n"].as_u64().expect("a number");
            if n >= first && !numbers.contains(&n) {
                numbers.push(n);
            }
        }
        numbers
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn listen(port: u16, tell: &mpsc::Sender<(String, Vec<u8>)>, ready: &mpsc::Sender<()>, stop: &AtomicBool) {
    let clock = Machine::clock();
    let waker = Waker::new().expect("an eventfd");
    while !stop.load(Ordering::Relaxed) {
        let address = BrokerAddress { host: "127.0.0.1".into(), port, tls: false };
        let settings = Settings {
            client_id: "listener".into(),
            version: MqttVersion::V5,
            clean_start: false,
            session_expiry: 600,
            keep_alive: 0,
            credentials: None,
            window: 1,
        };
        let Ok(mut link) = Link::connect(&address, None, &waker, &|| false) else {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        let mut client = Client::new(settings, []);
        client.connect(clock.monotonic()).expect("a connect");
        'conversation: while !stop.load(Ordering::Relaxed) {
            if link.write(client.output()).is_err() {
                break;
            }
            link.wait(&waker, false, Some(Duration::from_millis(20)));
            loop {
                let bytes = match link.read() {
                    Ok(Bytes::Some(bytes, _)) => bytes,
                    Ok(Bytes::None) => break,
                    Err(_) => break 'conversation,
                };
                let mut happened = Vec::new();
                client.receive(bytes, clock.monotonic(), &mut happened).expect("a broker that keeps to the protocol");
                for what in happened {
                    match what {
                        Happened::Connected { .. } => {
                            client.subscribe(&[("andon/#".into(), 1)], clock.monotonic()).expect("a subscription");
                        }
                        Happened::Subscribed { .. } => ready.send(()).unwrap_or_default(),
                        Happened::Message(message) => {
                            tell.send((message.topic().to_owned(), message.payload().to_vec())).unwrap_or_default();
                            if let Some(ack) = message.ack() {
                                client.acknowledge(ack, clock.monotonic()).expect("an acknowledgement");
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}

pub(crate) fn add(store: &Store, numbers: std::ops::Range<u64>) {
    let writes = numbers.map(|n| Write::Event(Box::new(event(n)), None)).collect();
    store.commit(writes).expect("a commit");
}

/// Events of so many keys in turn.
fn add_of(store: &Store, numbers: std::ops::Range<u64>, keys: u64) {
    let event = |n| {
        let key = format!("machine-{:03}", n % keys);
        Event { subject: "machine-000".into(), key, ..event(n) }
    };
    let writes = numbers.map(|n| Write::Event(Box::new(event(n)), None)).collect();
    store.commit(writes).expect("a commit");
}

#[test]
fn events_arrive_in_order_and_the_cursor_follows() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(dir.path(), "");
    let listener = Listener::start(broker.port);
    for (version, qos) in [(MqttVersion::V3, 1), (MqttVersion::V5, 1), (MqttVersion::V5, 0)] {
        let store = Store::memory(&mut chance(3));
        let contract = with_subscriber(&broker.address(), version, qos, "andon/v1/{site}/{area}/{type}/{asset}");
        let mut subscriber = start(contract, &store);
        for n in 0..5 {
            add(&store, n * 500..(n + 1) * 500);
        }
        assert_eq!(listener.numbers(0, 2_500), (0..2_500).collect::<Vec<_>>(), "{version:?} {qos}");
        until("the cursor", || store.cursor("subscriber/alarms").unwrap() == Some(2_500));
        subscriber.stop();
        assert_eq!(subscriber.status().delivered, 2_500);
    }
}

#[test]
fn a_broker_that_was_away_gets_the_backlog() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Mosquitto::start(dir.path(), REMEMBERS);
    let listener = Listener::start(broker.port);
    let store = Store::memory(&mut chance(3));
    let contract = with_subscriber(&broker.address(), MqttVersion::V5, 1, "andon/v1/{site}/events/{type}/{asset}");
    let subscriber = start(Arc::clone(&contract), &store);
    add(&store, 0..100);
    assert_eq!(listener.numbers(0, 100).len(), 100);
    until("the cursor", || subscriber.status().cursor == 100);
    broker.kill();
    until("it is away", || !subscriber.status().connected);
    add(&store, 100..300);
    drop(subscriber);
    // A new loop begins where the cursor stands.
    let again = start(contract, &store);
    broker.begin();
    let numbers = listener.numbers(100, 200);
    assert_eq!(numbers, (100..300).collect::<Vec<_>>());
    until("the cursor", || again.status().cursor == 300);
}

#[test]
fn a_broker_that_dies_in_the_middle_of_a_long_backlog_gets_all_of_it() {
    const EVENTS: u64 = 100_000;
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("mqtt://{}", server.local_addr().unwrap());
    let store = Store::memory(&mut chance(3));
    let contract = with_subscriber(&address, MqttVersion::V5, 1, "andon/{asset}");
    drop(start(Arc::clone(&contract), &store));
    for n in 0..EVENTS / 5_000 {
        add_of(&store, n * 5_000..(n + 1) * 5_000, 50);
    }
    let (tell, came) = mpsc::channel();
    std::thread::spawn(move || {
        // Twice it dies with what it has read and not answered; then it lives.
        for lives in [30_000, 30_001, usize::MAX] {
            let mut left = lives;
            answering(&server, |n| {
                tell.send(n).unwrap_or_default();
                left -= 1;
                (left > 0).then_some(0)
            });
        }
    });
    let mut subscriber = start(contract, &store);
    let mut seen = vec![false; usize::try_from(EVENTS).unwrap()];
    // By key: the newest that came first.
    let mut newest = [0; 50];
    let (mut count, mut again) = (0, 0);
    while count < EVENTS {
        let n = came.recv_timeout(Duration::from_mins(1)).expect("events come");
        let at = usize::try_from(n).unwrap();
        if std::mem::replace(&mut seen[at], true) {
            again += 1;
        } else {
            assert!(newest[at % 50] <= n, "{n} came after {}", newest[at % 50]);
            newest[at % 50] = n;
            count += 1;
        }
    }
    until("the cursor", || subscriber.status().cursor == EVENTS);
    subscriber.stop();
    assert!(again <= 100, "only what was under way when it died comes again: {again}");
    assert_eq!(store.cursor("subscriber/alarms/delivered").unwrap(), Some(EVENTS));
}

/// A broker of our own that answers each publish with what `answer` says of its payload.
fn answering(listener: &std::net::TcpListener, mut answer: impl FnMut(u64) -> Option<u8>) {
    let (mut stream, _) = listener.accept().expect("a connection");
    let mut reader = std::io::BufReader::new(stream.try_clone().expect("a second handle"));
    crate::hostile::packet(&mut reader).expect("a connect");
    stream.write_all(&[0x20, 3, 0, 0, 0]).expect("it reads");
    let mut answers = Vec::new();
    while let Some((first, body)) = crate::hostile::packet(&mut reader) {
        if first >> 4 != 3 {
            continue;
        }
        let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let id = &body[2 + topic..4 + topic];
        let code = answer(number(&body[5 + topic..]));
        answers.extend(code.map(|code| [0x40, 3, id[0], id[1], code]).into_iter().flatten());
        // What came together is answered together, and before it dies.
        let is_due = code.is_none() || reader.buffer().is_empty();
        if is_due && stream.write_all(&std::mem::take(&mut answers)).is_err() || code.is_none() {
            return;
        }
    }
}

/// The number in the data of an event; to parse the whole event would be most of the time of a long backlog.
fn number(event: &[u8]) -> u64 {
    let text = std::str::from_utf8(event).expect("an event is text");
    let (_, behind) = text.split_once(r#""data":{"n":"#).expect("an event of ours");
    behind.split_once('}').and_then(|(n, _)| n.parse().ok()).expect("a number")
}

#[test]
fn a_refusal_for_now_holds_up_its_key_and_one_for_good_is_counted_once() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("mqtt://{}", server.local_addr().unwrap());
    let store = Store::memory(&mut chance(3));
    let contract = with_subscriber(&address, MqttVersion::V5, 1, "andon/{asset}");
    let (tell, came) = mpsc::channel();
    std::thread::spawn(move || {
        // The first connection: 0 is refused for now, 1 for good; then it breaks, with 0 still unanswered.
        let mut tries = 0;
        answering(&server, |n| {
            tell.send(n).unwrap_or_default();
            tries += u32::from(n == 0);
            match n {
                0 if tries == 3 => None,
                0 => Some(0x97),
                1 => Some(0x87),
                _ => Some(0),
            }
        });
        answering(&server, |n| {
            tell.send(n).unwrap_or_default();
            Some(0)
        });
    });
    let mut subscriber = start(contract, &store);
    // Three keys: 0, 3, 6 .. and 1, 4, 7 .. and 2, 5, 8 ..
    add_of(&store, 0..9, 3);
    until("all are over", || subscriber.status().cursor == 9);
    subscriber.stop();
    let came: Vec<u64> = came.try_iter().collect();
    let of = |key: u64| came.iter().copied().filter(|n| n % 3 == key).collect::<Vec<_>>();
    assert_eq!(of(0), [0, 0, 0, 0, 3, 6], "{came:?}");
    assert_eq!(of(1), [1, 4, 7], "refused once for good, others pass: {came:?}");
    assert_eq!(of(2), [2, 5, 8], "{came:?}");
    assert!(came.iter().position(|n| *n == 8) < came.iter().position(|n| *n == 3), "{came:?}");
    let status = subscriber.status();
    assert_eq!((status.delivered, status.parked), (8, 1));
    let rows = store.list("exceptions", &Query { limit: 5, ..Query::default() }).unwrap().rows;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["count"], 1, "{rows:?}");
}

#[test]
fn what_cannot_be_published_is_an_exception_and_the_next_follows() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(dir.path(), "");
    let listener = Listener::start(broker.port);
    let store = Store::memory(&mut chance(3));
    let mut contract = with_subscriber(&broker.address(), MqttVersion::V5, 1, "andon/{line}/{asset}");
    {
        let contract = Arc::get_mut(&mut contract).expect("nobody else has it");
        let program =
            andon_contract::expr::Program::compile("{n: .data.n, data: {n: (100 / (.data.n - 1) | floor)}}", &[]);
        contract.subscribers.get_mut("alarms").expect("it is there").payload = Some(program.expect("an expression"));
    }
    let subscriber = start(contract, &store);
    add(&store, 1..5);
    assert_eq!(listener.numbers(0, 3), [100, 50, 33]);
    until("the cursor", || subscriber.status().cursor == 4);
    let status = subscriber.status();
    assert_eq!((status.delivered, status.parked), (3, 1));
    let rows = store.list("exceptions", &Query { limit: 5, ..Query::default() }).unwrap().rows;
    let text = serde_json::to_string(&rows).unwrap();
    assert!(text.contains("expression fails") && text.contains("plant"), "{text}");
}

#[test]
fn events_reach_the_clients_of_a_listener_that_begins_later() {
    let settings = andon_contract::contract::Listener {
        address: andon_contract::contract::Address { env: None, default: "127.0.0.1:0".into() },
        tls: None,
        clients: std::collections::BTreeMap::new(),
        connections: 10,
        receive_max: 100,
        keep_alive: andon_model::span::Span::from_secs(60),
    };
    let store = Store::memory(&mut chance(3));
    let mut contract = with_subscriber("mqtt://127.0.0.1:1", MqttVersion::V5, 1, "andon/mine/{asset}");
    {
        let contract = Arc::get_mut(&mut contract).expect("nobody else has it");
        contract.subscribers.get_mut("alarms").expect("it is there").to = PublishTo::Listener(name("plant"));
    }
    let hubs = Hubs::default();
    let (env, clock) = (no_env(), Machine::clock());
    let mut subscriber =
        start_subscriber(Arc::clone(&contract), &name("alarms"), &hubs, store.clone(), env, clock, chance(5)).unwrap();
    add(&store, 0..10);
    until("it waits", || subscriber.status().reason.contains("listener plant does not run"));
    let (env, clock) = (no_env(), Machine::clock());
    let started =
        andon_edge::listener::start(&contract, &name("plant"), &settings, store.clone(), env, clock, chance(6))
            .unwrap();
    let client = Listener::start(started.address().port());
    hubs.lock().unwrap().insert(name("plant"), started.hub());
    let mut numbers = Vec::new();
    while numbers.len() < 10 {
        let (topic, payload) = client.messages.recv_timeout(Duration::from_secs(30)).expect("events come");
        let json: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        if topic == "andon/mine/machine-000" {
            numbers.push(json["data"]["n"].as_u64().unwrap());
        }
    }
    assert_eq!(numbers, (0..10).collect::<Vec<_>>());
    until("the cursor", || subscriber.status().cursor == 10);
    subscriber.stop();
    assert_eq!(store.cursor("subscriber/alarms/delivered").unwrap(), Some(10));
}
