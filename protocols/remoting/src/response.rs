//! An answer, before it is bytes.

use crate::codec::{
    self, FLAG_ONE_WAY, FLAG_RESPONSE, FieldValue, Head, MAX_FRAME, MAX_HEADER, OUR_VERSION, Spelling,
};
use crate::codes::response::{SUCCESS, SYSTEM_ERROR};
use crate::errors::Failure;
use bytes::Bytes;
use bytestring::ByteString;
use sluice_model::MessageId;
use sluice_net::Output;
use std::sync::atomic::{AtomicI32, Ordering};

/// Clients of every version know this language; unknown ones they read as null.
const JAVA: u8 = 0;

/// Fields of most answers.
const FIELDS: usize = 8;

/// A field's value, not yet written out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Static(&'static str),
    Text(ByteString),
    Id(MessageId),
    Int(i64),
}

impl FieldValue for Value {
    fn with_text<R>(&self, text: impl FnOnce(&str) -> R) -> R {
        match self {
            Self::Static(value) => text(value),
            Self::Text(value) => text(value),
            Self::Id(id) => text(&id.text()),
            Self::Int(n) => text(itoa::Buffer::new().format(*n)),
        }
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Static(text)
    }
}

impl From<ByteString> for Value {
    fn from(text: ByteString) -> Self {
        Self::Text(text)
    }
}

impl From<MessageId> for Value {
    fn from(id: MessageId) -> Self {
        Self::Id(id)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Static(if b { "true" } else { "false" })
    }
}

macro_rules! int_value {
    ($($type:ty),*) => { $(impl From<$type> for Value {
        fn from(n: $type) -> Self {
            Self::Int(n as i64)
        }
    })* };
}
int_value!(i32, u32, i64, u64, usize);

/// The answer to one request.
#[derive(Debug, Default)]
pub(crate) struct Response {
    pub(crate) code: i32,
    pub(crate) remark: Option<ByteString>,
    pub(crate) ext: Vec<(&'static str, Value)>,
    pub(crate) body: Vec<Bytes>,
}

impl Response {
    /// It went well.
    pub(crate) fn success() -> Self {
        Self { code: SUCCESS, ..Self::default() }
    }

    /// An outcome that is neither plain success nor failure.
    pub(crate) fn with_code(code: i32, remark: impl Into<ByteString>) -> Self {
        Self { code, remark: Some(remark.into()), ..Self::default() }
    }

    /// Adds a field.
    pub(crate) fn field(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        if self.ext.is_empty() {
            self.ext.reserve(FIELDS);
        }
        self.ext.push((name, value.into()));
        self
    }

    /// Sets the body.
    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = vec![body.into()];
        self
    }

    /// The bytes, spelled as the request was.
    pub(crate) fn encode(self, spelling: Spelling, opaque: i32) -> Output {
        let length: usize = self.body.iter().map(Bytes::len).sum();
        if length > MAX_FRAME - MAX_HEADER {
            let text = format!("the answer has {length} bytes, and a frame holds {MAX_FRAME}");
            return Self::with_code(SYSTEM_ERROR, text).encode(spelling, opaque);
        }
        let head = Head {
            code: self.code,
            language: JAVA,
            version: OUR_VERSION,
            opaque,
            flag: FLAG_RESPONSE,
            remark: self.remark,
        };
        let ext = self.ext.iter().map(|(n, v)| (*n, v));
        let head = codec::encode_head(&head, ext, spelling, length).freeze();
        if self.body.is_empty() {
            return head.into();
        }
        let mut parts = Vec::with_capacity(1 + self.body.len());
        parts.push(head);
        parts.extend(self.body);
        Output::from(parts)
    }
}

impl From<Failure> for Response {
    fn from(failure: Failure) -> Self {
        Self::with_code(failure.code, failure.text)
    }
}

/// A request of ours to a client that wants no answer.
pub(crate) fn one_way_request(code: i32, ext: &[(&str, Value)]) -> Output {
    request_to_client(code, FLAG_ONE_WAY, ext, Vec::new()).1
}

/// A request of ours to a client, and the number that its answer will have.
pub(crate) fn request_to_client(
    code: i32,
    flag: i32,
    ext: &[(&str, Value)],
    body: Vec<Bytes>,
) -> (i32, Output) {
    static OPAQUE: AtomicI32 = AtomicI32::new(1);
    let opaque = OPAQUE.fetch_add(1, Ordering::Relaxed);
    let head = Head { code, language: JAVA, version: OUR_VERSION, opaque, flag, remark: None };
    let length = body.iter().map(Bytes::len).sum();
    let head = codec::encode_head(&head, ext.iter().map(|(n, v)| (*n, v)), Spelling::Json, length).freeze();
    (opaque, std::iter::once(head).chain(body).collect::<Vec<_>>().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_no_client_could_read_becomes_a_failure() {
        let part = Bytes::from(vec![0; 1 << 20]);
        let of = |parts| Response { body: vec![part.clone(); parts], ..Response::default() };
        assert_eq!(of(15).encode(Spelling::Json, 1).len() >> 20, 15);
        let refused = of(16).encode(Spelling::Json, 1).to_bytes();
        assert!(refused.len() < 300);
        assert!(String::from_utf8_lossy(&refused).contains("the answer has 16777216 bytes"));
    }
}
