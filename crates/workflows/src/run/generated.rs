//! Workflows that nobody has written, and people who do something about what goes wrong in them: whatever their shape,
//! a process that ends at any commit, before it is durable or after, changes nothing of what they do.
//!
//! `PROPTEST_CASES` says how many are tried. One that fails is printed in two ways: as the line that belongs into
//! `proptest-regressions/run/generated.txt`, which is tried again as long as the shapes are made as they are, and as a
//! story that stays what it is: `ANDON_STORY='...' cargo test -p andon-workflows --lib run::generated`.

use super::End;
use super::What;
use super::constructs::told;
use super::ends::remedied::remedy;
use super::world::{World, answer};
use crate::testing::plant::contract;
use andon_contract::Contract;
use andon_model::id::derive;
use andon_model::{ExceptionId, OutcomeClass};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// Stories in one run of the tests, unless `PROPTEST_CASES` says more.
const CASES: u32 = 24;

/// A workflow with another one that it starts, and the chance by which requests are lost.
#[derive(Clone, Serialize, Deserialize)]
struct Story {
    parent: Vec<Shape>,
    child: Vec<Shape>,
    /// Whether a fault undoes what was done.
    compensate: bool,
    seed: u64,
}

/// As it is asked for again.
impl std::fmt::Debug for Story {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ANDON_STORY='{}'", serde_json::to_string(self).unwrap())
    }
}

/// What repeats of a call do.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Class {
    Key,
    Upsert,
    Lookup,
    Read,
}

/// A task by its shape.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Shape {
    Set,
    /// A call of this class, with something that undoes it or without.
    Call(Class, bool),
    Emit,
    Wait(u8),
    Do(Vec<Shape>),
    For(u8, Vec<Shape>),
    Fork(Vec<Vec<Shape>>),
    /// The first branch wins; the others have done something by then.
    Race(u8),
    /// Repeated so often, then handled.
    Try(Vec<Shape>, u8, Vec<Shape>),
    /// Ends by its timeout where it waits for long.
    Timeout(Vec<Shape>, bool),
    Switch(Vec<Shape>),
    Raise(u16),
    Run(bool),
}

fn leaf() -> impl Strategy<Value = Shape> {
    prop_oneof![
        2 => Just(Shape::Set),
        6 => (prop_oneof![Just(Class::Key), Just(Class::Upsert), Just(Class::Lookup), Just(Class::Read)], any::<bool>())
            .prop_map(|(class, undone)| Shape::Call(class, undone)),
        1 => Just(Shape::Emit),
        1 => (0_u8..3).prop_map(Shape::Wait),
        1 => (2_u8..4).prop_map(Shape::Race),
        1 => (500_u16..503).prop_map(Shape::Raise),
        1 => any::<bool>().prop_map(Shape::Run),
    ]
}

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let shape = leaf().prop_recursive(3, 16, 3, |inner| {
        let list = || prop::collection::vec(inner.clone(), 1..3);
        prop_oneof![
            list().prop_map(Shape::Do),
            (0_u8..3, list()).prop_map(|(items, tasks)| Shape::For(items, tasks)),
            prop::collection::vec(list(), 1..3).prop_map(Shape::Fork),
            (list(), 1_u8..4, prop::collection::vec(inner.clone(), 0..2))
                .prop_map(|(tasks, passes, handler)| Shape::Try(tasks, passes, handler)),
            (list(), any::<bool>()).prop_map(|(tasks, late)| Shape::Timeout(tasks, late)),
            list().prop_map(Shape::Switch),
        ]
    });
    prop::collection::vec(shape, 1..5)
}

fn stories() -> impl Strategy<Value = Story> {
    (shapes(), shapes(), any::<bool>(), 0_u64..1_000).prop_map(|(parent, child, compensate, seed)| Story {
        parent,
        child,
        compensate,
        seed,
    })
}

impl Shape {
    /// Itself and all shapes in it.
    fn any(&self, is: &dyn Fn(&Self) -> bool) -> bool {
        let inside = |shapes: &[Self]| shapes.iter().any(|shape| shape.any(is));
        is(self)
            || match self {
                Self::Do(tasks) | Self::For(_, tasks) | Self::Timeout(tasks, _) | Self::Switch(tasks) => inside(tasks),
                Self::Try(tasks, _, handler) => inside(tasks) || inside(handler),
                Self::Fork(branches) => branches.iter().any(|branch| inside(branch)),
                _ => false,
            }
    }

