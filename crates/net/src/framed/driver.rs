//! The connection loop.

use super::*;
use crate::{Connection, Drain};

/// Serves one framed connection to its end.
pub async fn serve_framed<H: FramedHandler>(
    conn: Connection,
    handler: H,
    order: Order,
    limits: FramedLimits,
    drain: Drain,
) {
    let _ = (conn, handler, order, limits, drain);
}
