//! The conversation with an adapter as a state machine: lines in, signs of life out, and when it is over.
//!
//! We ask `* PING` when connected. An adapter that knows signs of life answers `* PONG <milliseconds>` with the pace it
//! wants; from then on it is asked at that pace, and two paces without a line end the connection. One that never
//! answers is asked on, and only [`SILENT_MAX`] without a byte ends it, for it may have nothing to say.

use super::codec::{Heard, Lines, Said, parse};
use crate::mqtt::Ended;
use std::time::Duration;

/// An adapter without signs of life that says nothing for this long is gone.
pub const SILENT_MAX: Duration = Duration::from_mins(10);
/// The quickest pace an adapter may ask for; a quicker one is kept at this.
pub const PACE_MIN: Duration = Duration::from_millis(500);
/// The slowest pace; a slower one is kept at this.
pub const PACE_MAX: Duration = Duration::from_mins(30);
/// What is sent.
pub const PING: &[u8] = b"* PING\n";

/// One connection.
#[derive(Debug)]
pub struct Session {
    lines: Lines,
    pace: Duration,
    answered: bool,
    asked: Option<Duration>,
    heard: Duration,
}

impl Session {
    /// A connection that begins now, asked at this pace until the adapter says another.
    pub fn new(pace: Duration, now: Duration) -> Self {
        Self { lines: Lines::default(), pace, answered: false, asked: None, heard: now }
    }

    /// Takes bytes; `heard` gets every line but signs of life.
    pub fn receive(&mut self, bytes: &[u8], now: Duration, heard: &mut dyn FnMut(Heard<'_>)) {
        self.heard = now;
        let Self { lines, pace, answered, .. } = self;
        lines.push(bytes, &mut |what| match what {
            Heard::Line(line) if line.starts_with('*') => match parse(line) {
                Ok(Said::Pong(millis)) => {
                    *answered = true;
                    if let Some(millis) = millis.filter(|millis| *millis > 0) {
                        *pace = Duration::from_millis(millis.into()).clamp(PACE_MIN, PACE_MAX);
                    }
                }
                Ok(Said::Ping) => {}
                _ => heard(what),
            },
            _ => heard(what),
        });
    }

    /// What is to be sent now; an error ends the connection.
    pub fn tick(&mut self, now: Duration) -> Result<Option<&'static [u8]>, Ended> {
        let silent = now.saturating_sub(self.heard);
        if self.answered && silent > self.pace * 2 {
            let reason = format!("the adapter gave no sign of life for {} s", silent.as_secs());
            return Err(Ended::new(reason, "look whether the adapter still runs, and at the network"));
        }
        if !self.answered && silent > SILENT_MAX {
            let reason = format!("the adapter said nothing for {} s", silent.as_secs());
            return Err(Ended::new(reason, "look whether the adapter still runs, and at the network"));
        }
        if self.asked.is_none_or(|asked| now.saturating_sub(asked) >= self.pace) {
            self.asked = Some(now);
            return Ok(Some(PING));
        }
        Ok(None)
    }

    /// What was begun and never ended, when the connection is over.
    pub fn end(&mut self) -> Option<Vec<u8>> {
        self.lines.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn signs_of_life_come_at_the_pace_of_the_adapter() {
        let mut session = Session::new(S(10), S(0));
        assert_eq!(session.tick(S(0)).unwrap(), Some(PING));
        assert_eq!(session.tick(S(1)).unwrap(), None);
        let mut all = Vec::new();
        session.receive(b"* PONG 3000\nt|a|1\n* device: X\n", S(1), &mut |heard| {
            if let Heard::Line(line) = heard {
                all.push(line.to_owned());
            }
        });
        assert_eq!(all, ["t|a|1", "* device: X"]);
        assert_eq!(session.tick(S(3)).unwrap(), Some(PING));
        assert_eq!(session.tick(S(6)).unwrap(), Some(PING));
        let ended = session.tick(S(8)).unwrap_err();
        assert!(ended.reason.contains("sign of life"), "{ended}");
    }

    #[test]
    fn an_adapter_without_signs_of_life_may_be_silent_for_long() {
        let mut session = Session::new(S(10), S(0));
        session.receive(b"t|a|1\n", S(5), &mut |_| {});
        assert!(session.tick(S(600)).is_ok());
        assert!(session.tick(S(606)).is_err());
    }
}
