//! What the tests of this crate share: workflows from JSON, without the checks of a project.

use andon_contract::expr::{Program, embedded};
use andon_contract::workflow::{
    Backoff, Case, Consumption, DataFilter, Definition, Delay, Emit, ErrorFilter, ErrorMapping, EventFilter, For,
    Mapping, RetryPolicy, Schedule, Schemas, Settings, Task, TaskKind, Then, Try, VARIABLES,
};
use andon_model::span::Span;
use serde_json::Value as Json;

/// The variables in scope.
type Vars = Vec<String>;

/// A definition from `{"do": [...]}`, written as in the DSL.
pub(crate) fn definition(name: &str, document: Json) -> Definition {
    let vars: Vars = VARIABLES.iter().map(|v| (*v).to_owned()).collect();
    let schedule = document.pointer("/schedule/on/one/with").map(|with| {
        Schedule::On(Consumption::One(EventFilter {
            kind: text(with, "type").expect("a type"),
            attributes: Vec::new(),
            data: with.get("data").map(|data| DataFilter::Holds(program(data, &vars))),
            correlate: Vec::new(),
        }))
    });
    Definition {
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        hash: format!("hash of {name}"),
        schedule,
        input: mapping_at(&document, "/input/from", &vars),
        output: mapping_at(&document, "/output/as", &vars),
        schemas: Schemas::default(),
        timeout: delay(document.pointer("/timeout/after"), &vars),
        settings: Settings::default(),
        tasks: tasks(&document["do"], "/do", &vars),
        document,
    }
}

fn text(json: &Json, name: &str) -> Option<String> {
    json.get(name)?.as_str().map(str::to_owned)
}

fn program(json: &Json, vars: &Vars) -> Program {
    let source = json.as_str().expect("an expression is a text");
    let names: Vec<&str> = vars.iter().map(String::as_str).collect();
    Program::compile(embedded(source).unwrap_or(source), &names).expect("an expression")
}

fn mapping(json: &Json, vars: &Vars) -> Mapping {
    match json {
        Json::String(source) if embedded(source).is_some() => Mapping::Expression(program(json, vars)),
        Json::Array(items) => Mapping::List(items.iter().map(|item| mapping(item, vars)).collect()),
        Json::Object(fields) => Mapping::Object(fields.iter().map(|(k, v)| (k.clone(), mapping(v, vars))).collect()),
        other => Mapping::Constant(other.clone()),
    }
}

/// `from` and `as`: a plain text is an expression there.
fn mapping_at(json: &Json, pointer: &str, vars: &Vars) -> Option<Mapping> {
    let found = json.pointer(pointer)?;
    Some(if found.is_string() { Mapping::Expression(program(found, vars)) } else { mapping(found, vars) })
}

fn delay(json: Option<&Json>, vars: &Vars) -> Option<Delay> {
    let text = json?.as_str().expect("a duration or an expression");
    Some(match embedded(text) {
        Some(_) => Delay::Expression(program(json?, vars)),
        None => Delay::Fixed(Span::parse(text).expect("a duration")),
    })
}

fn then(json: &Json) -> Then {
    match json.get("then").and_then(Json::as_str) {
        None | Some("continue") => Then::Continue,
        Some("exit") => Then::Exit,
        Some("end") => Then::End,
        Some(name) => Then::Task(name.to_owned()),
    }
}

fn tasks(list: &Json, pointer: &str, vars: &Vars) -> Vec<Task> {
    let mut tasks = Vec::new();
    for (i, item) in list.as_array().expect("a list of tasks").iter().enumerate() {
        let (name, body) = item.as_object().and_then(|o| o.iter().next()).expect("a named task");
        let pointer = format!("{pointer}/{i}/{name}");
        tasks.push(Task {
            name: name.clone(),
            condition: body.get("if").map(|condition| program(condition, vars)),
            input: mapping_at(body, "/input/from", vars),
            output: mapping_at(body, "/output/as", vars),
            export: mapping_at(body, "/export/as", vars),
            schemas: Schemas::default(),
            timeout: delay(body.pointer("/timeout/after"), vars),
            compensate: Vec::new(),
            then: then(body),
            kind: kind(body, &pointer, vars),
            pointer,
        });
    }
    tasks
}

