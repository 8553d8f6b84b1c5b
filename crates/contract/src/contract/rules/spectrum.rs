//! Settings of spectra: how a waveform is written, and what of it is judged.

use super::LimitSettings;

/// A feature of blocks of a waveform, judged by limits.
#[derive(Debug, Clone, PartialEq)]
pub struct SpectrumSettings {
    /// How a block is written.
    pub waveform: Waveform,
    /// What is worked out of it.
    pub feature: Feature,
    /// The limits, in the unit of the feature.
    pub limit: LimitSettings,
    /// Whether the limits are boundaries of zones: then High begins zone C, and `HighHigh` zone D.
    pub zones: bool,
}

/// How a block of a waveform is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Waveform {
    /// The numbers of a block.
    pub format: WaveformFormat,
    /// Samples of the waveform in a second. Above 0.
    pub rate: f64,
    /// What a number is multiplied by: its scale, and what makes its unit the one the feature is worked out in.
    pub scale: f64,
}

/// The numbers of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaveformFormat {
    /// IEEE 754, 4 bytes, the lowest first.
    F32Le,
    /// IEEE 754, 8 bytes, the lowest first.
    F64Le,
    /// Whole numbers with sign, 2 bytes, the lowest first.
    I16Le,
    /// A JSON array of numbers, of a signal whose kind is text.
    Json,
}

impl WaveformFormat {
    /// All of them with their words.
    pub const ALL: [(Self, &'static str); 4] =
        [(Self::F32Le, "f32-le"), (Self::F64Le, "f64-le"), (Self::I16Le, "i16-le"), (Self::Json, "json")];
}

/// What is worked out of a block, its mean taken off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Feature {
    /// The root mean square of the velocity in mm/s, of a waveform that is an acceleration in m/s2.
    VelocityRms(Band),
    /// The root mean square.
    Rms,
    /// The largest distance from the mean.
    Peak,
    /// Peak over root mean square.
    CrestFactor,
    /// The fourth moment over the square of the second: 3 for noise, 1.5 for a sine.
    Kurtosis,
    /// The root mean square of a part of the spectrum.
    Band(Band),
}

/// A part of the spectrum, both ends included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    /// Its lowest frequency in Hz. Above 0.
    pub from: f64,
    /// Its highest frequency in Hz, at most half the rate.
    pub to: f64,
}

impl Feature {
    /// Its word in files.
    pub fn word(self) -> &'static str {
        match self {
            Self::VelocityRms(_) => "velocity-rms",
            Self::Rms => "rms",
            Self::Peak => "peak",
            Self::CrestFactor => "crest-factor",
            Self::Kurtosis => "kurtosis",
            Self::Band(_) => "band",
        }
    }
}
