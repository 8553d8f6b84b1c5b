//! Units of measure as UCUM writes them: which text is one, which two can be converted, and how.
//!
//! UCUM is the Unified Code for Units of Measure. Its table of units comes with the library `ucum-units`; the table is
//! copyright 1999-2024, Regenstrief Institute, and licensed under the UCUM License 1.1 (see `NOTICE`).

/// The longest text of a unit, in bytes.
pub const UNIT_MAX_BYTES: usize = 64;

/// A text that is no unit, or none that a value can be in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{unit}` is no unit of UCUM: {why}")]
pub struct NotAUnit {
    /// The text, cut where it is long.
    pub unit: String,
    /// What is wrong with it.
    pub why: String,
}

/// Two units between which no value can be carried over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{from}` cannot be converted into `{to}`: {why}")]
pub struct NotComparable {
    /// The unit of the value.
    pub from: String,
    /// The unit that is wanted.
    pub to: String,
    /// Why not.
    pub why: String,
}

/// How a value changes from one unit into another: `value * factor + offset`.
///
/// Two conversions are one when they do the same; how they compute is not told apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conversion {
    /// What the value is multiplied by.
    pub factor: f64,
    /// What is added afterwards, in the wanted unit; 0 but for temperatures.
    pub offset: f64,
    /// The same as `(value * times + plus) / by`, in whole numbers where there are such: so 212 °F are 100 °C to the
    /// last bit, and 3 mm are the number that `0.003` is read as.
    times: f64,
    plus: f64,
    by: f64,
}

impl Conversion {
    /// A value in the wanted unit. What is not finite stays so.
    #[must_use]
    pub fn apply_f64(&self, value: f64) -> f64 {
        let found = (value * self.times + self.plus) / self.by;
        // The whole numbers are larger than the factor: only values near the end of what f64 holds overflow by them.
        if found.is_finite() || !value.is_finite() { found } else { value * self.factor + self.offset }
    }

    /// A whole number in the wanted unit, exactly; `None` where it is a fraction there, or too large.
    #[must_use]
    pub fn apply_i64(&self, value: i64) -> Option<i64> {
        let parts = [self.times, self.plus, self.by].map(whole);
        let [Some(times), Some(plus), Some(by)] = parts else { return self.apply_whole(as_f64(value)) };
        let found = i128::from(value).checked_mul(times)?.checked_add(plus)?;
        // By is never zero: it is a divisor that was chosen, times a power of ten.
        (found.checked_rem(by)? == 0).then(|| found / by).and_then(|found| i64::try_from(found).ok())
    }

    /// A number as the whole number that it is in the wanted unit: 0.29 m are 29 cm, although 0.29 times 100 is a
    /// little less in floating point. `None` where it is a fraction there, or more than f64 tells exactly.
    #[must_use]
    #[expect(clippy::float_cmp, reason = "what is meant is the very number that was written")]
    pub fn apply_whole(&self, value: f64) -> Option<i64> {
        let found = self.apply_f64(value);
        let near = found.round();
        let is_meant = found == near || self.back_f64(near) == value;
        whole(near).filter(|_| is_meant).and_then(|near| i64::try_from(near).ok())
    }

    /// The reverse: from the wanted unit back.
    #[must_use]
    pub fn back_f64(&self, value: f64) -> f64 {
        (value * self.by - self.plus) / self.times
    }
}

/// A number without fraction that floating point tells exactly.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
fn whole(number: f64) -> Option<i128> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i128)
}

#[expect(clippy::cast_precision_loss, reason = "what is not exact becomes no whole number")]
fn as_f64(number: i64) -> f64 {
    number as f64
}

/// Whether a text is a unit of UCUM in which a value can be given: case counts, `1` stands for none.
///
/// # Errors
/// Says what is wrong with it.
pub fn valid(unit: &str) -> Result<(), NotAUnit> {
    let refuse = |why: String| Err(NotAUnit { unit: unit.chars().take(UNIT_MAX_BYTES).collect(), why });
    if unit.is_empty() || unit.len() > UNIT_MAX_BYTES {
        return refuse(format!("it has {} bytes, and a unit has 1 to {UNIT_MAX_BYTES}", unit.len()));
    }
    if let Some(odd) = unit.chars().find(|c| !c.is_ascii_graphic()) {
        return refuse(format!("it holds {odd:?}, and UCUM is written in ASCII without spaces"));
    }
    match ucum::analyze(unit) {
        Ok(found) if found.factor.is_finite() && found.factor > 0.0 => Ok(()),
        Ok(_) => refuse("its size is no number".into()),
        Err(ucum::UcumError::UnknownAtom { code }) => refuse(format!("there is no `{code}`")),
        Err(ucum::UcumError::Parse { msg, pos }) => refuse(format!("{msg}, at character {}", pos + 1)),
        Err(other) => refuse(other.to_string()),
    }
}

