//! The world: plant, store, loops, offices and people under one chance and many mishaps.
//!
//! True time goes on and nobody in it sees it but the offices; the machine of Andon has a clock that is set at times.

mod disk;
mod ends;
pub(crate) mod intake;
pub(crate) mod people;
mod restored;

use crate::{
    chance::Chance,
    check,
    floor::{Floor, Mishap, Source},
    office::{Breach, Office},
    plan::{Action, Plan, Planned},
    project::{self, Edit, Variant},
    seen::Seen,
    trace::Trace,
};
use andon_contract::Contract;
use andon_events::Progress;
use andon_model::{Time, sample::Batch, span::Span};
use andon_store::{
    SimDisk, Store,
    historian::{Keeper, Kept},
};
pub(crate) use disk::{FINDS_NO_ROOM, FULL};
use restored::Backup;
pub use restored::Lost;
use std::{fmt, sync::Arc};

/// Rounds in which a healed world must come to rest.
const ROUNDS_MAX: u32 = 20_000;

/// A promise that was broken.
#[derive(Debug, Clone)]
pub struct Broken {
    /// Who found it: the name of the check.
    pub check: &'static str,
    /// The promise, and what is there instead.
    pub what: String,
}

impl Broken {
    /// Found by this check.
    pub fn new(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, what: what.into() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.what)
    }
}

/// What the loops fail with that nobody planned.
pub(crate) fn fault(what: impl fmt::Display) -> Broken {
    Broken::new("fault", what.to_string())
}

/// Everything there is.
pub struct World {
    /// Where all of it ends.
    pub store: Store,
    /// What the store lies on.
    pub disk: SimDisk,
    /// Every batch that was ever durable in the log: the log itself forgets what is sealed.
    pub archive: Vec<Arc<Batch>>,
    /// The project in force.
    pub contract: Arc<Contract>,
    /// The edits in force.
    pub variant: Variant,
    /// Those that ever were.
    pub variants: Vec<Variant>,
    /// The systems of record.
    pub office: Office,
    /// The rules.
    pub events: andon_events::Loop,
    /// What rules were taken up with when the project changed.
    pub eras: Vec<check::Era>,
    /// What happened.
    pub trace: Trace,
    /// How much of it.
    pub seen: Seen,
    /// Calls that a person has had a hand in.
    pub touched: people::Touched,
    /// What restores have lost.
    pub lost: Lost,
    /// What somebody keeps.
    backups: Vec<Backup>,
    workflows: andon_workflows::Loop,
    keeper: Keeper,
    /// The number of crashes after which the process at work began.
    process: u64,
    /// The chance of processes that start.
    lives: Chance,
    /// Machines, broker and network.
    pub floor: Floor,
    source: Source,
    /// The chance of sources that start.
    sources: Chance,
    /// Whether the disk has little room.
    full: bool,
    /// Whether what is submitted to the log waits there.
    holds: bool,
    /// How long samples are kept.
    kept: Kept,
    /// Files of samples when the keeper had done its last step.
    files: u64,
    /// Samples that were received by then may be gone.
    pub gone: Option<Time>,
    /// How far the clock of the machine was moved, all in all.
    pub moved: Span,
    /// The clock that nobody sets.
    utc: Time,
    /// Since the beginning of the world.
    truth: Span,
    /// What the clock of the machine shows at the beginning of the world, as it stands now.
    base: Time,
    acts: u64,
}

impl World {
    /// The world of a plan, at its beginning.
    pub fn new(plan: &Plan) -> Result<Self, Broken> {
        let mut chance = plan.chance();
        let disk = SimDisk::new();
        let store = disk::open(&disk, &mut chance).map_err(fault)?;
        let holds = chance.percent(50);
        disk.hold_submissions(holds);
        let variant = Variant::default();
        let contract = project::contract(variant).map_err(fault)?;
        let base = Time::parse("2026-11-22T08:00:00Z").map_err(fault)?;
        let floor = Floor::new(chance.draw(), intake::devices(), base);
        let mut sources = Chance::new(chance.draw());
        let mut office = Office::default();
        if chance.percent(6) {
            office.breaches.insert("eam", Breach::FindsLate);
        }
        if chance.percent(6) {
            office.breaches.insert("cmms", Breach::Forgets);
        }
        ends::activate(&store, &contract, base).map_err(fault)?;
        let events = ends::rules(&store, &contract, base).map_err(fault)?;
        let eras = vec![check::Era::first(&store, &contract)];
        let workflows = ends::runs(&store, &contract);
        let source = intake::start(&store, &contract, &mut sources, base)?;
        Ok(Self {
            keeper: disk::keeper(&store, Kept::default()),
            process: disk.crashes(),
            lives: Chance::new(chance.draw()),
            store,
            disk,
            archive: Vec::new(),
            contract,
            variant,
            variants: vec![variant],
            office,
            events,
            eras,
            trace: Trace::default(),
            seen: Seen::default(),
            touched: people::Touched::default(),
            lost: Lost::default(),
            backups: Vec::new(),
            workflows,
            floor,
            source,
            sources,
            full: false,
            holds,
            kept: Kept::default(),
            files: 0,
            gone: None,
            moved: Span::ZERO,
            utc: base,
            truth: Span::ZERO,
            base,
            acts: 0,
        })
    }

