//! `classes/<class>.yaml`: the template of assets.

use super::{
    reduction::ReduceFile,
    words::{Signalled, Word},
};
use crate::read::{At, Entries, Raw};
use andon_model::value::Kind;
use schemars::JsonSchema;
use serde::Deserialize;

/// A class: signals and parameters.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "classes/<class>.yaml")]
pub(crate) struct ClassFile {
    /// The signals of every asset of the class.
    pub(crate) signals: Entries<Signalled, SignalFile>,
    /// Parameters of rules with their defaults: `<signal>.<key>`, such as `temperature.High: 105`.
    #[serde(default)]
    pub(crate) parameters: Entries<String, At<Word>>,
}

/// A signal.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignalFile {
    /// The kind of its values.
    #[schemars(with = "KindWord")]
    pub(crate) kind: At<Kind>,
    /// Its unit in UCUM; default `1`, none.
    #[serde(default)]
    pub(crate) unit: Option<At<String>>,
    /// Lowest and highest value that can be true; others are stored with quality uncertain.
    #[serde(default)]
    pub(crate) range: Option<At<(f64, f64)>>,
    /// Which of its samples the historian need not keep; default: all are kept. Rules see all of them.
    #[serde(default)]
    pub(crate) reduce: Option<At<ReduceFile>>,
    /// What its whole numbers are called, where they are states: `packml`, `machinery`, or `{ 0: Off, 1: Running }`.
    #[serde(default)]
    #[schemars(with = "Option<StatesWord>")]
    pub(crate) states: Option<Raw>,
}

/// Names of states of a standard.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum StandardStates {
    /// `PackML` (ISA-TR88.00.02), as OPC 30050 numbers them: 6 is Execute.
    Packml,
    /// The item state of OPC UA for Machinery (OPC 40001-1): 3 is Executing.
    Machinery,
}

/// Names of states.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used; the values are read by hand, for better messages")]
enum StatesWord {
    /// Those of a standard.
    Standard(StandardStates),
    /// A name for each number.
    Own(std::collections::BTreeMap<String, String>),
}

/// The kind of a signal's values.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used; the values are read as the model's kind")]
enum KindWord {
    /// True or false.
    Bool,
    /// A whole number.
    I64,
    /// A number.
    F64,
    /// A text.
    Text,
    /// Bytes.
    Bytes,
}
