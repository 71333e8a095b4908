//! The world around one gateway: one clock, one set of dice, and at each step one thing that happens.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use bellwire::app::answer_prefix;
use bellwire::config::Config;
use bellwire::ids::MessageId;
use bellwire::random::Rng;
use bellwire::time::Timestamp;
use bellwire_disk::Disk;
use tempfile::TempDir;

use crate::Violation;
use crate::broker::{Broker, Publication};
use crate::changed::Begun;
use crate::check::Check;
use crate::device::Device;
use crate::gateway::{Action, Gateway};
use crate::hubs::{HubAction, Hubs};
use crate::meta::{APP_SECRET, Meta, signed};
use crate::ports::{Out, Published};
use crate::sabotage::Sabotage;
use crate::told::Notice;
use crate::{BEHIND_A_HUB, CHANGING, person, site, variation};

/// 2026-11-21 06:00 UTC.
pub const START: Timestamp = Timestamp(1_795_240_800_000);
/// What a machine without a clock of its own believes after a power cut, until it is told (docs/reliability.md F17).
pub(crate) const BOOT: Timestamp = Timestamp(5_000);

/// A commit makes some 60 calls of the disk: one may be cut anywhere, or just after its end.
const CALLS: u64 = 80;

/// What can go on by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Gateway(Action),
    Start,
    Connect,
    Deliver,
    Puback,
    Answer,
    Collect,
    Webhook,
    Say,
    Hub(HubAction),
}

pub struct World {
    /// By the machine's clock.
    pub now: Timestamp,
    /// How far the true time is ahead of it, in milliseconds.
    pub(crate) ahead: i64,
    pub dice: Rng,
    pub trace: Vec<String>,
    pub step: usize,
    pub(crate) disk: Disk,
    pub(crate) directory: TempDir,
    config: Rc<Config>,
    /// With which the gateway started last.
    before: Rc<Config>,
    /// What its owner has changed in it.
    changes: String,
    pub(crate) sabotage: Option<Sabotage>,
    pub broker: Broker,
    pub meta: Meta,
    /// The site is behind these.
    pub hubs: Option<Hubs>,
    pub device: Device,
    pub replies: Vec<person::Reply>,
    pub gateway: Option<Gateway>,
    pub check: Check,
    /// What the broker has taken from devices at QoS 1, by serial.
    pub published: BTreeMap<u64, Publication>,
    pub(crate) disk_full: bool,
    /// The power goes in the next commit or start, at this call of the disk's.
    pub(crate) cut_at: Option<u64>,
    pub(crate) reconnect_at: Timestamp,
    pub(crate) serial: u64,
}

impl World {
    pub fn new(seed: u64, sabotage: Option<Sabotage>) -> Result<Self, Violation> {
        let mut dice = Rng::seeded(seed);
        let now = if dice.below(6) == 0 { BOOT } else { START };
        // In memory where there is memory for it: an fsync would cost more than all the rest.
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
        let disk = Disk::watch(directory.path());
        match sabotage {
            Some(Sabotage::SynchronousNormal) => disk.weaken(),
            Some(Sabotage::LyingCard) => disk.lie(),
            _ => {}
        }
        let is_behind_a_hub = seed >= BEHIND_A_HUB;
        let config = Rc::new(if is_behind_a_hub { site::behind_a_hub() } else { site::config() });
        let (gateway, _) = Gateway::start(
            directory.path(),
            (Rc::clone(&config), Rc::clone(&config)),
            dice.below(u64::MAX),
            (now, START.0 - now.0),
            sabotage,
        )?;
        let check = Check::new(directory.path(), &config, (CHANGING..BEHIND_A_HUB).contains(&seed));
        Ok(Self {
            now,
            ahead: START.0 - now.0,
            broker: Broker::new(&mut dice),
            dice,
            trace: Vec::new(),
            step: 0,
            disk,
            directory,
            before: Rc::clone(&config),
            config,
            changes: String::new(),
            sabotage,
            meta: Meta::new(START.0 - now.0),
            hubs: is_behind_a_hub.then(|| Hubs::new(seed, START, sabotage)),
            device: Device::default(),
            replies: Vec::new(),
            gateway: Some(gateway),
            check,
            published: BTreeMap::new(),
            disk_full: false,
            cut_at: None,
            reconnect_at: now,
            serial: 0,
        })
    }

    /// Every state and outcome that was reached.
    pub fn reached(&self) -> BTreeSet<String> {
        let of_hubs = self.hubs.iter().flat_map(|hubs| &hubs.keys.reached);
        self.check.reached().into_iter().chain(of_hubs.map(|what| format!("hub {what}"))).collect()
    }