    /// Takes longer where the process ends: nobody knows whether a call had its effect, and the search for it waits
    /// for `settle`. Meanwhile it holds up the other calls of its key.
    fn is_slow(&self, child_is_slow: bool) -> bool {
        self.any(&|shape| match shape {
            Self::Call(class, _) => *class == Class::Lookup,
            Self::Run(wait) => *wait && child_is_slow,
            _ => false,
        })
    }

    /// Ends what goes on beside it, so that it counts how far that has come by then.
    fn ends_others(&self, child_fails: bool) -> bool {
        self.any(&|shape| match shape {
            Self::Race(_) | Self::Timeout(..) | Self::Raise(_) => true,
            Self::Run(wait) => *wait && child_fails,
            _ => false,
        })
    }
}

/// Writes shapes down as tasks.
struct Writer {
    /// Names and values differ from call to call.
    next: u32,
    /// Whether other runs may be started.
    runs: bool,
    /// Whether the run that is started may take longer where the process ends.
    child_is_slow: bool,
    /// Whether it may fail.
    child_fails: bool,
    /// How many branches around go on beside others.
    beside: u32,
    /// The calls that the office refuses at first: of those that hold up nobody else.
    refused: Vec<i64>,
}

impl Writer {
    fn list(&mut self, shapes: &[Shape], timed: bool) -> Json {
        shapes.iter().map(|shape| self.named(|writer| writer.task(shape, timed))).collect()
    }

    fn named(&mut self, write: impl FnOnce(&mut Self) -> Json) -> Json {
        self.next += 1;
        let name = format!("t{}", self.next);
        let task = write(self);
        Json::Object([(name, task)].into_iter().collect())
    }

    fn call(&mut self, class: Class, undone: bool) -> Json {
        let class = match class {
            Class::Key => "key",
            Class::Upsert => "upsert",
            Class::Lookup => "lookup",
            Class::Read => "read",
        };
        self.next += 1;
        if class == "lookup" && self.beside == 0 && self.next.is_multiple_of(3) {
            self.refused.push(i64::from(self.next));
        }
        let with = |n: u32| json!({"n": n, "asset": "m-1"});
        let mut task = json!({"call": format!("work.{class}"), "with": with(self.next), "output": {"as": "$input"}});
        if undone {
            let undo = json!({"call": "work.key", "with": with(self.next + 10_000)});
            task["metadata"] = json!({"compensate": [{"undo": undo}]});
        }
        task
    }

