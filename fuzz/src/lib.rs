//! What the fuzz targets share: a broker in memory that a front-end serves, and a file system in memory.
//!
//! The targets are in `targets/`, saved inputs in `corpus/<target>/`. `cargo xtask fuzz` builds and runs them.

mod files;
mod world;

pub use files::{Files, reseal};
pub use world::World;

use sluice_broker::Broker;
use sluice_net::Protocol;
use std::cell::RefCell;
use std::sync::Arc;

/// So many inputs meet the same broker: enough for one to find what another left, few enough to bound the memory.
const INPUTS_PER_WORLD: u32 = 500;

/// Sends the bytes to a front-end as one connection would, and reads until it ends.
pub fn converse<P: Protocol>(bytes: &[u8], front_end: impl FnOnce(Broker) -> P) {
    thread_local! {
        static WORLD: RefCell<Option<(World, u32)>> = const { RefCell::new(None) };
    }
    WORLD.with_borrow_mut(|kept| {
        let (world, used) =
            kept.take().unwrap_or_else(|| (World::new(|broker| Arc::new(front_end(broker))), 0));
        world.converse(bytes);
        if used < INPUTS_PER_WORLD {
            *kept = Some((world, used + 1));
        }
    });
}
