//! Quantities of business objects: a decimal text and a unit, never a float.

use serde::{Deserialize, Serialize};

/// An amount with its unit, as business systems exchange it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantity {
    /// The amount as decimal text: an optional sign, digits, and an optional fraction.
    pub value: String,
    /// The unit in UCUM.
    pub unit: String,
}

impl Quantity {
    /// From a finite number, printed with as few digits as read back to the same number.
    pub fn from_f64(number: f64, unit: &str) -> Self {
        Self { value: decimal(number), unit: unit.to_owned() }
    }

    /// Whether the amount is decimal text.
    pub fn is_valid(&self) -> bool {
        let digits = self.value.strip_prefix('-').unwrap_or(&self.value);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        !whole.is_empty()
            && !fraction.is_empty()
            && [whole, fraction].iter().all(|p| p.bytes().all(|b| b.is_ascii_digit()))
    }
}

/// The shortest decimal text of a finite number, never in exponent form.
pub fn decimal(number: f64) -> String {
    if number == 0.0 { "0".to_owned() } else { format!("{number}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_becomes_decimal_text() {
        assert_eq!(Quantity::from_f64(7.4, "mm/s").value, "7.4");
        assert_eq!(decimal(-0.0), "0");
        assert_eq!(decimal(1e21), "1000000000000000000000");
        assert_eq!(decimal(1e-7), "0.0000001");
        assert!(Quantity::from_f64(1e-7, "1").is_valid());
        for wrong in ["", "-", "1.", ".5", "1e5", "NaN"] {
            assert!(!Quantity { value: wrong.into(), unit: "1".into() }.is_valid(), "{wrong}");
        }
    }
}
