//! Every construct of the language, read from a file by itself.

use crate::workflow::{
    Backoff, Catchup, Consumption, DataFilter, Definition, Delay, Mapping, Placement, ReadAs, Schedule, TaskKind, Then,
    Until, VARIABLES,
};
use andon_model::span::Span;

fn read(name: &str, text: &str) -> Result<Definition, String> {
    crate::checks::alone(name, text, true)
}

/// A workflow whose document is written for it.
fn whole(rest: &str) -> Result<Definition, String> {
    let head = "document: { dsl: 1.0.3, namespace: plant, name: it, version: 1.0.0 }\n";
    read("it", &format!("{head}{rest}"))
}

fn good(rest: &str) -> Definition {
    whole(rest).unwrap_or_else(|told| panic!("{told}"))
}

/// The one task of a workflow.
fn kind(task: &str) -> TaskKind {
    let lines: Vec<String> = task.lines().map(|line| format!("      {line}")).collect();
    good(&format!("do:\n  - it:\n{}\n", lines.join("\n"))).tasks.remove(0).kind
}

fn told(rest: &str) -> String {
    whole(rest).map(|_| ()).expect_err("a refusal")
}

fn vars(program: &crate::expr::Program) -> Vec<String> {
    program.vars().skip(VARIABLES.len()).map(str::to_owned).collect()
}

#[test]
fn a_loop_knows_its_list_and_its_variables() {
    let TaskKind::For(found) = kind(
        "for: { each: color, in: .colors, at: number }\nwhile: $number < 3\ndo:\n  - mark: { set: { last: '${ \
         $color }' } }",
    ) else {
        panic!("no loop")
    };
    assert_eq!((found.each.as_str(), found.at.as_str(), found.list.source()), ("color", "number", ".colors"));
    assert_eq!(vars(found.condition.as_ref().unwrap()), ["color", "number"]);
    assert_eq!(found.tasks[0].pointer, "/do/0/it/do/0/mark");
    let TaskKind::For(found) = kind(
        "for: { in: '${ .a }' }\ndo:\n  - inner:\n      for: { in: $item }\n      do:\n        - x: { set: { \
         y: '${ $item }' } }",
    ) else {
        panic!("no loop")
    };
    // The inner item hides the outer one.
    let TaskKind::For(inner) = &found.tasks[0].kind else { panic!("no loop") };
    let TaskKind::Set(Mapping::Object(fields)) = &inner.tasks[0].kind else { panic!("no set") };
    let Mapping::Expression(y) = &fields[0].1 else { panic!("no expression") };
    assert_eq!(vars(y), ["item'", "index'", "item", "index"]);
}

#[test]
fn branches_are_lists_of_their_own() {
    let TaskKind::Fork { branches, compete } = kind(
        "fork:\n  compete: true\n  branches:\n    - a: { set: { x: 1 } }\n    - b: { set: { x: 2 }, then: \
        exit }",
    ) else {
        panic!("no fork")
    };
    assert!(compete);
    assert_eq!(branches[1].pointer, "/do/0/it/fork/branches/1/b");
    assert_eq!(branches[1].then, Then::Exit);
    let told = told(
        "do:\n  - it:\n      fork: { branches: [{ a: { set: { x: 1 }, then: b } }, { b: { set: { x: \
        1 } } }] }\n",
    );
    assert!(told.contains("A3107"), "{told}");
}

