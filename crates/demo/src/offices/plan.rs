//! What the lines have to produce: one order after the other, as a function of time. Both ERPs and planning know it.

use andon_model::{Time, span::Span};

/// An order begins every four hours...
const SLOT: Span = Span::from_secs(4 * 3_600);
/// ...and runs for three hours and forty minutes; the rest is change-over, which takes up delays.
const RUN: Span = Span::from_secs(220 * 60);
/// How much later than its planned end the customer was promised an order.
const PROMISED: Span = Span::from_secs(15 * 60);
/// How long before its beginning an order is created.
const CREATED: Span = Span::from_secs(12 * 3_600);
/// How long before its beginning an order is released.
const RELEASED: Span = Span::from_secs(2 * 3_600);
/// How long the first order runs already at the start of the story.
const RUNNING: Span = Span::from_secs(3_600);
const MINUTE: Span = Span::from_secs(60);
/// So many orders before the running one are known...
const BEFORE: i64 = 8;
/// ...and so many after it.
const AFTER: i64 = 3;

/// A line and what it makes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Making {
    /// The plant in the numbers of the ERPs.
    pub(super) plant: &'static str,
    /// The line in the numbers of its ERP.
    pub(super) line: &'static str,
    /// The material in the numbers of its ERP.
    pub(super) material: &'static str,
    /// Pieces of an order.
    pub(super) quantity: i64,
    /// Whom it is for: number at planning, and name.
    pub(super) customer: (&'static str, &'static str),
    /// The number of the order that runs at the start of the story.
    first: i64,
    /// What stands before the number in the batch.
    batch: &'static str,
}

/// The line of hamburg, whose orders are in the S/4HANA.
pub(super) const HAMBURG: Making = Making {
    plant: "1010",
    line: "PK1",
    material: "FG-200-20",
    quantity: 24_000,
    customer: ("C-1001", "Nordlicht Handel AG"),
    first: 1_000_123,
    batch: "B00",
};

/// The line of monterrey, whose orders are in the older ERP.
pub(super) const MONTERREY: Making = Making {
    plant: "20",
    line: "LINEA-2",
    material: "40-1180",
    quantity: 22_000,
    customer: ("C-2001", "Abarrotes del Norte"),
    first: 70_411,
    batch: "L",
};

/// How far an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Created,
    Released,
    Running,
    Completed,
}

/// A production order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    /// Its number in its ERP.
    pub(super) number: String,
    /// The batch it makes.
    pub(super) batch: String,
    /// What is made, where.
    pub(super) making: &'static Making,
    /// When it was created.
    pub(super) created: Time,
    /// When it is released.
    pub(super) released: Time,
    /// When it begins.
    pub(super) begin: Time,
    /// When it ends, as far as is known.
    pub(super) end: Time,
    /// When it was to end before anything went wrong.
    pub(super) planned: Time,
    /// Until when the customer was promised it.
    pub(super) promised: Time,
    /// When its dates were last moved, by hand or by the order before it.
    moved: Option<Time>,
}

impl Order {
    /// How far it is, and since when.
    pub(super) fn state(&self, now: Time) -> (State, Time) {
        let steps = [(State::Completed, self.end), (State::Running, self.begin), (State::Released, self.released)];
        steps.into_iter().find(|(_, at)| *at <= now).unwrap_or((State::Created, self.created))
    }

    /// When it last changed, where somebody has changed it at `by_hand`.
    pub(super) fn changed(&self, by_hand: Option<Time>, now: Time) -> Time {
        let (_, since) = self.state(now);
        since.max(by_hand.unwrap_or(Time::MIN)).max(self.moved.unwrap_or(Time::MIN))
    }
}

/// Somebody has moved the end of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moved {
    /// When.
    pub(super) at: Time,
    /// Where to.
    pub(super) end: Time,
}

/// The orders of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// When the order with the first number begins.
    begin: Time,
}

impl Plan {
    /// The plan of a story that starts at `start`: one order of each line runs then, for an hour already. Plans are
    /// made in whole minutes. A plan from [`Time`] 0 has orders from midnight on (UTC).
    pub fn from(start: Time) -> Self {
        if start == Time(0) {
            return Self { begin: start };
        }
        let begin = start.minus(RUNNING);
        Self { begin: Time(begin.0.div_euclid(MINUTE.nanos()) * MINUTE.nanos()) }
    }

