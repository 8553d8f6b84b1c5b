//! OEE of what rules made of samples: the rules run over a store, orders and shifts are told, and the answer is that by
//! hand.

#![expect(clippy::unwrap_used, reason = "a test may stop where it stands")]

use andon_contract::{Contract, from_files};
use andon_events::{
    Progress,
    objects::{Objects, Teller, of_body},
};
use andon_model::{
    AssetName, Entry, Name, Quality, Sample, SignalName, SiteName, Time, Value,
    object::Item,
    sample::{Origin, Part},
    span::Span,
};
use andon_observe::oee::{By, Oee, Question, ask};
use andon_store::{ObjectName, Store};
use serde_json::{Value as Json, json};
use std::sync::Arc;

fn contract() -> Arc<Contract> {
    let files = [
        ("andon.yaml", "format: 1\nname: p\ninstances: { plant: { role: both, zone: z } }\n"),
        ("assets/home.yaml", "site: home\nzone: z\ntimezone: UTC\nassets: { press-01: { class: press, line: one } }\n"),
        ("classes/press.yaml", "signals: { state: { kind: text }, made: { kind: i64 }, scrap: { kind: i64 } }\n"),
        (
            "sources/mill.yaml",
            "kind: mqtt\nbroker: mqtt://127.0.0.1:1\nversion: 5\nsession: { expiry: 1 h }\nclock: recorded\ntopics:\n  \
             - topic: m/{asset}\n    qos: 1\n    signals:\n      state: { value: /s }\n      made: { value: /m }\n\
             \x20     scrap: { value: /r }\n",
        ),
        ("policies/ownership.yaml", "teams: { people: { mail: a@b.example } }\nrules: [{ owner: people }]\n"),
        ("rules/state.yaml", "kind: state\non: press.state\nclasses: { run: production, stop: delay, setup: setup }\n"),
        ("rules/made.yaml", "kind: counter\non: press.made\nrun-time: 30 s\n"),
        ("rules/scrap.yaml", "kind: counter\non: press.scrap\ncounts: reject\n"),
    ];
    let files = files.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
    let loaded = from_files(files).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    });
    Arc::new(loaded.contract)
}

fn at(minutes: i64) -> Time {
    Time::parse("2026-11-22T06:00:00Z").unwrap().plus(Span::from_secs(minutes * 60))
}

struct Plant {
    store: Store,
    contract: Arc<Contract>,
    rules: andon_events::Loop,
}

impl Plant {
    fn new() -> Self {
        let (store, contract) = (Store::memory(&mut |bytes| bytes.fill(1)), contract());
        let rules = andon_events::Loop::new(store.clone(), contract.clone(), at(0)).unwrap();
        Self { store, contract, rules }
    }

    /// Samples of one signal: minute and value.
    fn said(&mut self, signal: &str, values: impl IntoIterator<Item = (i64, Value)>) {
        let (asset, signal) = (AssetName::new("press-01").unwrap(), SignalName::new(signal).unwrap());
        let signal = self.store.signal(&asset, &signal).unwrap();
        let mut part = Part::new(SiteName::new("home").unwrap(), Name::new("mill").unwrap());
        part.entries.extend(values.into_iter().map(|(minute, value)| {
            let (time, quality, origin) = (at(minute), Quality::GOOD, Origin::Live);
            Entry::Sample(Sample { signal, time, received: time, quality, value, origin })
        }));
        self.store.append(vec![part]).unwrap();
        while self.rules.step(at(0), Span::ZERO).unwrap() == Progress::Worked {}
    }

    fn tell(&self, name: &str, body: &Json) {
        let name = ObjectName::parse(name).unwrap();
        let told = of_body(&name, &format!("{}/1", name.kind), body).unwrap();
        let teller = Teller { of: "api".to_owned(), max_age: None, home: name.site.clone() };
        let objects = Objects::new(self.store.clone(), self.contract.clone());
        let item = Item { bytes: Vec::new(), told: Ok(told) };
        let taken = objects.take(&teller, vec![item], false, at(0), |_| Vec::new()).unwrap();
        assert!(taken.unfit.is_empty(), "{:?}", taken.unfit);
    }

    fn ask(&self, (from, to): (i64, i64), by: By) -> Vec<Oee> {
        let question = Question {
            asset: AssetName::new("press-01").unwrap(),
            site: SiteName::new("home").unwrap(),
            line: Some("one".to_owned()),
            from: at(from),
            to: at(to),
            by,
            rule: None,
            kinds: ["produced", "reject"].map(str::to_owned).to_vec(),
        };
        ask(&self.store, &question).unwrap()
    }
}

