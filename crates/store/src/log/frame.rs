//! The bytes of a batch in the log, little endian; the table is in `docs/decisions/0002-log-format.md`.

use andon_model::{
    AssetName, Entry, Name, Offset, Position, Quality, Sample, SignalNo, SiteName, Time, Value,
    sample::{Batch, Control, ControlAct, Counts, Mark, Origin, Part},
};

/// The first bytes of every frame: what a search for frames behind damage looks for.
pub(crate) const MAGIC: [u8; 4] = [0xA5, b'a', b'n', 0xD0];

/// Magic, length of the body, checksum.
pub(crate) const PREFIX_BYTES: usize = 12;

/// Prefix and the fixed part of the body: epoch, first offset, durable byte, entries.
pub(crate) const HEAD_BYTES: usize = PREFIX_BYTES + FIXED_BYTES;

/// The fixed part of the body; a frame that has nothing else is an end frame.
const FIXED_BYTES: usize = 20;

/// The most bytes of a part in the log, by an upper estimate; larger ones are refused.
pub const PART_BYTES_MAX: usize = 32 << 20;

/// The most bytes of a body that are believed.
const BODY_BYTES_MAX: usize = PART_BYTES_MAX + 1_024;

/// The most bytes of an entry without its text or bytes.
const ENTRY_BYTES: usize = 56;

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoFrame(pub(crate) &'static str);

/// The fixed part of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes of the body.
    pub(crate) body: usize,
    /// Checksum of length and body.
    crc: u32,
    /// The place of the first entry.
    pub(crate) first: Position,
    /// Everything before this byte of the segment was durable when the frame was written: the byte at which its group
    /// begins. Damage before it is therefore no torn end.
    pub(crate) durable: u32,
    /// Number of entries.
    pub(crate) entries: u32,
}

impl Head {
    /// Reads the fixed part; `bytes` may go on behind it.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, NoFrame> {
        let mut from = Bytes(bytes);
        if from.take(4)? != MAGIC {
            return Err(NoFrame("there is no frame"));
        }
        let body = from.u32()? as usize;
        if !(FIXED_BYTES..=BODY_BYTES_MAX).contains(&body) {
            return Err(NoFrame("the frame's length is impossible"));
        }
        let crc = from.u32()?;
        let first = Position { epoch: from.u32()?, offset: from.u64()? };
        Ok(Self { body, crc, first, durable: from.u32()?, entries: from.u32()? })
    }

    /// All bytes of the frame.
    pub(crate) fn bytes(&self) -> usize {
        PREFIX_BYTES + self.body
    }

    /// The place behind the last entry.
    pub(crate) fn end(&self) -> Offset {
        self.first.offset.saturating_add(u64::from(self.entries))
    }

    /// Whether the frame is whole and undamaged.
    pub(crate) fn check(&self, frame: &[u8]) -> Result<(), NoFrame> {
        let whole = frame.get(..self.bytes()).ok_or(NoFrame("the frame is cut short"))?;
        if sum(whole) == self.crc { Ok(()) } else { Err(NoFrame("the frame's checksum does not fit")) }
    }
}

/// The checksum of a frame's length and body.
fn sum(frame: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(frame.get(4..8).unwrap_or_default());
    crc.update(frame.get(PREFIX_BYTES..).unwrap_or_default());
    crc.finalize()
}

/// An upper estimate of the bytes of a part in the log.
pub(crate) fn estimate(part: &Part) -> usize {
    let text = |entry: &Entry| match entry {
        Entry::Sample(sample) => match &sample.value {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::Bool(_) | Value::I64(_) | Value::F64(_) => 0,
        },
        Entry::Mark(Mark::Disconnected(text) | Mark::Contract(text) | Mark::Rows { of: text, .. }) => text.len(),
        Entry::Mark(Mark::Control(control)) => 192 + control.actor.len() + control.reason.len(),
        Entry::Mark(_) => 64,
    };
    256 + part.entries.iter().map(|entry| ENTRY_BYTES + text(entry)).sum::<usize>()
}