/// Whether differences of values in a unit can be divided by something: it is no logarithm and no other scale of its
/// own.
pub fn is_linear(unit: &str) -> bool {
    // Arbitrary units, such as those of effect in pharmacy, compare with nothing and are straight all the same.
    ucum::analyze(unit).is_ok_and(|found| !found.is_special) || matches!(ucum::is_comparable(unit, unit), Ok(false))
}

/// How values in `from` become values in `to`; `None`: they are the same.
///
/// # Errors
/// One of them is no unit, they measure different things, or the step between them is no straight line (decibels into
/// a plain ratio, pH into a concentration).
#[expect(clippy::float_cmp, reason = "one and zero are exact where nothing is to be done")]
pub fn conversion(from: &str, to: &str) -> Result<Option<Conversion>, NotComparable> {
    let refuse = |why: String| NotComparable { from: from.to_owned(), to: to.to_owned(), why };
    for unit in [from, to] {
        valid(unit).map_err(|error| refuse(error.to_string()))?;
    }
    if from == to {
        return Ok(None);
    }
    let at = |value: f64| {
        ucum::convert(value, from, to).map_err(|error| match error {
            ucum::UcumError::NotComparable { .. } => {
                let of = |unit| ucum::analyze(unit).map_or_else(|_| "?".to_owned(), |a| a.dimension.to_string());
                refuse(format!("they measure different things ({} and {} in base units)", of(from), of(to)))
            }
            ucum::UcumError::UnsupportedSpecial { unit } => refuse(format!("`{unit}` can only be taken as it is")),
            other => refuse(other.to_string()),
        })
    };
    let (zero, one, hundred) = (at(0.0)?, at(1.0)?, at(100.0)?);
    let offset = if zero.abs() <= NOISE * one.abs() { 0.0 } else { zero };
    // Far points, so that the rounding of an offset does not count.
    let factor = if offset == 0.0 { one } else { (at(1e6)? - at(-1e6)?) / 2e6 };
    let straight = (zero + 100.0 * factor - hundred).abs() <= 1e-9 * (zero.abs() + hundred.abs());
    if !straight || !factor.is_finite() || !offset.is_finite() || factor <= 0.0 {
        return Err(refuse("the step between them is no straight line".into()));
    }
    let found = exactly(factor, offset);
    Ok((found.factor != 1.0 || found.offset != 0.0).then_some(found))
}

/// How far a computed factor may lie from the number it stands for, relative to it: some roundings of f64.
const NOISE: f64 = 4e-15;
/// The same of an offset in kelvin, absolute: it is a difference of numbers near 500.
const OFFSET_NOISE: f64 = 1e-11;
/// Decimal digits of a number that is taken as meant. Factors that are no short numbers stay as they were computed.
const DIGITS: usize = 9;
/// The divisors that are tried before decimal ones: ninths of degrees, 3.6 of hours and metres, sixtieths, days.
const DIVISORS: [f64; 14] =
    [1.0, 3.0, 7.0, 9.0, 18.0, 27.0, 36.0, 45.0, 60.0, 90.0, 360.0, 3_600.0, 86_400.0, 604_800.0];

/// The conversion by the whole numbers behind a computed factor and offset, where there are such.
fn exactly(factor: f64, offset: f64) -> Conversion {
    for by in DIVISORS {
        let Some((times, tens)) = short(factor * by, NOISE * factor * by) else { continue };
        let Some((plus, tens_of_plus)) = short(offset * by, OFFSET_NOISE * by) else { continue };
        let scale = tens.max(tens_of_plus);
        let (times, plus, by) = (times * scale / tens, plus * scale / tens_of_plus, by * scale);
        return Conversion { factor: times / by, offset: plus / by, times, plus, by };
    }
    Conversion { factor, offset, times: factor, plus: offset, by: 1.0 }
}

