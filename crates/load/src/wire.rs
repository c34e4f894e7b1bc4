//! A wire as the generator needs it: the same request again and again, and where its answer ends.

use crate::Result;
use std::net::SocketAddr;

/// One way to put load on a server.
pub trait Wire: Send + Sync {
    /// Makes what has to be there before the first connection.
    fn prepare(&self, _address: SocketAddr, _topic: &str) -> Result {
        Ok(())
    }

    /// Bytes to send once after connecting; an answer follows when there are any.
    fn greeting(&self, _topic: &str) -> Vec<u8> {
        Vec::new()
    }

    /// Adds the request of a connection, by its number, to `out`.
    fn request_of(&self, _connection: usize, topic: &str, body: &[u8], out: &mut Vec<u8>) {
        self.request(topic, body, out);
    }

    /// Adds a request to `out`.
    fn request(&self, topic: &str, body: &[u8], out: &mut Vec<u8>);

    /// The length of the answer at the start of `bytes`, once it is complete; an error when it is a refusal.
    fn answer(&self, bytes: &[u8]) -> Result<Option<usize>>;

    /// Whether each connection works on a topic of its own.
    fn is_private(&self) -> bool {
        false
    }

    /// Whether a request ends with this answer. When it goes on, what comes next is added to `out`.
    fn ends(&self, _answer: &[u8], _out: &mut Vec<u8>) -> bool {
        true
    }

    /// How many messages a request that ends with this answer stood for.
    fn messages(&self, _answer: &[u8]) -> u64 {
        1
    }

    /// Changes the next request according to the last answer: where a reader goes on.
    fn go_on(&self, _answer: &[u8], _request: &mut [u8]) {}

    /// The queue and offset that an answer names, on wires that name them.
    fn place(&self, _answer: &[u8]) -> Option<(u32, u64)> {
        None
    }
}

/// The frame after a length of four bytes, once it is complete.
pub fn length_prefixed(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.get(..u32::from_be_bytes(*length) as usize)
}

/// Where `wanted` is first.
pub fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, wanted)
}

pub fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    find(bytes, wanted).is_some()
}
