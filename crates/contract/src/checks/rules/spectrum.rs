//! Spectra: a waveform that can be read, a feature that it has, and limits or zones for it.

use super::{On, limit, version, zones};
use crate::{
    checks::{assets::Assets, units},
    codes,
    contract::{Band, Feature, Rule, RuleKind, RuleSettings, SpectrumSettings, Waveform, WaveformFormat},
    files::rules::{
        LimitRuleFile, LimitWord,
        spectrum::{BandFile, BandedFeature, FormatWord, SpectrumRuleFile},
    },
    load::Project,
    problem::Finding,
    read::{At, Raw, read},
    units::conversion,
};
use andon_model::value::Kind;
use std::{collections::BTreeMap, sync::Arc};

/// The band of the velocity's root mean square that standards of vibration severity use, in Hz.
const VELOCITY_BAND: Band = Band { from: 10.0, to: 1_000.0 };

/// The words of features.
const FEATURES: [&str; 6] = ["velocity-rms", "rms", "peak", "crest-factor", "kurtosis", "band"];

pub(super) fn spectrum(project: &Project, file: &SpectrumRuleFile, on: &On<'_>, assets: &Assets) -> Option<Rule> {
    let (mut waveform, unit) = waveform(project, file, on)?;
    let feature = feature(project, file.feature, waveform.rate)?;
    let unit = match feature {
        Feature::VelocityRms(_) => {
            waveform.scale *= acceleration(project, file, &unit)?;
            "mm/s".to_owned()
        }
        Feature::CrestFactor | Feature::Kurtosis => "1".to_owned(),
        Feature::Rms | Feature::Peak | Feature::Band(_) => unit,
    };
    let limits = limits(project, file, &unit)?;
    let rule = limit::levels(project, &limits, on, assets, &unit)?;
    let mut assets = BTreeMap::new();
    for (name, settings) in rule.assets {
        let RuleKind::Limit(limit) = settings.kind.clone() else { continue };
        let zones = file.zones.is_some();
        let parts = format!("{feature:?} {:?} {} {} {zones}", waveform.format, waveform.rate, waveform.scale);
        let version = version(&["spectrum", &settings.version, &parts]);
        let kind = RuleKind::Spectrum(SpectrumSettings { waveform, feature, limit, zones });
        assets.insert(name, Arc::new(RuleSettings { kind, version, ..(*settings).clone() }));
    }
    Some(Rule { assets, ..rule })
}

/// How a block is written, and the unit of its numbers.
fn waveform(project: &Project, file: &SpectrumRuleFile, on: &On<'_>) -> Option<(Waveform, String)> {
    let signal = on.info.class.signals.get(&on.signal)?;
    let (format, kind) = match file.waveform.format.value {
        FormatWord::F32Le => (WaveformFormat::F32Le, Kind::Bytes),
        FormatWord::F64Le => (WaveformFormat::F64Le, Kind::Bytes),
        FormatWord::I16Le => (WaveformFormat::I16Le, Kind::Bytes),
        FormatWord::Json => (WaveformFormat::Json, Kind::Text),
    };
    if signal.kind != kind {
        let (found, wanted) = (units::word(signal.kind), units::word(kind));
        let message = format!("the signal `{}` is of the kind {found}, and this format needs {wanted}", on.signal);
        let finding = Finding::error(codes::WAVEFORM, file.waveform.format.spot, message);
        let expected = "`f32-le`, `f64-le` or `i16-le` of bytes, `json` of a text";
        project.push(finding.expected(expected).help("change the format, or the kind of the signal in its class"));
        return None;
    }
    let scale = file.waveform.scale.as_ref().map_or(1.0, |scale| scale.value);
    if let Some(set) = file.waveform.scale.as_ref().filter(|scale| scale.value == 0.0) {
        let finding = Finding::error(codes::WAVEFORM, set.spot, "a scale of 0 leaves nothing of the waveform");
        project.push(finding.expected("the size of one count in the unit").help("correct the scale"));
        return None;
    }
    let unit = match &file.waveform.unit {
        Some(unit) => units::unit(project, unit).then(|| unit.value.clone())?,
        None => signal.unit.clone(),
    };
    Some((Waveform { format, rate: file.waveform.rate.0, scale }, unit))
}

/// What makes the numbers of an acceleration those in m/s2.
fn acceleration(project: &Project, file: &SpectrumRuleFile, unit: &str) -> Option<f64> {
    match conversion(unit, "m/s2") {
        Ok(found) => Some(found.map_or(1.0, |conversion| conversion.factor)),
        Err(error) => {
            let spot = file.waveform.unit.as_ref().map_or(file.feature.spot, |unit| unit.spot);
            let message = format!("`velocity-rms` is worked out of an acceleration: {error}");
            let finding = Finding::error(codes::FEATURE, spot, message);
            let help = "set `waveform: { unit: m/s2 }`; of a waveform that is a velocity already, use `band`";
            project.push(finding.expected("a unit that can become m/s2, such as `m/s2` or `[g]`").help(help));
            None
        }
    }
}