/// Appends the frame of a batch. `durable` is the byte of the segment at which its group begins.
pub(crate) fn write(to: &mut Vec<u8>, batch: &Batch, durable: u32) {
    let start = begin(to, batch.first, durable, u32::try_from(batch.part.entries.len()).unwrap_or(u32::MAX));
    let part = &batch.part;
    name(to, part.site.as_str());
    name(to, part.source.as_str());
    let Counts { received, stored, duplicate, quarantined, refused } = part.counts;
    for count in [received, stored, duplicate, quarantined, refused] {
        varint(to, count);
    }
    let mut before = Before::default();
    for entry in &part.entries {
        match entry {
            Entry::Sample(entry) => sample(to, entry, &mut before),
            Entry::Mark(entry) => mark(to, entry),
        }
    }
    finish(to, start);
}

/// Appends an end frame: it holds nothing and says that everything before it is durable.
pub(crate) fn write_end(to: &mut Vec<u8>, end: Position, durable: u32) {
    let start = begin(to, end, durable, 0);
    finish(to, start);
}

fn begin(to: &mut Vec<u8>, first: Position, durable: u32, entries: u32) -> usize {
    let start = to.len();
    to.extend_from_slice(&MAGIC);
    to.extend_from_slice(&[0; 8]);
    to.extend_from_slice(&first.epoch.to_le_bytes());
    to.extend_from_slice(&first.offset.to_le_bytes());
    to.extend_from_slice(&durable.to_le_bytes());
    to.extend_from_slice(&entries.to_le_bytes());
    start
}

fn finish(to: &mut [u8], start: usize) {
    let body = u32::try_from(to.len() - start - PREFIX_BYTES).expect("a part is bounded before it is written");
    let frame = to.get_mut(start..).expect("the frame begins there");
    patch(frame, 4, body);
    let crc = sum(frame);
    patch(frame, 8, crc);
}

fn patch(frame: &mut [u8], at: usize, number: u32) {
    frame.iter_mut().skip(at).zip(number.to_le_bytes()).for_each(|(to, from)| *to = from);
}

/// What the next entry is written as a difference to.
#[derive(Default)]
struct Before {
    time: i64,
    received: i64,
}

const KIND: u8 = 0b0000_0111;
const BOOL: u8 = 0;
const I64: u8 = 1;
const F64: u8 = 2;
const TEXT: u8 = 3;
const BYTES: u8 = 4;
const MARK: u8 = 7;
const WITH_QUALITY: u8 = 0b0010_0000;
const TRUE: u8 = 0b0100_0000;
/// A retained sample without a time that is believed: the claimed one follows.
const CLAIMED: u8 = 0b1000_0000;

fn sample(to: &mut Vec<u8>, sample: &Sample, before: &mut Before) {
    let mut tag = match &sample.value {
        Value::Bool(true) => BOOL | TRUE,
        Value::Bool(false) => BOOL,
        Value::I64(_) => I64,
        Value::F64(_) => F64,
        Value::Text(_) => TEXT,
        Value::Bytes(_) => BYTES,
    };
    tag |= match sample.origin {
        Origin::Live => 0,
        Origin::Ahead(_) => 1,
        Origin::Retained => 2,
        Origin::RetainedUntimed | Origin::RetainedAhead(_) => 3,
    } << 3;
    if matches!(sample.origin, Origin::RetainedAhead(_)) {
        tag |= CLAIMED;
    }
    if sample.quality != Quality::GOOD {
        tag |= WITH_QUALITY;
    }
    to.push(tag);
    varint(to, u64::from(sample.signal.0));
    signed(to, sample.time.0.wrapping_sub(before.time));
    signed(to, sample.received.0.wrapping_sub(before.received));
    *before = Before { time: sample.time.0, received: sample.received.0 };
    if sample.quality != Quality::GOOD {
        to.extend_from_slice(&sample.quality.0.to_le_bytes());
    }
    if let Origin::Ahead(claimed) | Origin::RetainedAhead(claimed) = sample.origin {
        to.extend_from_slice(&claimed.0.to_le_bytes());
    }
    match &sample.value {
        Value::Bool(_) => {}
        Value::I64(number) => signed(to, *number),
        Value::F64(number) => to.extend_from_slice(&number.to_bits().to_le_bytes()),
        Value::Text(value) => text(to, value.as_bytes()),
        Value::Bytes(value) => text(to, value),
    }
}

