//! Requests whose head asks for nothing special.
//!
//! Two dozen headers mean something to some call or to the edge, and each look into the map of headers hashes a name. Most
//! requests have none of them. The one idea to know: one walk over the few headers that there are says so, and then
//! nothing has to be looked for.

use http::HeaderMap;

/// Whether nothing is asked for that is looked for in other headers than the usual ones.
pub(crate) fn is_plain(headers: &HeaderMap) -> bool {
    headers.iter().all(|(name, value)| match name.as_str() {
        "host" | "user-agent" | "content-length" | "content-type" | "authorization" | "connection" => true,
        // As curl says that it does not care.
        "accept" => value == "*/*",
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    #[test]
    fn what_means_something_is_not_plain() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            is_plain(&headers)
        };
        assert!(of(&[]));
        assert!(of(&[("host", "x"), ("user-agent", "curl/8"), ("accept", "*/*"), ("content-length", "1")]));
        for (name, value) in [
            ("accept", "text/plain"),
            ("x-mq-tag", "a"),
            ("x-request-id", "a"),
            ("idempotency-key", "a"),
            ("transfer-encoding", "chunked"),
            ("accept-encoding", "gzip"),
            ("origin", "http://x"),
            ("if-match", "a"),
            ("expect", "100-continue"),
        ] {
            assert!(!of(&[("host", "x"), (name, value)]), "{name}");
        }
        assert!(!of(&[("accept", "*/*"), ("accept", "text/plain")]));
    }
}