    pub(crate) fn note(&mut self, what: &str) {
        let seconds = (self.now.0 + self.ahead - START.0) as f64 / 1_000.0;
        self.trace.push(format!("{:>4} {seconds:>10.3} s  {what}", self.step));
    }

    /// One thing happens, by chance.
    pub fn step(&mut self) -> Result<(), Violation> {
        self.step += 1;
        self.hub_faults();
        match self.dice.below(100) {
            57 if !self.now.is_sane() => self.set_clock(),
            0..58 => drop(self.go_on()?),
            58..66 => self.publish(),
            66..72 => {
                let wait = self.dice.below(3_000);
                self.pass(Duration::from_millis(wait))?;
            }
            72..80 => {
                self.come_to_rest()?;
                self.pass_to_next()?;
            }
            80..82 => {
                self.come_to_rest()?;
                let wait = 1 + self.dice.below(90);
                self.pass(Duration::from_secs(60 * wait))?;
            }
            82..87 => self.reply(),
            87..89 => self.disconnect("the connection to the broker breaks"),
            89 => self.restart_broker(),
            90 => self.crash(),
            91 if self.dice.below(3) > 0 => self.cut_at = Some(self.dice.below(CALLS)),
            91 => self.power_cut()?,
            92 => self.stop(),
            94 if self.check.may_change && self.dice.below(2) == 0 => self.reload(),
            93 if self.dice.below(8) == 0 => self.flood()?,
            93 | 94 => self.fill_disk(!self.disk_full),
            95 | 96 => {
                self.meta.change_mood(&mut self.dice);
                self.note(&format!("Meta's moods are {:?}", self.meta.moods));
            }
            98 if self.dice.below(2) == 0 => self.rot(),
            97 | 98 => self.operate()?,
            _ if self.dice.below(3) == 0 => self.forge()?,
            _ if self.dice.below(2) == 0 => self.set_clock(),
            _ => self.publish_again(),
        }
        Ok(())
    }

    /// A gateway that has something to do in memory does it within a second; only what waits, waits for minutes.
    pub(crate) fn come_to_rest(&mut self) -> Result<(), Violation> {
        // Bounded: a gateway that never rests is stopped by `drain`.
        for _ in 0..1_000 {
            let hubs_rest = self.hubs.as_ref().is_none_or(|hubs| hubs.runnable().is_empty());
            if hubs_rest && self.gateway.as_ref().is_none_or(|gateway| gateway.runnable().is_empty()) {
                break;
            }
            self.go_on()?;
        }
        Ok(())
    }

    /// Something that is due happens; `false` when nothing is.
    pub fn go_on(&mut self) -> Result<bool, Violation> {
        self.end_if_stopped()?;
        if self.gateway.as_mut().is_some_and(Gateway::has_handed_over) {
            self.take_over()?;
            return Ok(true);
        }
        let mut found: Vec<Next> = Vec::new();
        match &self.gateway {
            Some(gateway) => {
                found.extend(gateway.runnable().into_iter().map(Next::Gateway));
                let may_connect = self.broker.is_up && self.broker.connection.is_none();
                if may_connect && self.now >= self.reconnect_at && gateway.stopping.is_none() {
                    found.push(Next::Connect);
                }
            }
            None => found.push(Next::Start),
        }
        if self.broker.has_something() {
            found.push(Next::Deliver);
        }
        if !self.broker.answers.is_empty() {
            found.push(Next::Puback);
        }
        if self.meta.answers.iter().any(|(at, _, _)| *at <= self.now) {
            found.push(Next::Answer);
        }
        found.extend(self.hubs.iter().flat_map(Hubs::runnable).map(Next::Hub));
        if self.meta.to_hubs.iter().any(|(at, _, _)| *at <= self.now) {
            found.push(Next::Answer);
        }
        if self.meta.has_due(self.now) {
            found.push(Next::Collect);
        }
        // Who comes while nobody accepts waits in the socket's queue.
        let is_open =
            self.hubs.is_some() || self.gateway.as_ref().is_none_or(|gateway| gateway.reloading.is_none());
        if is_open && self.meta.has_post(self.now) {
            found.push(Next::Webhook);
        }
        if self.device.next_at().is_some_and(|at| at <= self.now) {
            found.push(Next::Say);
        }
        let index = usize::try_from(self.dice.below(found.len() as u64)).unwrap_or(0);
        let Some(next) = found.get(index) else { return Ok(false) };
        self.happen(*next)?;
        Ok(true)
    }

