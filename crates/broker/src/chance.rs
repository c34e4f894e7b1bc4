//! [`Chance`]: what is drawn by lot when the broker starts.
//!
//! It exists so that a simulation can repeat a run byte for byte: there it comes from the seed, as everything else does.

/// See the module.
#[derive(Clone)]
pub struct Chance {
    /// What the ids of messages have that tells them from those of other starts.
    pub start: u32,
    /// What receipt handles are sealed with, if there is no such key yet.
    pub receipt_key: [u8; 32],
}

impl Chance {
    pub(crate) fn new() -> Self {
        Self { start: rand::random(), receipt_key: rand::random() }
    }
}