#[test]
fn a_listener_says_which_events_and_when_it_has_enough() {
    let text = "listen:\n  read: envelope\n  to:\n    any:\n      - with: { type: a.b, subject: '${ .order }', \
    data: '${ .n > 1 }' }\n        \
                correlate: { order: { from: .data.order, expect: $input.order }, site: { from: '${ .site }', \
                expect: hamburg } }\n    \
                until: .data.n > 5\nforeach:\n  item: event\n  do:\n    - keep: { set: { last: '${ $event }' } }\n  \
                output: { as: .last }\n  export: { as: '${ $context + {n: $index} }' }";
    let TaskKind::Listen(found) = kind(text) else { panic!("no listener") };
    assert_eq!(found.read, ReadAs::Envelope);
    let Consumption::Any { filters, until: Some(Until::Condition(_)) } = &found.to else { panic!("{:?}", found.to) };
    assert_eq!(filters[0].attributes[0].0, "subject");
    let Some(DataFilter::Holds(holds)) = &filters[0].data else { panic!("no filter") };
    assert_eq!(holds.vars().count(), 0);
    let correlate = &filters[0].correlate;
    assert_eq!((correlate[0].name.as_str(), correlate[0].from.source()), ("order", ".data.order"));
    assert!(matches!(&correlate[1].expect, Some(Mapping::Constant(json)) if json == "hamburg"));
    let foreach = found.foreach.unwrap();
    assert_eq!(foreach.tasks[0].pointer, "/do/0/it/foreach/do/0/keep");
    assert!(matches!(foreach.output, Some(Mapping::Expression(program)) if vars(&program) == ["event", "index"]));
    for (until, is) in [("false", "Never"), ("{ one: { with: { type: c.d } } }", "Events")] {
        let text = format!("listen: {{ to: {{ any: [], until: {until} }} }}");
        let TaskKind::Listen(found) = kind(&text) else { panic!("no listener") };
        assert!(format!("{:?}", found.to).contains(is), "{:?}", found.to);
    }
    let TaskKind::Listen(all) =
        kind("listen: { to: { all: [{ with: { type: a.b } }, { with: { type: c.d, data: { n: 1 } } }] } }")
    else {
        panic!("no listener")
    };
    let Consumption::All(filters) = all.to else { panic!("{:?}", all.to) };
    assert!(matches!(filters[1].data, Some(DataFilter::Equals(Mapping::Constant(_)))));
    for (to, code) in [
        ("{ one: { with: { type: a.b } }, all: [] }", "A3117"),
        ("{ one: { with: { type: a.b } }, until: false }", "A3117"),
        ("{ all: [] }", "A3117"),
        ("{ one: { with: { type: a.b, colour: red } } }", "A0102"),
    ] {
        let told = told(&format!("do:\n  - it:\n      listen: {{ to: {to} }}\n"));
        assert!(told.contains(code), "{told}");
    }
}

#[test]
fn durations_are_texts_objects_and_expressions() {
    let TaskKind::Wait(Delay::Fixed(span)) = kind("wait: { minutes: 1, seconds: 5 }") else { panic!("no span") };
    assert_eq!(span, Span::from_secs(65));
    assert!(matches!(kind("wait: PT30S"), TaskKind::Wait(Delay::Fixed(_))));
    assert!(matches!(kind("wait: '${ .pause }'"), TaskKind::Wait(Delay::Expression(_))));
    assert!(
        told("do: [{ it: { wait: soon } }]\n").contains("A0104")
            || told("do: [{ it: { wait: soon } }]\n").contains("A01")
    );
    let found = good(
        "timeout: long\nuse: { timeouts: { long: { after: '${ .limit }' } } }\ndo: [{ it: { set: { a: 1 }, \
         timeout: { after: 5 s } } }]\n",
    );
    assert!(matches!(found.timeout, Some(Delay::Expression(_))));
    assert!(matches!(found.tasks[0].timeout, Some(Delay::Fixed(_))));
    assert!(
        told("timeout: lnog\nuse: { timeouts: { long: { after: 1 s } } }\ndo: [{ it: { set: { a: 1 } } }]\n")
            .contains("did you mean `long`")
    );
}

