//! What machines and platforms send to the sources of a project, from the bytes to what would be stored.

use crate::{
    duplicates::Duplicates,
    given::{Chance, Env},
    http::{Admitted, Head, HttpIngest, PROBLEMS_MAX, Posted, Raised, Refusal},
    mapping::Incoming,
    shdr::{ShdrCore, codec::Heard, session::Session},
    source::{Group, SourceCore},
};
use andon_contract::{Contract, from_files};
use andon_model::{AssetName, Entry, Name, SignalName, SignalNo, Time, sample::Counts, span::Span};
use andon_store::{Store, StoreError};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::hmac;
use std::{
    cell::RefCell,
    sync::{Arc, LazyLock},
    time::Duration,
};

/// A project that reads signals of every kind in every way.
const PROJECT: [(&str, &str); 8] = [
    ("andon.yaml", "name: t\nformat: 1\ninstances: { p: { role: both, zone: plant, api: '127.0.0.1:8730' } }\n"),
    (
        "classes/machine.yaml",
        "signals:\n  heat: { kind: f64, unit: Cel, range: [-50, 400] }\n  parts: { kind: i64 }\n  \
         on: { kind: bool }\n  mode: { kind: text }\n  raw: { kind: bytes }\n  way: { kind: f64, unit: mm }\n  \
         note: { kind: text }\n  vars: { kind: text }\n",
    ),
    (
        "assets/works.yaml",
        "site: works\nzone: plant\nassets:\n  m-1: { class: machine }\n  m-2: { class: machine, addresses: { lathe: \
         OKUMA, plc: 'Halle 2' } }\n",
    ),
    ("policies/ownership.yaml", "teams: { all: { mail: a@b.example } }\nrules: [{ owner: all }]\n"),
    (
        "sources/plc.yaml",
        "kind: mqtt\nbroker: mqtt://127.0.0.1:1883\nzone: Europe/Berlin\ntopics:\n  \
         - topic: p/{asset}/all\n    signals:\n      heat: { value: /t, time: { at: /at, form: ms }, quality: /q, \
         unit: '[degF]' }\n      parts: { value: /n }\n      mode: { value: /m/0, time: { at: /s, form: text } }\n  \
         - topic: v/{asset}/{signal}\n    signals:\n      '{signal}': {}\n",
    ),
    ("sources/open.yaml", "kind: http\n"),
    (
        "sources/posted.yaml",
        "kind: http\ntoken: env:TOKEN\nkeys: { partner: env:PARTNER }\nsignature: { secret: env:HOOK }\nevents:\n  \
         - when: ${ .kind == \"ping\" }\n    ignore: it is there\n  - type: asset.alarm\n    \
         subject: ${ .device }\n    time: ${ .at }\n    id: ${ .number }\n    data: ${ .data }\n",
    ),
    (
        "sources/lathe.yaml",
        "kind: shdr\nadapter: shdr://127.0.0.1:7878\nasset: m-1\nzone: Europe/Berlin\nitems: { pc: parts, load: heat, \
         exec: mode }\nforms: { note: message, way: time-series, vars: data-set }\n",
    ),
];

/// Secrets of the project.
const SECRETS: [(&str, &str); 3] = [("TOKEN", "t0ken"), ("PARTNER", "partner-key"), ("HOOK", "plain secret")];
/// When everything is received.
const NOW: Time = Time(1_795_334_400_000_000_000);
/// How far a time may be ahead of its receipt unless the source says otherwise.
const AHEAD: Span = Span::from_secs(300);
/// The beginning of 2000: what is older is a wrong unit.
const EARLIEST: Time = Time(946_684_800_000_000_000);
/// Requests that one store takes.
const STORE_REQUESTS: u32 = 200;

