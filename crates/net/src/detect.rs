//! Which wire does a connection speak? A pure question about its first bytes.
//!
//! The one idea to know: protocols are asked in their configured order and the first `Yes` wins; whoever still says
//! `More` keeps the question open, but only until the prefix is full.

use std::sync::Arc;

use crate::{Detect, Protocol};

/// The most bytes looked at. The longest wire to tell apart is an HTTP request line's method and target.
pub(crate) const MAX_PREFIX: usize = 1_024;

/// First byte of every TLS record that can begin a connection (handshake).
pub(crate) const TLS_HANDSHAKE: u8 = 0x16;

/// The answer of all protocols together.
pub(crate) enum Choice {
    Chosen(Arc<dyn Protocol>),
    /// Nobody can tell yet.
    More,
    /// It is nobody's.
    Nobody,
}

pub(crate) fn choose(protocols: &[Arc<dyn Protocol>], prefix: &[u8]) -> Choice {
    if let [only] = protocols {
        return Choice::Chosen(Arc::clone(only));
    }
    if prefix.is_empty() {
        return Choice::More;
    }
    let mut open = false;
    for protocol in protocols {
        match protocol.detect(prefix) {
            Detect::Yes => return Choice::Chosen(Arc::clone(protocol)),
            Detect::More => open = true,
            Detect::No => {}
        }
    }
    if open && prefix.len() < MAX_PREFIX { Choice::More } else { Choice::Nobody }
}

/// The protocol that answers to an agreed ALPN name.
pub(crate) fn by_alpn(protocols: &[Arc<dyn Protocol>], alpn: &[u8]) -> Option<Arc<dyn Protocol>> {
    protocols.iter().find(|protocol| protocol.alpn().contains(&alpn)).map(Arc::clone)
}