    /// What the clock of the machine shows.
    pub fn now(&self) -> Time {
        self.base.plus(self.truth)
    }

    fn tell(&mut self, what: fmt::Arguments<'_>) {
        let (truth, now) = (self.truth.millis(), self.now());
        self.trace.line(format!("{:>9}.{:03} {now}  {what}", truth / 1_000, truth % 1_000));
    }

    /// One thing happens. Where the process ends in it, another starts.
    pub fn act(&mut self, planned: &Planned) -> Result<(), Broken> {
        let mut chance = Chance::new(planned.seed);
        self.do_it(planned, &mut chance)?;
        self.revive(&mut chance)
    }

    fn do_it(&mut self, planned: &Planned, chance: &mut Chance) -> Result<(), Broken> {
        match planned.action {
            Action::Speak => {
                self.floor.speak(chance, self.utc.plus(self.truth));
                Ok(())
            }
            Action::Source => {
                self.take_in();
                Ok(())
            }
            Action::Mishap => {
                let mishap = Mishap::draw(chance);
                self.seen.count("fault: on the floor");
                self.tell(format_args!("{mishap}"));
                self.floor.suffer(mishap, self.truth.std());
                Ok(())
            }
            Action::Rules => self.step_events(chance).map(drop),
            Action::Runs => self.step_workflows(chance).map(drop),
            Action::Answers => {
                self.bring_answers();
                Ok(())
            }
            Action::Pass => {
                self.pass(chance.millis(1, 4_000));
                Ok(())
            }
            Action::PassLong => {
                let span = chance.millis(1_000, 400_000);
                self.tell(format_args!("{span} pass"));
                self.pass(span);
                Ok(())
            }
            Action::SetClock => {
                self.set_clock(chance);
                Ok(())
            }
            Action::Kill => self.kill(chance),
            Action::Stop => self.stop(chance),
            Action::PowerCut => self.power_cut(chance),
            Action::Fault => {
                self.plan_trouble(chance);
                Ok(())
            }
            Action::Full => {
                self.fill_disk(chance);
                Ok(())
            }
            Action::Keep => self.step_keeper(chance),
            Action::Edit => self.edit(chance),
            Action::Person => self.person(chance),
            Action::Outage => {
                let (system, what) = self.office.outage(chance);
                self.seen.count("fault: outage of a system");
                self.tell(format_args!("{system} {what}"));
                Ok(())
            }
            Action::Mood => {
                let (system, refuses) = self.office.mood(chance);
                let what = refuses.map_or("takes all".to_owned(), |class| format!("refuses with {class}"));
                self.seen.count("fault: refusals of a system");
                self.tell(format_args!("{system} {what}"));
                Ok(())
            }
            Action::BackUp => self.back_up(chance),
            Action::Restore => self.restore(chance),
            Action::Forget => {
                let mishap = Mishap::Forget(chance.millis(0, 60_000));
                self.seen.count("fault: the broker loses its sessions");
                self.tell(format_args!("{mishap}"));
                self.floor.suffer(mishap, self.truth.std());
                Ok(())
            }
            Action::Retain => {
                self.keep_for(chance);
                Ok(())
            }
            Action::Flow => {
                self.flow(chance);
                Ok(())
            }
            Action::Seal => {
                self.keeper.seal_now().ask();
                self.step_keeper(chance)?;
                if chance.percent(30) { self.ask_historian() } else { Ok(()) }
            }
        }
    }

    fn step_events(&mut self, chance: &mut Chance) -> Result<bool, Broken> {
        let (now, monotonic) = (self.now(), self.truth);
        match self.events.step(now, monotonic) {
            Ok(progress) => {
                let at = self.events.position().offset;
                let worked = progress == Progress::Worked;
                if worked {
                    self.tell(format_args!("the rules have read up to {at}"));
                }
                Ok(worked)
            }
            Err(error) => {
                self.failed("rules", &error, chance)?;
                Ok(true)
            }
        }
    }