    /// Where time decides what happens (`timed`), no call takes time of its own: a race, a timeout or an error beside
    /// it ends what has not been done by then, and after an unknown outcome that is rightly less than it would be
    /// otherwise. The promise is that each effect is there once, and undone where it has to be, not when.
    ///
    /// For the same reason an error beside other branches comes at a moment of its own. At the same moment it is left
    /// open which of several calls is made first, and so whether another branch has done its next task by then.
    fn task(&mut self, shape: &Shape, timed: bool) -> Json {
        match shape {
            Shape::Set => json!({"set": {"n": self.next}}),
            Shape::Call(Class::Lookup, undone) if timed => self.call(Class::Key, *undone),
            Shape::Call(class, undone) => self.call(*class, *undone),
            Shape::Emit => json!({"emit": {"event": {"with": {
                "type": "work.done", "source": "https://plant/x", "data": {"n": self.next}}}}, "output": {"as": "$input"}}),
            Shape::Wait(seconds) => json!({"wait": {"seconds": seconds}}),
            Shape::Do(tasks) => json!({"do": self.list(tasks, timed)}),
            Shape::For(items, tasks) => {
                let items: Vec<u8> = (0..*items).collect();
                json!({"for": {"in": format!("{items:?}")}, "do": self.list(tasks, timed)})
            }
            Shape::Fork(branches) => {
                let all = || branches.iter().flatten();
                let timed = timed
                    || branches.len() > 1
                        && all().any(|shape| shape.is_slow(self.child_is_slow))
                        && all().any(|shape| shape.ends_others(self.child_fails));
                let beside = u32::from(branches.len() > 1);
                self.beside += beside;
                let branches: Vec<Json> = branches
                    .iter()
                    .map(|tasks| self.named(|writer| json!({"do": writer.list(tasks, timed)})))
                    .collect();
                self.beside -= beside;
                json!({"fork": {"branches": branches}})
            }
            Shape::Race(branches) => {
                let quick = json!({"quick": {"do": [{"pause": {"wait": "1 s"}}, {"won": {"set": {"n": 7}}}]}});
                let mut all = vec![quick];
                for _ in 1..*branches {
                    all.push(self.named(
                        |writer| json!({"do": [{"k": writer.call(Class::Key, true)}, {"long": {"wait": "1 h"}}]}),
                    ));
                }
                json!({"fork": {"compete": true, "branches": all}})
            }
            Shape::Try(tasks, passes, handler) => {
                self.next += 1;
                let error = format!("e{}", self.next);
                let mut catch =
                    json!({"as": error, "retry": {"delay": "1 s", "limit": {"attempt": {"count": passes}}}});
                if !handler.is_empty() {
                    catch["do"] = self.list(handler, timed);
                }
                json!({"try": self.list(tasks, timed), "catch": catch})
            }
            Shape::Timeout(tasks, late) => {
                let mut list = self.list(tasks, true);
                if *late {
                    list.as_array_mut().unwrap().push(json!({"long": {"wait": "3 h"}}));
                }
                json!({"timeout": {"after": "1 h"}, "do": list})
            }
            Shape::Switch(tasks) => json!({"do": [
                {"which": {"switch": [{"never": {"when": "$context == 7", "then": "over"}},
                {"other": {"then": "on"}}]}},
                {"over": {"set": {"n": 0}}},
                {"on": {"do": self.list(tasks, timed)}}]}),
            Shape::Raise(status) => {
                // What follows is reached as far as `check` knows.
                let error = json!({"type": "https://plant/errors/bad", "status": status});
                let bad = json!({"if": "$context != 7", "raise": {"error": error}});
                if self.beside == 0 {
                    return bad;
                }
                let later = json!({"wait": {"milliseconds": self.next * 7_919 % 99_991 + 1}});
                json!({"do": [{"later": later}, {"bad": bad}]})
            }
            Shape::Run(wait) if self.runs && !(timed && *wait && self.child_is_slow) => {
                json!({"run": {"await": wait, "workflow": {"namespace": "test", "name": "child", "version": "1.0.0"}}})
            }
            Shape::Run(_) => json!({"set": {"n": 0}}),
        }
    }
}

fn written(story: &Story) -> (Contract, Vec<i64>) {
    let mut writer = Writer {
        next: 0,
        runs: true,
        child_is_slow: story.child.iter().any(|shape| shape.is_slow(false)),
        child_fails: story.child.iter().any(|shape| shape.ends_others(false)),
        beside: 0,
        refused: Vec::new(),
    };
    let tasks = writer.list(&story.parent, false);
    writer.runs = false;
    // It may go on beside others of its parent.
    writer.beside = 1;
    let parent = json!({
        "schedule": {"on": {"one": {"with": {"type": "asset.alarm"}}}},
        "input": {"from": "{ n: .[0].data.n }"},
        "do": tasks,
    });
    let mut contract = contract(&[("story", parent), ("child", json!({"do": writer.list(&story.child, false)}))]);
    for definition in contract.workflows.values_mut() {
        Arc::make_mut(definition).settings.compensate = story.compensate;
    }
    (contract, writer.refused)
}

/// What a person does about an exception, by chance but always the same.
fn act(story: &Story, round: u64, exception: ExceptionId) -> What {
    let [chance, ..] = derive(&[&story.seed.to_le_bytes(), &round.to_le_bytes(), exception.to_string().as_bytes()]);
    match (round, chance % 8) {
        (2.., 0..4) => What::Discard { exception },
        (_, 0..3) => What::Retry { exception, not_there: false },
        (_, 3) => What::Edit { exception, input: json!({"n": 50_000 + round, "asset": "m-1"}), agreed_by: None },
        (_, 4) => What::Compensate { exception },
        _ => What::Skip { exception, output: json!({"n": 7, "document": "by hand"}), document: None },
    }
}

/// It goes as far as it goes by itself; then people do something about what is told, three times.
fn lived(world: &mut World, story: &Story) {
    world.finish();
    for round in 0..3 {
        if round == 1 {
            world.office.refuses.clear();
        }
        remedy(world, &format!("perhaps {round}"), &|exception| act(story, round, exception));
    }
}

