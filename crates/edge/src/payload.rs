//! Takes the wanted places out of a JSON payload: by hand from a flat object, which is what machines
//! send, and from the parsed tree otherwise. Both ways give the same.

use andon_contract::contract::Pointer;
use serde_json::Value as Json;
use std::borrow::Cow;

/// The largest payload, in bytes.
pub const PAYLOAD_MAX: usize = 1 << 20;
/// The deepest nesting of a JSON payload.
pub const DEPTH_MAX: usize = 64;

/// What stands at a place of a payload.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Leaf<'a> {
    /// Nothing.
    Absent,
    /// `null`.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number that fits.
    Int(i64),
    /// Another number.
    Float(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// An object or an array.
    Other(&'static str),
}

/// Why a payload is no JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotJson {
    /// The cause in one word.
    pub(crate) code: &'static str,
    /// What is wrong.
    pub(crate) cause: &'static str,
    /// Where and what, in the parser's words.
    pub(crate) detail: String,
}

/// The places that are wanted from the payloads of one topic, each once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    pointers: Vec<Vec<String>>,
}

impl Places {
    /// The number of a place, which is added when it is new.
    pub(crate) fn add(&mut self, pointer: &Pointer) -> usize {
        if let Some(at) = self.pointers.iter().position(|p| *p == pointer.tokens) {
            return at;
        }
        self.pointers.push(pointer.tokens.clone());
        self.pointers.len() - 1
    }

    /// How many places there are.
    pub(crate) fn len(&self) -> usize {
        self.pointers.len()
    }

    /// A place as it is written.
    pub(crate) fn text(&self, at: usize) -> String {
        self.pointers.get(at).map(|tokens| pointer_text(tokens)).unwrap_or_default()
    }

    /// Reads all places into `leaves`, which has room for them.
    pub(crate) fn read<'a>(&self, payload: &'a [u8], leaves: &mut [Leaf<'a>]) -> Result<(), NotJson> {
        if self.read_flat(payload, leaves).is_some() {
            return Ok(());
        }
        self.read_any(payload, leaves)
    }

    /// A flat object of plain keys and values; `None` for everything else, valid or not.
    pub(crate) fn read_flat<'a>(&self, payload: &'a [u8], leaves: &mut [Leaf<'a>]) -> Option<()> {
        leaves.fill(Leaf::Absent);
        let text = std::str::from_utf8(payload).ok()?;
        let mut scan = Scan { text, at: 0 };
        scan.space();
        scan.expect(b'{')?;
        scan.space();
        if scan.peek() == Some(b'}') {
            scan.at += 1;
            scan.space();
            return (scan.at == text.len()).then_some(());
        }
        loop {
            scan.space();
            let key = scan.plain_text()?;
            scan.space();
            scan.expect(b':')?;
            scan.space();
            let value = scan.scalar()?;
            for (pointer, leaf) in self.pointers.iter().zip(leaves.iter_mut()) {
                match pointer.as_slice() {
                    // Of a key that stands twice the last counts, as in the tree.
                    [token] if token == key => *leaf = value.clone(),
                    [token, _, ..] if token == key => *leaf = Leaf::Absent,
                    [] => return None,
                    _ => {}
                }
            }
            scan.space();
            match scan.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        scan.space();
        (scan.at == text.len()).then_some(())
    }

    /// Any JSON, by way of its tree.
    pub(crate) fn read_any(&self, payload: &[u8], leaves: &mut [Leaf<'_>]) -> Result<(), NotJson> {
        let tree = parse(payload)?;
        for (pointer, leaf) in self.pointers.iter().zip(leaves.iter_mut()) {
            *leaf = find(&tree, pointer).map_or(Leaf::Absent, leaf_of);
        }
        Ok(())
    }
}

/// The tree of a payload.
pub(crate) fn parse(payload: &[u8]) -> Result<Json, NotJson> {
    if let Some(at) = too_deep(payload) {
        return Err(NotJson {
            code: "too-deep",
            cause: "the JSON is nested too deeply",
            detail: format!("more than {DEPTH_MAX} levels at byte {at}"),
        });
    }
    serde_json::from_slice(payload).map_err(|e| not_json(payload, &e))
}

/// A pointer as it is written.
pub(crate) fn pointer_text(tokens: &[String]) -> String {
    tokens.iter().fold(String::new(), |text, token| text + "/" + &token.replace('~', "~0").replace('/', "~1"))
}

pub(crate) fn not_json(payload: &[u8], error: &serde_json::Error) -> NotJson {
    if payload.is_empty() {
        return NotJson { code: "empty", cause: "the payload is empty", detail: "0 bytes".into() };
    }
    let before: usize =
        payload.split_inclusive(|b| *b == b'\n').take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
    let at = before + error.column();
    let rest = payload.get(at.saturating_sub(2)..).unwrap_or(&[]);
    let detail = format!("{} (byte {at})", crate::problem::quote(&error.to_string()));
    let names = [&b"NaN"[..], b"nan", b"Infinity", b"-Infinity", b"inf"];
    if names.iter().any(|name| rest.get(..name.len() + 2).unwrap_or(rest).windows(name.len()).any(|w| w == *name)) {
        return NotJson { code: "not-finite", cause: "NaN and Infinity are no values", detail };
    }
    NotJson { code: "not-json", cause: "the payload is no JSON", detail }
}

/// The byte at which the nesting exceeds the limit.
fn too_deep(payload: &[u8]) -> Option<usize> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for (at, byte) in payload.iter().enumerate() {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Some(at);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

fn find<'a>(tree: &'a Json, pointer: &[String]) -> Option<&'a Json> {
    pointer.iter().try_fold(tree, |at, token| match at {
        Json::Object(map) => map.get(token),
        Json::Array(list) => {
            let plain = token.bytes().all(|b| b.is_ascii_digit()) && (token == "0" || !token.starts_with('0'));
            list.get(token.parse::<usize>().ok().filter(|_| plain)?)
        }
        _ => None,
    })
}

/// What a part of a tree is.
pub(crate) fn leaf_of<'a>(json: &Json) -> Leaf<'a> {
    match json {
        Json::Null => Leaf::Null,
        Json::Bool(b) => Leaf::Bool(*b),
        Json::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(whole), _) => Leaf::Int(whole),
            (None, Some(number)) => Leaf::Float(number),
            (None, None) => Leaf::Other("a number that does not fit"),
        },
        Json::String(text) => Leaf::Text(Cow::Owned(text.clone())),
        Json::Array(_) => Leaf::Other("an array"),
        Json::Object(_) => Leaf::Other("an object"),
    }
}