    /// The orders of a line that exist at `now`, in their order. `moved` says where somebody has moved the end of an
    /// order to; the next one begins after it.
    pub(super) fn orders(
        self,
        making: &'static Making,
        now: Time,
        moved: impl Fn(&str) -> Option<Moved>,
    ) -> Vec<Order> {
        let running = now.since(self.begin).nanos().div_euclid(SLOT.nanos());
        let mut orders: Vec<Order> = Vec::new();
        for nth in running - BEFORE..=running + AFTER {
            let slot = self.begin.plus(Span::from_nanos(SLOT.nanos().saturating_mul(nth)));
            let (begin, pushed) = match orders.last() {
                Some(before) if before.end > slot => (before.end, before.moved),
                _ => (slot, None),
            };
            let number = making.first + nth;
            let planned = slot.plus(RUN);
            let by_hand = moved(&number.to_string());
            orders.push(Order {
                number: number.to_string(),
                batch: format!("{}{number}", making.batch),
                making,
                created: slot.minus(CREATED),
                released: slot.minus(RELEASED),
                begin,
                end: by_hand.map_or(begin.plus(RUN), |moved| moved.end),
                planned,
                promised: planned.plus(PROMISED),
                moved: by_hand.map(|moved| moved.at).max(pushed),
            });
        }
        orders.retain(|order| order.created <= now);
        orders
    }

    /// An order of any line by its number, as it was planned.
    pub(super) fn order(self, number: &str, now: Time) -> Option<Order> {
        let find = |making| self.orders(making, now, |_| None).into_iter().find(|order| order.number == number);
        find(&HAMBURG).or_else(|| find(&MONTERREY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Time {
        Time::parse("2026-11-26T08:00:00Z").unwrap()
    }

    fn minutes(count: i64) -> Span {
        Span::from_secs(60 * count)
    }

    #[test]
    fn one_order_runs_at_the_start_and_the_next_ones_follow() {
        let plan = Plan::from(start());
        let orders = plan.orders(&HAMBURG, start(), |_| None);
        let running: Vec<&Order> = orders.iter().filter(|o| o.state(start()).0 == State::Running).collect();
        assert_eq!(running.len(), 1);
        assert_eq!((running[0].number.as_str(), running[0].batch.as_str()), ("1000123", "B001000123"));
        assert_eq!(running[0].begin, start().minus(minutes(60)));
        let states: Vec<State> = orders.iter().map(|order| order.state(start()).0).collect();
        assert!(states.is_sorted_by(|a, b| a >= b), "{states:?}");
        let later = plan.orders(&HAMBURG, start().plus(minutes(240)), |_| None);
        assert_eq!(
            later.iter().find(|o| o.state(start().plus(minutes(240))).0 == State::Running).unwrap().number,
            "1000124"
        );
    }

    #[test]
    fn a_moved_end_moves_what_follows_until_the_reserve_has_taken_it_up() {
        let plan = Plan::from(start());
        let planned = plan.orders(&HAMBURG, start(), |_| None);
        let at = start().plus(minutes(50));
        let moved = |number: &str| (number == "1000123").then(|| Moved { at, end: start().plus(minutes(160 + 45)) });
        let orders = plan.orders(&HAMBURG, start(), moved);
        let late: Vec<i64> =
            orders.iter().zip(&planned).map(|(a, b)| a.end.since(b.end).nanos() / 60_000_000_000).collect();
        assert_eq!(late[8..], [45, 25, 5, 0]);
        assert_eq!(late[..8], [0; 8]);
        let changed = orders[8..].iter().map(|order| order.changed(None, at) == at);
        assert_eq!(changed.collect::<Vec<_>>(), [true, true, true, false]);
    }

    #[test]
    fn an_order_is_found_by_its_number_at_both_sites() {
        let plan = Plan::from(start());
        assert_eq!(plan.order("1000123", start()).unwrap().making, &HAMBURG);
        assert_eq!(plan.order("70411", start()).unwrap().making, &MONTERREY);
        assert_eq!(plan.order("4711", start()), None);
        assert!(Plan::from(Time(0)).order("1000123", Time(0)).is_some());
        assert_eq!(Plan::from(start().plus(Span::from_millis(59_999))), plan);
    }
}
