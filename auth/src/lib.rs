//! Who may do what: credentials in, [`Session`] out; session, action and resource in, [`Permit`] out.
//!
//! It exists so that every wire asks the same question at the same place, and so that forgetting to ask does not
//! compile: a [`Session`] comes only from [`Auth::login`], a [`Permit`] only from [`Auth::permit`], and the broker's
//! rules demand one. Secrets never leave this crate.
//!
//! Users and policies are remembered by the broker as [`Change`]s in its log; this crate keeps no file of its own.

mod access;
mod credentials;
mod session;

pub use access::{Action, Permit, Resource};
pub use credentials::{Credentials, HmacAlgorithm};
pub use session::{Principal, Session};
