//! The conformance scenarios of the Serverless Workflow DSL, as its authors wrote them, against the real loop.
//!
//! They lie where recorded data lies: `ANDON_TESTDATA`, by default `../shared/data` beside the workspace. Where they
//! are missing the few scenarios of `own.feature` run in their place, and the target says so.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test may stop where it stands, and tells how it went")]

mod hosts;
mod play;

use cucumber::{
    Cucumber,
    gherkin::Step,
    step::{Collection, Context},
};
use hosts::Hosts;
use play::{Ran, play};
use regex::Regex;
use serde_json::Value as Json;
use std::{
    convert::Infallible,
    future::ready,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::OnceLock,
};

static HOSTS: OnceLock<Hosts> = OnceLock::new();

/// One scenario.
#[derive(Debug, Default)]
struct World {
    definition: String,
    input: Json,
    ran: Option<Result<Ran, String>>,
}

impl cucumber::World for World {
    type Error = Infallible;

    async fn new() -> Result<Self, Infallible> {
        Ok(Self::default())
    }
}

impl World {
    fn ran(&self) -> &Ran {
        match self.ran.as_ref().expect("the workflow was executed") {
            Ok(ran) => ran,
            Err(why) => panic!("the workflow does not run: {why}"),
        }
    }

    fn completed(&self) -> &Json {
        let ran = self.ran();
        assert_eq!(ran.state, "completed", "{}", ran.given);
        &ran.given
    }

    fn faulted(&self) -> &Json {
        let ran = self.ran();
        assert_eq!(ran.state, "faulted", "{}", ran.given);
        &ran.given
    }

    /// Names of tasks in the order in which they completed.
    fn order(&self) -> Vec<&str> {
        self.ran().tasks.iter().map(|task| task.pointer.rsplit('/').next().unwrap_or_default()).collect()
    }

    fn place(&self, task: &str) -> usize {
        let order = self.order();
        order.iter().position(|name| *name == task).unwrap_or_else(|| panic!("{task} did not run, but {order:?}"))
    }
}

/// The text of a step without the word that names its language.
fn text(step: &Step) -> &str {
    let text = step.docstring.as_deref().expect("the step has a text").trim_start_matches('\n');
    text.strip_prefix("yaml\n").unwrap_or(text)
}

fn yaml(step: &Step) -> Json {
    andon_contract::yaml(text(step)).unwrap()
}

/// The value at a path with dots.
fn at<'a>(json: &'a Json, path: &str) -> Option<&'a Json> {
    path.split('.').try_fold(json, |json, key| json.get(key))
}

/// What each step does: its words, with what is taken from them.
fn steps() -> Collection<World> {
    let regex = |words: &str| Regex::new(&format!("^{words}$")).unwrap();
    Collection::<World>::new()
        .given(None, regex("a workflow with definition:"), |world, context| {
            text(&context.step).clone_into(&mut world.definition);
            Box::pin(ready(()))
        })
        .given(None, regex("given the workflow input is:"), |world, context| {
            world.input = yaml(&context.step);
            Box::pin(ready(()))
        })
        .when(None, regex("the workflow is executed"), |world, _| Box::pin(executed(world)))
        .then(None, regex("the workflow should complete"), |world, _| {
            world.completed();
            Box::pin(ready(()))
        })
        .then(None, regex("the workflow should complete with output:"), |world, context| {
            assert_eq!(world.completed(), &yaml(&context.step));
            Box::pin(ready(()))
        })
        .then(None, regex("the workflow should fault"), |world, _| {
            world.faulted();
            Box::pin(ready(()))
        })
        .then(None, regex("the workflow should fault with error:"), |world, context| {
            for (key, value) in yaml(&context.step).as_object().unwrap() {
                assert_eq!(world.faulted().get(key), Some(value), "{key} of {}", world.faulted());
            }
            Box::pin(ready(()))
        })
        .then(None, regex("the workflow output should have properties (.+)"), |world, context| {
            for path in word(&context, 1).split(',').map(|path| path.trim().trim_matches('\'')) {
                assert!(at(world.completed(), path).is_some(), "{path} is missing in {}", world.completed());
            }
            Box::pin(ready(()))
        })
        .then(None, regex("the workflow output should have a '([^']+)' property with value:"), |world, context| {
            let (path, wanted) = (word(&context, 1), yaml(&context.step));
            assert_eq!(at(world.completed(), path), Some(&wanted), "{path} of {}", world.completed());
            Box::pin(ready(()))
        })
        .then(
            None,
            regex(r"the workflow output should have a '([^']+)' property containing (\d+) items"),
            |world, context| {
                let found = at(world.completed(), word(&context, 1)).and_then(Json::as_array).map(Vec::len);
                assert_eq!(found, word(&context, 2).parse().ok(), "{}", world.completed());
                Box::pin(ready(()))
            },
        )
        .then(None, regex(r"(\w+) should run first"), |world, context| {
            assert_eq!(world.order().first(), Some(&word(&context, 1)), "{:?}", world.order());
            Box::pin(ready(()))
        })
        .then(None, regex(r"(\w+) should run last"), |world, context| {
            assert_eq!(world.order().last(), Some(&word(&context, 1)), "{:?}", world.order());
            Box::pin(ready(()))
        })
        .then(None, regex(r"(\w+) should run after (\w+)"), |world, context| {
            let (task, other) = (world.place(word(&context, 1)), world.place(word(&context, 2)));
            assert!(task > other, "{:?}", world.order());
            Box::pin(ready(()))
        })
}

/// What stands in the place of a group of the step's words.
fn word(context: &Context, group: usize) -> &str {
    context.matches.get(group).map_or("", |(_, text)| text)
}

async fn executed(world: &mut World) {
    let input = std::mem::take(&mut world.input);
    let input = if input.is_null() { Json::Object(serde_json::Map::new()) } else { input };
    world.ran = Some(play(&world.definition, input, *HOSTS.get().unwrap()).await);
}

/// The scenarios of the authors, or the few of our own.
fn features() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let data = std::env::var_os("ANDON_TESTDATA").map_or_else(|| root.join("../shared/data"), |d| root.join(d));
    let features = data.join("workflow-dsl-1.0.3/features");
    if features.is_dir() {
        return features;
    }
    println!("no workflow-dsl-1.0.3 under ANDON_TESTDATA; the few scenarios of our own run in its place");
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/own.feature")
}

#[tokio::main]
async fn main() -> ExitCode {
    HOSTS.set(hosts::start().await).unwrap();
    let cucumber = Cucumber::new().steps(steps()).with_default_cli().max_concurrent_scenarios(2);
    let writer = cucumber.run(features()).await;
    let stats = *writer.scenarios_stats();
    let all = stats.passed + stats.failed + stats.skipped;
    println!("\n{}/{all}", stats.passed);
    let well = stats.passed == all && all > 0;
    let word = if well { "ok" } else { "FAILED" };
    println!("test result: {word}. {} passed; {} failed; 0 ignored", stats.passed, all - stats.passed);
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
