//! The groups that have members now: found by name, driven by time, and held at the broker while they last.
//!
//! The one idea to know: a group is a state machine behind a lock that is held for moments, and every step on it ends the
//! same way ([`Groups::settle`]): its next deadline is noted, the broker is told of its members, and a group that is over
//! is forgotten. One task ([`Groups::run`]) sleeps until the first deadline of all; requests that wait are woken through
//! the answers that the machines hold.
//!
//! Nothing of it is stored: after a restart members join anew. What is stored are offsets, and those are the broker's.

use super::classic::{Classic, ClassicLimits};
use super::consumer::{Consumer, ConsumerLimits};
use super::limits::GroupLimits;
use super::refusal::Refusal;
use parking_lot::Mutex;
use sluice_auth::Session;
use sluice_broker::{Broker, Coordinated};
use sluice_model::{GroupName, Millis};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// The longest sleep towards a deadline: a wall clock that is set forward is noticed after at most this.
const LONGEST_SLEEP: Millis = 10_000;

/// All of them.
pub(crate) struct Groups {
    pub(super) broker: Broker,
    pub(super) limits: GroupLimits,
    live: Mutex<HashMap<GroupName, Arc<Mutex<Live>>, foldhash::fast::RandomState>>,
    /// When which group wants to be told the time.
    due: Mutex<BTreeSet<(Millis, GroupName)>>,
    sooner: Notify,
}

/// One of them.
pub(crate) struct Live {
    pub(super) kind: Kind,
    hold: Option<Coordinated>,
    /// What the broker was told of the members last.
    told: (u64, usize),
    due: Option<Millis>,
    /// It is over, and whoever still has it looks for it anew.
    gone: bool,
}

/// By which rules the members of a group share.
pub(crate) enum Kind {
    /// Nobody has joined yet.
    New,
    /// They do it themselves, behind barriers.
    Classic(Box<Classic>),
    /// The broker does it.
    Consumer(Box<Consumer>),
}

impl Kind {
    fn is_over(&self) -> bool {
        match self {
            Self::New => true,
            Self::Classic(group) => group.is_over(),
            Self::Consumer(group) => group.is_over(),
        }
    }

    pub(super) fn tick(&mut self, now: Millis) {
        match self {
            Self::New => {}
            Self::Classic(group) => group.tick(now),
            Self::Consumer(group) => group.tick(now),
        }
    }

    fn next_deadline(&self) -> Option<Millis> {
        match self {
            Self::New => None,
            Self::Classic(group) => group.next_deadline(),
            Self::Consumer(group) => group.next_deadline(),
        }
    }
}

impl Live {
    fn new() -> Self {
        Self { kind: Kind::New, hold: None, told: (0, 0), due: None, gone: false }
    }

    /// The classic group that this is, or becomes because nobody is here.
    pub(super) fn classic(&mut self, limits: &GroupLimits) -> Result<&mut Classic, Refusal> {
        if self.kind.is_over() && !matches!(self.kind, Kind::Classic(_)) {
            self.kind = Kind::Classic(Box::new(Classic::new(ClassicLimits {
                max_members: limits.max_members,
                max_metadata: limits.max_metadata.bytes(),
                initial_delay: limits.initial_delay.as_millis(),
            })));
        }
        match &mut self.kind {
            Kind::Classic(group) => Ok(group),
            _ => Err(Refusal::InconsistentProtocol),
        }
    }

    /// The group whose partitions the broker shares out that this is, or becomes because nobody is here.
    pub(super) fn consumer(&mut self, limits: &GroupLimits) -> Result<&mut Consumer, Refusal> {
        if self.kind.is_over() && !matches!(self.kind, Kind::Consumer(_)) {
            self.kind = Kind::Consumer(Box::new(Consumer::new(ConsumerLimits {
                max_members: limits.max_members,
                session: limits.session.as_millis(),
            })));
        }
        match &mut self.kind {
            Kind::Consumer(group) => Ok(group),
            _ => Err(Refusal::InconsistentProtocol),
        }
    }
}

impl Groups {
    pub(crate) fn new(broker: Broker, limits: GroupLimits) -> Self {
        Self { broker, limits, live: Mutex::default(), due: Mutex::default(), sooner: Notify::new() }
    }