/// A reader of plain JSON.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

/// Powers of ten that are exact.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];
/// Digits of a whole number that surely fits.
const DIGITS_INT: usize = 18;
/// Digits of a mantissa that is surely exact in floating point.
const DIGITS_EXACT: usize = 15;

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    /// A text without escapes.
    fn plain_text(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            match self.next()? {
                b'"' => return self.text.get(start..self.at - 1),
                b'\\' | 0..0x20 => return None,
                _ => {}
            }
        }
    }

    fn word(&mut self, word: &str, leaf: Leaf<'a>) -> Option<Leaf<'a>> {
        self.text.get(self.at..)?.starts_with(word).then(|| {
            self.at += word.len();
            leaf
        })
    }

    fn scalar(&mut self) -> Option<Leaf<'a>> {
        match self.peek()? {
            b'"' => self.plain_text().map(|text| Leaf::Text(Cow::Borrowed(text))),
            b't' => self.word("true", Leaf::Bool(true)),
            b'f' => self.word("false", Leaf::Bool(false)),
            b'n' => self.word("null", Leaf::Null),
            b'-' | b'0'..=b'9' => self.number(),
            _ => None,
        }
    }

    fn digits(&mut self, mantissa: &mut u64) -> usize {
        let start = self.at;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            *mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        self.at - start
    }

    /// A number without exponent.
    #[expect(clippy::cast_precision_loss, reason = "at most 15 digits are exact in floating point")]
    fn number(&mut self) -> Option<Leaf<'a>> {
        let start = self.at;
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let leading_zero = self.peek() == Some(b'0');
        let mut mantissa = 0;
        let whole = self.digits(&mut mantissa);
        if whole == 0 || (leading_zero && whole > 1) {
            return None;
        }
        let mut fraction = 0;
        if self.peek() == Some(b'.') {
            self.at += 1;
            fraction = self.digits(&mut mantissa);
            if fraction == 0 {
                return None;
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            return None;
        }
        if fraction == 0 {
            if whole > DIGITS_INT {
                return None;
            }
            let number = i64::try_from(mantissa).ok()?;
            return Some(match (negative, number) {
                (true, 0) => Leaf::Float(-0.0),
                (true, n) => Leaf::Int(-n),
                (false, n) => Leaf::Int(n),
            });
        }
        if whole + fraction <= DIGITS_EXACT {
            let number = mantissa as f64 / TENS.get(fraction)?;
            return Some(Leaf::Float(if negative { -number } else { number }));
        }
        self.text.get(start..self.at)?.parse().ok().filter(|n: &f64| n.is_finite()).map(Leaf::Float)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn places(list: &[&str]) -> Places {
        let mut places = Places::default();
        for text in list {
            let tokens = text.split('/').skip(1).map(str::to_owned).collect();
            places.add(&Pointer { tokens });
        }
        places
    }

    /// Reads both ways; the fast way may decline, and must agree where it does not.
    fn both<'a>(places: &Places, payload: &'a [u8]) -> Result<Vec<Leaf<'a>>, NotJson> {
        let room = || vec![Leaf::Absent; places.len()];
        let (mut fast, mut slow) = (room(), room());
        let flat = places.read_flat(payload, &mut fast);
        let any = places.read_any(payload, &mut slow);
        if flat.is_some() {
            assert_eq!(any, Ok(()), "{}", String::from_utf8_lossy(payload));
            assert_eq!(format!("{fast:?}"), format!("{slow:?}"), "{}", String::from_utf8_lossy(payload));
        }
        any.map(|()| slow)
    }

    #[test]
    fn a_flat_object_is_read_without_a_tree() {
        let places = places(&["/ts", "/v"]);
        let mut leaves = vec![Leaf::Absent; 2];
        let payload = br#" {"ts":1764000000123, "x":"y", "v":-23.5 } "#;
        assert!(places.read_flat(payload, &mut leaves).is_some());
        assert_eq!(leaves, [Leaf::Int(1_764_000_000_123), Leaf::Float(-23.5)]);
        assert_eq!(both(&places, payload).unwrap(), leaves);
    }

    #[test]
    fn unusual_json_reads_the_same() {
        let places = places(&["/v", "/a/b", "/l/1"]);
        for text in [
            r#"{"v":1e3}"#,
            r#"{"v":-0}"#,
            r#"{"v":0.1,"v":2}"#,
            r#"{"v":12345678901234567890}"#,
            "{}",
            r#"{"\u0076":5}"#,
            r#"{"a":{"b":7},"l":[1,"two"]}"#,
            r#"{"a":1,"a":{"b":2}}"#,
            r#"{"a":{"b":2},"a":1}"#,
            r#"{"v":0.12345678901234567890}"#,
            r#"{"v":"text"}"#,
            r#"{"v":123456789012345678}"#,
            r#"{"v":-0.0}"#,
            "[1,2]",
            "5",
        ] {
            both(&places, text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        }
        for text in [
            "",
            "{",
            r#"{"v":01}"#,
            r#"{"v":1.}"#,
            r#"{"v":.5}"#,
            r#"{"v":+1}"#,
            r#"{"v":1}x"#,
            r#"{"v":1,}"#,
            "{\"v\":\"\u{1}\"}",
        ] {
            assert!(both(&places, text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let places = places(&["/v"]);
        let mut leaves = [Leaf::Absent];
        let error = places.read(br#"{"v":NaN}"#, &mut leaves).unwrap_err();
        assert_eq!(error.code, "not-finite");
        let error = places.read(b"{\"v\":\n 1 2}", &mut leaves).unwrap_err();
        assert!(error.detail.contains("byte 10"), "{error:?}");
        let deep = format!("{}1{}", "[".repeat(65), "]".repeat(65));
        assert_eq!(places.read(deep.as_bytes(), &mut leaves).unwrap_err().code, "too-deep");
        let fits = format!("{}1{}", "[".repeat(64), "]".repeat(64));
        assert_eq!(places.read(fits.as_bytes(), &mut leaves), Ok(()));
        assert_eq!(places.read(b"", &mut leaves).unwrap_err().code, "empty");
    }

    fn json() -> impl Strategy<Value = String> {
        let scalar = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|b| b.to_string()),
            any::<i64>().prop_map(|n| n.to_string()),
            any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| serde_json::to_string(&n).unwrap()),
            "-?[0-9]{1,20}(\\.[0-9]{1,20})?",
            "[a-z\"\\\\]{0,5}".prop_map(|t| serde_json::to_string(&t).unwrap()),
            Just("[1]".to_owned()),
            Just("{\"b\":1}".to_owned()),
        ];
        prop::collection::vec(("[vab]", scalar, "[ \n]{0,2}"), 0..5).prop_map(|fields| {
            let fields: Vec<String> = fields.into_iter().map(|(k, v, s)| format!("{s}\"{k}\"{s}:{s}{v}{s}")).collect();
            format!("{{{}}}", fields.join(","))
        })
    }

    proptest! {
        #[test]
        fn both_ways_give_the_same(text in json()) {
            let _ = both(&places(&["/v", "/a/b", "/b"]), text.as_bytes());
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = both(&places(&["/v"]), &bytes);
        }

        #[test]
        fn almost_json_never_disagrees(text in "[{}\\[\\]\":,v0-9.eE+ tnl-]{0,30}") {
            let _ = both(&places(&["/v"]), text.as_bytes());
        }
    }
}