static CONTRACT: LazyLock<Arc<Contract>> = LazyLock::new(|| {
    let files = PROJECT.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    match from_files(files) {
        Ok(loaded) => Arc::new(loaded.contract),
        Err(problems) => panic!("{}", problems.iter().map(|problem| problem.render(false)).collect::<String>()),
    }
});

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// Numbers of signals in the order in which they are asked for.
fn numbers() -> impl FnMut(&AssetName, &SignalName) -> Result<SignalNo, StoreError> {
    let mut known: Vec<(AssetName, SignalName)> = Vec::new();
    move |asset, signal| {
        let at = known.iter().position(|(a, s)| a == asset && s == signal).unwrap_or_else(|| {
            known.push((asset.clone(), signal.clone()));
            known.len() - 1
        });
        Ok(SignalNo(u32::try_from(at).unwrap_or(u32::MAX)))
    }
}

/// A message of a broker: a byte of choices, the topic up to a line's end, the payload.
pub fn message(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let at = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (topic, payload) = rest.split_at(at);
    let Ok(topic) = std::str::from_utf8(topic) else { return };
    let payload = payload.get(1..).unwrap_or_default();
    let message = Incoming { topic, payload, retained: choice & 1 != 0, received: NOW };
    let mut core =
        SourceCore::new(CONTRACT.clone(), &name("plc"), Duplicates::new([1; 4])).expect("a source of this name");
    let mut numbers = numbers();
    let mut taken = || -> Group {
        core.message(message, None, &mut numbers).expect("numbers are given");
        core.take_group()
    };
    let (first, second) = (taken(), taken());
    let (one, two) = (whole(&first), whole(&second));
    assert_eq!((one.received, one.quarantined), (two.received, two.quarantined), "a message means the same each time");
    assert!(one.received > 0, "a message counts, whatever it is");
    assert_eq!(one.quarantined == 0, first.quarantine.is_empty());
}

/// The counts of a group, which must agree with what is in it.
fn whole(group: &Group) -> Counts {
    let counts = group.counts();
    assert!(counts.is_whole(), "{counts:?}");
    let mut stored = 0;
    for entry in group.parts.iter().flat_map(|part| &part.entries) {
        let Entry::Sample(sample) = entry else { continue };
        stored += 1;
        let ahead = sample.time.since(sample.received);
        assert!(ahead <= AHEAD && sample.time >= EARLIEST, "a time that no clock of a machine shows: {sample:?}");
    }
    assert_eq!(counts.stored, stored);
    counts
}

/// A stream of an adapter, as far as what would be stored; the first byte chooses how it is cut.
pub fn adapter(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else { return };
    let mut session = Session::new(Duration::from_secs(10), Duration::ZERO);
    let mut core = ShdrCore::new(&CONTRACT, &name("lathe"), Duplicates::new([1; 4])).expect("a source of this name");
    let mut numbers = numbers();
    core.begin();
    for piece in bytes.chunks(usize::from(*first) + 1) {
        session.receive(piece, Duration::from_secs(1), &mut |heard: Heard<'_>| {
            core.heard(heard, NOW, &mut numbers).expect("numbers are given");
        });
    }
    let (parts, _) = core.take();
    for part in parts {
        assert!(part.counts.is_whole(), "{:?}", part.counts);
    }
}

/// The two HTTP sources of the project over a store.
struct Doors {
    open: HttpIngest,
    posted: HttpIngest,
    requests: u32,
}

impl Doors {
    fn new() -> Self {
        let store = Store::memory(&mut |bytes| bytes.fill(7));
        let env: Env =
            Arc::new(|name| SECRETS.iter().find(|(known, _)| *known == name).map(|(_, secret)| (*secret).to_owned()));
        let of = |source: &str| {
            let mut chance: Chance = Box::new(|bytes| bytes.fill(3));
            HttpIngest::new(CONTRACT.clone(), &name(source), store.clone(), env.clone(), &mut chance)
                .expect("memory can be read")
                .expect("a source of this name")
        };
        Self { open: of("open"), posted: of("posted"), requests: 0 }
    }
}

thread_local! {
    static DOORS: RefCell<Option<Doors>> = const { RefCell::new(None) };
}

