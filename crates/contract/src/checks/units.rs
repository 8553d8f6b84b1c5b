//! Units: each is one of UCUM, and what a message is in can become what its signal is in.

use super::classes::Classes;
use crate::{
    codes,
    contract::{Asset, Piece, Signal, Template},
    load::Project,
    problem::Finding,
    read::At,
    units::{conversion, valid},
};
use andon_model::{Name, SignalName, value::Kind};

/// What people write and what UCUM calls it.
const UNITS: [(&str, &str); 33] = [
    ("°C", "Cel"),
    ("degC", "Cel"),
    ("℃", "Cel"),
    ("celsius", "Cel"),
    ("°F", "[degF]"),
    ("degF", "[degF]"),
    ("℉", "[degF]"),
    ("°K", "K"),
    ("°", "deg"),
    ("rpm", "/min"),
    ("RPM", "/min"),
    ("psi", "[psi]"),
    ("PSI", "[psi]"),
    ("inch", "[in_i]"),
    ("in", "[in_i]"),
    ("lb", "[lb_av]"),
    ("lbs", "[lb_av]"),
    ("hp", "[HP]"),
    ("gpm", "[gal_us]/min"),
    ("µm", "um"),
    ("μm", "um"),
    ("m³/h", "m3/h"),
    ("m³", "m3"),
    ("m²", "m2"),
    ("m/s²", "m/s2"),
    ("N/mm²", "N/mm2"),
    ("Nm", "N.m"),
    ("kWh", "kW.h"),
    ("Wh", "W.h"),
    ("kVA", "kV.A"),
    ("sec", "s"),
    ("ppm", "[ppm]"),
    ("pcs", "{pieces}"),
];

/// Units of UCUM that hardly anybody means who writes them, what they are, and what is meant.
const MISTAKEN: [(&str, &str, &str); 3] = [
    ("C", "a coulomb (also written `A.s`)", "Cel"),
    ("ft", "a femtotonne", "[ft_i]"),
    ("U/min", "an activity of enzymes", "/min"),
];

/// Whether a text is a unit; tells where it is none, or another one than it seems.
pub(crate) fn unit(project: &Project, unit: &At<String>) -> bool {
    let Err(error) = valid(unit) else {
        if let Some((_, is, meant)) = MISTAKEN.iter().find(|(written, _, _)| *written == unit.value) {
            let mut finding = Finding::warning(codes::UNIT, unit.spot, format!("`{}` is {is} to UCUM", unit.value));
            finding.suggestion = Some((*meant).to_owned());
            project.push(finding.help("write the unit that is meant"));
        }
        return true;
    };
    let mut finding = Finding::error(codes::UNIT, unit.spot, error.to_string())
        .expected("a unit like Cel, [degF], mm/s, kW.h, % or 1")
        .help("write the unit as UCUM does, see https://ucum.org; `1` stands for none");
    finding.suggestion = UNITS.iter().find(|(written, _)| *written == unit.value).map(|(_, ucum)| (*ucum).to_owned());
    project.push(finding);
    false
}

/// The unit of a mapping, where it can become that of every signal it may lead to: of this asset, or of any.
pub(crate) fn mapped(
    project: &Project,
    unit: &At<String>,
    signal: &Template,
    asset: Option<&Asset>,
    classes: &Classes,
) -> Option<String> {
    if !self::unit(project, unit) {
        return None;
    }
    let mut clean = true;
    for (class, info) in &classes.good {
        if asset.is_some_and(|asset| asset.class != *class) {
            continue;
        }
        for (name, to) in info.class.signals.iter().filter(|(name, _)| may_name(signal, name)) {
            clean &= fits(project, unit, class, name, to);
        }
    }
    clean.then(|| unit.value.clone())
}

/// Whether values in this unit can become values of a signal; tells where they cannot.
fn fits(project: &Project, unit: &At<String>, class: &Name, name: &SignalName, signal: &Signal) -> bool {
    if valid(&signal.unit).is_err() || !matches!(signal.kind, Kind::F64 | Kind::I64) {
        // Its class is told of the one; texts and truth values that a capture may name are taken as they are.
        return true;
    }
    let (message, help) = match conversion(unit, &signal.unit) {
        Ok(_) => return true,
        Err(error) => (
            format!("{error}; that is the unit of the signal `{name}` of class `{class}`"),
            "correct the unit here or in the class, or map the value to another signal",
        ),
    };
    let finding = Finding::error(codes::UNIT_MISMATCH, unit.spot, message);
    project.push(finding.expected(format!("a unit that can become `{}`", signal.unit)).help(help));
    false
}

/// The word of a kind in files.
pub(crate) fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "bool",
        Kind::I64 => "i64",
        Kind::F64 => "f64",
        Kind::Text => "text",
        Kind::Bytes => "bytes",
    }
}

/// Whether a template may give this name: a place stands for any text.
fn may_name(template: &Template, name: &SignalName) -> bool {
    fn from(pieces: &[Piece], rest: &str) -> bool {
        match pieces.split_first() {
            None => rest.is_empty(),
            Some((Piece::Text(text), more)) => rest.strip_prefix(text.as_str()).is_some_and(|rest| from(more, rest)),
            Some((Piece::Place(_), more)) => rest
                .char_indices()
                .skip(1)
                .map(|(at, _)| at)
                .chain([rest.len()])
                .any(|at| from(more, rest.get(at..).unwrap_or(""))),
        }
    }
    // A name is short, and so is what is tried.
    template.pieces.len() <= PIECES_MAX && from(&template.pieces, name.as_str()) || template.pieces.len() > PIECES_MAX
}

/// Pieces of a template that are compared; one of more is taken as naming every signal.
const PIECES_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_suggested_is_a_unit_and_what_was_written_is_not() {
        for (written, ucum) in UNITS {
            assert!(valid(written).is_err() && valid(ucum).is_ok(), "{written} {ucum}");
        }
        for (written, _, ucum) in MISTAKEN {
            assert!(conversion(written, ucum).is_err() && valid(written).is_ok(), "{written} {ucum}");
        }
    }

    #[test]
    fn a_template_may_name_what_its_texts_leave_open() {
        let place = || Piece::Place("s".into());
        let text = |text: &str| Piece::Text(text.into());
        let may = |pieces: Vec<Piece>, name: &str| may_name(&Template { pieces }, &SignalName::new(name).unwrap());
        assert!(may(vec![text("temperature")], "temperature"));
        assert!(!may(vec![text("temperature")], "temperature-2"));
        assert!(may(vec![place()], "temperature"));
        assert!(may(vec![text("t-"), place(), text("-x")], "t-a-x"));
        assert!(!may(vec![text("t-"), place(), text("-x")], "t--y"));
        assert!(may(vec![place(), text("-"), place()], "a-b"));
        assert!(!may(vec![place(), text("-"), place()], "ab"));
    }
}