    fn step_workflows(&mut self, chance: &mut Chance) -> Result<(bool, Option<Time>), Broken> {
        let now = self.now();
        match self.workflows.step(now) {
            Ok(progress) => {
                let requests = self.workflows.take_requests();
                self.hear_of_acts();
                let more = progress.worked || !requests.is_empty();
                if !more {
                    return Ok((false, progress.wake));
                }
                self.tell(format_args!("the workflows do a step"));
                self.workflows.let_go(&requests, now);
                for ready in requests {
                    let request = &ready.request;
                    let (reference, attempt, step) = (request.key.reference(), request.attempt, request.step);
                    let (system, operation) = (request.system.clone(), request.operation.clone());
                    let fate = self.office.take(ready, chance, self.truth);
                    self.tell(format_args!(
                        "  {reference} attempt {attempt}, {step:?} to {system}.{operation}: {fate}"
                    ));
                }
                Ok((true, progress.wake))
            }
            Err(error) => {
                self.failed("workflows", &error, chance)?;
                Ok((true, None))
            }
        }
    }

    fn bring_answers(&mut self) {
        for (call, attempt, outcome) in self.office.pass(self.truth) {
            let (class, detail) = (outcome.class, &outcome.detail);
            let line = format!("an answer to attempt {attempt} of {call}: {class}, {detail}");
            self.tell(format_args!("{line}"));
            self.workflows.complete(call, attempt, outcome);
        }
    }

    /// True time passes, and what is due at the offices happens.
    fn pass(&mut self, span: Span) {
        self.truth = Span::from_nanos(self.truth.nanos() + span.nanos());
    }

    fn set_clock(&mut self, chance: &mut Chance) {
        let secs = match chance.below(3) {
            0 => chance.between(-20, 20),
            1 => chance.between(-7_200, 7_200),
            _ => chance.between(-300, 300),
        };
        self.seen.count(if secs < 0 { "fault: the clock is set back" } else { "fault: the clock is set on" });
        self.tell(format_args!("the clock is set by {secs} s"));
        let by = Span::from_secs(secs);
        self.base = self.base.plus(by);
        self.moved = Span::from_nanos(self.moved.nanos().saturating_add(by.nanos().saturating_abs()));
        // Who drives the loop sees it by a clock that never jumps.
        self.workflows.clock_was_set(by.nanos());
    }

    fn edit(&mut self, chance: &mut Chance) -> Result<(), Broken> {
        let edit = *chance.one(&Edit::ALL);
        let variant = self.variant.toggled(edit);
        self.seen.count("edit of the project");
        self.tell(format_args!("the project is edited: {variant}"));
        self.take_up(variant, chance)
    }

    /// Heals everything and lets the world come to rest; then people deal with what is left, until nothing is.
    pub fn finish(&mut self, plan: &Plan) -> Result<(), Broken> {
        let mut chance = plan.end();
        let chance = &mut chance;
        self.tell(format_args!("everything is healed"));
        self.office.heal();
        self.heal_disk();
        self.floor.heal();
        self.workflows.plan_no_more();
        if self.variant.has(Edit::NoRoute) {
            self.take_up(self.variant.toggled(Edit::NoRoute), chance)?;
        }
        self.rest(chance)?;
        check::at_rest(self)?;
        self.deal_with_all(chance)?;
        check::all_dealt_with(self)
    }

    /// Goes on until nothing happens by itself any more.
    pub(crate) fn rest(&mut self, chance: &mut Chance) -> Result<(), Broken> {
        for _ in 0..ROUNDS_MAX {
            self.bring_answers();
            let (taken, source) = self.take_in();
            let events = self.step_events(chance)?;
            let (workflows, wake) = self.step_workflows(chance)?;
            self.step_keeper(chance)?;
            self.revive(chance)?;
            if taken || events || workflows {
                continue;
            }
            // A source that is away has not told yet what it may have missed.
            let is_quiet = self.floor.is_quiet() && self.source.status().connected;
            let wake = wake.map(|wake| wake.since(self.now()).nanos().max(1));
            let next = self.office.next().map(|next| (next.nanos() - self.truth.nanos()).max(1));
            let floor = [self.floor.next(), source].into_iter().flatten().min();
            // What a source does from time to time for ever, such as a ping, keeps nobody from resting.
            let floor = floor.filter(|_| !is_quiet).map(|at| self.until(at));
            let Some(span) = [wake, next, floor].into_iter().flatten().min() else { return Ok(()) };
            self.pass(Span::from_nanos(span));
        }
        let (status, floor) = (self.source.status(), self.floor.unrest());
        Err(Broken::new("rest", format!("a healed world does not come to rest; {floor}; the source: {status:?}")))
    }
}