fn mark(to: &mut Vec<u8>, mark: &Mark) {
    let mut tag = |number: u8| to.push(MARK | number << 3);
    match mark {
        Mark::Connected => tag(0),
        Mark::Disconnected(reason) => {
            tag(1);
            text(to, reason.as_bytes());
        }
        Mark::Tick { asset, plant, utc } => {
            tag(2);
            name(to, asset.as_str());
            to.extend_from_slice(&plant.0.to_le_bytes());
            to.extend_from_slice(&utc.0.to_le_bytes());
        }
        Mark::Contract(revision) => {
            tag(3);
            text(to, revision.as_bytes());
        }
        Mark::Context(revision) => {
            tag(4);
            varint(to, *revision);
        }
        Mark::Rows { of, from, to: end } => {
            tag(5);
            text(to, of.as_bytes());
            varint(to, *from);
            varint(to, *end);
        }
        Mark::Control(done) => {
            tag(6);
            control(to, done);
        }
    }
}

fn control(to: &mut Vec<u8>, control: &Control) {
    name(to, control.rule.as_str());
    name(to, control.asset.as_str());
    to.extend_from_slice(&control.at.0.to_le_bytes());
    text(to, control.actor.as_bytes());
    text(to, control.reason.as_bytes());
    match control.act {
        ControlAct::Shelve { until, once } => {
            to.push(u8::from(once));
            to.extend_from_slice(&until.0.to_le_bytes());
        }
        ControlAct::Unshelve => to.push(2),
        ControlAct::Disable => to.push(3),
        ControlAct::Enable => to.push(4),
    }
}

/// Names have at most 63 bytes.
fn name(to: &mut Vec<u8>, name: &str) {
    text(to, name.as_bytes());
}

