//! What is counted of requests. Handles are made once: counting one is an addition.

use crate::api;
use kafka_protocol::messages::ApiKey;
use metrics::{Counter, counter};

/// See the module.
pub(crate) struct Counts {
    requests: Vec<(i16, Counter)>,
}

impl Counts {
    pub fn new() -> Self {
        let of = |key| counter!("sluice_kafka_requests_total", "api" => name_of(key));
        Self { requests: api::all().map(|api| (api.key, of(api.key))).collect() }
    }

    /// A request for an API that is offered.
    pub fn request(&self, key: i16) {
        if let Some((_, count)) = self.requests.iter().find(|(known, _)| *known == key) {
            count.increment(1);
        }
    }
}

fn name_of(key: i16) -> String {
    ApiKey::try_from(key).map_or_else(|()| "unknown".to_owned(), |key| format!("{key:?}"))
}
