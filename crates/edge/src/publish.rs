//! Publishes at least once to one broker, in order, through lost connections: what is not acknowledged is
//! sent again. Runs in the thread of its caller.

use crate::{
    given::{Backoff, Chance, Clock, draw},
    mqtt::{
        BrokerAddress, Client, Ended, Happened, Link, Settings, Waker, client::NotSent, codes::Explained,
        transport::Bytes,
    },
};
use rustls::ClientConfig;
use std::{collections::VecDeque, io, sync::Arc, time::Duration};

/// A publish that the broker refused for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its topic.
    pub topic: String,
    /// The broker's reason code.
    pub code: u8,
    /// What it means.
    pub why: Explained,
}

/// One that publishes.
pub struct Publisher {
    address: BrokerAddress,
    tls: Option<Arc<ClientConfig>>,
    settings: Settings,
    clock: Arc<dyn Clock>,
    chance: Chance,
    waker: Waker,
    link: Option<(Link, Client)>,
    backoff: Backoff,
    /// Sent, or to be sent again, and not acknowledged: packet id of this connection, topic, payload.
    waiting: VecDeque<(Option<u16>, String, Vec<u8>)>,
    acknowledged: u64,
    refused: Vec<Refused>,
}

impl Publisher {
    /// A publisher that has not connected yet, with TLS where it is told how. `settings.window` is the most it has
    /// under way.
    pub fn new(
        address: BrokerAddress,
        tls: Option<Arc<ClientConfig>>,
        settings: Settings,
        clock: Arc<dyn Clock>,
        chance: Chance,
    ) -> io::Result<Self> {
        let (link, backoff, waiting, refused) = (None, Backoff::default(), VecDeque::new(), Vec::new());
        let waker = Waker::new()?;
        Ok(Self { address, tls, settings, clock, chance, waker, link, backoff, waiting, acknowledged: 0, refused })
    }

    /// What wakes a publisher that waits.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Connects now, or says why that is not possible; otherwise the first publish connects, and waits for it.
    pub fn connect(&mut self) -> Result<(), Ended> {
        let mut link = Link::connect(&self.address, self.tls.as_ref(), &self.waker, &|| false)?;
        let mut client = Client::new(self.settings.clone(), []);
        client.connect(self.clock.monotonic())?;
        let mut happened = Vec::new();
        while !client.is_connected() {
            exchange(&mut link, &mut client, &*self.clock, &self.waker, None, &mut happened)?;
        }
        for (id, topic, payload) in &mut self.waiting {
            *id = None;
            if client.has_room() {
                *id = client.publish(topic, payload, 1, self.clock.monotonic()).map_err(|e| impossible(&e))?;
            }
        }
        self.link = Some((link, client));
        Ok(())
    }

    /// Publishes at QoS 1; waits while too many are under way or the broker is away. `give_up` is asked while it
    /// waits; where it says yes, the message stays with those that wait.
    pub fn publish(&mut self, topic: &str, payload: &[u8], give_up: &mut dyn FnMut(&str) -> bool) -> Result<(), Ended> {
        self.waiting.push_back((None, topic.to_owned(), payload.to_vec()));
        loop {
            self.turn(Some(Duration::ZERO), give_up)?;
            let unsent = self.waiting.iter().filter(|(id, ..)| id.is_none()).count();
            if unsent == 0 || give_up("") {
                return Ok(());
            }
            self.turn(Some(Duration::from_millis(50)), give_up)?;
        }
    }

    /// Waits until everything is acknowledged.
    pub fn flush(&mut self, give_up: &mut dyn FnMut(&str) -> bool) -> Result<(), Ended> {
        while !self.waiting.is_empty() && !give_up("") {
            self.turn(Some(Duration::from_millis(50)), give_up)?;
        }
        Ok(())
    }

    /// Lets time pass, at most this long, while acknowledgements come in and a lost connection is made again.
    pub fn wait(&mut self, time: Duration, give_up: &mut dyn FnMut(&str) -> bool) -> Result<(), Ended> {
        let until = self.clock.monotonic() + time;
        loop {
            let left = until.saturating_sub(self.clock.monotonic());
            self.turn(Some(left), give_up)?;
            if left.is_zero() || give_up("") {
                return Ok(());
            }
        }
    }

    /// Publishes that were acknowledged, refused ones included.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Publishes that the broker refused since the last call.
    pub fn take_refused(&mut self) -> Vec<Refused> {
        std::mem::take(&mut self.refused)
    }

    /// Reads and writes; connects again where the connection was lost, after a pause.
    fn turn(&mut self, wait: Option<Duration>, give_up: &mut dyn FnMut(&str) -> bool) -> Result<(), Ended> {
        if self.link.is_none()
            && let Err(ended) = self.connect()
        {
            if give_up(&ended.to_string()) {
                return Err(ended);
            }
            let pause = self.backoff.pause(Duration::ZERO, draw(&mut self.chance));
            self.waker.wait(Some(pause.min(Duration::from_secs(2))));
            return Ok(());
        }
        let Some((link, client)) = &mut self.link else { return Ok(()) };
        let now = self.clock.monotonic();
        // Those that wait without a packet id come last, so the order is kept.
        for (id, topic, payload) in self.waiting.iter_mut().filter(|(id, ..)| id.is_none()) {
            match client.publish(topic, payload, 1, now) {
                Ok(sent) => *id = sent,
                Err(NotSent::Full | NotSent::NotConnected) => break,
                Err(error) => return Err(impossible(&error)),
            }
        }
        let mut happened = Vec::new();
        let result = exchange(link, client, &*self.clock, &self.waker, wait, &mut happened);
        for what in happened {
            if let Happened::Published { id, refused } = what
                && let Some(at) = self.waiting.iter().position(|(waiting, ..)| *waiting == Some(id))
                && let Some((_, topic, _)) = self.waiting.remove(at)
            {
                self.acknowledged += 1;
                self.refused.extend(refused.map(|(code, why)| Refused { topic, code, why }));
            }
        }
        if let Err(ended) = result {
            self.link = None;
            self.waiting.iter_mut().for_each(|(id, ..)| *id = None);
            if give_up(&ended.to_string()) {
                return Err(ended);
            }
        }
        Ok(())
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        if let Some((link, mut client)) = self.link.take() {
            client.disconnect(self.clock.monotonic());
            link.close(std::mem::take(client.output()));
        }
    }
}

fn impossible(error: &NotSent) -> Ended {
    Ended::new(error.to_string(), "correct the topic")
}

/// Writes what is to be written, waits for bytes at most this long (`None`: as long as the conversation
/// allows), and reads them.
fn exchange(
    link: &mut Link,
    client: &mut Client,
    clock: &dyn Clock,
    waker: &Waker,
    wait: Option<Duration>,
    happened: &mut Vec<Happened>,
) -> Result<(), Ended> {
    let now = clock.monotonic();
    client.tick(now)?;
    link.write(client.output())?;
    let until = client.deadline().map(|at| at.saturating_sub(now));
    let timeout = [wait, until].into_iter().flatten().min();
    if timeout != Some(Duration::ZERO) {
        let to_write = !client.output().is_empty();
        link.wait(waker, to_write, timeout);
    }
    while let Bytes::Some(bytes, more) = link.read()? {
        client.receive(bytes, clock.monotonic(), happened)?;
        if !more {
            break;
        }
    }
    Ok(())
}
