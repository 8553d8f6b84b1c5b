//! The conformance scenarios of the Serverless Workflow DSL, as its authors wrote them, against the real loop.
//!
//! They lie where recorded data lies: `ANDON_TESTDATA`, by default `../shared/data` beside the workspace. Where they
//! are missing the few scenarios of `own.feature` run in their place, and the target says so.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test may stop where it stands, and tells how it went")]

mod hosts;
mod play;

use cucumber::{StatsWriter as _, World as _, WriterExt as _, gherkin::Step, given, then, when, writer};
use hosts::Hosts;
use play::{Ran, play};
use serde_json::Value as Json;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::OnceLock,
};

static HOSTS: OnceLock<Hosts> = OnceLock::new();

/// One scenario.
#[derive(Debug, Default, cucumber::World)]
struct World {
    definition: String,
    input: Json,
    ran: Option<Result<Ran, String>>,
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

#[given("a workflow with definition:")]
fn definition(world: &mut World, step: &Step) {
    text(step).clone_into(&mut world.definition);
}

#[given("given the workflow input is:")]
fn input(world: &mut World, step: &Step) {
    world.input = yaml(step);
}

#[when("the workflow is executed")]
async fn executed(world: &mut World) {
    let input = std::mem::take(&mut world.input);
    let input = if input.is_null() { Json::Object(serde_json::Map::new()) } else { input };
    world.ran = Some(play(&world.definition, input, *HOSTS.get().unwrap()).await);
}

#[then("the workflow should complete")]
fn completes(world: &mut World) {
    world.completed();
}

#[then("the workflow should complete with output:")]
fn completes_with(world: &mut World, step: &Step) {
    assert_eq!(world.completed(), &yaml(step));
}

#[then("the workflow should fault")]
fn faults(world: &mut World) {
    world.faulted();
}

#[then("the workflow should fault with error:")]
fn faults_with(world: &mut World, step: &Step) {
    let (error, wanted) = (world.faulted(), yaml(step));
    for (key, value) in wanted.as_object().unwrap() {
        assert_eq!(error.get(key), Some(value), "{key} of {error}");
    }
}

#[then(regex = r"^the workflow output should have properties (.+)$")]
fn has_properties(world: &mut World, list: String) {
    for path in list.split(',').map(|path| path.trim().trim_matches('\'')) {
        assert!(at(world.completed(), path).is_some(), "{path} is missing in {}", world.completed());
    }
}

#[then(regex = r"^the workflow output should have a '([^']+)' property with value:$")]
fn has_value(world: &mut World, step: &Step, path: String) {
    assert_eq!(at(world.completed(), &path), Some(&yaml(step)), "{path} of {}", world.completed());
}

#[then(regex = r"^the workflow output should have a '([^']+)' property containing (\d+) items$")]
fn has_items(world: &mut World, path: String, count: usize) {
    let found = at(world.completed(), &path).and_then(Json::as_array).map(Vec::len);
    assert_eq!(found, Some(count), "{path} of {}", world.completed());
}

#[then(regex = r"^(\w+) should run first$")]
fn runs_first(world: &mut World, task: String) {
    assert_eq!(world.order().first(), Some(&task.as_str()), "{:?}", world.order());
}

#[then(regex = r"^(\w+) should run last$")]
fn runs_last(world: &mut World, task: String) {
    assert_eq!(world.order().last(), Some(&task.as_str()), "{:?}", world.order());
}

#[then(regex = r"^(\w+) should run after (\w+)$")]
fn runs_after(world: &mut World, task: String, other: String) {
    assert!(world.place(&task) > world.place(&other), "{:?}", world.order());
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
    let cucumber = World::cucumber().with_default_cli().max_concurrent_scenarios(2);
    let writer = cucumber.with_writer(writer::Basic::stdout().summarized()).fail_on_skipped().run(features()).await;
    let stats = writer.scenarios_stats();
    let all = stats.passed + stats.failed + stats.skipped;
    println!("\n{}/{all}", stats.passed);
    let well = stats.passed == all && all > 0 && !writer.execution_has_failed();
    let word = if well { "ok" } else { "FAILED" };
    println!("test result: {word}. {} passed; {} failed; 0 ignored", stats.passed, all - stats.passed);
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
