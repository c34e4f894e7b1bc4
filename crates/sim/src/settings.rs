//! Settings that are changed while the broker runs: they hold at once, in this life and in every one that still has the
//! record, and the broker keeps to them.
//!
//! The one idea to know: the model has the list of the changes. What holds is the newest of each, else what the file says; what
//! that comes to is asked of every topic that is made, every half that is prepared or asked about, and everything let go.

use crate::model::Model;
use crate::node::{Asked, Check, Node};
use crate::tally;
use sluice_broker::{Config, Setting, Tuned};
use sluice_model::units::Span;
use sluice_model::{ErrorKind, Millis};

/// Topics that grow have as many queues at most.
const QUEUES: u64 = 3;

impl Model {
    /// The settings that hold.
    pub fn tuned(&self, file: &Config) -> Tuned {
        let mut tuned = Tuned {
            auto_create: file.auto_create,
            default_queues: file.default_queues,
            retention: file.retention,
            first_check: file.first_check,
            check_interval: file.check_interval,
            max_checks: file.max_checks,
        };
        for setting in &self.settings {
            match *setting {
                Setting::AutoCreate(yes) => tuned.auto_create = yes,
                Setting::DefaultQueues(queues) => tuned.default_queues = queues,
                Setting::Retention(time) => tuned.retention = Span::millis(time),
                Setting::FirstCheck(time) => tuned.first_check = Span::millis(time),
                Setting::CheckInterval(time) => tuned.check_interval = Span::millis(time),
                Setting::MaxChecks(checks) => tuned.max_checks = checks,
            }
        }
        tuned
    }
}

impl Node {
    fn some_setting(&mut self) -> Setting {
        match self.dice.below(8) {
            0 => Setting::AutoCreate(false),
            1..3 => Setting::AutoCreate(true),
            3 => Setting::DefaultQueues(1 + self.dice.below(QUEUES) as u32),
            4 => Setting::Retention(30_000 + self.dice.below(300_000)),
            5 => Setting::FirstCheck(1 + self.dice.below(20_000)),
            6 => Setting::CheckInterval(1 + self.dice.below(60_000)),
            _ => Setting::MaxChecks(1 + self.dice.below(4) as u32),
        }
    }

    /// One with which the broker could not work.
    fn some_senseless(&mut self) -> Setting {
        match self.dice.below(6) {
            0 => Setting::DefaultQueues(0),
            1 => Setting::DefaultQueues(self.broker.config().max_queues + 1),
            2 => Setting::Retention(0),
            3 => Setting::FirstCheck(0),
            4 => Setting::CheckInterval(0),
            _ => Setting::MaxChecks(0),
        }
    }

    /// Somebody changes settings, all or, when one makes no sense, none.
    pub fn some_tuning(&mut self) -> Check {
        let mut settings: Vec<Setting> = (0..1 + self.dice.below(2)).map(|_| self.some_setting()).collect();
        let is_senseless = self.dice.below(6) == 0;
        if is_senseless {
            let senseless = self.some_senseless();
            settings.push(senseless);
        }
        let before = self.model.settings.len();
        let expected: &[ErrorKind] = if is_senseless { &[ErrorKind::InvalidArgument] } else { &[] };
        self.tune(settings.clone(), expected)?;
        match self.model.settings.get(before..).unwrap_or_default() {
            [] => {}
            _ if is_senseless => return Err(format!("{settings:?} are taken over, which make no sense")),
            taken if taken != settings => {
                return Err(format!("of {settings:?} only {taken:?} is taken over"));
            }
            _ => {}
        }
        self.compare_settings()
    }

    pub fn tune(&mut self, settings: Vec<Setting>, expected: &[ErrorKind]) -> Check {
        let (broker, me) = (self.broker.clone(), self.me.clone());
        let call = async move { broker.tune(&me, &settings).await };
        self.begin_call("tune", &Asked { tunes: true, ..Asked::default() }, call, expected)
    }

    /// What holds is what was changed, over what the file says.
    pub fn compare_settings(&mut self) -> Check {
        let (found, wanted) = (self.broker.tuned(), self.model.tuned(self.broker.config()));
        self.checked(tally::SETTINGS);
        match found == wanted {
            true => Ok(()),
            false => Err(format!("the settings are {found:?}, not {wanted:?}")),
        }
    }

    /// What was let go since `begun` is what is older than the longest time that anybody is promised, and no less than that.
    pub fn kept_for_long_enough(&mut self, begun: Millis) -> Check {
        let own = self.model.topics.values().filter_map(|topic| topic.spec.retention());
        let usual = self.model.tuned(self.broker.config()).retention;
        let kept = own.map(|own| own.as_millis()).max().unwrap_or_default().max(usual.as_millis());
        let ended = self.now();
        for before in self.spy.trims() {
            self.checked(tally::SETTINGS);
            if !(begun.saturating_sub(kept)..=ended.saturating_sub(kept)).contains(&before) {
                return Err(format!(
                    "what was stored before {before} is let go at {ended}, and not after {kept} ms"
                ));
            }
        }
        Ok(())
    }
}
