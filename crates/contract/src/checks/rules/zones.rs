//! Zones of vibration severity: boundaries that are known by name, each with its source, or written out in a rule.

use crate::{
    codes,
    files::rules::spectrum::ZonesFile,
    load::Project,
    problem::Finding,
    read::{At, Raw, read},
};

/// Boundaries of zones.
struct Zones {
    name: &'static str,
    /// A/B, B/C, C/D: root mean square of the velocity from 10 Hz to 1 kHz, in mm/s.
    boundaries: [f64; 3],
    /// What speaks against the numbers.
    doubt: Option<&'static str>,
}

/// ISO 20816-3 (before: ISO 10816-3), machines on foundations that are rigid or flexible: group 1 above 300 kW, group 2
/// from 15 to 300 kW.
///
/// The standard itself was not at hand. Two public tables agree on group 2; many others have the row of group 1, or the
/// boundary C/D of flexible foundations, in the place of rigid ones of group 2. Pumps are ISO 10816-7 and not here.
const ZONES: [Zones; 4] = [
    Zones { name: "iso-20816-3/group-2/rigid", boundaries: [1.4, 2.8, 4.5], doubt: None },
    Zones { name: "iso-20816-3/group-2/flexible", boundaries: [2.3, 4.5, 7.1], doubt: None },
    Zones { name: "iso-20816-3/group-1/rigid", boundaries: [2.3, 4.5, 7.1], doubt: Some(ONE_SOURCE) },
    Zones { name: "iso-20816-3/group-1/flexible", boundaries: [3.5, 7.1, 11.0], doubt: Some(ONE_SOURCE) },
];

const ONE_SOURCE: &str = "no second source agrees on them";

/// The boundaries A/B, B/C and C/D that a rule names or writes out.
pub(super) fn zones(project: &Project, raw: Raw) -> Option<[f64; 3]> {
    let tree = project.findings.tree(raw.spot.file)?;
    if tree.scalar(raw.spot.node).is_some() {
        let name: At<String> = read(&project.findings, raw.spot)?;
        let Some(zones) = ZONES.iter().find(|zones| zones.name == name.value) else {
            let message = format!("there are no zones `{}`", name.value);
            let finding =
                Finding::error(codes::ZONES, raw.spot, message).known(&name, ZONES.iter().map(|zones| zones.name));
            project.push(finding.help("name known ones, or write them out: `{ A/B: 1.4, B/C: 2.8, C/D: 4.5 }`"));
            return None;
        };
        if let Some(doubt) = zones.doubt {
            let [a_b, b_c, c_d] = zones.boundaries;
            let message = format!("the boundaries of `{}` are doubtful: {doubt}", zones.name);
            let finding = Finding::warning(codes::ZONES_DOUBT, raw.spot, message);
            let written = format!("{{ A/B: {a_b}, B/C: {b_c}, C/D: {c_d} }}");
            let help = format!("compare them with your copy of the standard and write them out: {written}");
            project.push(finding.help(help));
        }
        return Some(zones.boundaries);
    }
    let file: ZonesFile = read(&project.findings, raw.spot)?;
    let boundaries = [file.a_b.value, file.b_c.value, file.c_d.value];
    if file.a_b.value <= 0.0 || file.a_b.value >= file.b_c.value || file.b_c.value >= file.c_d.value {
        let message = format!("the boundaries {}, {} and {} do not rise", file.a_b, file.b_c, file.c_d);
        let finding = Finding::error(codes::ZONES, raw.spot, message).expected("0 < A/B < B/C < C/D");
        project.push(finding.help("put the boundaries in order"));
        return None;
    }
    Some(boundaries)
}
