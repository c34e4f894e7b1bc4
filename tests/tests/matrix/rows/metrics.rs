//! The port that has numbers alone: HTTP, as `http` writes it. That it has no word for anything else is asked in `main`.

use super::Denial::Names;
use super::{Row, asks};
use sluice_auth::Action::Get;
use sluice_broker::Verb;

const NUMBERS: &str = "this port has numbers and health alone, and nothing for any request of a verb";

pub fn row(verb: Verb) -> Row {
    match verb {
        Verb::PermitCluster => asks(&[("Cluster", &[Get])], Names("Get Cluster"), ["GET /metrics"]),
        _ => Row::Unsaid(NUMBERS),
    }
}
