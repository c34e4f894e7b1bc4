//! Settings that can be changed while the broker runs, and stay so.
//!
//! It exists because operators of RocketMQ change some at run time and rely on it. The one idea to know: the file says
//! what holds at first; what was changed since is a record of the log, and holds until it is changed again.

use crate::Config;
use serde::{Deserialize, Serialize};
use sluice_model::units::Span;
use sluice_model::{Error, Millis, Result};

/// One setting and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Setting {
    /// `topics.auto_create`.
    AutoCreate(bool),
    /// `broker.default_queues`.
    DefaultQueues(u32),
    /// `broker.retention`, in milliseconds.
    Retention(Millis),
    /// `broker.first_check`, in milliseconds.
    FirstCheck(Millis),
    /// `broker.check_interval`, in milliseconds.
    CheckInterval(Millis),
    /// `broker.max_checks`.
    MaxChecks(u32),
}

impl Setting {
    /// The key in the configuration file.
    pub fn key(self) -> &'static str {
        match self {
            Self::AutoCreate(_) => "topics.auto_create",
            Self::DefaultQueues(_) => "broker.default_queues",
            Self::Retention(_) => "broker.retention",
            Self::FirstCheck(_) => "broker.first_check",
            Self::CheckInterval(_) => "broker.check_interval",
            Self::MaxChecks(_) => "broker.max_checks",
        }
    }

    /// Refuses a value with which the broker could not work.
    pub(crate) fn check(self, config: &Config) -> Result<()> {
        match self {
            Self::DefaultQueues(queues) if queues == 0 || queues > config.max_queues => {
                Err(Error::invalid(format!("{} is 1 to {}", self.key(), config.max_queues)))
            }
            Self::Retention(0) | Self::FirstCheck(0) | Self::CheckInterval(0) => {
                Err(Error::invalid(format!("{} cannot be 0", self.key())))
            }
            Self::MaxChecks(0) => Err(Error::invalid("broker.max_checks is at least 1")),
            _ => Ok(()),
        }
    }
}

/// The values that hold now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuned {
    /// See [`Config::auto_create`].
    pub auto_create: bool,
    /// See [`Config::default_queues`].
    pub default_queues: u32,
    /// See [`Config::retention`].
    pub retention: Span,
    /// See [`Config::first_check`].
    pub first_check: Span,
    /// See [`Config::check_interval`].
    pub check_interval: Span,
    /// See [`Config::max_checks`].
    pub max_checks: u32,
}

impl Tuned {
    /// What the file says.
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            auto_create: config.auto_create,
            default_queues: config.default_queues,
            retention: config.retention,
            first_check: config.first_check,
            check_interval: config.check_interval,
            max_checks: config.max_checks,
        }
    }

    pub(crate) fn set(&mut self, setting: Setting) {
        match setting {
            Setting::AutoCreate(yes) => self.auto_create = yes,
            Setting::DefaultQueues(queues) => self.default_queues = queues,
            Setting::Retention(millis) => self.retention = Span::millis(millis),
            Setting::FirstCheck(millis) => self.first_check = Span::millis(millis),
            Setting::CheckInterval(millis) => self.check_interval = Span::millis(millis),
            Setting::MaxChecks(checks) => self.max_checks = checks,
        }
    }
}
