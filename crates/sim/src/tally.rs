//! What a run has done, counted: seeds are worth what went wrong in them and what was looked at.
//!
//! The one idea to know: a fault that never strikes and a promise that nobody checks are found by their count, so a run
//! that is long enough fails when one of them is nought.

use sluice_store::sim::FAULTS;
use std::collections::BTreeMap;

/// Counts by name.
pub type Counts = BTreeMap<&'static str, u64>;

/// What the simulation itself does wrong, beside the disk's [`FAULTS`].
pub const OWN_FAULTS: [&str; 9] = [
    CLOSED,
    KILLED,
    POWER_CUT,
    STOPPED_AT_START,
    CLOCK_FORWARD,
    CLOCK_BACK,
    FLIPPED_BIT,
    MISPLACED_SECTOR,
    FULL_DISK,
];

pub const CLOSED: &str = "end in order";
pub const KILLED: &str = "end of the process";
pub const POWER_CUT: &str = "power cut";
pub const STOPPED_AT_START: &str = "end of the process while it starts";
pub const CLOCK_FORWARD: &str = "clock set forward";
pub const CLOCK_BACK: &str = "clock set back";
pub const FLIPPED_BIT: &str = "bit flipped at rest";
pub const MISPLACED_SECTOR: &str = "sector with another's content";
pub const FULL_DISK: &str = "disk full";

pub const NOTHING_LOST: &str = "nothing acknowledged is lost";
pub const NOTHING_INVENTED: &str = "nothing is invented";
pub const OFFSETS: &str = "offsets are never reused or reordered";
pub const PROGRESS: &str = "progress of groups never goes back";
pub const LEASES: &str = "no second delivery inside a lease";
pub const IN_ORDER: &str = "one of an ordering group at a time, and in order";
pub const NOTHING_HELD_BACK: &str = "nothing that can be had is held back";
pub const TIMERS_EARLY: &str = "timers are never early";
pub const TIMERS_ONCE: &str = "timers fire exactly once";
pub const HALVES: &str = "half messages: all or nothing, once";
pub const TRANSACTIONS: &str = "transactions over several queues: all or nothing";
pub const READ_COMMITTED: &str = "only what is decided is readable";
pub const FENCED: &str = "producers that were replaced are refused";
pub const DEAD_LETTERS: &str = "dead letters exactly once";
pub const NUMBERED: &str = "numbered batches are stored once";
pub const KEYS: &str = "what is sent under a key again is stored once";
pub const PACKED: &str = "batches come back as they were sent";
pub const FOUND: &str = "messages are found by id, place and time";
pub const WOKEN: &str = "who waits for messages is woken";
pub const MEMBERS: &str = "members and locks are those that are there";
pub const CATALOG: &str = "topics and groups are what was changed";
pub const ACCESS: &str = "users and policies are what was changed";
pub const SETTINGS: &str = "settings that are changed hold, and are kept to";
pub const VIEWS: &str = "what is told of one is what is there";
pub const CHECKED: &str = "what a check says is what happens";
pub const CONNECTIONS: &str = "connections are those that are open";
pub const GUESTS: &str = "a session may what its user may, and ends with that";
pub const PROOFS: &str = "whoever proves who it is comes in, and nobody else";
pub const DAMAGE: &str = "damage is told, never silent";

/// Every promise that is looked at.
pub const PROMISES: [&str; 29] = [
    NOTHING_LOST,
    NOTHING_INVENTED,
    OFFSETS,
    PROGRESS,
    LEASES,
    IN_ORDER,
    NOTHING_HELD_BACK,
    TIMERS_EARLY,
    TIMERS_ONCE,
    HALVES,
    TRANSACTIONS,
    READ_COMMITTED,
    FENCED,
    DEAD_LETTERS,
    NUMBERED,
    KEYS,
    PACKED,
    FOUND,
    WOKEN,
    MEMBERS,
    CATALOG,
    ACCESS,
    SETTINGS,
    VIEWS,
    CHECKED,
    CONNECTIONS,
    GUESTS,
    PROOFS,
    DAMAGE,
];

/// Numbers for the report.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    pub steps: u64,
    pub crashes: u64,
    pub messages: u64,
    pub deliveries: u64,
    /// What went wrong, and how often.
    pub faults: Counts,
    /// What was promised, and how often that was looked at.
    pub promises: Counts,
}

impl Tally {
    /// How often a promise was looked at, all together.
    pub fn checks(&self) -> u64 {
        self.promises.values().sum()
    }

    /// Faults and promises with their counts, nought too.
    pub fn table(&self) -> Vec<(&'static str, u64)> {
        let of = |counts: &Counts, what: &'static str| (what, counts.get(what).copied().unwrap_or(0));
        let faults = OWN_FAULTS.into_iter().chain(FAULTS).map(|what| of(&self.faults, what));
        faults.chain(PROMISES.into_iter().map(|what| of(&self.promises, what))).collect()
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.steps += other.steps;
        self.crashes += other.crashes;
        self.messages += other.messages;
        self.deliveries += other.deliveries;
        add(&mut self.faults, other.faults);
        add(&mut self.promises, other.promises);
    }
}

/// Adds counts to others.
pub fn add(to: &mut Counts, counts: Counts) {
    for (what, n) in counts {
        *to.entry(what).or_default() += n;
    }
}
