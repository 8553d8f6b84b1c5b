//! What is handed to capabilities and events, by what is known of it: told where it surely does not fit.

use super::{
    infer::Walk,
    types::{Type, kinds_of},
};
use crate::{
    checks::shapes,
    codes,
    expr::Step,
    problem::{Finding, Spot},
    workflow::Mapping,
};
use serde_json::Value as Json;

impl Walk<'_, '_> {
    /// Tells where something that is handed over surely does not fit its schema.
    pub(super) fn handed(&mut self, mapping: &Mapping, given: &Type, reference: &str) {
        match mapping {
            Mapping::Expression(program) => {
                if let Some(expr) = self.exprs.get(&program.identity()) {
                    self.fits(given, reference, expr.spot);
                }
            }
            Mapping::Object(fields) => {
                let Some(schema) = self.described(reference) else { return };
                for (name, value) in fields {
                    let Mapping::Expression(program) = value else { continue };
                    let given = given.follow(&[Step::Key(name.clone())]).unwrap_or(Type::Any);
                    if let Some(message) = misfit(&given, &schema, name) {
                        let message = format!("`{name}` does not fit {reference}: {message}");
                        self.tell(program, codes::INPUT, message, "correct the expression, or the schema");
                    }
                }
            }
            Mapping::Constant(_) | Mapping::List(_) => {}
        }
    }

    /// The same for an object whose fields are known.
    pub(super) fn fits(&mut self, given: &Type, reference: &str, spot: Spot) {
        let (Some(schema), true) = (self.described(reference), self.telling) else { return };
        let push = |message: String| {
            let finding = Finding::error(codes::INPUT, spot, message);
            self.scope.project.push(finding.help("make what it wants, by `with` or in a task before"));
        };
        let Some(fields) = given.fields() else {
            if let Some(kinds) = given.kinds().filter(|kinds| !kinds.contains("object")) {
                let kinds = kinds.into_iter().collect::<Vec<_>>().join(" or ");
                push(format!("{reference} is an object, and here it would be given {kinds}"));
            }
            return;
        };
        for (name, of) in fields {
            if let Some(message) = misfit(of, &schema, name) {
                push(format!("`{name}` does not fit {reference}: {message}"));
            } else if shapes::follow(&schema, &[Step::Key(name.clone())]).is_err() {
                push(format!("{reference} has no `{name}`, which would be given here"));
            }
        }
        for required in schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str) {
            if !fields.iter().any(|(name, _)| name == required) {
                push(format!("{reference} demands `{required}`, which is missing here"));
            }
        }
    }
}

/// Why a value surely does not fit the field of a schema; nothing is sure where null may come and may stand.
fn misfit(given: &Type, schema: &Json, name: &str) -> Option<String> {
    let wanted = kinds_of(shapes::at(schema, &[Step::Key(name.to_owned())])?)?;
    let kinds = given.kinds()?;
    if wanted.contains("null") || kinds.iter().any(|kind| wanted.contains(kind)) {
        return None;
    }
    let join = |kinds: std::collections::BTreeSet<&str>| kinds.into_iter().collect::<Vec<_>>().join(" or ");
    Some(format!("it is {}, and the schema wants {}", join(kinds), join(wanted)))
}
