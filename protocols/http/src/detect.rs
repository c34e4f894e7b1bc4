//! Are these bytes HTTP? A pure question about a prefix.
//!
//! `CONNECT` is a word of STOMP too: there a line end follows it, here a blank.

use sluice_net::Detect;

/// What an HTTP/2 client begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A request line begins with a method and a blank.
const STARTS: [&[u8]; 10] = [
    b"GET ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"HEAD ",
    b"OPTIONS ",
    b"PATCH ",
    b"TRACE ",
    b"CONNECT ",
    PREFACE,
];

pub(crate) fn detect(prefix: &[u8]) -> Detect {
    if STARTS.iter().any(|start| prefix.starts_with(start)) {
        Detect::Yes
    } else if STARTS.iter().any(|start| start.starts_with(prefix)) {
        Detect::More
    } else {
        Detect::No
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_and_the_preface_are_http() {
        for yes in [&b"GET / HTTP/1.1"[..], b"PATCH ", b"CONNECT example.org:443 HTTP/1.1", PREFACE] {
            assert_eq!(detect(yes), Detect::Yes, "{yes:?}");
        }
        for more in [&b""[..], b"G", b"CONNECT", b"PRI * HTTP/2.0\r\n\r\n"] {
            assert_eq!(detect(more), Detect::More, "{more:?}");
        }
    }

    #[test]
    fn other_wires_are_not() {
        for no in [
            &b"CONNECT\n"[..],
            b"CONNECT\r\n",
            b"STOMP\n",
            b"\x16\x03\x01",
            b"\0\0\0",
            b"get /",
            b"PRI * HTTP/1",
        ] {
            assert_eq!(detect(no), Detect::No, "{no:?}");
        }
    }
}
