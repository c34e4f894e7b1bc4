//! Who may do what: credentials in, [`Session`] out; session, action and resource in, [`Permit`] out.
//!
//! It exists so that every wire asks the same question at the same place, and so that forgetting to ask does not
//! compile: a [`Session`] comes only from [`Auth::login`], a [`Permit`] only from [`Auth::permit`], and the broker's
//! rules demand one. Secrets never leave this crate.
//!
//! Users and policies are remembered by the broker as [`Change`]s in its log; this crate keeps no file of its own.
//!
//! - `auth` — [`Auth`] itself: login, permit, plan, apply, snapshot
//! - `access` — [`Action`], [`Resource`], [`Permit`]; `session` — [`Session`]; `credentials` — what clients show
//! - `user`, `role`, `policy`, `source` — what is remembered; `record` — the same as bytes
//! - `rules`, `directory` — all of it, indexed; `change` — how it changes
//! - `judge` — the one decision; `memo` — what it was lately; `explain` — the same decision in words
//! - `password`, `signature`, `token`, `api_token`, `certificate`, `scram` — one kind of proof each; `sasl` — several of
//!   them as an exchange of messages
//! - `secret`, `data_key` — how secrets are kept from being shown, and how they rest
//! - `audit`, `reason` — what happened, for whoever must know; `slowdown` — what failing costs
//! - `quota`, `places`, `consumers` — how much, not what
//! - `config`, `file` — what the operator writes; `diff` — what of it is new; `plain_acl` — what they wrote for RocketMQ's ACL 1.0

mod access;
mod api_token;
mod audit;
mod auth;
mod certificate;
mod change;
mod config;
mod consumers;
mod credentials;
mod data_key;
mod diff;
mod directory;
mod explain;
mod file;
mod judge;
mod memo;
mod password;
mod places;
mod plain_acl;
mod policy;
mod quota;
mod reason;
mod record;
mod role;
mod rules;
mod sasl;
mod scram;
mod secret;
mod session;
mod signature;
mod slowdown;
mod source;
mod token;
mod user;

pub use access::{Action, Actions, Permit, Resource};
pub use api_token::{ApiTokenView, NewToken};
pub use audit::{AuditEvent, AuditKind};
pub use auth::{Auth, Proven};
pub use certificate::{CertificatePart, CertificateRule};
pub use change::{Change, Command, WhichSecret};
pub use config::{Config, JwtAlgorithm, JwtIssuer, Mode};
pub use credentials::{Credentials, HmacAlgorithm, SigningKey};
pub use data_key::DataKey;
pub use explain::{Explanation, RuleNote, RulePart};
pub use file::AclFile;
pub use places::Place;
pub use plain_acl::PlainAcl;
pub use policy::{Decision, NamePattern, Policy, ResourceKind, ResourcePattern};
pub use quota::{Cost, GroupQuota, GroupQuotaSpec, Limit, OverQuota, Quota};
pub use reason::{AddressDenied, Reason};
pub use role::{RoleSpec, RoleView};
pub use sasl::{SaslExchange, SaslMechanism, SaslStep};
pub use scram::{NewScram, ScramMechanism, ScramView};
pub use secret::{Secret, random_password};
pub use session::{Principal, Session};
pub use source::SourceNet;
pub use user::{AccessKey, UserSpec, UserView};