#[test]
fn errors_repetitions_and_functions_have_names() {
    let found = good(
        "use:\n  errors: { late: { type: 'https://x/late', status: 504, title: '${ .t }' } }\n  \
         retries: { thrice: { when: $error.status == 503, delay: '${ .d }', backoff: { linear: {} }, jitter: { \
         from: 1 s, to: 2 s }, limit: { attempt: { count: 3, duration: 5 s }, duration: PT1H } } }\n  \
         functions: { greet: { set: { hello: '${ .name }' } } }\n\
         do:\n  - guard:\n      try:\n        - raise: { raise: { error: late } }\n      catch: { retry: \
         thrice, errors: { with: { details: x } } }\n  \
         - greet: { call: greet, with: { name: '${ .who }' } }\n",
    );
    let TaskKind::Try(guard) = &found.tasks[0].kind else { panic!("no try") };
    assert!(matches!(&guard.tasks[0].kind, TaskKind::Raise(error) if error.title.is_some()));
    assert_eq!(guard.errors.detail.as_deref(), Some("x"));
    let retry = guard.retry.as_ref().unwrap();
    assert_eq!((retry.attempts, retry.backoff), (Some(3), Backoff::Linear));
    assert!(matches!(retry.delay, Some(Delay::Expression(_))));
    assert!(retry.jitter.is_some() && retry.attempt.is_some() && retry.duration.is_some());
    assert_eq!(vars(retry.when.as_ref().unwrap()), ["error"]);
    let TaskKind::Function { with: Some(_), tasks } = &found.tasks[1].kind else { panic!("no function") };
    assert_eq!(tasks[0].pointer, "/do/1/greet/call/greet");
    let told =
        told("use: { functions: { a: { call: b }, b: { do: [{ c: { call: a } }] } } }\ndo: [{ it: { call: a } }]\n");
    assert!(told.contains("A3119"), "{told}");
}

#[test]
fn other_workflows_are_run_and_waited_for_or_not() {
    let TaskKind::Run(run) =
        kind("run: { workflow: { namespace: plant, name: other, version: 1.2.0, input: { a: '${ .b }' } } }")
    else {
        panic!("no run")
    };
    assert_eq!((run.name.as_str(), run.version.as_deref(), run.wait), ("other", Some("1.2.0"), true));
    let found = good(
        "do: [{ it: { run: { workflow: { namespace: plant, name: other, version: latest }, await: false, \
         return: none } } }]\n",
    );
    let TaskKind::Run(run) = &found.tasks[0].kind else { panic!("no run") };
    assert_eq!((run.version.as_deref(), run.wait), (None, false));
    assert!(matches!(&found.tasks[0].output, Some(Mapping::Constant(json)) if json.is_null()));
    for (what, help) in [
        ("container: { image: x }", "capability"),
        ("script: { language: js, code: x }", "expressions"),
        ("shell: { command: ls }", "capability"),
    ] {
        let told = told(&format!("do: [{{ it: {{ run: {{ {what} }} }} }}]\n"));
        assert!(told.contains("A3109") && told.contains(help), "{told}");
    }
}

#[test]
fn schedules_are_events_spans_and_cron() {
    let task = "do: [{ it: { set: { a: 1 } } }]\n";
    let of = |schedule: &str| good(&format!("schedule: {schedule}\n{task}")).schedule.unwrap();
    assert!(matches!(of("{ every: { minutes: 15 } }"), Schedule::Every(span) if span == Span::from_secs(900)));
    assert!(matches!(of("{ after: PT5S }"), Schedule::After(_)));
    assert!(matches!(of("{ cron: '0 2 * * mon-fri' }"), Schedule::Cron(_)));
    assert!(matches!(
        of("{ on: { any: [{ with: { type: a.b } }, { with: { type: c.d, site: hamburg } }] } }"),
        Schedule::On(Consumption::Any { .. })
    ));
    assert!(matches!(
        of("{ on: { all: [{ with: { type: a.b }, correlate: { order: { from: .data.order } } }] } }"),
        Schedule::On(Consumption::All(_))
    ));
    for (schedule, code) in [
        ("{ every: 1 h, cron: '@daily' }", "A3116"),
        ("{}", "A3116"),
        ("{ every: 0 s }", "A3116"),
        ("{ every: '${ .a }' }", "A01"),
        ("{ cron: '0 25 * * *' }", "A3116"),
        ("{ on: { one: { with: { type: a.b, subject: '${ .a }' } } } }", "A3117"),
        ("{ on: { any: [] } }", "A3117"),
        ("{ on: { any: [{ with: { type: a.b } }], until: false } }", "A3117"),
    ] {
        let told = told(&format!("schedule: {schedule}\n{task}"));
        assert!(told.contains(code), "{schedule}: {told}");
    }
    let found = good(&format!("schedule: {{ cron: '@daily' }}\nmetadata: {{ catchup: all }}\n{task}"));
    assert_eq!(found.settings.catchup, Catchup::All);
    assert!(told(&format!("metadata: {{ catchup: all }}\n{task}")).contains("A3116"));
}

