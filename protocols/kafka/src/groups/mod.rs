//! The requests of consumer groups: coordinator, membership, offsets, their administration.

use crate::api::Api;

/// The rows of the table of APIs.
pub(crate) const APIS: &[Api] = &[];
