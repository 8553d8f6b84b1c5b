//! What the tests of this crate share: workflows from JSON, read as a project reads them, and a small plant.

use andon_contract::workflow::{Definition, read};
use serde_json::{Value as Json, json};

/// A definition from `{"do": [...]}`, written as in the DSL; what `document` needs is added.
pub(crate) fn definition(name: &str, mut document: Json) -> Definition {
    document["document"] = json!({"dsl": "1.0.3", "namespace": "test", "name": name, "version": "1.0.0"});
    read(name, &document.to_string()).unwrap_or_else(|problems| panic!("{document:#}\n{problems}"))
}

pub(crate) mod plant {
    //! A small contract: a site with an asset, one system for each idempotency class, and a workflow.

    use super::definition;
    use andon_contract::contract::{
        Address, Body, Capability, Content, Contract, Credentials, FieldMap, Idempotency, Lookup, Narrow, Operation,
        OperationRef, Ownership, OwnershipLine, Reach, Request, Response, Retry, Route, System, Target, Team, Validity,
    };
    use andon_contract::expr::Program;
    use andon_model::{Name, Schemas, span::Span};
    use serde_json::{Value as Json, json};

    use std::sync::Arc;

    pub(crate) fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn request() -> Request {
        let (path, query, headers) = (Vec::new(), Vec::new(), Vec::new());
        Request { method: "POST".into(), path, query, headers, body: None, content: Content::default() }
    }

    fn operation(capability: &str, idempotency: Idempotency) -> Operation {
        Operation {
            implements: capability.to_owned(),
            idempotency,
            narrow: Narrow::default(),
            request: request(),
            response: Response { document: None, output: FieldMap::Constant(Json::Null), content: Body::Json },
            paging: None,
        }
    }

    fn system(operations: &[(&str, &str)]) -> System {
        let operations = operations.iter().map(|(class, capability)| {
            let idempotency = match *class {
                "key" => Idempotency::Key,
                "upsert" => Idempotency::Upsert,
                "read" => Idempotency::Read,
                "lookup" => Idempotency::Lookup(Box::new(Lookup {
                    by: "reference".into(),
                    settle: Span::from_secs(60),
                    request: request(),
                    found: Program::compile(".", &[]).unwrap(),
                    paging: None,
                })),
                _ => Idempotency::None,
            };
            (name(class), operation(capability, idempotency))
        });
        System {
            zone: name("plant"),
            test: false,
            maturity: None,
            base: Address { env: None, default: "http://office".into() },
            reach: Reach::default(),
            credentials: Credentials::None,
            timeout: Span::from_secs(10),
            retry: Retry {
                first: Span::from_secs(1),
                max: Span::from_secs(8),
                within: Span::from_secs(3600),
                ..Retry::DEFAULT
            },
            concurrent: 4,
            adaptive: false,
            breaker: None,
            rate: None,
            operations: operations.collect(),
            reads: std::collections::BTreeMap::new(),
        }
    }

    fn capability(effect: Option<&str>) -> Capability {
        Capability {
            version: 1,
            domain: "maintenance".into(),
            owner: name("planning"),
            effect: effect.map(str::to_owned),
            input: "Work/1".into(),
            output: [("document".to_owned(), "string".to_owned())].into(),
            output_schema: None,
            objective: None,
            deprecated: None,
        }
    }

    pub(crate) fn route(capability: &str, target: &str, fallback: &[&str]) -> Route {
        let parse = |text: &str| {
            let (system, operation) = text.split_once('.').unwrap();
            OperationRef { system: name(system), operation: name(operation) }
        };
        Route {
            capability: capability.to_owned(),
            site: None,
            target: if target == "none" {
                Target::None { reason: "there is no such system here".into() }
            } else {
                Target::Operation(parse(target))
            },
            fallback: fallback.iter().map(|text| parse(text)).collect(),
            shadow: Vec::new(),
            valid: Validity::ALWAYS,
            line: 1,
        }
    }

    /// Capabilities `work.lookup`, `work.key`, `work.upsert`, `work.none` and `work.read`, each routed to the
    /// operation of that class of the system `eam`; `second.*` is the same once more, for fallbacks.
    pub(crate) fn contract(workflows: &[(&str, Json)]) -> Contract {
        let classes = ["lookup", "key", "upsert", "none", "read"];
        let capabilities: Vec<String> = classes.iter().map(|class| format!("work.{class}")).collect();
        let operations: Vec<(&str, &str)> =
            classes.iter().zip(&capabilities).map(|(class, capability)| (*class, capability.as_str())).collect();
        let schema = json!({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}});
        Contract {
            revision: "r1".into(),
            schemas: Schemas::with(vec![
                ("Work".into(), "1.0".into(), schema.clone()),
                ("work.done".into(), "1.0".into(), schema),
            ])
            .unwrap(),
            workflows: workflows.iter().map(|(n, json)| (name(n), Arc::new(definition(n, json.clone())))).collect(),
            capabilities: capabilities
                .iter()
                .map(|c| (c.clone(), capability((!c.ends_with("read")).then_some("creates Work"))))
                .collect(),
            systems: [(name("eam"), system(&operations)), (name("second"), system(&operations))].into(),
            routes: classes.iter().map(|c| route(&format!("work.{c}"), &format!("eam.{c}"), &[])).collect(),
            ownership: Ownership {
                teams: [(name("planning"), Team::default()), (name("integration"), Team::default())].into(),
                lines: vec![OwnershipLine::everything(name("integration"))],
                ..Ownership::default()
            },
            ..Contract::empty()
        }
    }
}