fn feature(project: &Project, raw: Raw, rate: f64) -> Option<Feature> {
    let tree = project.findings.tree(raw.spot.file)?;
    let tell = |message: &str| {
        let finding = Finding::error(codes::FEATURE, raw.spot, message);
        project.push(finding.expected("`velocity-rms`, or `{ band: { from: 500 Hz, to: 2 kHz } }`").help("name one"));
        None
    };
    let slow = || {
        let half = rate / 2.0;
        let message =
            format!("a waveform of {rate} Hz tells nothing above {half} Hz, and velocity-rms reaches to 1 kHz");
        let finding = Finding::error(codes::FEATURE, raw.spot, message);
        let help =
            format!("correct the rate, or name the band: `{{ velocity-rms: {{ from: 10 Hz, to: {half} Hz }} }}`");
        project.push(finding.expected("a rate of at least 2 kHz").help(help));
        None
    };
    if tree.scalar(raw.spot.node).is_some() {
        let word: At<String> = read(&project.findings, raw.spot)?;
        return match word.as_str() {
            "velocity-rms" if VELOCITY_BAND.to > rate / 2.0 => slow(),
            "velocity-rms" => Some(Feature::VelocityRms(VELOCITY_BAND)),
            "rms" => Some(Feature::Rms),
            "peak" => Some(Feature::Peak),
            "crest-factor" => Some(Feature::CrestFactor),
            "kurtosis" => Some(Feature::Kurtosis),
            "band" => tell("a band is a feature with its ends"),
            other => {
                let message = format!("there is no feature `{other}`");
                let finding = Finding::error(codes::FEATURE, raw.spot, message).known(other, FEATURES);
                project.push(finding.help("correct the name"));
                None
            }
        };
    }
    let file: BandedFeature = read(&project.findings, raw.spot)?;
    match (&file.velocity_rms, &file.band) {
        (Some(band), None) => Some(Feature::VelocityRms(self::band(project, band, rate)?)),
        (None, Some(band)) => Some(Feature::Band(self::band(project, band, rate)?)),
        (None, None) => tell("no feature is named"),
        (Some(_), Some(_)) => tell("two features are named: a rule judges one"),
    }
}

fn band(project: &Project, file: &BandFile, rate: f64) -> Option<Band> {
    let (from, to) = (file.from.0, file.to.0);
    let (spot, message) = if from >= to {
        (file.to.spot, format!("the band ends at {to} Hz and begins at {from} Hz"))
    } else if to > rate / 2.0 {
        (
            file.to.spot,
            format!("a waveform of {rate} Hz tells nothing above {} Hz, and the band ends at {to} Hz", rate / 2.0),
        )
    } else {
        return Some(Band { from, to });
    };
    let finding = Finding::error(codes::FEATURE, spot, message);
    project.push(finding.expected("from < to <= half the rate").help("correct the band, or the rate of the waveform"));
    None
}

/// The keys of limits as those of a limit rule; boundaries of zones take their place.
fn limits(project: &Project, file: &SpectrumRuleFile, unit: &str) -> Option<LimitRuleFile> {
    let (mut high, mut high_high) = (file.high.clone(), file.high_high.clone());
    if let Some(raw) = file.zones {
        if unit != "mm/s" {
            let message = format!("zones are boundaries of a velocity in mm/s, and the feature is in `{unit}`");
            let finding = Finding::error(codes::ZONES, raw.spot, message);
            project.push(finding.expected("`feature: velocity-rms`").help("set High and HighHigh instead"));
            return None;
        }
        for (key, set) in [("High", &high), ("HighHigh", &high_high)] {
            if let Some(set) = set {
                let message = format!("`{key}` is set here and by `zones`");
                project.push(Finding::error(codes::SET_TWICE, set.spot, message).help("leave one of the two out"));
                return None;
            }
        }
        let [_, b_c, c_d] = zones::zones(project, raw)?;
        high = Some(At { value: b_c, spot: raw.spot });
        high_high = Some(At { value: c_d, spot: raw.spot });
    }
    Some(LimitRuleFile {
        kind: LimitWord::Limit,
        severity: file.severity,
        high_high,
        high,
        low: file.low.clone(),
        low_low: file.low_low.clone(),
        deadband: file.deadband.clone(),
        on_delay: file.on_delay.clone(),
        off_delay: file.off_delay.clone(),
        realarm: file.realarm.clone(),
    })
}
