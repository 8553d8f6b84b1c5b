//! The types of the files people write: one module per folder. Their fields' docs become the JSON Schemas that editors
//! read; keys they do not name are refused.

pub(crate) mod assets;
pub(crate) mod capabilities;
pub(crate) mod classes;
pub(crate) mod exceptions;
pub(crate) mod file;
pub(crate) mod http;
pub(crate) mod identifiers;
pub(crate) mod listeners;
pub(crate) mod not_built;
pub(crate) mod ownership;
pub(crate) mod policy;
pub(crate) mod project;
pub(crate) mod reach;
pub(crate) mod reads;
pub(crate) mod reduction;
pub(crate) mod retention;
pub(crate) mod routes;
pub(crate) mod rules;
pub(crate) mod scenarios;
pub(crate) mod shdr;
pub(crate) mod shelving;
pub(crate) mod sources;
pub(crate) mod subscribers;
pub(crate) mod systems;
pub(crate) mod tls;
pub(crate) mod words;
pub(crate) mod workflows;
