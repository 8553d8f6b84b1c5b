//! What is wrong with the shape of a value: serde's errors in words for people, with a place.

use crate::{
    codes,
    tree::{NodeId, Tree},
};
use serde::de::{self, Expected, Unexpected};
use std::fmt;

/// What is wrong with the shape of a value; boxed, because it is the error of every function here.
#[derive(Debug)]
pub(super) struct Shape(pub(super) Box<Wrong>);

#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) expected: Option<String>,
    pub(super) suggestion: Option<String>,
    pub(super) help: String,
    pub(super) node: Option<NodeId>,
    /// Already among the findings.
    pub(super) told: bool,
    /// The key that is missing.
    pub(super) missing: Option<&'static str>,
}

impl Shape {
    pub(super) fn new(code: &'static str, message: String) -> Self {
        let (expected, suggestion, help, node) = (None, None, String::new(), None);
        Self(Box::new(Wrong { code, message, expected, suggestion, help, node, told: false, missing: None }))
    }

    pub(super) fn told() -> Self {
        let mut shape = Self::new(codes::WRONG_FORM, String::new());
        shape.0.told = true;
        shape
    }

    pub(super) fn wrong_type(tree: &Tree, node: NodeId, expected: &str, help: &str) -> Self {
        let message = format!("found {} where something else belongs", tree.told(node));
        Self::new(codes::WRONG_TYPE, message).expected(expected).help(help).at(node)
    }

    pub(super) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.0.expected = Some(expected.into());
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = help.into();
        self
    }

    pub(super) fn at(mut self, node: NodeId) -> Self {
        self.0.node.get_or_insert(node);
        self
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Shape {}

impl de::Error for Shape {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        match message.strip_prefix("expected ").and_then(|rest| rest.rsplit_once(", found ")) {
            Some((expected, found)) => {
                let message = format!("{found} is not of the form that is expected here");
                Self::new(codes::WRONG_FORM, message).expected(expected).help("correct the value")
            }
            None => Self::new(codes::WRONG_FORM, message),
        }
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let message = format!("{found} is not accepted here");
        Self::new(codes::WRONG_FORM, message).expected(in_words(&expected.to_string())).help("correct the value")
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let mut shape = Self::invalid_value(found, expected);
        shape.0.code = codes::WRONG_TYPE;
        shape
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        let message = format!("the list has {length} entries");
        Self::new(codes::WRONG_FORM, message).expected(expected.to_string()).help("correct the list")
    }

    fn missing_field(field: &'static str) -> Self {
        let message = format!("the key `{field}` is missing");
        let mut shape = Self::new(codes::MISSING_KEY, message).help(format!("add `{field}: ...`"));
        shape.0.missing = Some(field);
        shape
    }
}

/// Rust's names of number types in words.
fn in_words(expected: &str) -> String {
    match expected {
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        other => other.to_owned(),
    }
}
