//! The machines of a packaging line as a pure state machine: time and the state of the repair in, messages out.
//!
//! Bottles are filled, put into cartons, cartons into cases, cases onto pallets. Ten minutes after the story has begun
//! the bearing of the cartoner begins to wear. What it does then depends on whether somebody repairs it.

mod bearing;
mod machine;
mod noise;
pub mod packml;

pub use machine::Class;

use crate::offices::Repair;
use andon_model::{Time, span::Span};
use bearing::{Bearing, Condition};
use machine::{Around, CONVEYOR, Machine};
use noise::Noise;
use packml::{Mode, State, Wish};

/// A machine says how it is this often, in the time of the story.
pub const TELLS_EVERY: Span = Span::from_secs(5);
/// The damage of the bearing begins after this much of the story.
pub const DAMAGE_AFTER: Span = Span::from_secs(600);
/// The technician lets the machine run after this much of the repair, and for how long.
pub const TEST_RUN_AFTER: Span = Span::from_secs(300);
/// How long the technician lets it run.
pub const TEST_RUN: Span = Span::from_secs(260);
/// A bearing that is worn out is not watched any longer than this: nobody comes.
const GIVEN_UP_AFTER: Span = Span::from_secs(300);
/// Messages of one step at most; what is missing then comes with the next.
const STEP_MAX: usize = 10_000;
/// Machines say it one after the other, so far apart.
const APART: Span = Span::from_millis(200);

/// Where a line stands, and what it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The site.
    pub site: &'static str,
    /// What the names of its machines end with.
    pub number: &'static str,
    /// Of its noise.
    pub seed: u64,
}

/// The lines there are.
pub const PLANS: [Plan; 2] = [
    Plan { site: "hamburg", number: "07", seed: 0x4841_4d42 },
    Plan { site: "monterrey", number: "21", seed: 0x4d4f_4e54 },
];

/// What a machine says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The topic.
    pub topic: String,
    /// One JSON object.
    pub payload: String,
    /// Its time, which also stands in it.
    pub time: Time,
}

/// How far the story of a line has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Chapter {
    /// Ordinary production.
    Producing,
    /// The bearing wears.
    Wearing,
    /// The bearing cannot wear any further, and nobody has come.
    WornOut,
    /// Somebody works on the cartoner.
    Repairing,
    /// The bearing is new, and the line produces again.
    Repaired,
}

impl Chapter {
    /// Nothing more happens that was not ordinary.
    pub fn is_last(self) -> bool {
        matches!(self, Self::WornOut | Self::Repaired)
    }
}

/// A line.
#[derive(Debug, Clone)]
pub struct Line {
    plan: Plan,
    begun: Time,
    /// The end of the last step.
    at: Time,
    machines: [Machine; 4],
    /// Cases on the conveyors between them.
    conveyors: [f64; 3],
    bearing: Bearing,
    repair: Repair,
    /// Since when somebody works on the cartoner.
    repairing: Option<Time>,
    worn_out: Option<Time>,
}

impl Line {
    /// A line that has run for a while when the story begins.
    pub fn new(plan: Plan, begun: Time) -> Self {
        let machines = Class::ALL.map(|class| Machine::new(class, plan.number, plan.seed, begun));
        Self {
            plan,
            begun,
            at: begun,
            machines,
            conveyors: [CONVEYOR / 2.0; 3],
            bearing: Bearing::new(Noise::new(plan.seed, "bearing")),
            repair: Repair::None,
            repairing: None,
            worn_out: None,
        }
    }

    /// Its plan.
    pub fn plan(&self) -> Plan {
        self.plan
    }

    /// The asset whose bearing wears.
    pub fn cartoner(&self) -> &str {
        let [_, cartoner, ..] = &self.machines;
        &cartoner.asset
    }

    /// Up to which time it has spoken.
    pub fn at(&self) -> Time {
        self.at
    }

    /// How far its story has come.
    pub fn chapter(&self) -> Chapter {
        let [_, cartoner, ..] = &self.machines;
        if self.repairing.is_some() {
            return Chapter::Repairing;
        }
        match self.repair {
            Repair::Done if cartoner.state == State::Execute => Chapter::Repaired,
            Repair::Done => Chapter::Repairing,
            _ if self.worn_out.is_some_and(|since| self.at >= since.plus(GIVEN_UP_AFTER)) => Chapter::WornOut,
            _ if self.bearing.is_worn() => Chapter::Wearing,
            _ => Chapter::Producing,
        }
    }