#[test]
fn what_is_said_beside_the_language_is_read() {
    let task = "do:\n  - it:\n      call: a.b\n      metadata:\n        compensate: [{ undo: { call: a.c, \
    with: { x: '${ .output }' } } }]\n        position: [1, 2]\n";
    let found = good(&format!(
        "metadata: {{ owner: planning, limits: {{ runs: 2, history: 50, payload: 1 MiB }}, placement: edge, \
         revoked: wrong order, on-fault: compensate, author: me }}\n{task}"
    ));
    let settings = &found.settings;
    assert_eq!(settings.owner.as_ref().unwrap().as_str(), "planning");
    assert_eq!((settings.runs, settings.history, settings.payload), (Some(2), Some(50), Some(1 << 20)));
    assert_eq!((settings.placement, settings.compensate), (Placement::Edge, true));
    assert_eq!(settings.revoked.as_deref(), Some("wrong order"));
    assert_eq!(found.tasks[0].compensate[0].pointer, "/do/0/it/metadata/compensate/0/undo");
    assert!(told(&format!("metadata: {{ ownr: planning }}\n{task}")).contains("nearly `owner`"));
    let misplaced = read(
        "it",
        &format!(
            "document: {{ dsl: 1.0.3, namespace: p, name: it, version: 1.0.0, metadata: {{ owner: x }} }}\n{task}"
        ),
    );
    assert!(misplaced.unwrap_err().contains("beside `document`"));
}

#[test]
fn schemas_are_written_out_or_named() {
    let found = good(
        "input: { schema: { format: json, document: { type: object, required: [a] } } }\n\
         output: { schema: { resource: { endpoint: 'andon:ProductionOrder/1' } } }\ndo: [{ it: { set: { a: \
         1 }, export: { schema: { document: { type: object } } } } }]\n",
    );
    assert!(found.schemas.input.as_ref().unwrap().check(&serde_json::json!({})).is_err());
    assert!(found.schemas.output.is_some() && found.tasks[0].schemas.export.is_some());
    for (schema, told_of) in [
        ("{ format: avro, document: {} }", "A3109"),
        ("{ resource: { endpoint: 'https://x/y.json' } }", "not fetched"),
        ("{ document: { type: 7 } }", "A6117"),
    ] {
        let told = told(&format!("input: {{ schema: {schema} }}\ndo: [{{ it: {{ set: {{ a: 1 }} }} }}]\n"));
        assert!(told.contains(told_of), "{told}");
    }
}

#[test]
fn what_is_refused_says_what_to_do_instead() {
    for (text, help) in [
        ("use: { extensions: [] }\ndo: [{ it: { set: { a: 1 } } }]\n", "function"),
        ("use: { catalogs: {} }\ndo: [{ it: { set: { a: 1 } } }]\n", "use.functions"),
        ("use: { secrets: [token] }\ndo: [{ it: { set: { a: 1 } } }]\n", "env:NAME"),
        ("do: [{ it: { set: { a: '${ $secrets.token }' } } }]\n", "authentication"),
        ("do: [{ it: { call: grpc } }]\n", "systems/"),
        ("do: [{ it: { emit: { event: { with: { type: a.b, id: x } } } } }]\n", "derived"),
        ("do: [{ it: { emit: { event: { with: { type: a.b, time: soon } } } } }]\n", "no time"),
        ("do: [{ it: { for: { in: .a, each: input }, do: [{ x: { wait: 1 s } }] } }]\n", "A3113"),
        ("do: [{ it: { for: { in: .a, each: x, at: x }, do: [{ x: { wait: 1 s } }] } }]\n", "two things"),
    ] {
        let told = told(text);
        assert!(told.contains(help), "{text}: {told}");
    }
}