/// Lives a story undisturbed, and once for each commit and side on which the process can end; the error says what
/// differs.
fn changes_nothing(story: &Story) -> Result<(), TestCaseError> {
    let make = || {
        let (contract, refused) = written(story);
        let mut world = World::new(contract);
        let refusal = answer(OutcomeClass::Conflict, true, Some(409), "it is locked");
        world.office.refuses = refused.into_iter().map(|n| (n, refusal.clone())).collect();
        world.chance = story.seed;
        world.event(1, "m-1", json!({"change": "activated", "n": 1}));
        world
    };
    let mut plain = make();
    lived(&mut plain, story);
    let expected = told(&plain);
    for side in [End::Before, End::After] {
        for end in 1.. {
            let mut world = make();
            world.runner.ends = Some((end, side));
            lived(&mut world, story);
            let why = || {
                let tasks: Vec<_> = world.contract.workflows.values().map(|d| d.document["do"].to_string()).collect();
                format!("the process ends {side:?} commit {end}\nthe workflows:\n{}\n{story:?}", tasks.join("\n"))
            };
            prop_assert_eq!(&told(&world), &expected, "{}", why());
            prop_assert!(world.office.effects.values().all(|count| *count == 1), "{}", why());
            if world.crashes == 0 {
                break;
            }
        }
    }
    Ok(())
}

/// A failure is made smaller within the time that somebody waits for it.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { CASES };
    ProptestConfig { cases, max_shrink_iters: 400, max_shrink_time: 120_000, ..default }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_end_of_the_process_at_any_commit_changes_nothing(
        story in stories(),
    ) {
        changes_nothing(&story)?;
    }
}

/// Stories that once did not go as they should, as they were printed, with what was wrong.
const FOUND: [(&str, &str); 5] = [
    (
        "the second undoing of a task that `retry` repeats wrote its row again, and no step was durable any more",
        r#"{"parent":[{"Try":[[{"Timeout":[[{"Race":3}],true]}],2,[]]}],"child":["Set"],
            "compensate":false,"seed":781}"#,
    ),
    (
        "a race was over before the call of its losing branch was made, which stood behind a search",
        r#"{"parent":["Emit",{"Switch":[{"Fork":[[{"Race":2}],[{"Call":["Lookup",false]}]]}]}],"child":["Set"],
            "compensate":false,"seed":0}"#,
    ),
    (
        "an error came at the moment of a call in another branch, which had or had not been answered by then",
        r#"{"parent":[{"Call":["Key",false]},{"Fork":[["Set"],[{"Fork":[[{"Wait":0}]]},
            {"Fork":[[{"Call":["Key",false]},{"Raise":500}],[{"Wait":0},{"Call":["Key",false]}]]}]]}],
            "child":["Set"],"compensate":false,"seed":0}"#,
    ),
    (
        "a block was entered again in which something had been undone, which was undone a second time as the first",
        r#"{"parent":[{"Timeout":[[{"Race":2}],true]}],"child":[{"Fork":[[{"Call":["Upsert",false]}]]}],
            "compensate":false,"seed":481}"#,
    ),
    (
        "the same, where `retry` around it had forgotten what was undone when the block around that was entered again",
        r#"{"parent":[{"Run":true}],"child":[{"Timeout":[[{"Timeout":[[{"Try":[[{"Race":2}],1,[]]}],true]}],false]}],
            "compensate":false,"seed":156}"#,
    ),
];

#[test]
fn what_was_found_before_stays_mended() {
    for (what, story) in FOUND {
        let story: Story = serde_json::from_str(story).unwrap();
        if let Err(error) = changes_nothing(&story) {
            panic!("{what}: {error}");
        }
    }
}

/// The story that somebody asks for; without one a short story of which everything is known.
#[test]
fn a_story_that_was_printed_is_tried_again() {
    let short =
        || r#"{"parent":[{"Call":["Key",true]},{"Raise":500}],"child":["Set"],"compensate":true,"seed":1}"#.to_owned();
    let text = std::env::var("ANDON_STORY").unwrap_or_else(|_| short());
    let story: Story = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&story).unwrap(), text, "a story is read as it is printed");
    if let Err(error) = changes_nothing(&story) {
        panic!("{error}");
    }
}