fn kind(body: &Json, pointer: &str, vars: &Vars) -> TaskKind {
    if let Some(list) = body.get("try") {
        return TaskKind::Try(Box::new(guarded(list, &body["catch"], pointer, vars)));
    }
    if let Some(of) = body.get("for") {
        let (each, at) = (text(of, "each"), text(of, "at"));
        let (each, at) = (each.unwrap_or_else(|| "item".into()), at.unwrap_or_else(|| "index".into()));
        let inner: Vars = vars.iter().chain([&each, &at]).cloned().collect();
        return TaskKind::For(Box::new(For {
            list: program(&of["in"], vars),
            condition: body.get("while").map(|condition| program(condition, &inner)),
            tasks: tasks(&body["do"], &format!("{pointer}/do"), &inner),
            each,
            at,
        }));
    }
    if let Some(fork) = body.get("fork") {
        let branches = tasks(&fork["branches"], &format!("{pointer}/fork/branches"), vars);
        return TaskKind::Fork { branches, compete: fork["compete"] == Json::Bool(true) };
    }
    if let Some(list) = body.get("do") {
        return TaskKind::Do(tasks(list, &format!("{pointer}/do"), vars));
    }
    if let Some(set) = body.get("set") {
        return TaskKind::Set(mapping(set, vars));
    }
    if let Some(cases) = body.get("switch") {
        let cases = cases.as_array().expect("a list of cases").iter().map(|item| {
            let (name, case) = item.as_object().and_then(|o| o.iter().next()).expect("a named case");
            Case { name: name.clone(), when: case.get("when").map(|w| program(w, vars)), then: then(case) }
        });
        return TaskKind::Switch(cases.collect());
    }
    if let Some(capability) = text(body, "call") {
        return TaskKind::Call { capability, with: body.get("with").map(|with| mapping(with, vars)) };
    }
    if let Some(with) = body.pointer("/emit/event/with") {
        return TaskKind::Emit(Emit {
            kind: text(with, "type").expect("a type"),
            source: with.get("source").map(|source| mapping(source, vars)),
            time: with.get("time").map(|time| mapping(time, vars)),
            subject: with.get("subject").map(|subject| mapping(subject, vars)),
            data: with.get("data").map(|data| mapping(data, vars)),
        });
    }
    if let Some(wait) = delay(body.get("wait"), vars) {
        return TaskKind::Wait(wait);
    }
    let error = body.pointer("/raise/error").expect("a kind of task");
    TaskKind::Raise(ErrorMapping {
        kind: mapping(&error["type"], vars),
        status: mapping(&error["status"], vars),
        title: error.get("title").map(|title| mapping(title, vars)),
        detail: error.get("detail").map(|detail| mapping(detail, vars)),
    })
}

fn guarded(list: &Json, catch: &Json, pointer: &str, vars: &Vars) -> Try {
    let variable = text(catch, "as").unwrap_or_else(|| "error".to_owned());
    let mut inner = vars.clone();
    inner.push(variable.clone());
    let with = catch.pointer("/errors/with");
    let filter = |name: &str| with.and_then(|with| text(with, name));
    Try {
        tasks: tasks(list, &format!("{pointer}/try"), vars),
        errors: ErrorFilter {
            kind: filter("type"),
            status: with.and_then(|with| with["status"].as_u64()).and_then(|n| u16::try_from(n).ok()),
            title: filter("title"),
            detail: filter("detail"),
            instance: filter("instance"),
        },
        variable,
        when: catch.get("when").map(|when| program(when, &inner)),
        except_when: catch.get("exceptWhen").map(|when| program(when, &inner)),
        retry: catch.get("retry").map(|retry| policy(retry, &inner)),
        handler: catch.get("do").map(|list| tasks(list, &format!("{pointer}/catch/do"), &inner)).unwrap_or_default(),
    }
}

fn policy(retry: &Json, vars: &Vars) -> RetryPolicy {
    let span = |pointer: &str| delay(retry.pointer(pointer), vars);
    RetryPolicy {
        when: retry.get("when").map(|when| program(when, vars)),
        except_when: retry.get("exceptWhen").map(|when| program(when, vars)),
        delay: span("/delay"),
        backoff: match retry.get("backoff").and_then(Json::as_object).and_then(|o| o.keys().next()).map(String::as_str)
        {
            Some("linear") => Backoff::Linear,
            Some("exponential") => Backoff::Exponential,
            _ => Backoff::Constant,
        },
        jitter: span("/jitter/from").zip(span("/jitter/to")),
        attempt: span("/limit/attempt/duration"),
        attempts: retry
            .pointer("/limit/attempt/count")
            .and_then(Json::as_u64)
            .map(|n| u32::try_from(n).expect("a small number")),
        duration: span("/limit/duration"),
    }
}

pub(crate) mod plant {
    //! A small contract: a site with an asset, one system for each idempotency class, and a workflow.

    use super::definition;
    use andon_contract::contract::{
        Address, Body, Capability, Content, Contract, Credentials, FieldMap, Idempotency, Lookup, Operation,
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
            request: request(),
            response: Response {
                document: None,
                output: FieldMap::Constant(Json::Null),
                content: Body::Json,
            },
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
            base: Address { env: None, default: "http://office".into() },
            reach: Reach::default(),
            credentials: Credentials::None,
            timeout: Span::from_secs(10),
            retry: Retry {
                first: Span::from_secs(1),
                max: Span::from_secs(8),
                factor: 2.0,
                within: Span::from_secs(3600),
            },
            concurrent: 4,
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
                lines: vec![OwnershipLine { domain: None, site: None, kind: None, owner: name("integration") }],
            },
            ..Contract::empty()
        }
    }
}