/// Paths that lead nowhere, of a list of tasks.
fn nowhere(tasks: &str) -> Vec<String> {
    match whole(&format!("do:\n{tasks}")) {
        Ok(_) => Vec::new(),
        Err(told) => {
            let lines = told.lines().filter(|line| line.contains("error["));
            lines.map(|line| line.split("]: ").nth(1).unwrap_or(line).to_owned()).collect()
        }
    }
}

#[test]
fn what_flows_from_task_to_task_is_read_as_it_is() {
    let told = |tasks: &str, message: &str| {
        let found = nowhere(tasks);
        assert!(found.len() == 1 && found[0].contains(message), "{tasks}\n{found:?}");
    };
    // What a task makes is what the next one reads.
    told(
        "  - a: { set: { order: 1 } }\n  - b: { set: { x: '${ .oder }' } }\n",
        "`.oder` leads nowhere: what is made before has no `oder`",
    );
    told("  - a: { set: { list: [{ n: 1 }] } }\n  - b: { set: { x: '${ .list[0].m }' } }\n", "has no `m`");
    told("  - a: { set: { text: hello } }\n  - b: { set: { x: '${ .text.more }' } }\n", "a text has no `more`");
    told("  - a: { set: { list: [1] } }\n  - b: { set: { x: '${ .list.n }' } }\n", "a list has no `n`");
    // Filters change what is read: of `output`, of `export`, of `input`.
    told("  - a: { set: { n: { m: 1 } }, output: { as: .n } }\n  - b: { set: { x: '${ .n }' } }\n", "has no `n`");
    told("  - a: { set: { n: 1 }, output: { as: .m } }\n", "has no `m`");
    told(
        "  - a: { set: { n: 1 }, export: { as: '${ { kept: .n } }' } }\n  - b: { set: { x: '${ $context.kpt }' } }\n",
        "`$context.kpt`",
    );
    told(
        "  - a: { set: { n: { m: 1 } } }\n  - b: { input: { from: .n }, set: { x: '${ .m }', y: '${ \
         $input.n }' } }\n",
        "`$input.n`",
    );
    // Variables of what stands around.
    told(
        "  - a: { set: { list: [{ n: 1 }] } }\n  - b: { for: { each: one, in: .list }, do: [{ c: { set: { x: \
         '${ $one.m }' } } }] }\n",
        "`$one.m`",
    );
    told(
        "  - a: { try: [{ b: { wait: 1 s } }], catch: { do: [{ c: { set: { x: '${ $error.state }' } } }] } }\n",
        "an error has no `state`",
    );
    told(
        "  - a: { set: { n: 1 }, metadata: { compensate: [{ u: { set: { x: '${ .outptu }' } } }] } }\n",
        "what is undone has no `outptu`",
    );
    told(
        "  - a: { set: { x: '${ $workflow.definition.do }', y: '${ $workflow.name }' } }\n",
        "`$workflow` has no `name`",
    );
    // A value that is no list.
    told(
        "  - a: { set: { n: 1 } }\n  - b: { for: { in: .n }, do: [{ c: { wait: 1 s } }] }\n",
        "`in` gives number, and needs a list",
    );
}