fn text(value: &str) -> Value {
    Value::Text(value.into())
}

fn close(found: Option<f64>, wanted: f64) {
    assert!(found.is_some_and(|found| (found - wanted).abs() < 1e-9), "{found:?} is not {wanted}");
}

/// Two hours: 20 min of setup, 60 of production, 20 of delay, 20 of production. Two parts a minute fit; 120 are made,
/// 12 of them scrap. The order runs in the first 80 minutes, the shift of the line in the last 60.
#[test]
fn orders_and_shifts_divide_what_rules_made_of_samples() {
    let mut plant = Plant::new();
    plant.said("state", [(0, text("setup")), (20, text("run")), (80, text("stop")), (100, text("run"))]);
    plant.said("made", [(0, Value::I64(500)), (50, Value::I64(550)), (79, Value::I64(590)), (110, Value::I64(620))]);
    plant.said("scrap", [(0, Value::I64(7)), (79, Value::I64(16)), (110, Value::I64(19))]);
    let order = json!({"object": {"state": "Completed", "material": "m", "quantity": {"value": "90", "unit": "1"}},
        "from": at(0).to_string(), "to": at(80).to_string(), "assets": ["press-01"]});
    plant.tell("ProductionOrder/home/1", &order);
    let other = json!({"object": {"state": "Completed", "material": "m", "quantity": {"value": "90", "unit": "1"},
        "runTime": {"value": "20", "unit": "s"}}, "from": at(100).to_string(), "assets": ["press-01"]});
    plant.tell("ProductionOrder/home/2", &other);
    let (from, to) = (at(60).to_string(), at(540).to_string());
    let shift =
        json!({"object": {"state": "production", "startTime": from, "endTime": to}, "from": from, "line": "one"});
    plant.tell("Shift/home/late", &shift);

    let all = plant.ask((0, 120), By::All);
    close(all[0].availability, 80.0 / 120.0);
    close(all[0].effectiveness, 60.0 / 80.0);
    close(all[0].quality, 108.0 / 120.0);
    close(all[0].oee, 80.0 / 120.0 * 60.0 / 80.0 * 0.9);
    close(all[0].nee, 100.0 / 120.0 * 60.0 / 80.0 * 0.9);

    let orders = plant.ask((0, 120), By::Order);
    let names: Vec<_> = orders.iter().map(|part| part.of.clone().unwrap()).collect();
    assert_eq!(names, ["ProductionOrder/home/1", "ProductionOrder/home/2"]);
    close(orders[0].availability, 60.0 / 80.0);
    close(orders[0].effectiveness, 45.0 / 60.0);
    close(orders[0].quality, 81.0 / 90.0);
    // The run time of the order counts before that of the rule.
    close(orders[1].effectiveness, 10.0 / 20.0);
    close(orders[1].availability, 1.0);

    // The shift of the line; its beginning lies in a state that began before it.
    let shifts = plant.ask((0, 120), By::Shift);
    assert_eq!((shifts.len(), shifts[0].from), (1, at(60)));
    close(shifts[0].availability, 40.0 / 60.0);
    assert_eq!(shifts[0].counted.produced, Some(70));
    // A question that begins behind all changes knows the state it begins in.
    close(plant.ask((105, 115), By::All)[0].availability, 1.0);
}

/// Many pages of events, the state before far behind them, and many orders.
#[test]
fn many_events_are_read_page_by_page() {
    let mut plant = Plant::new();
    plant.said("state", [(0, text("run"))]);
    plant.said("made", (0..20_001).map(|n| (n, Value::I64(n))));
    plant.said("scrap", [(0, Value::I64(0))]);
    for n in 0..200 {
        let order = json!({"object": {"state": "Completed", "material": "m", "quantity": {"value": "9", "unit": "1"}},
            "from": at(n * 100 + 1).to_string(), "to": at(n * 100 + 101).to_string(), "assets": ["press-01"]});
        plant.tell(&format!("ProductionOrder/home/{n:03}"), &order);
    }
    let parts = plant.ask((1, 20_001), By::Order);
    assert_eq!(parts.len(), 200);
    for part in &parts {
        assert_eq!((part.counted.produced, part.counted.good), (Some(100), Some(100)));
        close(part.oee, 0.5);
    }
    assert_eq!(plant.ask((1, 20_001), By::All)[0].counted.produced, Some(20_000));
}
