//! Frames on their way out.

use super::escape;
use crate::frame::Version;
use bytes::{BufMut, Bytes, BytesMut};
use sluice_net::Output;

/// NUL ends the frame; the LF behind it helps line-oriented tools and counts as a sign of life.
const TAIL: &[u8] = b"\0\n";
/// Larger bodies are handed to the socket as they are instead of being copied behind their head.
const COPY_BELOW: usize = 4 << 10;

/// What most heads have room in.
const HEAD: usize = 384;
/// The same of frames that say little, as a RECEIPT.
const SMALL: usize = 128;

/// Writes one frame, header by header.
#[derive(Debug)]
pub struct FrameWriter {
    version: Option<Version>,
    out: BytesMut,
}

impl FrameWriter {
    /// A frame of an established connection.
    pub fn new(version: Version, command: &str) -> Self {
        Self::start(Some(version), command, SMALL)
    }

    /// A frame of an established connection that ends with that body, with room for it.
    pub(crate) fn before(version: Version, command: &str, body: &Bytes) -> Self {
        let room = if body.len() < COPY_BELOW { body.len() } else { 0 };
        Self::start(Some(version), command, HEAD + room)
    }

    /// A frame that every version reads, whatever was agreed: nothing is escaped, line ends become blanks.
    pub fn raw(command: &str) -> Self {
        Self::start(None, command, HEAD)
    }

    fn start(version: Option<Version>, command: &str, room: usize) -> Self {
        let mut out = BytesMut::with_capacity(room);
        out.put_slice(command.as_bytes());
        out.put_u8(b'\n');
        Self { version, out }
    }

    /// Adds a header, unless the version has no way to say it.
    pub fn header(&mut self, name: &str, value: &str) -> &mut Self {
        let before = self.out.len();
        let said = match self.version {
            None => {
                self.out.put_slice(name.as_bytes());
                self.out.put_u8(b':');
                self.out.extend(value.bytes().map(|b| if matches!(b, b'\n' | b'\r' | 0) { b' ' } else { b }));
                true
            }
            Some(version) => {
                escape::encode_name(version, name, &mut self.out) && {
                    self.out.put_u8(b':');
                    escape::encode_value(version, value, &mut self.out)
                }
            }
        };
        if said {
            self.out.put_u8(b'\n');
        } else {
            self.out.truncate(before);
        }
        self
    }

    /// The frame without a body.
    pub fn finish(self) -> Output {
        self.finish_with(Bytes::new())
    }

    /// The frame with a body; its `content-length` is the caller's to say.
    pub fn finish_with(mut self, body: Bytes) -> Output {
        self.out.put_u8(b'\n');
        if body.len() < COPY_BELOW {
            self.out.put_slice(&body);
            self.out.put_slice(TAIL);
            return self.out.into();
        }
        vec![self.out.freeze(), body, Bytes::from_static(TAIL)].into()
    }
}