    fn happen(&mut self, next: Next) -> Result<(), Violation> {
        match next {
            Next::Gateway(action) => {
                let Some(gateway) = &mut self.gateway else { return Ok(()) };
                let cut = self.cut_at.take_if(|_| action == Action::Commit);
                cut.into_iter().for_each(|call| self.disk.cut_after(call));
                let outs = gateway.act(action, &mut self.dice)?;
                let said = std::mem::take(&mut gateway.said);
                said.iter().for_each(|what| self.note(what));
                if cut.is_some() {
                    return self.power_cut(); // nobody hears of that commit
                }
                for out in outs {
                    self.perform(out)?;
                }
                return Ok(());
            }
            Next::Start => self.start()?,
            Next::Connect => self.connect(),
            Next::Deliver => self.deliver(),
            Next::Puback if self.dice.below(6) == 0 => {
                self.disconnect("the connection breaks around a PUBACK")
            }
            Next::Puback => {
                let Some((id, result)) = self.broker.answers.pop_front() else { return Ok(()) };
                self.note(&format!("the broker answers command {id}: {result:?}"));
                self.tell(Notice::Published(id, result));
            }
            Next::Answer => self.answer(),
            Next::Collect => drop(self.meta.collect(self.now, &mut self.dice)),
            Next::Webhook => self.post_webhook()?,
            Next::Say => self.say(),
            Next::Hub(action) => self.hub_acts(action)?,
        }
        Ok(())
    }

    /// What the gateway does to the world, looked at before it happens.
    pub(crate) fn perform(&mut self, out: Out) -> Result<(), Violation> {
        match out {
            Out::Changed => {
                self.check.look(&self.meta, self.now, self.ahead)?;
                self.hubs.iter_mut().try_for_each(|hubs| hubs.look(&self.check))?;
            }
            Out::Exchange(exchange) => self.exchange(exchange)?,
            Out::Settled(key, answer) => self.settled(&key, &answer)?,
            Out::Acknowledge(token) => {
                self.check.acknowledge(&token)?;
                self.note(&format!(
                    "acknowledged event {} (packet {})",
                    token.publication.serial, token.packet
                ));
                if self.dice.below(20) == 0 {
                    self.disconnect("the acknowledgement is lost with the connection");
                }
                self.broker.acknowledge(&token);
            }
            Out::Told(id) => drop(self.check.answered.insert(id.0)),
            Out::Publish(command) => {
                self.check.publish(&command, self.now)?;
                self.take_command(&command);
            }
            Out::Post(id, over, body) => {
                self.check.post(id, &body, &self.meta, self.now)?;
                self.check.leaves_over(id, over, &body)?;
                self.check.is_meant(id, &body)?;
                let fate = self.meta.receive(&body, (id, over), self.now, &mut self.dice);
                self.note(&format!("a request for message {id} over {over}: {fate:?}"));
                self.check.taken(&self.meta, id.0)?;
            }
            Out::Kept(number, kept) => {
                self.note(&format!("webhook {number} is answered, kept: {kept}"));
                let body = self.meta.deliveries.iter().find(|delivery| delivery.number == number);
                if let Some(delivery) = body.filter(|_| kept) {
                    self.check.kept(&delivery.body)?;
                }
                self.meta.posted(number, kept, self.now);
            }
        }
        Ok(())
    }

    fn take_command(&mut self, command: &Published) {
        let id = command.id;
        if self.broker.connection.is_none() {
            return self.note(&format!("command {id} is lost with the connection"));
        }
        self.note(&format!("command {id} is published"));
        match self.dice.below(10) {
            0 => self.disconnect("the command is lost with the connection"),
            1 => self.broker.answers.push_back((id, Err("not authorised".into()))),
            _ => {
                let wire_id = self.gateway.as_ref().map(|gateway| gateway.wire_id(id)).unwrap_or_default();
                let prefix = answer_prefix(&self.config);
                self.device.hear((&wire_id, &prefix), command, self.now, &mut self.dice);
                self.broker.answers.push_back((id, Ok(())));
            }
        }
    }

    pub(crate) fn tell(&mut self, notice: Notice) {
        if let Some(gateway) = self.gateway.as_mut().filter(|gateway| gateway.stopping.is_none()) {
            gateway.tell(notice);
        }
    }