#[test]
fn what_is_not_known_is_passed_over() {
    for tasks in [
        // What comes from outside.
        "  - a: { set: { x: '${ .anything.at.all }' } }\n",
        "  - a: { call: some.thing }\n  - b: { set: { x: '${ .document }' } }\n",
        // What one of several ways makes.
        "  - a: { switch: [{ one: { when: .n == 1, then: b } }, { other: { then: c } }] }\n  - b: { set: { p: \
         1 }, then: d }\n  - c: { set: { q: 1 } }\n  - d: { set: { x: '${ .p }', y: '${ .q }' } }\n",
        "  - a: { set: { n: 1 } }\n  - b: { if: .n == 2, set: { m: 1 } }\n  - c: { set: { x: '${ .n }', y: '${ \
         .m }' } }\n",
        // What a loop makes for itself.
        "  - a: { set: { n: 0 } }\n  - b: { set: { n: '${ .n + 1 }', more: true } }\n  - c: { switch: [{ \
         again: { when: .n < 3, then: b } }, { done: { then: exit } }] }\n",
        "  - a: { set: { list: [1] } }\n  - b: { for: { in: .list }, do: [{ c: { set: { sum: '${ \
         .sum + $item }' } } }] }\n",
        // What is asked for with a default, or whether it is there.
        "  - a: { set: { n: 1 } }\n  - b: { set: { x: '${ .m // 0 }', y: '${ .m? }' } }\n",
        // A context that nobody made yet is null.
        "  - a: { set: { n: 1 }, if: '$context.seen | not' }\n",
        // Branches make a list; the first of several is one of them.
        "  - a: { fork: { branches: [{ b: { set: { p: 1 } } }, { c: { set: { q: 1 } } }] } }\n  - d: { set: { \
         x: '${ .[0].p }' } }\n",
        "  - a: { fork: { compete: true, branches: [{ b: { set: { p: 1 } } }, { c: { set: { q: \
         1 } } }] } }\n  - d: { set: { x: '${ .p }' } }\n",
        // An error that was caught.
        "  - a: { set: { n: 1 } }\n  - b: { try: [{ c: { set: { p: 1 } } }], catch: { do: [{ d: { set: { q: \
         '${ .n }' } } }] } }\n  - e: { set: { x: '${ .p }', y: '${ .q }' } }\n",
    ] {
        assert_eq!(nowhere(tasks), Vec::<String>::new(), "{tasks}");
    }
}

#[test]
fn what_a_listener_gives_is_a_list_of_what_it_read() {
    let alarm = "listen: { to: { one: { with: { type: asset.alarm } } } }";
    let found = nowhere(&format!("  - a: {{ {alarm} }}\n  - b: {{ set: {{ x: '${{ .change }}' }} }}\n"));
    assert!(found.len() == 1 && found[0].contains("a list has no `change`"), "{found:?}");
    let found = nowhere(&format!("  - a: {{ {alarm} }}\n  - b: {{ set: {{ x: '${{ .[0].chnge }}' }} }}\n"));
    assert!(found.len() == 1 && found[0].contains("no `chnge`"), "{found:?}");
    let each =
        "foreach: { do: [{ c: { set: { state: '${ .change }', of: '${ $item.change }' } } }], output: { as: .state } }";
    assert_eq!(nowhere(&format!("  - a: {{ {alarm}, {each} }}\n")), Vec::<String>::new());
    let until = "listen: { to: { any: [{ with: { type: asset.alarm } }], until: .chnge } }";
    assert_eq!(nowhere(&format!("  - a: {{ {until} }}\n")).len(), 1);
}

#[test]
fn nested_loops_are_looked_at_in_time() {
    let mut body = "{ set: { x: '${ .x }' } }".to_owned();
    for depth in 0..14 {
        body = format!("{{ for: {{ in: .l{depth} }}, do: [{{ a: {body} }}] }}");
    }
    good(&format!("do: [{{ it: {body} }}]\n"));
}

#[test]
fn a_circle_needs_a_way_out() {
    let told = told("do:\n  - start: { wait: 1 s }\n  - a: { set: { n: 1 } }\n  - b: { wait: 1 s, then: a }\n");
    assert!(told.contains("A3119") && told.contains("circle"), "{told}");
    good("do:\n  - a: { set: { n: 1 } }\n  - b: { wait: 1 s, then: a, if: .n > 1 }\n");
    good("do:\n  - a: { raise: { error: { type: 'https://x', status: 500 } } }\n");
    good(
        "do:\n  - a: { switch: [{ more: { when: .n, then: b } }, { done: { then: end } }] }\n  - b: { wait: \
         1 s, then: a }\n",
    );
}
