//! The nouns every crate of Sluice speaks: messages, names, positions, filters, errors.
//!
//! It exists so that a message means the same on every wire and on disk: the model is the *union* of what the wires
//! can say, each wire is a projection of it, and projections round-trip. Read it as the glossary.
//!
//! There is no I/O and no async here. How a message looks on disk is `store::record`; how it looks on a wire is each
//! front-end's `convert`.

mod clock;
mod error;
mod filter;
mod headers;
mod hex;
mod message;
mod message_id;
mod names;
mod receipt;
pub mod units;

pub use bytestring::ByteString;
pub use clock::{Clock, ManualClock, Millis, SystemClock};
pub use error::{Error, ErrorKind, Result};
pub use filter::{Dialect, Filter, MAX_SQL, Sql, tag_hash};
pub use headers::{Headers, HeadersBuilder, well_known};
pub use hex::push_hex;
pub use message::{
    BodyCodec, Delivered, Keys, Message, MessageType, Origin, Position, Protocol, Provenance, StoredMessage,
};
pub use message_id::{IdText, MessageId};
pub use names::{GroupName, Offset, QueueId, TopicName};
pub use receipt::ReceiptHandle;