    fn start(&mut self) -> Result<(), Violation> {
        if self.disk_full || self.dice.below(3) == 0 {
            return Ok(()); // it cannot, or systemd waits
        }
        let seed = self.dice.below(u64::MAX);
        if self.check.may_change && !self.meta.is_healed && self.dice.below(2) == 0 {
            self.change_configuration();
        }
        let before = if self.check.may_change { self.check.begun() } else { BTreeSet::new() };
        let config = (Rc::clone(&self.config), std::mem::replace(&mut self.before, Rc::clone(&self.config)));
        let cut = self.cut_at.take();
        cut.into_iter().for_each(|call| self.disk.cut_after(call));
        let (path, clocks) = (self.directory.path(), (self.now, self.ahead));
        let (gateway, ended) = Gateway::start(path, config, seed, clocks, self.sabotage)?;
        self.gateway = Some(gateway);
        if cut.is_some() {
            return self.power_cut();
        }
        self.note("the gateway starts");
        self.has_started(&before, &ended)
    }

    /// The next generation, in the same process.
    fn take_over(&mut self) -> Result<(), Violation> {
        let Some(gateway) = &mut self.gateway else { return Ok(()) };
        gateway.finish_jobs(&mut self.dice)?;
        self.check.look(&self.meta, self.now, self.ahead)?;
        self.change_configuration();
        let before = self.check.begun();
        let config = (Rc::clone(&self.config), std::mem::replace(&mut self.before, Rc::clone(&self.config)));
        let is_connected = self.broker.connection.is_some();
        let Some(gateway) = &mut self.gateway else { return Ok(()) };
        let cut = self.cut_at.take();
        cut.into_iter().for_each(|call| self.disk.cut_after(call));
        let ended = gateway.take_over(config, is_connected)?;
        if cut.is_some() {
            return self.power_cut();
        }
        self.note("another configuration is taken over");
        self.has_started(&before, &ended)
    }

    fn has_started(&mut self, before: &BTreeSet<Begun>, ended: &[String]) -> Result<(), Violation> {
        ended.iter().for_each(|what| self.note(what));
        match ended.first() {
            _ if self.check.may_change => self.check.has_started(before, self.now)?,
            Some(what) => return Err(format!("after a restart without a change: {what}")),
            None => {}
        }
        self.check.late.start(self.now);
        self.check.restricted.start(&self.check.sql, self.now);
        self.check.look(&self.meta, self.now, self.ahead)
    }

    /// The owner has written another file.
    fn change_configuration(&mut self) {
        let (config, changes) = variation::config(&mut self.dice);
        if changes != self.changes {
            self.note(&format!("the configuration changes: {changes}"));
            (self.config, self.changes) = (Rc::new(config), changes);
            self.check.configure(&self.config);
        }
    }

    fn connect(&mut self) {
        self.serial += 1;
        let present = self.broker.connect(self.serial);
        self.note(&format!("connected to the broker, session present: {present}"));
        self.tell(Notice::Connected { session_present: present });
    }

    fn deliver(&mut self) {
        let Some((event, token)) = self.broker.deliver(self.now) else { return };
        let again = format!("{:?}", event.identity);
        if self.dice.below(25) == 0 {
            self.disconnect("an event is lost with the connection");
            return;
        }
        match &token {
            Some(token) => {
                self.check.deliver(token);
                self.note(&format!("event {} arrives: {again}", token.publication.serial));
            }
            None => self.note("an event at QoS 0 arrives"),
        }
        if token.is_none() {
            self.check.deliver_unpromised(&event);
        }
        self.tell(Notice::Message(Box::new((event, token))));
    }

    fn answer(&mut self) {
        if let Some(index) = self.meta.to_hubs.iter().position(|(at, _, _)| *at <= self.now) {
            return self.meta_answers_a_hub(index);
        }
        let due = |(at, _, _): &(Timestamp, MessageId, _)| *at <= self.now;
        let Some(index) = self.meta.answers.iter().position(due) else { return };
        let (_, id, answer) = self.meta.answers.remove(index);
        self.note(&format!("an answer for message {id}"));
        self.check.answered(id, &answer, self.now);
        if let Some(gateway) = &mut self.gateway {
            gateway.answered(id, answer);
        }
    }

    fn post_webhook(&mut self) -> Result<(), Violation> {
        let Some((number, body)) = self.meta.next_post(self.now, &mut self.dice) else { return Ok(()) };
        self.note(&format!("webhook {number}: {}", String::from_utf8_lossy(&body)));
        let signature = signed(APP_SECRET, &body);
        if self.hubs.is_some() {
            self.post_to_hub(number, body, signature);
            return Ok(());
        }
        self.check.hears(&body, self.now);
        match self.gateway.as_mut().filter(|gateway| gateway.stopping.is_none()) {
            Some(gateway) => {
                gateway.keep(number, body, &signature).into_iter().try_for_each(|out| self.perform(out))
            }
            None => {
                self.meta.posted(number, false, self.now);
                Ok(())
            }
        }
    }
}
