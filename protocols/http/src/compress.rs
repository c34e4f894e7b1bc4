//! Answers compressed for those who ask for it.
//!
//! The one idea to know: a body is compressed as the connection takes it, a bounded piece at a time, so that nothing is
//! held twice, a long answer does not keep the reactor, and leases still count as taken only when the connection has
//! them. Streams are left alone: each of their events has to arrive at once.

use crate::staged::{self, Stage};
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderValue};
use http_body::Body as _;
use std::io::{self, Write};

/// Below this the head of the answer weighs more.
const WORTH_IT: u64 = 1 << 10;

/// Compresses an answer if that is wanted and of use.
pub(crate) fn answer(accept: &[HeaderValue], is_head: bool, mut response: Response) -> Response {
    let size = response.body().size_hint().exact();
    if is_head || size.is_none_or(|size| size < WORTH_IT) || !is_compressible(&response) {
        return response;
    }
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
    let Some(name) = best(accept) else { return response };
    let Ok(packer) = Packer::new(name, size) else { return response };
    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response.map(|body| staged::through(Compressing(Some(packer)), body))
}

/// Texts, except those that are compressed already or belong to somebody's stored message of another type.
fn is_compressible(response: &Response) -> bool {
    let (status, headers) = (response.status(), response.headers());
    if headers.contains_key(header::CONTENT_ENCODING) || status == StatusCode::PARTIAL_CONTENT {
        return false;
    }
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let (kind, sub) = media.split_once('/').unwrap_or_default();
    match kind {
        "text" => sub != "event-stream",
        "application" => {
            let texts = ["json", "xml", "javascript", "yaml", "x-ndjson", "openmetrics-text"];
            texts.contains(&sub) || sub.ends_with("+json") || sub.ends_with("+xml")
        }
        _ => false,
    }
}

/// What the client likes most; among equals what costs least.
fn best(accept: &[HeaderValue]) -> Option<&'static str> {
    let values = accept.iter().filter_map(|value| value.to_str().ok());
    let accepted: Vec<(&str, f32)> = values.flat_map(|value| value.split(',')).filter_map(weighed).collect();
    let weight = |name: &str| {
        let said = accepted.iter().find(|(accepted, _)| accepted.eq_ignore_ascii_case(name));
        said.or_else(|| accepted.iter().find(|(accepted, _)| *accepted == "*")).map_or(0.0, |(_, q)| *q)
    };
    let mut found: Option<(&'static str, f32)> = None;
    for name in ["zstd", "br", "gzip"] {
        let weight = weight(name);
        if weight > found.map_or(0.0, |(_, best)| best) {
            found = Some((name, weight));
        }
    }
    found.map(|(name, _)| name)
}

fn weighed(part: &str) -> Option<(&str, f32)> {
    let mut pieces = part.split(';').map(str::trim);
    let name = pieces.next().filter(|name| !name.is_empty())?;
    let q = pieces.find_map(|piece| piece.strip_prefix("q=").or_else(|| piece.strip_prefix("Q=")));
    Some((name, q.map_or(1.0, |q| q.parse().unwrap_or(0.0))))
}

enum Packer {
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
}

impl Packer {
    fn new(name: &str, size: Option<u64>) -> io::Result<Self> {
        Ok(match name {
            "zstd" => {
                let mut packer = zstd::stream::write::Encoder::new(Vec::new(), 1)?;
                // It then takes no more memory than the answer needs.
                packer.set_pledged_src_size(size)?;
                Self::Zstd(packer)
            }
            "br" => Self::Brotli(Box::new(brotli::CompressorWriter::new(Vec::new(), 4096, 2, 18))),
            _ => Self::Gzip(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(2))),
        })
    }

    fn add(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(packer) => packer.write_all(bytes).map(|()| std::mem::take(packer.get_mut())),
            Self::Zstd(packer) => packer.write_all(bytes).map(|()| std::mem::take(packer.get_mut())),
            Self::Brotli(packer) => packer.write_all(bytes).map(|()| std::mem::take(packer.get_mut())),
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(packer) => packer.finish(),
            Self::Zstd(packer) => packer.finish(),
            Self::Brotli(packer) => Ok(packer.into_inner()),
        }
    }
}

/// Compresses a body as it is taken.
struct Compressing(Option<Packer>);

impl Stage for Compressing {
    /// A fraction of a millisecond.
    const PIECE: usize = 64 << 10;

    fn piece(&mut self, piece: Bytes) -> io::Result<Bytes> {
        self.0.as_mut().map_or_else(|| Ok(Vec::new()), |packer| packer.add(&piece)).map(Bytes::from)
    }

    fn end(&mut self) -> io::Result<Bytes> {
        self.0.take().map_or_else(|| Ok(Vec::new()), Packer::finish).map(Bytes::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_coding_is_chosen() {
        let best_of = |text: &str| best(&[HeaderValue::from_str(text).unwrap()]);
        assert_eq!(best_of("deflate, gzip, br, zstd"), Some("zstd"));
        assert_eq!(best_of("gzip;q=1, br;q=0.5"), Some("gzip"));
        assert_eq!(best_of("*"), Some("zstd"));
        assert_eq!(best_of("zstd;q=0, *;q=0.1"), Some("br"));
        for none in ["identity", "deflate", "gzip;q=0", "gzip;q=x", "", "*;q=0"] {
            assert_eq!(best_of(none), None, "{none}");
        }
    }
}
