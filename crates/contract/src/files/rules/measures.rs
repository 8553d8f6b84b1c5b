//! `rules/<rule>.yaml` of the kinds that derive a number from samples: `deviation`, `rate-of-change`, `window`.

use super::{LimitRuleFile, LimitWord, SeverityWord};
use crate::{
    files::words::Duration,
    read::{At, Raw},
};
use andon_model::span::Span;
use schemars::JsonSchema;
use serde::Deserialize;

/// A type of file with the keys of the four levels behind its own.
macro_rules! with_levels {
    (
        $(#[$about:meta])*
        $name:ident, $word:ident, $($(#[$of:meta])* $key:ident: $type:ty,)*
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name {
            /// The kind of the rule.
            #[expect(dead_code, reason = "the key decides which shape the file has and is looked at before")]
            pub(crate) kind: $word,
            $($(#[$of])* pub(crate) $key: $type,)*
            /// 1 to 1000, or one number for each level: `{ High: 700, Low: 500 }`.
            #[schemars(with = "SeverityWord")]
            pub(crate) severity: Raw,
            /// Above this.
            #[serde(default, rename = "HighHigh")]
            pub(crate) high_high: Option<At<f64>>,
            /// Above this.
            #[serde(default, rename = "High")]
            pub(crate) high: Option<At<f64>>,
            /// Below this.
            #[serde(default, rename = "Low")]
            pub(crate) low: Option<At<f64>>,
            /// Below this.
            #[serde(default, rename = "LowLow")]
            pub(crate) low_low: Option<At<f64>>,
            /// The alarm ends when the number is back by this much; default 0.
            #[serde(default, rename = "Deadband")]
            pub(crate) deadband: Option<At<f64>>,
            /// The number must be beyond the limit this long; default 0 s.
            #[serde(default, rename = "OnDelay")]
            pub(crate) on_delay: Option<At<Duration>>,
            /// The number must be back this long; default 0 s.
            #[serde(default, rename = "OffDelay")]
            pub(crate) off_delay: Option<At<Duration>>,
            /// An alarm that stays is told again after this long; default never.
            #[serde(default, rename = "ReAlarmTime")]
            pub(crate) realarm: Option<At<Duration>>,
        }

        impl $name {
            /// Its levels, as those of a limit.
            pub(crate) fn levels(&self) -> LimitRuleFile {
                LimitRuleFile {
                    kind: LimitWord::Limit,
                    severity: self.severity,
                    high_high: self.high_high.clone(),
                    high: self.high.clone(),
                    low: self.low.clone(),
                    low_low: self.low_low.clone(),
                    deadband: self.deadband.clone(),
                    on_delay: self.on_delay.clone(),
                    off_delay: self.off_delay.clone(),
                    realarm: self.realarm.clone(),
                }
            }
        }
    };
}

with_levels! {
    /// An alarm when a value is too far from its setpoint. A limit that is not set here is the class's parameter
    /// `<signal>.deviation.<key>`.
    DeviationRuleFile, DeviationWord,
    /// The signal of the same class that holds the setpoint, in the same unit.
    setpoint: At<String>,
}

with_levels! {
    /// An alarm when a value changes too fast. A limit that is not set here is the class's parameter
    /// `<signal>.rate-of-change.<key>`.
    RateRuleFile, RateWord,
    /// The unit of time of the rate: `s`, `min`, `h` or `d`.
    per: At<TimeUnit>,
    /// Against the newest good value that is at least so much older; default: against the good value before.
    #[serde(default)]
    over: Option<At<Duration>>,
}

with_levels! {
    /// An alarm when a number of all values of a stretch of time is beyond a limit. A limit that is not set here is the
    /// class's parameter `<signal>.window.<key>`.
    WindowRuleFile, WindowWord,
    /// `mean`, `rms`, `min`, `max`, `stddev`, `slope`, `count`, or a percentile: `p95`, `p99.9`.
    function: At<String>,
    /// How long a window is.
    over: At<Duration>,
    /// How often one ends; a whole part of `over`. Default: as `over`, one behind the other.
    #[serde(default)]
    every: Option<At<Duration>>,
    /// So long after its end it takes late samples; default 0 s.
    #[serde(default)]
    lateness: Option<At<Duration>>,
    /// With fewer good samples it has no number; default 1, of `count` 0.
    #[serde(default, rename = "at-least")]
    at_least: Option<At<u64>>,
    /// The unit of time of a `slope`: `s`, `min`, `h` or `d`.
    #[serde(default)]
    per: Option<At<TimeUnit>>,
}

/// The word `deviation`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum DeviationWord {
    /// A value against its setpoint.
    Deviation,
}

/// The word `rate-of-change`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum RateWord {
    /// How fast a value changes.
    RateOfChange,
}

/// The word `window`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum WindowWord {
    /// A number of a stretch of time.
    Window,
}

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum TimeUnit {
    /// A second.
    S,
    /// A minute.
    Min,
    /// An hour.
    H,
    /// A day.
    D,
}

impl TimeUnit {
    /// Its word, which is that of UCUM.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::S => "s",
            Self::Min => "min",
            Self::H => "h",
            Self::D => "d",
        }
    }

    /// How long it is.
    pub(crate) fn span(self) -> Span {
        Span::from_secs(match self {
            Self::S => 1,
            Self::Min => 60,
            Self::H => 3_600,
            Self::D => 86_400,
        })
    }
}