fn text(to: &mut Vec<u8>, text: &[u8]) {
    varint(to, text.len() as u64);
    to.extend_from_slice(text);
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
pub(crate) fn varint(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    to.push(number.to_le_bytes()[0]);
}

/// Small numbers of either sign stay short.
fn signed(to: &mut Vec<u8>, number: i64) {
    varint(to, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

/// Reads a whole frame; `None` is an end frame. The checksum must have been checked.
pub(crate) fn read(head: &Head, frame: &[u8]) -> Result<Option<Batch>, NoFrame> {
    let Some((mut part, mut from)) = read_part(head, frame)? else { return Ok(None) };
    part.entries.reserve((head.entries as usize).min(from.0.len()));
    let mut before = Before::default();
    for _ in 0..head.entries {
        part.entries.push(entry(&mut from, &mut before)?);
    }
    if from.0.is_empty() {
        Ok(Some(Batch { first: head.first, part }))
    } else {
        Err(NoFrame("bytes follow the last entry"))
    }
}

/// Reads what a frame says of its batch, without the entries.
pub(crate) fn read_counts(head: &Head, frame: &[u8]) -> Result<Option<Part>, NoFrame> {
    Ok(read_part(head, frame)?.map(|(part, _)| part))
}

fn read_part<'a>(head: &Head, frame: &'a [u8]) -> Result<Option<(Part, Bytes<'a>)>, NoFrame> {
    let body = frame.get(HEAD_BYTES..head.bytes()).ok_or(NoFrame("the frame is cut short"))?;
    if body.is_empty() {
        return if head.entries == 0 { Ok(None) } else { Err(NoFrame("an end frame has entries")) };
    }
    let mut from = Bytes(body);
    let site = SiteName::new(from.text()?).map_err(|_| NoFrame("the site is no name"))?;
    let source = Name::new(from.text()?).map_err(|_| NoFrame("the source is no name"))?;
    let mut part = Part::new(site, source);
    part.counts = from.counts()?;
    Ok(Some((part, from)))
}

fn entry(from: &mut Bytes<'_>, before: &mut Before) -> Result<Entry, NoFrame> {
    let tag = from.u8()?;
    if tag & KIND == MARK {
        return read_mark(from, tag >> 3).map(Entry::Mark);
    }
    let signal = u32::try_from(from.varint()?).map_err(|_| NoFrame("the signal's number is too large"))?;
    before.time = before.time.wrapping_add(from.signed()?);
    before.received = before.received.wrapping_add(from.signed()?);
    let quality = if tag & WITH_QUALITY == 0 { Quality::GOOD } else { Quality(from.u32()?) };
    let origin = match (tag >> 3) & 0b11 {
        0 => Origin::Live,
        1 => Origin::Ahead(Time(from.u64()?.cast_signed())),
        2 => Origin::Retained,
        _ if tag & CLAIMED != 0 => Origin::RetainedAhead(Time(from.u64()?.cast_signed())),
        _ => Origin::RetainedUntimed,
    };
    let value = match tag & KIND {
        BOOL => Value::Bool(tag & TRUE != 0),
        I64 => Value::I64(from.signed()?),
        F64 => Value::F64(f64::from_bits(from.u64()?)),
        TEXT => Value::Text(from.text()?.into()),
        BYTES => Value::Bytes(from.bytes()?.into()),
        _ => return Err(NoFrame("the kind of a value is unknown")),
    };
    let (time, received) = (Time(before.time), Time(before.received));
    Ok(Entry::Sample(Sample { signal: SignalNo(signal), time, received, quality, value, origin }))
}

fn read_mark(from: &mut Bytes<'_>, number: u8) -> Result<Mark, NoFrame> {
    Ok(match number {
        0 => Mark::Connected,
        1 => Mark::Disconnected(from.text()?.to_owned()),
        2 => Mark::Tick {
            asset: AssetName::new(from.text()?).map_err(|_| NoFrame("the asset is no name"))?,
            plant: Time(from.u64()?.cast_signed()),
            utc: Time(from.u64()?.cast_signed()),
        },
        3 => Mark::Contract(from.text()?.to_owned()),
        4 => Mark::Context(from.varint()?),
        5 => Mark::Rows { of: from.text()?.to_owned(), from: from.varint()?, to: from.varint()? },
        6 => Mark::Control(Box::new(read_control(from)?)),
        _ => return Err(NoFrame("the kind of a mark is unknown")),
    })
}

fn read_control(from: &mut Bytes<'_>) -> Result<Control, NoFrame> {
    Ok(Control {
        rule: Name::new(from.text()?).map_err(|_| NoFrame("the rule is no name"))?,
        asset: AssetName::new(from.text()?).map_err(|_| NoFrame("the asset is no name"))?,
        at: Time(from.u64()?.cast_signed()),
        actor: from.text()?.to_owned(),
        reason: from.text()?.to_owned(),
        act: match from.u8()? {
            shelve @ (0 | 1) => ControlAct::Shelve { until: Time(from.u64()?.cast_signed()), once: shelve == 1 },
            2 => ControlAct::Unshelve,
            3 => ControlAct::Disable,
            4 => ControlAct::Enable,
            _ => return Err(NoFrame("what was done to an alarm is unknown")),
        },
    })
}

/// Bytes that are read from the front.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], NoFrame> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(NoFrame("the frame is cut short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], NoFrame> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(NoFrame("the frame is cut short"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, NoFrame> {
        self.fixed::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, NoFrame> {
        self.fixed().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, NoFrame> {
        self.fixed().map(u64::from_le_bytes)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, NoFrame> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(NoFrame("a number is too long"))
    }

    fn signed(&mut self) -> Result<i64, NoFrame> {
        let number = self.varint()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    pub(crate) fn counts(&mut self) -> Result<Counts, NoFrame> {
        Ok(Counts {
            received: self.varint()?,
            stored: self.varint()?,
            duplicate: self.varint()?,
            quarantined: self.varint()?,
            refused: self.varint()?,
        })
    }

    fn bytes(&mut self) -> Result<&'a [u8], NoFrame> {
        let count = usize::try_from(self.varint()?).map_err(|_| NoFrame("a text is too long"))?;
        self.take(count)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, NoFrame> {
        std::str::from_utf8(self.bytes()?).map_err(|_| NoFrame("a text is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::I64),
            any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(Value::F64),
            ".{0,40}".prop_map(|text| Value::Text(text.into())),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Value::Bytes(bytes.into())),
        ]
    }

    fn origin() -> impl Strategy<Value = Origin> {
        prop_oneof![
            Just(Origin::Live),
            any::<i64>().prop_map(|time| Origin::Ahead(Time(time))),
            Just(Origin::Retained),
            Just(Origin::RetainedUntimed),
            any::<i64>().prop_map(|time| Origin::RetainedAhead(Time(time))),
        ]
    }

    fn control() -> impl Strategy<Value = Control> {
        let act = prop_oneof![
            (any::<i64>(), any::<bool>()).prop_map(|(until, once)| ControlAct::Shelve { until: Time(until), once }),
            Just(ControlAct::Unshelve),
            Just(ControlAct::Disable),
            Just(ControlAct::Enable),
        ];
        ("[a-z]{1,63}", "[a-z0-9]{1,63}", act, any::<i64>(), ".{0,40}", ".{0,90}").prop_map(
            |(rule, asset, act, at, actor, reason)| Control {
                rule: Name::new(&rule).unwrap(),
                asset: AssetName::new(&asset).unwrap(),
                act,
                at: Time(at),
                actor,
                reason,
            },
        )
    }

    fn any_entry() -> impl Strategy<Value = Entry> {
        let sample = (any::<u32>(), any::<i64>(), any::<i64>(), any::<u32>(), value(), origin()).prop_map(
            |(signal, time, received, quality, value, origin)| {
                Entry::Sample(Sample {
                    signal: SignalNo(signal),
                    time: Time(time),
                    received: Time(received),
                    quality: Quality(quality),
                    value,
                    origin,
                })
            },
        );
        let mark = prop_oneof![
            Just(Mark::Connected),
            ".{0,20}".prop_map(Mark::Disconnected),
            ("[a-z0-9]{1,9}", any::<i64>(), any::<i64>()).prop_map(|(asset, plant, utc)| Mark::Tick {
                asset: AssetName::new(&asset).unwrap(),
                plant: Time(plant),
                utc: Time(utc),
            }),
            ".{0,20}".prop_map(Mark::Contract),
            any::<u64>().prop_map(Mark::Context),
            (".{0,40}", any::<u64>(), any::<u64>()).prop_map(|(of, from, to)| Mark::Rows { of, from, to }),
            control().prop_map(|control| Mark::Control(Box::new(control))),
        ];
        prop_oneof![4 => sample, 1 => mark.prop_map(Entry::Mark)]
    }

    fn any_batch() -> impl Strategy<Value = Batch> {
        let entries = proptest::collection::vec(any_entry(), 0..30);
        (any::<u32>(), any::<u32>(), any::<[u64; 5]>(), entries).prop_map(|(epoch, offset, counts, entries)| {
            let [received, stored, duplicate, quarantined, refused] = counts;
            Batch {
                first: Position { epoch, offset: u64::from(offset) },
                part: Part {
                    site: SiteName::new("hamburg").unwrap(),
                    source: Name::new("line-1").unwrap(),
                    counts: Counts { received, stored, duplicate, quarantined, refused },
                    entries,
                },
            }
        })
    }

    fn reread(bytes: &[u8]) -> Result<Option<Batch>, NoFrame> {
        let head = Head::read(bytes)?;
        head.check(bytes)?;
        read(&head, bytes)
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(batch in any_batch()) {
            let mut bytes = Vec::new();
            write(&mut bytes, &batch, 64);
            prop_assert!(bytes.len() <= PREFIX_BYTES + estimate(&batch.part));
            prop_assert_eq!(reread(&bytes).unwrap().unwrap(), batch);
        }

        #[test]
        fn a_flipped_bit_is_seen(batch in any_batch(), at in any::<proptest::sample::Index>(), bit in 0..8) {
            let mut bytes = Vec::new();
            write(&mut bytes, &batch, 64);
            let at = at.index(bytes.len());
            bytes[at] ^= 1u8 << bit;
            prop_assert!(reread(&bytes).is_err());
        }

        #[test]
        fn foreign_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(reread(&bytes).is_err());
        }
    }

    #[test]
    fn a_number_takes_few_bytes() {
        let sample = |n: i64| {
            Entry::Sample(Sample {
                signal: SignalNo(300),
                time: Time(1_700_000_000_000_000_000 + n * 100_000_000),
                received: Time(1_700_000_000_000_000_000 + n * 1_000_000),
                quality: Quality::GOOD,
                value: Value::F64(7.25),
                origin: Origin::Live,
            })
        };
        let mut part = Part::new(SiteName::new("hamburg").unwrap(), Name::new("line-1").unwrap());
        part.entries = (0..1_000).map(sample).collect();
        let mut bytes = Vec::new();
        write(&mut bytes, &Batch { first: Position { epoch: 1, offset: 0 }, part }, 64);
        assert!(bytes.len() < 22_000, "{} bytes for 1,000 samples", bytes.len());
    }
}
