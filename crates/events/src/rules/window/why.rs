//! What a window says of itself: the number of the newest closed one, and the one that is open.

use super::{Settings, State, Stats, good_raw, seconds};
use crate::{
    saw::function,
    why::{Finding, Look, Reason},
};
use andon_model::Time;

impl State {
    /// Why it has not fired.
    pub(crate) fn why(&self, set: &Settings, look: &Look) -> Vec<Finding> {
        let (shape, signal) = (self.shape, look.name(0));
        let word = function(shape.function);
        let mut all = Vec::new();
        let open = self.next().filter(|_| self.deadline(set).is_some_and(|deadline| deadline >= look.at));
        if let Some(open) = open {
            let (from, to) = (shape.begins(open.saturating_sub(shape.parts)), shape.begins(open));
            let count = look.samples.iter().filter(|raw| (from..to).contains(&raw.time)).count();
            let judged = to.plus(shape.lateness);
            let text =
                format!("the window from {from} to {to} was open with {count} samples; it is judged at {judged}");
            all.push(Finding::new(Reason::Waits, text).at(judged).with("samples", count));
        }
        if self.closed == i64::MIN {
            all.push(Finding::new(Reason::Learning, "no window was closed yet".to_owned()));
            return all;
        }
        let (from, to) = (shape.begins(self.closed.saturating_sub(shape.parts)), shape.begins(self.closed));
        let (number, count) = self.again(look, from, to);
        let Some(number) = number else {
            let text = format!(
                "the window from {from} to {to} had {count} good samples, fewer than {} (at-least): it has no number",
                shape.at_least.max(1)
            );
            all.push(Finding::new(Reason::NotBeyond, text).at(to).with("samples", count));
            all.extend(self.phase.why(&set.levels, look, &word, None));
            return all;
        };
        let what = format!("{word} of {signal} over the window from {from} to {to}, {count} good samples,");
        all.extend(self.phase.why(&set.levels, look, &what, Some((number, to))));
        all
    }

    /// The number of a closed window, made again, and its good samples.
    fn again(&self, look: &Look, from: Time, to: Time) -> (Option<f64>, u64) {
        let within = look.samples.iter().filter(|raw| (from..to).contains(&raw.time));
        let mut probe = Self { kept: within.filter(|raw| good_raw(raw).is_some()).cloned().collect(), ..self.clone() };
        let one = |raw| Some(Stats::of(good_raw(raw)?, seconds(raw.time.0.saturating_sub(from.0))));
        let whole = probe.kept.iter().filter_map(one).reduce(|whole, one| whole.join(&one, 0.0));
        let Some(stats) = whole else { return (None, 0) };
        if stats.count < self.shape.at_least {
            return (None, stats.count);
        }
        probe.closed = self.closed;
        (probe.number(&stats, &|_| true), stats.count)
    }
}