    /// Lets the line work up to `now`: what its machines say, in the order of time. `repair` tells how the repair of
    /// its cartoner is at a time. What one step cannot hold comes with the next.
    pub fn step(&mut self, now: Time, repair: impl Fn(Time) -> Repair) -> Vec<Message> {
        let mut said = Vec::new();
        while self.at.plus(TELLS_EVERY) <= now && said.len() < STEP_MAX {
            self.at = self.at.plus(TELLS_EVERY);
            self.repair = repair(self.at);
            self.tick();
            self.say(&mut said);
        }
        said
    }

    fn tick(&mut self) {
        let wish = self.attend();
        let mut around = [Around { before: f64::INFINITY, free_behind: f64::INFINITY }; 4];
        for (between, cases) in self.conveyors.iter().enumerate() {
            if let [_, .., after] = around.get_mut(..=between + 1).unwrap_or_default() {
                after.before = *cases;
            }
            if let Some(before) = around.get_mut(between) {
                before.free_behind = CONVEYOR - cases;
            }
        }
        let [first, second, third] = self.conveyors.map(|cases| cases / CONVEYOR);
        let with_care = if self.repair == Repair::Planned { 0.9 } else { 1.0 };
        let paces = [0.8 + 0.4 * (1.0 - first), with_care, 0.8 + 0.4 * second, 0.8 + 0.4 * third];
        let rough = (self.bearing.vibration - 3.0).max(0.0);
        let mut moved = [(0.0, 0.0); 4];
        for ((machine, moved), (around, pace)) in self.machines.iter_mut().zip(&mut moved).zip(around.iter().zip(paces))
        {
            let is_cartoner = machine.class == Class::Cartoner;
            machine.turn(self.at, if is_cartoner { wish } else { Wish::Run }, *around);
            *moved = machine.work(TELLS_EVERY, pace, *around, if is_cartoner { rough } else { 0.0 });
        }
        let [filled, packed, cased, stacked] = moved;
        let [first, second, third] = &mut self.conveyors;
        *first = (*first + filled.1 - packed.0).clamp(0.0, CONVEYOR);
        *second = (*second + packed.1 - cased.0).clamp(0.0, CONVEYOR);
        *third = (*third + cased.1 - stacked.0).clamp(0.0, CONVEYOR);
        let [_, cartoner, ..] = &self.machines;
        let damaged = self.at >= self.begun.plus(DAMAGE_AFTER);
        self.bearing.pass(TELLS_EVERY, cartoner.pace, damaged);
        if self.bearing.is_worn_out() {
            self.worn_out.get_or_insert(self.at);
        }
    }

    /// What the repair asks of the cartoner: to run or to stand, its mode, how its bearing is.
    fn attend(&mut self) -> Wish {
        let [_, cartoner, ..] = &mut self.machines;
        match self.repair {
            Repair::None => Wish::Run,
            Repair::Planned => {
                self.bearing.is(Condition::UsedWithCare);
                Wish::Run
            }
            Repair::InProgress => {
                let since = *self.repairing.get_or_insert(self.at);
                if cartoner.state == State::Stopped {
                    cartoner.mode = Mode::Maintenance;
                }
                let test = since.plus(TEST_RUN_AFTER);
                if self.at < test {
                    return Wish::Stop;
                }
                self.bearing.is(Condition::NotAligned);
                if self.at < test.plus(TEST_RUN) { Wish::Run } else { Wish::Stop }
            }
            Repair::Done => {
                // Nobody lets go of a machine that runs for a test.
                if self.repairing.is_some() && cartoner.state != State::Stopped {
                    return Wish::Stop;
                }
                self.repairing = None;
                self.worn_out = None;
                cartoner.mode = Mode::Produce;
                self.bearing.is(Condition::New);
                Wish::Run
            }
        }
    }

