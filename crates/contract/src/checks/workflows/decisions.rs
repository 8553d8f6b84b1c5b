//! Decisions of people that a task waits for: who decides, what is asked, what an answer must be, and by when.

use super::{Scope, Vars};
use crate::{
    checks::expressions::Told,
    codes,
    files::words::Named,
    files::workflows::{EscalateFile, SchemaFile, TaskMetadataFile},
    problem::{Finding, Spot},
    read::{At, Raw},
    tree::Kind,
    workflow::{Consumption, Decision, Delay, EventFilter, HUMAN_DECISION, Mapping, Until, ValueSchema},
};
use serde_json::Value as Json;

/// The longest question that is written out.
const QUESTION_MAX: usize = 500;

impl Scope<'_> {
    /// What a person is asked, where a `listen` waits for one.
    pub(super) fn decision(
        &mut self,
        to: &Consumption,
        metadata: Option<Raw>,
        spot: Spot,
        vars: &Vars,
    ) -> Result<Option<Box<Decision>>, Told> {
        match to {
            Consumption::One(filter) if filter.kind == HUMAN_DECISION => {
                self.bare(filter, spot)?;
                self.asked(metadata, spot, vars).map(|asked| Some(Box::new(asked)))
            }
            other if kinds(other).contains(&HUMAN_DECISION) => {
                let message = "a decision of a person is awaited beside other events";
                let finding = Finding::error(codes::DECISION, spot, message);
                self.project.push(finding.expected("`to: { one: { with: { type: human.decision } } }`").help(
                    "let a `fork` with `compete: true` hold one `listen` for the decision and one for the others",
                ));
                Err(Told)
            }
            _ => Ok(None),
        }
    }

    /// Which decision is meant is known: it is the one that the task asks for.
    fn bare(&self, filter: &EventFilter, spot: Spot) -> Result<(), Told> {
        if filter.attributes.is_empty() && filter.data.is_none() && filter.correlate.is_empty() {
            return Ok(());
        }
        let finding = Finding::error(codes::DECISION, spot, "the decision that is meant is filtered");
        self.project.push(finding.expected("`with: { type: human.decision }` alone").help(
            "leave out what stands beside the type: the task hears the answer to its own question and no other; \
             what the answer may be says `metadata.form`",
        ));
        Err(Told)
    }

    fn asked(&mut self, metadata: Option<Raw>, spot: Spot, vars: &Vars) -> Result<Decision, Told> {
        let file = self.metadata_of(metadata)?;
        let owner = self.decides(&file, spot);
        let form = self.form(&file, spot);
        let question = file.question.map(|raw| self.question(raw, vars)).transpose();
        let due = self.delay_of(file.due, vars);
        let escalate = file.escalate.map(|raw| self.escalation(raw, vars)).transpose();
        Ok(Decision { owner: owner?, question: question?, form: form?, due: due?, escalate: escalate? })
    }

    fn decides(&self, file: &TaskMetadataFile, spot: Spot) -> Result<andon_model::Name, Told> {
        let Some(raw) = file.owner else {
            let finding = Finding::error(codes::DECISION, spot, "nobody is asked: the decision has no owner");
            self.project
                .push(finding.expected("`metadata: { owner: <team> }` at the task").help("name the team that decides"));
            return Err(Told);
        };
        let owner: At<Named> = self.read(raw.spot)?;
        if let Some(owners) = self.owners {
            owners.expect(self.project, &owner);
        }
        Ok(owner.value.0)
    }

    /// What an answer must be: a schema, or the name of one.
    fn form(&self, file: &TaskMetadataFile, spot: Spot) -> Result<ValueSchema, Told> {
        let Some(raw) = file.form else {
            let finding =
                Finding::error(codes::DECISION, spot, "nobody knows what an answer is: the decision has no form");
            self.project.push(finding.expected("`metadata: { form: <JSON Schema> }` at the task").help(
                "describe the answer, for example `form: { type: object, properties: { approve: { type: boolean } } }`",
            ));
            return Err(Told);
        };
        let tree = self.project.findings.tree(raw.spot.file).ok_or(Told)?;
        if matches!(tree.node(raw.spot.node).kind, Kind::Map(_)) {
            let schema = SchemaFile { format: None, document: Some(raw), resource: None };
            return self.schema(Some(schema))?.ok_or(Told);
        }
        let name = tree.text(raw.spot.node).unwrap_or_default();
        let name = name.strip_prefix("andon:").unwrap_or(name);
        let Some(schema) = self.schemas.json(name) else {
            let finding = Finding::error(codes::DECISION, raw.spot, format!("`{name}` is no schema of the project"));
            self.project.push(
                finding
                    .expected("a JSON Schema, or `<Name>/<major>`")
                    .help("write the schema here, or put it into `schemas/`"),
            );
            return Err(Told);
        };
        ValueSchema::compile(schema.clone()).map_err(|_| Told)
    }

    fn question(&mut self, raw: Raw, vars: &Vars) -> Result<Mapping, Told> {
        let question = self.text(raw, vars)?;
        if let Mapping::Constant(Json::String(text)) = &question
            && (text.trim().is_empty() || text.chars().count() > QUESTION_MAX)
        {
            let message = format!("a question has 1 to {QUESTION_MAX} characters");
            self.project.push(Finding::error(codes::DECISION, raw.spot, message).help("ask in one sentence"));
            return Err(Told);
        }
        Ok(question)
    }

    fn escalation(&mut self, raw: Raw, vars: &Vars) -> Result<(Delay, andon_model::Name), Told> {
        let file: EscalateFile = self.read(raw.spot)?;
        if let Some(owners) = self.owners {
            owners.expect(self.project, &file.to);
        }
        Ok((self.delay(file.after, vars)?, file.to.value.0))
    }
}

/// All types of events that a strategy names.
fn kinds(to: &Consumption) -> Vec<&str> {
    match to {
        Consumption::One(filter) => vec![filter.kind.as_str()],
        Consumption::All(filters) => filters.iter().map(|filter| filter.kind.as_str()).collect(),
        Consumption::Any { filters, until } => {
            let mut all: Vec<&str> = filters.iter().map(|filter| filter.kind.as_str()).collect();
            if let Some(Until::Events(events)) = until {
                all.extend(kinds(events));
            }
            all
        }
    }
}
