//! (skeleton)
use crate::{Error, TlsConfig};
pub(crate) struct Tls;
impl Tls {
    pub(crate) fn load(_c: &TlsConfig) -> Result<Option<Self>, Error> { Ok(None) }
    pub(crate) fn reload(&self) -> Result<(), Error> { Ok(()) }
}