/// A number as a whole number over a power of ten, where so few digits say it.
fn short(number: f64, noise: f64) -> Option<(f64, f64)> {
    let text = format!("{:.*e}", DIGITS - 1, number);
    let meant: f64 = text.parse().ok()?;
    if (meant - number).abs() > noise {
        return None;
    }
    let (digits, exponent) = text.split_once('e')?;
    let digits = digits.trim_end_matches('0');
    let behind = digits.split_once('.').map_or(0, |(_, behind)| i32::try_from(behind.len()).unwrap_or(0));
    let tens = (behind - exponent.parse::<i32>().ok()?).max(0);
    // Powers of ten up to this are exact.
    let tens = (tens <= 22).then(|| 10_f64.powi(tens))?;
    Some(((meant * tens).round(), tens))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn convert(value: f64, from: &str, to: &str) -> f64 {
        conversion(from, to).unwrap().map_or(value, |c| c.apply_f64(value))
    }

    #[test]
    fn what_people_measure_is_converted_to_the_last_bit() {
        // Conversions that are whole numbers by definition (SI prefixes, the inch of 25.4 mm, temperatures).
        let exact = [
            (3.0, "mm/s", "m/s", 0.003),
            (7.5, "mm", "m", 0.0075),
            (0.3, "m", "mm", 300.0),
            (1.1, "kW", "W", 1100.0),
            (1.0, "bar", "Pa", 100_000.0),
            (1.0, "bar", "kPa", 100.0),
            (6.0, "mbar", "bar", 0.006),
            (212.0, "[degF]", "Cel", 100.0),
            (32.0, "[degF]", "Cel", 0.0),
            (-40.0, "[degF]", "Cel", -40.0),
            (100.0, "Cel", "[degF]", 212.0),
            (37.0, "Cel", "K", 310.15),
            (373.15, "K", "Cel", 100.0),
            (0.0, "Cel", "K", 273.15),
            (32.0, "[degF]", "K", 273.15),
            (36.0, "km/h", "m/s", 10.0),
            (10.0, "m/s", "km/h", 36.0),
            (90.0, "/min", "Hz", 1.5),
            (50.0, "Hz", "/min", 3000.0),
            (1.0, "h", "s", 3600.0),
            (90.0, "s", "min", 1.5),
            (2.0, "d", "h", 48.0),
            (1.0, "kW.h", "kJ", 3600.0),
            (12.0, "%", "1", 0.12),
            (1.0, "[in_i]", "mm", 25.4),
            (1.0, "[ft_i]", "m", 0.3048),
            (1.0, "L/min", "m3/h", 0.06),
            (1.0, "t", "kg", 1000.0),
            (1.0, "um", "nm", 1000.0),
            (1.0, "A", "mA", 1000.0),
            (1.0, "MV", "V", 1e6),
            (1.0, "dB", "B", 0.1),
            (1.0, "N/mm2", "MPa", 1.0),
            (5.0, "{pieces}", "1", 5.0),
        ];
        for (value, from, to, want) in exact {
            let got = convert(value, from, to);
            assert!(got.to_bits() == (want + 0.0_f64).to_bits(), "{value} {from} are {want} {to}, not {got:?}");
        }
    }

    #[test]
    fn what_has_no_short_number_is_as_near_as_f64_is() {
        // NIST SP 811, appendix B.
        let near = [
            (1.0, "[psi]", "kPa", 6.894_757_293_168),
            (1.0, "[HP]", "W", 745.699_871_582_27),
            (1.0, "[gal_us]", "L", 3.785_411_784),
            (180.0, "deg", "rad", std::f64::consts::PI),
            (1.0, "[lb_av]", "kg", 0.453_592_37),
            (1.0, "atm", "bar", 1.01325),
            (1.0, "[lbf_av]", "N", 4.448_221_615_260_5),
            (1.0, "[Btu_IT]", "J", 1_055.055_852_62),
            (1.0, "mm[Hg]", "Pa", 133.322),
        ];
        for (value, from, to, want) in near {
            let got = convert(value, from, to);
            assert!((got - want).abs() <= 2e-6 * want, "{value} {from} are {want} {to}, not {got}");
        }
        assert!((convert(1.0, "[psi]", "kPa") - 6.894_757_293_168_361).abs() < 1e-14);
    }

    #[test]
    fn whole_numbers_stay_whole_where_they_can() {
        let of = |from, to| conversion(from, to).unwrap().unwrap();
        let large = 9_007_199_254_740_993;
        assert_eq!(of("m", "mm").apply_i64(large), Some(large * 1_000), "also beyond what f64 holds");
        assert_eq!(of("mm", "m").apply_i64(2_000), Some(2));
        assert_eq!(of("mm", "m").apply_i64(2_001), None);
        assert_eq!(of("[degF]", "Cel").apply_i64(212), Some(100));
        assert_eq!(of("[degF]", "Cel").apply_i64(213), None);
        assert_eq!(of("m", "mm").apply_i64(i64::MAX), None);
        assert_eq!(of("m", "cm").apply_whole(0.29), Some(29));
        assert_eq!(of("m", "cm").apply_whole(0.295), None);
        assert_eq!(of("m", "cm").apply_whole(f64::NAN), None);
        assert_eq!(of("m", "cm").apply_whole(1e300), None);
        assert_eq!(of("[psi]", "kPa").apply_i64(1), None);
    }

    #[test]
    fn equal_units_are_left_alone() {
        for (from, to) in
            [("Cel", "Cel"), ("mm/s", "mm/s"), ("[iU]", "[iU]"), ("N.m", "J"), ("1", "{pieces}"), ("dB", "dB")]
        {
            assert_eq!(conversion(from, to), Ok(None), "{from} {to}");
        }
    }

    #[test]
    fn what_cannot_be_carried_over_says_why() {
        for (from, to, why) in [
            ("mm/s", "Cel", "different things (m.s-1 and K in base units)"),
            ("[iU]", "g", "can only be taken as it is"),
            ("Cel/min", "K/s", "can only be taken as it is"),
            ("dB", "1", "no straight line"),
            ("[pH]", "mol/L", "no straight line"),
            ("°C", "Cel", "no unit of UCUM"),
            ("Cel", "grad C", "no unit of UCUM"),
        ] {
            let error = conversion(from, to).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn logarithms_and_scales_of_their_own_are_not_linear() {
        for unit in ["bar", "K", "1", "mm/s", "{parts}", "[iU]", "[degR]", "bar/min"] {
            assert!(is_linear(unit), "{unit}");
        }
        for unit in ["[pH]", "dB", "Cel", "[pH]/min", "nonsense"] {
            assert!(!is_linear(unit), "{unit}");
        }
    }

    #[test]
    fn texts_that_are_no_units_are_refused() {
        for unit in
            ["", " ", "m m", "°C", "Cel ", "mm//s", "m^2", "flurble", "M", "10*400", "10*-400", "m(", "{", "[", "m/0"]
        {
            assert!(valid(unit).is_err(), "{unit:?}");
        }
        assert!(valid(&"m.".repeat(50)).is_err());
        for unit in
            ["1", "%", "Cel", "[degF]", "mm/s", "/min", "kW.h", "{pieces}", "m/s2", "10*6/uL", "N.m", "[ppm]", "V.A"]
        {
            assert!(valid(unit).is_ok(), "{unit}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(a in "[ -~°µ²]{0,70}", b in r"[a-zA-Z0-9.*/()\[\]{}%'+-]{0,64}") {
            let _ = (valid(&a), valid(&b), conversion(&a, &b), conversion(&b, "m"), conversion("Cel", &b));
        }

        #[test]
        fn there_and_back_is_where_it_began(value in -1e9_f64..1e9, at in 0_usize..8) {
            let pairs = [("mm", "m"), ("[degF]", "Cel"), ("K", "[degF]"), ("[psi]", "bar"), ("km/h", "m/s"),
                ("deg", "rad"), ("[in_i]", "mm"), ("kW.h", "J")];
            let (from, to) = pairs[at];
            let there = conversion(from, to).unwrap().unwrap();
            let back = conversion(to, from).unwrap().unwrap();
            let size = value.abs() + 1000.0;
            prop_assert!((back.apply_f64(there.apply_f64(value)) - value).abs() <= 1e-12 * size);
            prop_assert!((there.back_f64(there.apply_f64(value)) - value).abs() <= 1e-12 * size);
            let plain = value * there.factor + there.offset;
            prop_assert!((there.apply_f64(value) - plain).abs() <= 1e-12 * size * (there.factor + 1.0));
        }
    }
}
