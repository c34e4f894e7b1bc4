//! (skeleton)
use std::sync::Arc;
use crate::{Network, Protocol};
pub(crate) struct Acceptor;
impl Acceptor {
    pub(crate) fn new(_n: &'static str, _p: Vec<Arc<dyn Protocol>>, _net: Network) -> Self { Self }
    pub(crate) fn start(self, _s: std::net::TcpListener) -> std::io::Result<()> { Ok(()) }
}