    fn say(&self, said: &mut Vec<Message>) {
        let mut time = self.at;
        for machine in &self.machines {
            let Machine { asset, state, mode, .. } = machine;
            let (state, mode, speed) = (state.number(), mode.number(), machine.speed());
            let (good, rejects) = (machine.good(), machine.rejects());
            let numbers =
                format!(r#""state":{state},"mode":{mode},"speed":{speed:.1},"good":{good},"rejects":{rejects}"#);
            said.push(Message {
                topic: format!("plant/{asset}/status"),
                payload: format!(r#"{{"time":"{time}",{numbers}}}"#),
                time,
            });
            if machine.class == Class::Cartoner {
                let Bearing { vibration, temperature, .. } = &self.bearing;
                said.push(Message {
                    topic: format!("plant/{asset}/condition"),
                    payload: format!(
                        r#"{{"time":"{time}","vibration":{vibration:.2},"temperature":{temperature:.1}}}"#
                    ),
                    time,
                });
            }
            time = time.minus(APART);
        }
        // The last machine of the line speaks first, so that all have spoken at the end of the step.
        said.sort_by_key(|message| message.time);
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, clippy::cast_possible_truncation, reason = "states and counts are whole numbers")]
mod tests {
    use super::*;

    const HIGH: f64 = 4.5;

    fn begun() -> Time {
        Time::parse("2026-11-26T08:00:00Z").unwrap()
    }

    fn minute(minutes: i64) -> Time {
        begun().plus(Span::from_secs(minutes * 60))
    }

    /// Plays a line; `repair` says how the repair is at a minute.
    fn play(plan: Plan, minutes: i64, repair: impl Fn(i64) -> Repair) -> (Line, Vec<Message>) {
        let mut line = Line::new(plan, begun());
        let mut said = Vec::new();
        for second in 0..minutes * 60 {
            let now = begun().plus(Span::from_secs(second));
            said.extend(line.step(now, |at| repair(at.since(begun()).nanos() / 60_000_000_000)));
        }
        (line, said)
    }

    fn repaired(minute: i64) -> Repair {
        match minute {
            ..18 => Repair::None,
            18..24 => Repair::Planned,
            24..36 => Repair::InProgress,
            _ => Repair::Done,
        }
    }

    /// A field of what was said on a topic, with the minute.
    fn series(said: &[Message], topic: &str, field: &str) -> Vec<(f64, f64)> {
        said.iter()
            .filter(|message| message.topic == topic)
            .map(|message| {
                let json: serde_json::Value = serde_json::from_str(&message.payload).unwrap();
                assert_eq!(json["time"], message.time.to_string());
                (message.time.since(begun()).std().as_secs_f64() / 60.0, json[field].as_f64().unwrap())
            })
            .collect()
    }

    fn within(series: &[(f64, f64)], from: f64, to: f64) -> Vec<f64> {
        let inside: Vec<f64> = series.iter().filter(|(m, _)| *m >= from && *m < to).map(|(_, v)| *v).collect();
        assert!(!inside.is_empty());
        inside
    }

    fn lowest(values: &[f64]) -> f64 {
        values.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn highest(values: &[f64]) -> f64 {
        values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    #[test]
    fn the_vibration_rises_over_the_limit_stays_and_comes_back_with_a_test_run_between() {
        for plan in PLANS {
            let (line, said) = play(plan, 50, repaired);
            let cartoner = line.cartoner();
            let vibration = series(&said, &format!("plant/{cartoner}/condition"), "vibration");
            let of = |from, to| within(&vibration, from, to);
            assert!(highest(&of(0.0, 10.0)) < 2.0 && lowest(&of(1.0, 10.0)) > 1.6, "ordinary production");
            let crossed = vibration.iter().find(|(_, v)| *v > HIGH).unwrap().0;
            assert!((14.0..17.0).contains(&crossed), "crossed at minute {crossed}");
            assert!(lowest(&of(crossed + 1.0, 23.9)) > HIGH, "and stays beyond it until it is stopped");
            assert!(highest(&of(0.0, 23.9)) < 7.1, "not beyond the second limit");
            assert!(highest(&of(25.0, 29.0)) < 0.5, "the machine stands");
            assert!(lowest(&of(30.0, 33.2)) > HIGH, "the test run is beyond the limit for longer than two minutes");
            assert!(highest(&of(34.5, 36.0)) < 0.5);
            let after = of(38.0, 50.0);
            assert!(lowest(&after) > 1.4 && highest(&after) < 1.8, "a new bearing");
            assert_eq!(line.chapter(), Chapter::Repaired);
        }
    }

    #[test]
    fn the_test_run_is_in_maintenance_and_production_in_no_other_mode() {
        let (line, said) = play(PLANS[0], 50, repaired);
        let topic = format!("plant/{}/status", line.cartoner());
        let (state, mode) = (series(&said, &topic, "state"), series(&said, &topic, "mode"));
        assert!(within(&state, 0.0, 23.9).iter().all(|s| *s == 6.0));
        assert!(within(&mode, 25.0, 35.9).iter().all(|m| *m == 2.0));
        assert!(within(&state, 30.0, 33.0).iter().all(|s| *s == 6.0), "it runs for the test");
        assert!(within(&mode, 37.0, 50.0).iter().all(|m| *m == 1.0));
        assert!(within(&state, 38.0, 50.0).iter().all(|s| *s == 6.0));
        let seen: std::collections::BTreeSet<i64> = state.iter().map(|(_, s)| *s as i64).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [2, 3, 4, 6, 7, 15]);
    }

    #[test]
    fn machines_beside_it_wait_and_nothing_is_counted_meanwhile() {
        let (_, said) = play(PLANS[0], 50, repaired);
        for asset in ["filler-07", "case-packer-07", "palletiser-07"] {
            let topic = format!("plant/{asset}/status");
            let (state, good) = (series(&said, &topic, "state"), series(&said, &topic, "good"));
            assert!(within(&state, 0.0, 23.9).iter().all(|s| *s == 6.0), "{asset} does not flap");
            assert!(within(&state, 28.0, 36.0).iter().all(|s| *s == 5.0), "{asset} waits");
            let standing = within(&good, 28.0, 36.0);
            assert_eq!(lowest(&standing), highest(&standing));
            assert!(highest(&within(&good, 40.0, 50.0)) > highest(&standing) + 20.0, "{asset} goes on");
        }
        let good = series(&said, "plant/cartoner-07/status", "good");
        let standing = within(&good, 25.0, 36.0);
        assert_eq!(lowest(&standing), highest(&standing), "a test run makes nothing");
        assert!(good.windows(2).all(|two| two[0].1 <= two[1].1), "a counter never goes back");
        assert!((9.0 * 20.0..11.0 * 20.0).contains(&highest(&within(&good, 0.0, 10.0))));
        let rejects = series(&said, "plant/cartoner-07/status", "rejects");
        let (calm, rough) = (highest(&within(&rejects, 0.0, 10.0)), highest(&within(&rejects, 0.0, 23.9)));
        assert!(rough > 2.0 * calm, "a rough machine rejects more: {calm} {rough}");
    }

    #[test]
    fn the_bearing_runs_hot() {
        let (_, said) = play(PLANS[1], 50, repaired);
        let temperature = series(&said, "plant/cartoner-21/condition", "temperature");
        let of = |from, to| within(&temperature, from, to);
        assert!(lowest(&of(0.0, 10.0)) > 45.0 && highest(&of(0.0, 10.0)) < 49.0);
        assert!(highest(&of(20.0, 24.5)) > 55.0);
        assert!(lowest(&of(25.0, 37.0)) < 45.0);
    }

    #[test]
    fn without_a_repair_it_wears_to_its_end() {
        let (line, said) = play(PLANS[0], 60, |_| Repair::None);
        let vibration = series(&said, "plant/cartoner-07/condition", "vibration");
        let end = within(&vibration, 40.0, 60.0);
        assert!(lowest(&end) > 8.0 && highest(&end) < 9.5);
        assert_eq!(line.chapter(), Chapter::WornOut);
        assert!(line.chapter().is_last());
    }

    #[test]
    fn the_same_seed_and_the_same_repair_give_the_same_messages_however_time_is_cut() {
        let (_, one) = play(PLANS[0], 30, |_| Repair::None);
        let mut line = Line::new(PLANS[0], begun());
        let mut other = Vec::new();
        for minutes in [1, 2, 9, 10, 23] {
            other.extend(line.step(minute(minutes), |_| Repair::None));
        }
        other.extend(line.step(minute(30).minus(Span::from_secs(1)), |_| Repair::None));
        assert!(line.step(minute(3), |_| Repair::None).is_empty(), "nothing is said twice");
        assert_eq!(one, other);
        assert_eq!(one.len(), (30 * 12 - 1) * 5);
        assert!(one.is_sorted_by_key(|message| message.time));
        let (_, another) = play(Plan { seed: 7, ..PLANS[0] }, 30, |_| Repair::None);
        assert_ne!(one, another);
    }
}
