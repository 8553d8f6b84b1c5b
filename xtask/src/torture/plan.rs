//! What happens during a life of the product, drawn from the seed: when it is killed, and what is wrong meanwhile.

use std::time::Duration;

use super::chance::Chance;
use super::effects::OFFICES;
use super::proxy::Fault;

/// The links that can be harmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// The product and the broker.
    Broker,
    /// Machines and the product's listener.
    Listener,
    /// The product and the offices.
    Offices,
    /// Gateways that post, and the product's API.
    Api,
}

pub(super) const LINKS: [Link; 4] = [Link::Broker, Link::Listener, Link::Offices, Link::Api];

/// Something that is done to the world.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Act {
    /// The product is killed.
    Kill,
    /// A link is harmed, or holds again.
    Link(Link, Fault),
    /// An office misbehaves with its next requests.
    Misbehave { office: &'static str, kind: &'static str, next: u64, ms: Option<u64>, method: Option<&'static str> },
    /// All offices are killed.
    OfficesEnd,
    /// They are started again.
    OfficesBegin,
    /// The broker is asked to stop, or killed.
    BrokerEnd { killed: bool },
    /// It is started again.
    BrokerBegin,
    /// The product's clock is so many seconds wrong from now on.
    Clock(i64),
    /// Somebody else takes the disk, all but so many KiB.
    DiskFill(u64),
    /// And gives it back.
    DiskFree,
}

/// What this machine allows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Can {
    pub(super) fill_disk: bool,
    pub(super) jump_clock: bool,
}

/// What an office can be told, with how often it is drawn of a hundred.
const MISDEEDS: [(&str, u64); 9] = [
    ("fail-500", 14),
    ("fail-503", 14),
    ("fail-429", 14),
    ("hang", 8),
    ("late", 14),
    ("lose-answer", 14),
    ("drop-connection", 10),
    ("garbage", 8),
    ("fail-400", 4),
];

/// One life: what is done when, counted from its start. The kill is the last but for what heals later.
pub(super) fn life(chance: &mut Chance, can: Can) -> Vec<(Duration, Act)> {
    let length = match chance.between(0, 9) {
        0 | 1 => chance.millis(1, 400),
        2..7 => chance.millis(400, 3_000),
        _ => chance.millis(3_000, 7_000),
    };
    let mut acts = vec![(length, Act::Kill)];
    let room = u64::try_from(length.as_millis()).unwrap_or(0).max(1);
    for link in LINKS {
        if chance.percent(22) {
            let at = chance.millis(0, room);
            let fault = harm(chance, link);
            acts.push((at, Act::Link(link, fault)));
            acts.push((at + chance.millis(50, 2_500), Act::Link(link, Fault::None)));
        }
    }
    if chance.percent(45) {
        for _ in 0..chance.between(1, 4) {
            let at = chance.millis(0, room);
            acts.extend(misdeed(chance).map(|act| (at, act)));
        }
    }
    if chance.percent(6) {
        let at = chance.millis(0, room);
        acts.push((at, Act::OfficesEnd));
        acts.push((at + chance.millis(0, 2_000), Act::OfficesBegin));
    }
    if chance.percent(5) {
        let at = chance.millis(0, room);
        acts.push((at, Act::BrokerEnd { killed: chance.percent(50) }));
        acts.push((at + chance.millis(0, 2_000), Act::BrokerBegin));
    }
    if can.jump_clock && chance.percent(12) {
        let seconds = i64::try_from(chance.between(1, 3_000)).unwrap_or(0);
        // Far back, times of machines would be too far ahead; forward there is no limit.
        let seconds = match chance.between(0, 3) {
            0 => -seconds,
            1 => seconds * 30,
            2 => seconds,
            _ => 0,
        };
        acts.push((chance.millis(0, room), Act::Clock(seconds)));
    }
    if can.fill_disk && chance.percent(6) {
        let at = chance.millis(0, room);
        acts.push((at, Act::DiskFill(chance.between(0, 4_000))));
        acts.push((at + chance.millis(200, 5_000), Act::DiskFree));
    }
    acts.sort_by_key(|(at, _)| *at);
    acts
}

fn harm(chance: &mut Chance, link: Link) -> Fault {
    match chance.between(0, 9) {
        0..5 => Fault::Cut { after: u32::try_from(chance.between(0, 6_000)).unwrap_or(0) },
        5 | 6 => Fault::Stalled,
        7 => Fault::Refused,
        // What goes to an office must not take longer than its search after an unknown outcome waits.
        _ if link == Link::Offices => Fault::Slow { bytes: 256, pause: chance.millis(1, 30) },
        _ => Fault::Slow { bytes: 64, pause: chance.millis(1, 40) },
    }
}

fn misdeed(chance: &mut Chance) -> Option<Act> {
    let office = OFFICES.get(usize::try_from(chance.between(0, OFFICES.len() as u64 - 1)).ok()?)?;
    let mut drawn = chance.between(0, 99);
    let (kind, _) = MISDEEDS.iter().find(|(_, of)| {
        let found = drawn < *of;
        drawn = drawn.saturating_sub(*of);
        found
    })?;
    let ms = match *kind {
        "late" => Some(chance.between(50, 6_000)),
        "fail-429" | "fail-503" if chance.percent(50) => Some(1_000),
        _ => None,
    };
    // What is only read is read again; what is written is what can be done twice.
    let writes: &[&str] = match *office {
        "maximo" | "eam" | "qms" | "supplier" => &["POST"],
        "s4" | "crm" => &["PATCH"],
        _ => &["PUT"],
    };
    let method = if chance.percent(75) { chance.one(writes).copied() } else { None };
    Some(Act::Misbehave { office, kind, next: chance.between(1, 3), ms, method })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_drawn_from_its_seed_and_everything_comes_in_a_hundred_of_them() {
        let can = Can { fill_disk: true, jump_clock: true };
        let lives = |seed| {
            let mut chance = Chance::new(seed);
            (0..300).map(|_| life(&mut chance, can)).collect::<Vec<_>>()
        };
        assert_eq!(lives(1), lives(1));
        let acts: Vec<Act> = lives(2).into_iter().flatten().map(|(_, act)| act).collect();
        let some = |what: &dyn Fn(&Act) -> bool| acts.iter().any(what);
        assert!(some(&|act| matches!(act, Act::Link(_, Fault::Cut { .. }))));
        assert!(some(&|act| matches!(act, Act::Link(Link::Api, Fault::Stalled))));
        assert!(some(&|act| matches!(act, Act::Misbehave { kind: "hang", .. })));
        assert!(some(&|act| matches!(act, Act::BrokerEnd { killed: true })));
        assert!(some(&|act| matches!(act, Act::Clock(..0))));
        assert!(some(&|act| matches!(act, Act::DiskFill(_))));
        assert_eq!(acts.iter().filter(|act| **act == Act::Kill).count(), 300);
    }

    #[test]
    fn what_this_machine_does_not_allow_is_left_out() {
        let mut chance = Chance::new(3);
        let can = Can { fill_disk: false, jump_clock: false };
        let acts = (0..300).flat_map(|_| life(&mut chance, can)).map(|(_, act)| act);
        assert!(!acts.into_iter().any(|act| matches!(act, Act::Clock(_) | Act::DiskFill(_) | Act::DiskFree)));
    }
}
