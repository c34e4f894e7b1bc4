//! What is different where frames travel in WebSocket messages: nothing but the edges.
//!
//! A frame is one message, and messages are read as one stream; so sessions do not know what carries them. The one idea
//! to know: an ERROR frame tells people why a session ends, and the closing code tells programs, which reconnect or not.
//!
//! The messages themselves are `sluice-net`'s, the handshake is the HTTP front-end's.

use crate::codec::DecodeError;
use sluice_net::{Closing, Output};

/// The names of the versions, best first. Which is spoken is still agreed by CONNECT.
pub(crate) const PROTOCOLS: &[&str] = &["v12.stomp", "v11.stomp", "v10.stomp"];

/// After DISCONNECT.
pub(crate) const DONE: u16 = 1000;
const GOING_AWAY: u16 = 1001;
const MALFORMED: u16 = 1002;
/// A frame or a login that was understood and not accepted; the code for what has no other.
pub(crate) const REFUSED: u16 = 1008;
const TOO_LARGE: u16 = 1009;

/// The line feed behind a frame is for tools that read lines; a message has an end of its own.
pub(crate) fn message(frame: Output) -> Output {
    // A heart-beat is nothing but a line feed.
    if frame.len() > 1 { frame.without_last(b'\n') } else { frame }
}

/// The code for bytes that are no frame.
pub(crate) fn malformed(error: &DecodeError) -> u16 {
    match error {
        DecodeError::LineTooLong(_)
        | DecodeError::TooManyHeaders(_)
        | DecodeError::HeadTooLong(_)
        | DecodeError::BodyTooLong(_) => TOO_LARGE,
        _ => MALFORMED,
    }
}

/// The code for an end; `own` where the session ends itself.
pub(crate) fn close_code(why: &Closing, own: u16) -> u16 {
    match why {
        Closing::Draining => GOING_AWAY,
        Closing::TooLarge => TOO_LARGE,
        Closing::Asked | Closing::Malformed => own,
        Closing::ClientClosed => DONE,
        Closing::Revoked
        | Closing::Idle
        | Closing::SlowSender
        | Closing::SlowReader
        | Closing::Io(_)
        | Closing::Aborted => REFUSED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn a_message_has_no_line_feed_behind_its_frame() {
        let bytes = |output: Output| message(output).to_bytes();
        assert_eq!(bytes(Bytes::from_static(b"RECEIPT\n\n\0\n").into()), &b"RECEIPT\n\n\0"[..]);
        assert_eq!(bytes(Bytes::from_static(b"\n").into()), &b"\n"[..]);
        let parts = ["MESSAGE\n\n", "body\n", "\0\n"].map(|part| Bytes::from_static(part.as_bytes()));
        assert_eq!(bytes(parts.to_vec().into()), &b"MESSAGE\n\nbody\n\0"[..]);
    }
}
