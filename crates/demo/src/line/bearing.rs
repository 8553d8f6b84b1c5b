//! The main bearing of a cartoner: its wear, and what vibration and temperature say of it.

use super::noise::Noise;
use andon_model::span::Span;
use std::f64::consts::TAU;

/// Vibration of a bearing that has run in, in mm/s RMS at full speed.
const SOUND: f64 = 1.8;
/// Vibration of a new one.
const NEW: f64 = 1.6;
/// Vibration of a new one that is not aligned yet, as the technician's test run has it: above the usual limit of 4.5.
const NOT_ALIGNED: f64 = 5.4;
/// The most that wear adds: where nobody repairs it, it ends there.
const WEAR_MAX: f64 = 6.9;
/// What wear adds in a minute, and how much of that where the operators know and take care.
const WEAR_A_MINUTE: f64 = 0.53;
const WITH_CARE: f64 = 0.2;
/// What a machine that stands feels of its neighbours.
const STANDING: f64 = 0.15;
/// Vibration follows the speed within this time.
const SETTLES: Span = Span::from_secs(5);
/// The load of the machine breathes by this share, so often.
const BREATHES: f64 = 0.02;
const BREATHES_EVERY: f64 = 420.0;
/// The room, what the work adds at full speed, and what each mm/s above a new bearing adds, in degrees Celsius.
const ROOM: f64 = 22.0;
const WORK: f64 = 24.0;
const FRICTION: f64 = 5.0;
/// The bearing takes this long to come two thirds nearer to where it goes.
const WARMS: f64 = 480.0;

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// Wears where it wears at all.
    Used,
    /// Wears, and everybody takes care.
    UsedWithCare,
    /// New, not aligned yet.
    NotAligned,
    /// New.
    New,
}

/// A bearing at work.
#[derive(Debug, Clone)]
pub(super) struct Bearing {
    condition: Condition,
    wear: f64,
    /// mm/s RMS, as it is measured.
    pub(super) vibration: f64,
    /// Degrees Celsius.
    pub(super) temperature: f64,
    noise: Noise,
    /// Seconds that it has been looked at.
    seconds: f64,
}

impl Bearing {
    /// One that has run warm.
    pub(super) fn new(noise: Noise) -> Self {
        let temperature = ROOM + WORK + FRICTION * (SOUND - NEW);
        Self { condition: Condition::Used, wear: 0.0, vibration: SOUND, temperature, noise, seconds: 0.0 }
    }

    /// It is worked on, or known to wear. A new one has no wear.
    pub(super) fn is(&mut self, condition: Condition) {
        self.condition = condition;
        if matches!(condition, Condition::NotAligned | Condition::New) {
            self.wear = 0.0;
        }
    }

    /// Whether it cannot wear any further.
    pub(super) fn is_worn_out(&self) -> bool {
        self.wear >= WEAR_MAX
    }

    /// Whether it wears.
    pub(super) fn is_worn(&self) -> bool {
        self.wear > 0.0
    }

    /// Lets time pass at a speed (1: as it is meant to run); `wears`: the damage has begun.
    pub(super) fn pass(&mut self, span: Span, speed: f64, wears: bool) {
        let seconds = span.std().as_secs_f64();
        self.seconds += seconds;
        let care = match self.condition {
            Condition::Used => 1.0,
            Condition::UsedWithCare => WITH_CARE,
            Condition::NotAligned | Condition::New => 0.0,
        };
        if wears && speed > 0.0 {
            self.wear = (self.wear + WEAR_A_MINUTE * care * speed * seconds / 60.0).min(WEAR_MAX);
        }
        let at_speed = match self.condition {
            Condition::Used | Condition::UsedWithCare => SOUND + self.wear,
            Condition::NotAligned => NOT_ALIGNED,
            Condition::New => NEW,
        };
        let load = 1.0 + BREATHES * (TAU * self.seconds / BREATHES_EVERY).sin();
        let there = (STANDING + (at_speed - STANDING) * speed) * load;
        let near = (seconds / SETTLES.std().as_secs_f64()).min(1.0);
        let trembles = 0.015 * there + 0.01;
        self.vibration += (there - self.vibration) * near;
        self.vibration = (self.vibration + trembles * self.noise.around()).max(0.02);
        let warm = ROOM + WORK * speed + FRICTION * (self.vibration - NEW).max(0.0) * speed;
        self.temperature += (warm - self.temperature) * (1.0 - (-seconds / WARMS).exp());
    }
}
