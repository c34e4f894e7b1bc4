//! Frames as values: what the decoder makes of bytes, before anything is done with them.

use bytes::Bytes;
use bytestring::ByteString;
use std::fmt;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 1.0: no escapes, no heart-beats, ids are optional.
    V10,
    /// 1.1: escapes, heart-beats, NACK.
    V11,
    /// 1.2: CR LF line ends, the escape of CR, ACK by `ack` id.
    V12,
}

impl Version {
    /// All versions, lowest first.
    pub const ALL: [Self; 3] = [Self::V10, Self::V11, Self::V12];

    /// The version as headers spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V10 => "1.0",
            Self::V11 => "1.1",
            Self::V12 => "1.2",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a client can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Connect,
    Stomp,
    Send,
    Subscribe,
    Unsubscribe,
    Ack,
    Nack,
    Begin,
    Commit,
    Abort,
    Disconnect,
}

const COMMANDS: [(Command, &str); 11] = [
    (Command::Connect, "CONNECT"),
    (Command::Stomp, "STOMP"),
    (Command::Send, "SEND"),
    (Command::Subscribe, "SUBSCRIBE"),
    (Command::Unsubscribe, "UNSUBSCRIBE"),
    (Command::Ack, "ACK"),
    (Command::Nack, "NACK"),
    (Command::Begin, "BEGIN"),
    (Command::Commit, "COMMIT"),
    (Command::Abort, "ABORT"),
    (Command::Disconnect, "DISCONNECT"),
];

impl Command {
    /// How many there are.
    pub(crate) const COUNT: usize = COMMANDS.len();

    /// The command of that exact spelling.
    pub fn parse(word: &[u8]) -> Option<Self> {
        COMMANDS.iter().find(|(_, name)| name.as_bytes() == word).map(|(command, _)| *command)
    }

    /// The command as the wire spells it.
    pub fn as_str(self) -> &'static str {
        COMMANDS.iter().find(|(command, _)| *command == self).map_or("", |(_, name)| name)
    }

    /// Whether it opens a connection; such frames are never escaped.
    pub fn opens(self) -> bool {
        matches!(self, Self::Connect | Self::Stomp)
    }
}

/// A client's frame, unescaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What is asked.
    pub command: Command,
    /// Names and values in their order, repeated ones too.
    pub headers: Vec<(ByteString, ByteString)>,
    /// The body; empty for all but SEND.
    pub body: Bytes,
}

impl Frame {
    /// The first value of that name: the one that counts.
    pub fn get(&self, name: &str) -> Option<&ByteString> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// The first value among several spellings of one header, with the spelling used; earlier spellings win.
    pub fn first_of<'a>(&self, names: &[&'a str]) -> Option<(&'a str, &ByteString)> {
        names.iter().find_map(|name| self.get(name).map(|value| (*name, value)))
    }
}
