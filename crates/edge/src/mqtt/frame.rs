//! Where packets begin and end in a stream of bytes, so that one that is too large is set aside
//! instead of ending the connection, and nothing reaches the protocol core out of turn.

/// The largest packet that is read whole: a payload of 1 MiB, a topic of 64 KiB, and room for properties.
pub(crate) const PACKET_MAX: usize = (1 << 20) + (64 << 10) + (16 << 10);

/// What is kept of a packet that is larger: enough for the longest topic and a look at the payload.
pub(crate) const OVERSIZE_HEAD: usize = (64 << 10) + (16 << 10);

/// The type of a publish, the four high bits of its first byte.
const PUBLISH: u8 = 3;

/// A piece of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// The first bytes of a packet of this type, or all of it.
    Begin(u8, &'a [u8]),
    /// The header of a packet of this type that came in two reads: its bytes, and how many of the five count.
    Header(u8, [u8; 5], usize),
    /// More bytes of the packet that began.
    More(&'a [u8]),
    /// A publish that was too large, now over.
    TooLarge(Oversize),
    /// No packet begins like this.
    Malformed,
}

/// A publish that was too large to be read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Oversize {
    /// The four low bits of the first byte.
    pub(crate) flags: u8,
    /// Size of the body in bytes.
    pub(crate) size: usize,
    /// The first bytes of the body.
    pub(crate) head: Vec<u8>,
}

/// A header whose length does not end.
struct NoHeader;

/// Finds packets in a stream that arrives in pieces.
#[derive(Debug, Default)]
pub(crate) struct Framer {
    header: [u8; 5],
    filled: usize,
    body: usize,
    oversize: Option<Oversize>,
}

impl Framer {
    /// The next piece of `input`, which is shortened by it. `None` when more bytes are needed.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Piece<'a>> {
        if self.oversize.is_some() {
            return self.skip(input);
        }
        if input.is_empty() {
            return None;
        }
        if self.body > 0 {
            let bytes = take(input, self.body);
            self.body -= bytes.len();
            return Some(Piece::More(bytes));
        }
        let before = *input;
        let carried = self.filled;
        let Ok(length) = self.header(input)? else { return Some(Piece::Malformed) };
        let head = std::mem::take(&mut self.filled);
        let [first, ..] = self.header;
        let kind = first >> 4;
        if head + length > PACKET_MAX {
            if kind != PUBLISH {
                return Some(Piece::Malformed);
            }
            self.body = length;
            self.oversize = Some(Oversize { flags: first & 0x0F, size: length, head: Vec::new() });
            return self.skip(input);
        }
        if carried > 0 {
            self.body = length;
            return Some(Piece::Header(kind, self.header, head));
        }
        let here = take(input, length).len();
        self.body = length - here;
        Some(Piece::Begin(kind, before.get(..head + here).unwrap_or(&[])))
    }

    /// Whether the piece that was returned last ended its packet.
    pub(crate) fn is_between(&self) -> bool {
        self.body == 0 && self.filled == 0 && self.oversize.is_none()
    }

    /// Reads the header on; the remaining length once it is complete, an error when it is none.
    fn header(&mut self, input: &mut &[u8]) -> Option<Result<usize, NoHeader>> {
        loop {
            let (byte, rest) = input.split_first()?;
            *input = rest;
            if let Some(place) = self.header.get_mut(self.filled) {
                *place = *byte;
            }
            self.filled += 1;
            if self.filled == 1 {
                continue;
            }
            if byte & 0x80 == 0 {
                let digits = self.header.get(1..self.filled).unwrap_or(&[]);
                return Some(Ok(digits.iter().rev().fold(0, |n, b| n << 7 | usize::from(b & 0x7F))));
            }
            if self.filled == self.header.len() {
                return Some(Err(NoHeader));
            }
        }
    }

    fn skip<'a>(&mut self, input: &mut &'a [u8]) -> Option<Piece<'a>> {
        let bytes = take(input, self.body);
        self.body -= bytes.len();
        let large = self.oversize.as_mut()?;
        let room = OVERSIZE_HEAD.saturating_sub(large.head.len()).min(bytes.len());
        large.head.extend_from_slice(bytes.get(..room).unwrap_or(&[]));
        if self.body > 0 {
            return None;
        }
        self.oversize.take().map(Piece::TooLarge)
    }
}

fn take<'a>(input: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All bytes handed on, packet by packet, when the stream arrives in pieces of `step` bytes.
    fn packets(stream: &[u8], step: usize) -> (Vec<Vec<u8>>, usize) {
        let mut framer = Framer::default();
        let (mut all, mut large): (Vec<Vec<u8>>, usize) = (Vec::new(), 0);
        for mut input in stream.chunks(step) {
            while let Some(piece) = framer.next(&mut input) {
                match piece {
                    Piece::Begin(_, bytes) => all.push(bytes.to_vec()),
                    Piece::Header(_, bytes, n) => all.push(bytes[..n].to_vec()),
                    Piece::More(bytes) => all.last_mut().unwrap().extend_from_slice(bytes),
                    Piece::TooLarge(_) => large += 1,
                    Piece::Malformed => return (all, large),
                }
            }
        }
        (all, large)
    }

    #[test]
    fn packets_are_found_however_they_are_cut() {
        let mut stream = vec![0xD0, 0x00, 0x30, 0x03, 0, 1, b'a', 0x30, 0x80, 0x01];
        stream.extend(std::iter::repeat_n(7, 128));
        for step in [1, 2, 3, 5, 7, 200] {
            let (all, large) = packets(&stream, step);
            assert_eq!(all.concat(), stream, "{step}");
            assert_eq!((all.len(), large), (3, 0), "{step}");
        }
    }

    #[test]
    fn a_publish_that_is_too_large_is_passed_over() {
        let size = PACKET_MAX + 10;
        let mut stream = vec![0x32];
        let mut rest = size;
        while rest > 0 {
            stream.push(u8::try_from(rest & 0x7F).unwrap() | if rest > 0x7F { 0x80 } else { 0 });
            rest >>= 7;
        }
        stream.extend(std::iter::repeat_n(1, size));
        stream.extend([0xD0, 0x00]);
        for step in [1000, 1 << 17, stream.len()] {
            assert_eq!(packets(&stream, step), (vec![vec![0xD0, 0x00]], 1), "{step}");
        }
        stream[0] = 0x20;
        assert_eq!(packets(&stream, 1 << 17), (vec![], 0));
    }

    proptest! {
        #[test]
        fn garbage_is_cut_the_same_way_whatever_its_pieces(
            stream in prop::collection::vec(any::<u8>(), 0..400),
            step in 1_usize..50,
        ) {
            prop_assert_eq!(packets(&stream, step), packets(&stream, stream.len().max(1)));
        }
    }
}