    /// Tells groups the time when they want to know it. Runs until it is dropped.
    pub(crate) async fn run(&self) {
        loop {
            let sooner = self.sooner.notified();
            let now = self.broker.now();
            let nap = self.fire(now).map_or(LONGEST_SLEEP, |at| at.saturating_sub(now).min(LONGEST_SLEEP));
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(nap)) => {}
                () = sooner => {}
            }
        }
    }

    /// Tells the groups that are due. Returns when the next one is.
    pub(super) fn fire(&self, now: Millis) -> Option<Millis> {
        loop {
            let name = {
                let mut due = self.due.lock();
                match due.first() {
                    Some((at, _)) if *at <= now => due.pop_first()?.1,
                    next => return next.map(|(at, _)| *at),
                }
            };
            self.tell_the_time(&name);
        }
    }

    /// Lets the time that has passed take effect on a group.
    pub(super) fn tell_the_time(&self, name: &GroupName) {
        let _ = self.on(name, |live, now| live.kind.tick(now)); // a group that is over needs no time
    }

    /// A step on a group that has members; nothing when it has none.
    pub(super) fn on<R>(&self, name: &GroupName, step: impl FnOnce(&mut Live, Millis) -> R) -> Option<R> {
        loop {
            let slot = self.live.lock().get(name).cloned()?;
            let mut live = slot.lock();
            if live.gone {
                continue;
            }
            let result = step(&mut live, self.broker.now());
            self.settle(name, &mut live);
            return Some(result);
        }
    }

    /// The group with a quota that a client of this name at this host is a member of. A fetch names no group, so this is
    /// how it counts for one.
    pub(crate) fn limited_group_of(&self, host: &str, client_id: &str) -> Option<GroupName> {
        let names = self.broker.auth().limited_groups();
        names.into_iter().filter_map(|name| GroupName::new(name).ok()).find(|name| {
            let is_member = |live: &mut Live, _| super::shown::has_member(&live.kind, host, client_id);
            self.on(name, is_member).unwrap_or(false)
        })
    }

    /// A step of somebody who would be a member: the group is made, and held at the broker, if nobody is there yet.
    pub(super) fn on_or_new<R>(
        &self,
        session: &Session,
        name: &GroupName,
        step: impl FnOnce(&mut Live, Millis) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        loop {
            let slot = {
                let mut live = self.live.lock();
                if !live.contains_key(name) && live.len() >= self.limits.max_live {
                    return Err(Refusal::Unavailable);
                }
                Arc::clone(live.entry(name.clone()).or_insert_with(|| Arc::new(Mutex::new(Live::new()))))
            };
            let mut live = slot.lock();
            if live.gone {
                continue;
            }
            let now = self.broker.now();
            live.kind.tick(now);
            let held = match live.hold {
                Some(_) => Ok(()),
                None => self.broker.coordinate(session, name).map(|hold| live.hold = Some(hold)),
            };
            let result = match held {
                Ok(()) => step(&mut live, now),
                Err(error) => Err(Refusal::from(&error)),
            };
            self.settle(name, &mut live);
            return result;
        }
    }

    /// What follows every step.
    fn settle(&self, name: &GroupName, live: &mut Live) {
        if live.kind.is_over() {
            live.gone = true;
            live.hold = None;
            self.live.lock().remove(name);
            if let Some(at) = live.due.take() {
                self.due.lock().remove(&(at, name.clone()));
            }
            return;
        }
        // At least a moment ahead, or a group that is told the time would be told it for ever.
        let next = live.kind.next_deadline().map(|at| at.max(self.broker.now() + 1));
        if next != live.due {
            let mut due = self.due.lock();
            if let Some(at) = live.due {
                due.remove(&(at, name.clone()));
            }
            if let Some(at) = next {
                due.insert((at, name.clone()));
                if due.first().is_some_and(|(first, _)| *first == at) {
                    self.sooner.notify_one();
                }
            }
            live.due = next;
        }
        let state = super::shown::state(&live.kind);
        if let Some(hold) = live.hold.as_ref().filter(|_| state != live.told) {
            hold.set_members(super::shown::members(&live.kind, self.broker.now()));
            live.told = state;
        }
    }

    /// The groups that have members.
    pub(super) fn names(&self) -> Vec<GroupName> {
        self.live.lock().keys().cloned().collect()
    }
}

/// Keeps an eye on a request that waits: when it is given up because its connection is gone, the group is told the time,
/// and notices.
pub(super) struct Parked<'a> {
    groups: &'a Groups,
    name: &'a GroupName,
    answered: bool,
}

impl<'a> Parked<'a> {
    pub(super) fn new(groups: &'a Groups, name: &'a GroupName) -> Self {
        Self { groups, name, answered: false }
    }

    pub(super) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.groups.tell_the_time(self.name);
        }
    }
}
