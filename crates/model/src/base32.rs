//! Crockford base32: the alphabet of ids and references, without I, L, O and U.

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The number of characters of an id or a reference: 80 bits, 5 bits each.
pub const LEN: usize = 16;

/// Writes 80 bits as 16 characters.
pub fn encode(bytes: [u8; 10]) -> String {
    let mut bits: u128 = 0;
    for byte in bytes {
        bits = bits << 8 | u128::from(byte);
    }
    (0..LEN)
        .map(|i| {
            let five = (bits >> (5 * (LEN - 1 - i))) & 31;
            usize::try_from(five).ok().and_then(|place| ALPHABET.get(place)).map_or('0', |letter| char::from(*letter))
        })
        .collect()
}

/// Whether the text is 16 characters of the alphabet, in upper case as ids are stored.
pub fn is_valid(text: &str) -> bool {
    text.len() == LEN && text.bytes().all(|b| ALPHABET.contains(&b))
}

/// What a person may have typed, as it is stored: upper case, with I and L read as 1 and O as 0.
pub fn normalise(text: &str) -> String {
    text.chars()
        .map(|c| match c.to_ascii_uppercase() {
            'I' | 'L' => '1',
            'O' => '0',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eighty_bits_are_sixteen_characters() {
        assert_eq!(encode([0; 10]), "0000000000000000");
        assert_eq!(encode([255; 10]), "ZZZZZZZZZZZZZZZZ");
        assert_eq!(encode([0, 0, 0, 0, 0, 0, 0, 0, 0, 33]), "0000000000000011");
        assert!(is_valid("7K3QF0ZT9M2RX4B8"));
        assert!(!is_valid("7K3QF0ZT9M2RX4BI"));
        assert_eq!(normalise("7k3qfozt9m2rx4bi"), "7K3QF0ZT9M2RX4B1");
    }
}
