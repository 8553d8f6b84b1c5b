//! The header `Link` (RFC 8288): the address that stands there under a relation.

/// The longest header that is looked through.
const HEADER_MAX_BYTES: usize = 16 << 10;
/// Links of a header at most.
const LINKS_MAX: usize = 64;

/// The first address under a relation; `rel` may name several, and their case does not count (section 3.3).
pub(super) fn find(header: &str, relation: &str) -> Option<String> {
    let mut rest = header.get(..HEADER_MAX_BYTES).unwrap_or(header);
    for _ in 0..LINKS_MAX {
        let begin = rest.find('<')?;
        let (address, tail) = rest.get(begin + 1..)?.split_once('>')?;
        let (found, tail) = is_of(tail, relation);
        if found {
            return Some(address.trim().to_owned());
        }
        rest = tail;
    }
    None
}

/// Whether the parameters behind an address name the relation, and what stands behind them.
fn is_of<'a>(text: &'a str, relation: &str) -> (bool, &'a str) {
    let mut rest = text.trim_start();
    let mut found = None;
    while let Some(tail) = rest.strip_prefix(';') {
        let tail = tail.trim_start();
        let end = tail.find(['=', ';', ',']).unwrap_or(tail.len());
        let (name, behind) = tail.split_at(end);
        let (value, behind) = match behind.strip_prefix('=') {
            Some(value) => value_of(value.trim_start()),
            None => (String::new(), behind),
        };
        // Only the first `rel` counts.
        if name.trim().eq_ignore_ascii_case("rel") && found.is_none() {
            found = Some(value.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case(relation)));
        }
        rest = behind.trim_start();
    }
    (found == Some(true), rest)
}

/// A value, quoted or plain, and what stands behind it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.trim().to_owned(), rest);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            _ => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_link_is_found_by_its_relation() {
        for (header, expected) in [
            ("<https://h/x?page=2>; rel=\"next\"", Some("https://h/x?page=2")),
            ("<https://h/1>; rel=prev, </2?a=1,2;b>; rel=next", Some("/2?a=1,2;b")),
            ("</1>; title=\"a, <b>; rel=next\"; rel=prev, </2>; rel=\"last NEXT\"", Some("/2")),
            ("</1>;rel=first;rel=next", None),
            ("< /2 > ; Rel = next", Some("/2")),
            ("</1>; rel=\"previous\"", None),
            ("</1>; rel=\"ne\\xt\"", Some("/1")),
            ("</1>", None),
            ("", None),
            ("<", None),
            ("</1>; rel=\"next", Some("/1")),
        ] {
            assert_eq!(find(header, "next").as_deref(), expected, "{header}");
        }
    }

    proptest! {
        #[test]
        fn no_header_is_too_strange(text in r#"[<>;,="\\ a-zäé/]{0,80}"#) {
            if let Some(found) = find(&text, "next") {
                prop_assert!(text.contains(&found) && !found.contains('>'));
            }
        }
    }
}
