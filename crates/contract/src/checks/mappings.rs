//! Mappings: JSON values in which texts `${ ... }` are expressions.

use super::expressions::{Expr, Told, of_text};
use crate::{
    contract::FieldMap,
    load::Project,
    problem::Spot,
    read::Raw,
    tree::{Kind, NodeId, Tree},
    workflow::Mapping,
};
use serde_json::Value as Json;

/// A value and the expressions in it; `None` where one does not compile.
pub(crate) fn fields(project: &Project, raw: Raw, vars: &[&str], found: &mut Vec<Expr>) -> Option<FieldMap> {
    let tree = project.findings.tree(raw.spot.file)?;
    let mut reader = Fields { project, tree, file: raw.spot.file, vars, found };
    reader.node(raw.spot.node).ok()
}

/// The same for a workflow.
pub(crate) fn mapping(project: &Project, raw: Raw, vars: &[&str], found: &mut Vec<Expr>) -> Option<Mapping> {
    fields(project, raw, vars, found).map(Mapping::from)
}

struct Fields<'a> {
    project: &'a Project,
    tree: &'a Tree,
    file: u32,
    vars: &'a [&'a str],
    found: &'a mut Vec<Expr>,
}

impl Fields<'_> {
    fn node(&mut self, id: NodeId) -> Result<FieldMap, Told> {
        let tree = self.tree;
        match &tree.node(id).kind {
            Kind::Scalar { text, .. } => {
                let spot = Spot { file: self.file, node: id };
                match of_text(self.project, spot, text, self.vars) {
                    None => Ok(FieldMap::Constant(tree.json(id))),
                    Some(expr) => {
                        let expr = expr?;
                        self.found.push(expr.clone());
                        Ok(FieldMap::Expression(expr.program))
                    }
                }
            }
            Kind::List(items) => {
                // All are looked at, so that all problems are told.
                let items: Vec<_> = items.iter().map(|item| self.node(*item)).collect();
                let items: Vec<FieldMap> = items.into_iter().collect::<Result<_, _>>()?;
                let constant: Option<Vec<Json>> = items.iter().map(constant).collect();
                Ok(constant.map_or(FieldMap::List(items), |list| FieldMap::Constant(Json::Array(list))))
            }
            Kind::Map(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(key, value)| Ok((tree.text(*key).unwrap_or_default().to_owned(), self.node(*value)?)))
                    .collect::<Vec<Result<_, Told>>>();
                let entries: Vec<(String, FieldMap)> = entries.into_iter().collect::<Result<_, _>>()?;
                let constant: Option<serde_json::Map<String, Json>> =
                    entries.iter().map(|(key, value)| Some((key.clone(), self::constant(value)?))).collect();
                Ok(constant.map_or(FieldMap::Object(entries), |map| FieldMap::Constant(Json::Object(map))))
            }
        }
    }
}

fn constant(map: &FieldMap) -> Option<Json> {
    match map {
        FieldMap::Constant(json) => Some(json.clone()),
        _ => None,
    }
}

impl From<FieldMap> for Mapping {
    fn from(map: FieldMap) -> Self {
        match map {
            FieldMap::Constant(json) => Self::Constant(json),
            FieldMap::Expression(program) => Self::Expression(program),
            FieldMap::List(items) => Self::List(items.into_iter().map(Self::from).collect()),
            FieldMap::Object(entries) => {
                Self::Object(entries.into_iter().map(|(key, value)| (key, Self::from(value))).collect())
            }
        }
    }
}
