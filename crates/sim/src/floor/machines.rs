//! The machines: values that wander, said too late, too early, twice or not at all, and now and then nothing that can
//! be read. Messages of one device stay in their order; those of two overtake each other.

use super::{
    broker::Broker,
    ledger::{Message, Said, Says},
    network::Network,
};
use crate::chance::Chance;
use andon_model::{Quality, Time, span::Span};
use std::collections::VecDeque;

/// Messages that a device keeps while the broker does not take them.
const KEPT_MAX: usize = 200;

/// One value that a device reports.
#[derive(Debug, Clone)]
pub struct Signal {
    /// `<asset>/<signal>`.
    pub name: String,
    /// The topic it is published to.
    pub topic: String,
    /// The quality of service it is published with.
    pub qos: u8,
    /// How it is written.
    pub form: Form,
    /// The lowest value it wanders to.
    pub low: i64,
    /// The highest.
    pub high: i64,
}

/// How a device writes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `{"time": <nanoseconds>, "value": <number>}`.
    Timed,
    /// The same with `"quality": <StatusCode>`.
    Qualified,
    /// The number alone. Each is another one, so that it can be told from the others.
    Plain,
}

/// One device and what it has not got rid of.
#[derive(Debug)]
struct Device {
    signals: Vec<(Signal, i64)>,
    waiting: VecDeque<usize>,
    /// Says nothing until then.
    silent: Time,
}

/// All devices.
#[derive(Debug)]
pub struct Machines {
    devices: Vec<Device>,
    /// Numbers that were said alone.
    said: i64,
    last: Option<(usize, usize, Said)>,
}

impl Machines {
    /// Devices, each with its signals; every value stands in the middle.
    pub fn new(devices: Vec<Vec<Signal>>) -> Self {
        let device = |signals: Vec<Signal>| Device {
            signals: signals.into_iter().map(|s| (i64::midpoint(s.low, s.high), s)).map(|(v, s)| (s, v)).collect(),
            waiting: VecDeque::new(),
            silent: Time::MIN,
        };
        Self { devices: devices.into_iter().map(device).collect(), said: 0, last: None }
    }

    /// Some devices say something: it waits to be published.
    pub fn speak(&mut self, chance: &mut Chance, now: Time, broker: &mut Broker) {
        for _ in 0..chance.between(1, 12) {
            let at = pick(chance, self.devices.len());
            let Some(device) = self.devices.get_mut(at) else { continue };
            if chance.percent(1) {
                device.silent = now.plus(Span::from_secs(chance.between(30, 600)));
            }
            if now < device.silent {
                continue;
            }
            if let Some(message) = self.message(chance, now, at)
                && let Some(device) = self.devices.get_mut(at)
                && device.waiting.len() < KEPT_MAX
            {
                device.waiting.push_back(broker.ledger.add(message));
            }
        }
    }

    fn message(&mut self, chance: &mut Chance, now: Time, device: usize) -> Option<Message> {
        let signals = &mut self.devices.get_mut(device)?.signals;
        let at = pick(chance, signals.len());
        let (signal, value) = signals.get_mut(at)?;
        let jump = if chance.percent(5) { 60 } else { 6 };
        *value = (*value + chance.between(-jump, jump)).clamp(signal.low, signal.high);
        let time = Time(now.0 - chance.between(0, 300_000_000));
        let mut said =
            Said { signal: signal.name.clone(), time: Some(time), value: number(*value), quality: Quality::GOOD };
        if signal.form == Form::Plain {
            self.said += 1;
            said = Said { time: None, value: number(self.said) + 0.5, ..said };
        }
        let mut retain = false;
        match chance.below(60) {
            0 | 1 if signal.form == Form::Qualified => said.quality = Quality::BAD,
            2 if signal.form == Form::Qualified => said.quality = Quality::UNCERTAIN,
            3 | 4 => said.time = said.time.map(|time| time.minus(Span::from_secs(chance.between(1, 90)))),
            5 => said.time = said.time.map(|time| time.minus(Span::from_secs(chance.between(90, 200_000)))),
            // Too far ahead to be believed, and not too far to be kept.
            6 => said.time = said.time.map(|time| time.plus(Span::from_secs(chance.between(600, 20_000)))),
            7 | 8 => retain = true,
            9 | 10 => return self.again(chance, device),
            11 | 12 => return Some(garbage(chance, signal, now)),
            _ => {}
        }
        let payload = write(signal.form, &said);
        if signal.form != Form::Plain {
            self.last = Some((device, at, said.clone()));
        }
        let (topic, qos) = (signal.topic.clone(), signal.qos);
        Some(Message { topic, payload, qos, retain, says: Says::Sample(said) })
    }

