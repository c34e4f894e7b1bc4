//! What this broker understands and does not offer, each with words that say so.

use crate::codes::response::NO_PERMISSION;
use crate::errors::Failure;

pub(super) fn no_transactions() -> Failure {
    Failure::new(
        NO_PERMISSION,
        "transactions are not offered by this broker yet; no prepared message is waiting",
    )
}

pub(super) fn no_setting_of_the_broker() -> Failure {
    Failure::new(
        NO_PERMISSION,
        "settings are not changed while running; change the configuration file and restart",
    )
}
