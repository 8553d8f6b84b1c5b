//! Mappings: JSON values in which texts `${ ... }` are expressions.

use super::expressions::{Expr, Told, of_text};
use crate::{
    codes,
    contract::FieldMap,
    load::Project,
    problem::{Finding, Spot},
    read::Raw,
    tree::{Kind, NodeId, Tree},
    workflow::Mapping,
};
use serde_json::Value as Json;

/// A value and the expressions in it; `None` where one does not compile.
pub(crate) fn fields(project: &Project, raw: Raw, vars: &[&str], found: &mut Vec<Expr>) -> Option<FieldMap> {
    let tree = project.findings.tree(raw.spot.file)?;
    let mut reader = Fields { project, tree, file: raw.spot.file, vars, found, has_each: true };
    reader.node(raw.spot.node).ok()
}

/// The same for a workflow, whose language knows no `each`.
pub(crate) fn mapping(project: &Project, raw: Raw, vars: &[&str], found: &mut Vec<Expr>) -> Option<Mapping> {
    let tree = project.findings.tree(raw.spot.file)?;
    let mut reader = Fields { project, tree, file: raw.spot.file, vars, found, has_each: false };
    reader.node(raw.spot.node).ok().map(Mapping::from)
}

/// The list and the value of `{ each: ..., as: ... }`.
pub(crate) fn each(tree: &Tree, entries: &[(NodeId, NodeId)]) -> Option<(NodeId, NodeId)> {
    let [one, other] = entries else { return None };
    match (tree.text(one.0)?, tree.text(other.0)?) {
        ("each", "as") => Some((one.1, other.1)),
        ("as", "each") => Some((other.1, one.1)),
        _ => None,
    }
}

struct Fields<'a> {
    project: &'a Project,
    tree: &'a Tree,
    file: u32,
    vars: &'a [&'a str],
    found: &'a mut Vec<Expr>,
    /// Whether `{ each, as }` makes a list.
    has_each: bool,
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
            Kind::Map(entries) if self.has_each && each(tree, entries).is_some() => {
                let (list, map) = each(tree, entries).ok_or(Told)?;
                self.each(list, map)
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

impl Fields<'_> {
    /// A list of one value for each item of another.
    fn each(&mut self, list: NodeId, map: NodeId) -> Result<FieldMap, Told> {
        let tree = self.tree;
        let spot = Spot { file: self.file, node: list };
        let text = tree.text(list).and_then(|text| of_text(self.project, spot, text, self.vars));
        let Some(list) = text else {
            let finding = Finding::error(codes::EACH, spot, format!("found {}", tree.told(list)));
            self.project
                .push(finding.expected("`each: ${ ... }` that gives a list").help("name the list to go through"));
            return Err(Told);
        };
        let list = list?;
        self.found.push(list.clone());
        let mut vars = self.vars.to_vec();
        vars.extend(["whole", "index"].into_iter().filter(|name| !self.vars.contains(name)));
        let mut found = Vec::new();
        let (project, file) = (self.project, self.file);
        let made = Fields { project, tree, file, vars: &vars, found: &mut found, has_each: true }.node(map);
        self.found.extend(found.into_iter().map(|expr| Expr { of_item: true, ..expr }));
        Ok(FieldMap::Each { list: list.program, map: Box::new(made?) })
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
            // The mapping of a workflow has none.
            FieldMap::Each { list, .. } => Self::Expression(list),
            FieldMap::Object(entries) => {
                Self::Object(entries.into_iter().map(|(key, value)| (key, Self::from(value))).collect())
            }
        }
    }
}
