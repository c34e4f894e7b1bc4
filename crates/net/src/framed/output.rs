//! Bytes on their way out: an encoded frame, in one piece or several.

use bytes::{Bytes, BytesMut};

/// One encoded frame. Several parts spare the copy of a large body: they are written together, without joining.
#[derive(Clone, Debug)]
pub struct Output {
    pub(super) parts: Parts,
}

#[derive(Clone, Debug)]
pub(super) enum Parts {
    One(Bytes),
    Two(Bytes, Bytes),
    Many(Vec<Bytes>),
}

impl Output {
    /// Nothing to write.
    pub fn empty() -> Self {
        Bytes::new().into()
    }

    /// Bytes in all parts together.
    pub fn len(&self) -> usize {
        match &self.parts {
            Parts::One(part) => part.len(),
            Parts::Two(head, body) => head.len() + body.len(),
            Parts::Many(parts) => parts.iter().map(Bytes::len).sum(),
        }
    }

    /// All parts in one piece: for tests, and for wires that must see the whole.
    pub fn to_bytes(&self) -> Bytes {
        match &self.parts {
            Parts::One(part) => part.clone(),
            Parts::Two(head, body) => [&head[..], &body[..]].concat().into(),
            Parts::Many(parts) => parts.concat().into(),
        }
    }

    /// Without its last byte, where that is this one.
    pub fn without_last(mut self, byte: u8) -> Self {
        let last = match &mut self.parts {
            Parts::One(part) | Parts::Two(_, part) => Some(part),
            Parts::Many(parts) => parts.last_mut(),
        };
        if let Some(part) = last.filter(|part| part.last() == Some(&byte)) {
            part.truncate(part.len() - 1);
        }
        self
    }

    pub(super) fn into_parts(self) -> Vec<Bytes> {
        match self.parts {
            Parts::One(part) => vec![part],
            Parts::Two(head, body) => vec![head, body],
            Parts::Many(parts) => parts,
        }
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Bytes> for Output {
    fn from(bytes: Bytes) -> Self {
        Self { parts: Parts::One(bytes) }
    }
}

impl From<BytesMut> for Output {
    fn from(bytes: BytesMut) -> Self {
        bytes.freeze().into()
    }
}

impl From<Vec<u8>> for Output {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<&'static [u8]> for Output {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

impl From<(Bytes, Bytes)> for Output {
    fn from((head, body): (Bytes, Bytes)) -> Self {
        Self { parts: Parts::Two(head, body) }
    }
}

impl From<Vec<Bytes>> for Output {
    fn from(parts: Vec<Bytes>) -> Self {
        Self { parts: Parts::Many(parts) }
    }
}

/// The answer to one request.
#[derive(Debug)]
pub struct Reply {
    pub(super) output: Output,
    pub(super) close: bool,
}

impl Reply {
    /// Write this and go on.
    pub fn new(output: impl Into<Output>) -> Self {
        Self { output: output.into(), close: false }
    }

    /// The work is done and the wire wants no answer (a one-way request).
    pub fn nothing() -> Self {
        Self::new(Output::empty())
    }

    /// What will be written.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// Whether the connection closes after it.
    pub fn closes(&self) -> bool {
        self.close
    }

    /// Close the connection once this is written; later frames are not handled.
    pub fn then_close(mut self) -> Self {
        self.close = true;
        self
    }
}
