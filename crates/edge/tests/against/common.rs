//! A broker of our own, a small contract, and a clock, for the tests of this folder.

use andon_contract::contract::*;
use andon_edge::given::{Chance, Clock, Env};
use andon_edge::mqtt::{BrokerAddress, Settings};
use andon_edge::publish::Publisher;
use andon_model::span::Span;
use andon_model::time::{Unit, Zone};
use andon_model::value::Kind;
use andon_model::{AssetName, Entry, Name, Sample, SignalName, SiteName, Time};
use andon_store::Store;
use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The clock of the machine.
pub(crate) struct Machine(Instant);

impl Machine {
    #[expect(clippy::disallowed_methods, reason = "tests are a shell of their own")]
    pub(crate) fn clock() -> Arc<dyn Clock> {
        Arc::new(Self(Instant::now()))
    }
}

impl Clock for Machine {
    #[expect(clippy::disallowed_methods, reason = "tests are a shell of their own")]
    fn now(&self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
        Time(i64::try_from(since.as_nanos()).expect("before 2262"))
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Chance that repeats.
pub(crate) fn chance(mut seed: u64) -> Chance {
    Box::new(move |bytes| {
        for byte in bytes {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = seed.to_be_bytes()[0];
        }
    })
}

/// An environment without variables.
pub(crate) fn no_env() -> Env {
    Arc::new(|_| None)
}

/// A port nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits for a condition.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let clock = Machine::clock();
    while !condition() {
        assert!(clock.monotonic() < Duration::from_secs(20), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Lets a broker write every change to its disk at once, so that it knows everything again after a kill.
pub(crate) const REMEMBERS: &str = "autosave_interval 1\nautosave_on_changes true";

/// A mosquitto of our own.
pub(crate) struct Mosquitto {
    pub(crate) port: u16,
    config: PathBuf,
    child: Option<Child>,
}

impl Mosquitto {
    /// Starts one with these lines added to its configuration.
    pub(crate) fn start(dir: &Path, extra: &str) -> Self {
        let port = free_port();
        let config = dir.join("mosquitto.conf");
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\npersistence true\npersistence_location {}/\n\
             max_inflight_messages 1000\nmax_queued_messages 0\n\
             log_dest none\n{extra}\n",
            dir.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut broker = Self { port, config, child: None };
        broker.begin();
        broker
    }

    /// Starts it again on the same port.
    pub(crate) fn begin(&mut self) {
        let mut command = Command::new("/usr/sbin/mosquitto");
        command.arg("-c").arg(&self.config).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("mosquitto is installed"));
        until("the broker listens", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    /// Ends it without a word.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// CPU time it has used.
    pub(crate) fn address(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A publisher to a broker.
pub(crate) fn publisher(port: u16, id: &str, window: u16) -> Publisher {
    let settings = Settings {
        client_id: id.into(),
        version: MqttVersion::V5,
        clean_start: true,
        session_expiry: 0,
        keep_alive: 30,
        credentials: None,
        window,
    };
    let address = BrokerAddress { host: "127.0.0.1".into(), port, tls: false };
    Publisher::new(address, None, settings, Machine::clock(), chance(7)).unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn pointer(text: &str) -> Pointer {
    Pointer { tokens: text.split('/').skip(1).map(str::to_owned).collect() }
}

pub(crate) fn template(text: &str) -> Template {
    let mut pieces = Vec::new();
    for part in text.split_inclusive('}') {
        match part.split_once('{') {
            Some((before, place)) => {
                pieces.push(Piece::Text(before.into()));
                pieces.push(Piece::Place(place.trim_end_matches('}').into()));
            }
            None => pieces.push(Piece::Text(part.into())),
        }
    }
    Template { pieces }
}

pub(crate) fn broker(address: &str, version: MqttVersion) -> Broker {
    Broker {
        tls: ClientTls::default(),
        address: Address { env: None, default: address.into() },
        version,
        credentials: None,
        keep_alive: Span::from_secs(30),
    }
}

/// A plant with assets `machine-000`..: topic `machines/{asset}/temperature`, payload `{"ts": ms, "v": number}`.
pub(crate) fn contract(address: &str, version: MqttVersion, qos: u8, assets: usize) -> Contract {
    let site = SiteName::new("home").unwrap();
    let asset = |_| Asset {
        site: site.clone(),
        class: name("machine"),
        area: Some("melting".into()),
        line: Some("line-1".into()),
        unit: None,
        addresses: BTreeMap::new(),
        parameters: BTreeMap::new(),
    };
    let signal =
        Signal { kind: Kind::F64, unit: "Cel".into(), range: Some((-50.0, 5_000_000.0)), reduce: None, states: None };
    let class = Class { signals: [(SignalName::new("temperature").unwrap(), signal)].into() };
    let topic = TopicMapping {
        levels: vec![Level::Text("machines".into()), Level::Capture("asset".into()), Level::Text("temperature".into())],
        qos,
        asset: template("{asset}"),
        signals: vec![SignalMapping {
            signal: template("temperature"),
            value: pointer("/v"),
            time: Some(TimeMapping { at: pointer("/ts"), form: TimeForm::Number(Unit::Ms) }),
            quality: Some(pointer("/q")),
            unit: None,
        }],
    };
    let mqtt = MqttSource {
        broker: broker(address, version),
        session_expiry: Span::from_secs(3_600),
        broker_settings: None,
        topics: vec![topic],
    };
    let source = Source {
        kind: SourceKind::Mqtt(mqtt),
        clock: andon_contract::contract::Clock::Live,
        zone: Zone::utc(),
        ahead: Span::from_secs(300),
        silence: None,
    };
    let lines = vec![OwnershipLine::everything(name("plant"))];
    Contract {
        revision: "0".repeat(64),
        sites: [(site.clone(), Site { zone: name("plant"), timezone: Zone::utc() })].into(),
        assets: (0..assets).map(|n| (AssetName::new(&format!("machine-{n:03}")).unwrap(), asset(n))).collect(),
        classes: [(name("machine"), class)].into(),
        sources: [(name("machines"), source)].into(),
        ownership: Ownership { lines, ..Ownership::default() },
        ..Contract::empty()
    }
}

/// Everything in the log.
pub(crate) fn entries(store: &Store) -> Vec<Entry> {
    let mut at = store.log_start();
    let mut all = Vec::new();
    while let Some(batch) = store.read(at).unwrap() {
        all.extend(batch.part.entries.iter().cloned());
        at = batch.end();
    }
    all
}

/// The samples in the log.
pub(crate) fn samples(store: &Store) -> Vec<Sample> {
    let samples = entries(store).into_iter().filter_map(|entry| match entry {
        Entry::Sample(sample) => Some(sample),
        Entry::Mark(_) => None,
    });
    samples.collect()
}