    /// What was said last, once more, or with another value for the same time.
    fn again(&mut self, chance: &mut Chance, device: usize) -> Option<Message> {
        let (by, at, said) = self.last.as_mut().filter(|(by, ..)| *by == device)?;
        let (signal, _) = self.devices.get(*by)?.signals.get(*at)?;
        if chance.percent(50) {
            said.value = number(chance.between(signal.low, signal.high)) + 0.25;
        }
        let payload = write(signal.form, said);
        let (topic, qos) = (signal.topic.clone(), signal.qos);
        Some(Message { topic, payload, qos, retain: false, says: Says::Sample(said.clone()) })
    }

    /// Some of what waits is published; one that does not hear that it was taken publishes again.
    pub fn publish(&mut self, chance: &mut Chance, broker: &mut Broker, network: &mut Network) -> usize {
        let mut published = 0;
        for _ in 0..chance.between(1, 20) {
            let at = pick(chance, self.devices.len());
            let Some(device) = self.devices.get_mut(at) else { continue };
            published += usize::from(device.publish(chance.percent(3), broker, network));
        }
        published
    }

    /// All that waits is published, and every machine hears that it was taken.
    pub fn publish_all(&mut self, broker: &mut Broker, network: &mut Network) {
        for device in &mut self.devices {
            while device.publish(false, broker, network) {}
        }
    }

    /// Whether nothing waits to be published.
    pub fn is_empty(&self) -> bool {
        self.devices.iter().all(|device| device.waiting.is_empty())
    }
}

impl Device {
    fn publish(&mut self, is_deaf: bool, broker: &mut Broker, network: &mut Network) -> bool {
        let Some(message) = self.waiting.front().copied() else { return false };
        let at_most_once = broker.ledger.messages.get(message).is_some_and(|is| is.qos == 0);
        let taken = broker.publish(message, network);
        if taken && !at_most_once && !is_deaf {
            broker.ledger.acknowledge(message);
        }
        if at_most_once || (taken && !is_deaf) {
            self.waiting.pop_front();
        }
        taken
    }
}

fn write(form: Form, said: &Said) -> Vec<u8> {
    let Said { time, value, quality, .. } = said;
    let time = time.unwrap_or(Time::MIN).0;
    match form {
        Form::Timed => format!("{{\"time\":{time},\"value\":{value}}}").into_bytes(),
        Form::Qualified => format!("{{\"value\": {value}, \"quality\": {}, \"time\": {time}}}", quality.0).into_bytes(),
        Form::Plain => value.to_string().into_bytes(),
    }
}

/// Something that cannot be read; a number in it makes each another one.
fn garbage(chance: &mut Chance, signal: &Signal, now: Time) -> Message {
    let is = chance.draw();
    let json = signal.form != Form::Plain;
    let mut topic = signal.topic.clone();
    let payload = match chance.below(7) {
        0 if json => format!("{{\"time\":{},\"value\":\"{is}\"}}", now.0),
        1 if json => format!("{{\"time\":{},\"value\":NaN,\"is\":{is}}}", now.0),
        2 if json => format!("{{\"time\":{},\"value\":{is}", now.0),
        // Seconds where nanoseconds are meant: in 1970.
        3 if json => format!("{{\"time\":{},\"value\":{}}}", now.0 / 1_000_000_000, is % 1_000),
        4 if json => format!("{{\"time\":{},\"value\":{}}}", now.plus(Span::from_secs(400_000)).0, is % 1_000),
        5 => {
            // Nobody has declared this asset.
            let unknown = |level| if str::contains(level, "-0") { "press-99" } else { level };
            topic = topic.split('/').map(unknown).collect::<Vec<_>>().join("/");
            format!("{{\"time\":{},\"value\":{is}}}", now.0)
        }
        _ => format!("\u{1}{is}}}{{"),
    };
    Message { topic, payload: payload.into_bytes(), qos: signal.qos, retain: false, says: Says::Nothing }
}

fn pick(chance: &mut Chance, of: usize) -> usize {
    usize::try_from(chance.below(of as u64)).unwrap_or(0)
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn number(number: i64) -> f64 {
    number as f64
}
