//! The settings of the cloud's protocol.

use serde::{Deserialize, Serialize};
use sluice_model::units::{ByteSize, Span};

/// The section `[http.mq]`. Defaults in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MqConfig {
    /// How long a delivery is its consumer's own [5m, as the cloud's]; at least 1s. Its clients cannot say.
    pub invisible_time: Span,
    /// The same for consuming in order [60s, as the cloud's]; at least 1s.
    pub order_invisible_time: Span,
    /// Deliveries before a message goes to the dead letters, of a group made by these clients [288, as the cloud's: a day
    /// of 5 minutes each].
    pub max_attempts: u32,
    /// The largest XML document of a request [26MiB]: a message of 4 MiB of which every character is escaped.
    pub max_body: ByteSize,
    /// Write `%3A` and `%7C` for the `:` and `|` that other wires may have in properties [false]. Otherwise such a property is
    /// left out: the protocol has no escape, and its clients would misread it.
    pub escape_properties: bool,
}

impl Default for MqConfig {
    fn default() -> Self {
        Self {
            invisible_time: Span::secs(300),
            order_invisible_time: Span::secs(60),
            max_attempts: 288,
            max_body: ByteSize::mib(26),
            escape_properties: false,
        }
    }
}