/// A request: a byte of choices, the lines of its headers, an empty line, the body. The signature `right` becomes the
/// one that is.
pub fn post(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let at = rest.windows(2).position(|two| two == b"\n\n").unwrap_or(rest.len());
    let (head, body) = rest.split_at(at);
    let body = body.get(2..).unwrap_or_default();
    let Ok(head) = std::str::from_utf8(head) else { return };
    let mut headers: Vec<(String, String)> = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    sign(&mut headers, body);
    let head = Head { headers: &headers, query: "" };
    DOORS.with_borrow_mut(|doors| {
        // A store that has grown would make each answer depend on all that came before.
        if doors.as_ref().is_none_or(|doors| doors.requests >= STORE_REQUESTS) {
            *doors = Some(Doors::new());
        }
        let Some(doors) = doors.as_mut() else { return };
        doors.requests += 1;
        let door = if choice & 1 == 0 { &doors.open } else { &doors.posted };
        let Ok(admitted) = door.admit(&head).expect("every secret can be read") else { return };
        if choice & 2 == 0 { samples(door, &admitted, &head, body) } else { events(door, &admitted, &head, body) }
    });
}

fn sign(headers: &mut [(String, String)], body: &[u8]) {
    let value = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let (id, at) = (value("webhook-id").unwrap_or_default(), value("webhook-timestamp").unwrap_or_default());
    if let Some((_, signature)) = headers.iter_mut().find(|(name, _)| name == "webhook-signature")
        && signature == "right"
    {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"plain secret");
        let mut signed = format!("{id}.{at}.").into_bytes();
        signed.extend_from_slice(body);
        *signature = format!("v1,{}", STANDARD.encode(hmac::sign(&key, &signed)));
    }
}

fn samples(door: &HttpIngest, admitted: &Admitted, head: &Head<'_>, body: &[u8]) {
    let take = || door.post(admitted, head, body, NOW).expect("memory takes everything");
    match (take(), take()) {
        (Posted::Accepted { counts, .. }, Posted::Accepted { counts: again, replayed }) => {
            assert!(counts.is_whole() && again.is_whole(), "{counts:?} {again:?}");
            assert_eq!(counts.received, again.received, "the same body has as many samples");
            let has_name = head.headers.iter().any(|(name, _)| name == "idempotency-key");
            assert!(!has_name || replayed, "a request with a key is taken once");
        }
        (Posted::Refused(one), Posted::Refused(two)) => {
            told(&one);
            told(&two);
        }
        (one, two) => panic!("the same request is answered in two ways: {one:?}, {two:?}"),
    }
}

fn events(door: &HttpIngest, admitted: &Admitted, head: &Head<'_>, body: &[u8]) {
    let take = || door.raise(admitted, head, body, NOW).expect("memory takes everything");
    match (take(), take()) {
        (Raised::Accepted(one), Raised::Accepted(two)) => {
            assert_eq!(one.events.len(), two.events.len(), "the same body tells the same events");
        }
        (Raised::Refused(one), Raised::Refused(two)) => {
            told(&one);
            told(&two);
        }
        (one, two) => panic!("the same request is answered in two ways: {one:?}, {two:?}"),
    }
}

/// A refusal says what is wrong and what to do.
fn told(refusal: &Refusal) {
    assert!((400..500).contains(&refusal.status), "{refusal:?}");
    assert!(!refusal.problems.is_empty() && refusal.problems.len() <= PROBLEMS_MAX, "{refusal:?}");
    for problem in &refusal.problems {
        assert!(!problem.cause.is_empty() && !problem.remedy.is_empty(), "{problem:?}");
    }
    for (_, value) in &refusal.headers {
        assert!(!value.contains(['\r', '\n']), "{value:?}");
    }
}

/// A certificate that somebody shows.
pub fn certificate(data: &[u8]) {
    if let Some(name) = crate::tls::name::common_name(&data.to_vec().into()) {
        assert!((1..=64).contains(&name.chars().count()), "{name:?}");
    }
}
