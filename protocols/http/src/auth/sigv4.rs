//! Signature Version 4, as `curl --aws-sigv4 provider1:provider2:region:service` makes it.
//!
//! The client writes the request down in a canonical form, hashes it, and signs hash, time and scope with a key
//! derived from the secret. Any provider, region and service will do: `aws:amz:local:mq` says `AWS4-HMAC-SHA256` and
//! `X-Amz-Date`, `sluice:sluice:local:mq` says `SLUICE4-HMAC-SHA256` and `X-Sluice-Date`.
//!
//! The one idea to know: signers differ in how they write down path and query (curl before 8.3 takes both as they are,
//! later ones and SDKs sort the query and encode the path once more), so each form of the one request that came is
//! tried. What is not signed could have been changed on the way: host, date and every `X-MQ-` header must be, and the
//! body always is.

use super::{host, single, wrong};
use crate::errors::Problem;
use http::HeaderMap;
use http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};
use sluice_auth::{Credentials, SigningKey};
use sluice_model::Millis;

const SCHEME_END: &str = "4-HMAC-SHA256";
/// Names of companies are shorter.
const MAX_PROVIDER: usize = 16;
/// A signer may sign every header there is; clients sign a handful.
const MAX_SIGNED_HEADERS: usize = 64;
const SIGNATURE_BYTES: usize = 32;

/// What RFC 3986 calls unreserved stays as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: &AsciiSet = &UNRESERVED.remove(b'/');

/// What the header says, taken apart; nothing of it is proven.
pub(super) struct Claim<'a> {
    provider: &'a str,
    access_key: &'a str,
    day: &'a str,
    region: &'a str,
    service: &'a str,
    terminator: &'a str,
    signed_headers: &'a str,
    signature: Vec<u8>,
    /// The value of `x-…-date`.
    time: &'a str,
    /// The prefix of the key that is derived.
    prefix: String,
}

/// The provider of a scheme like `AWS4-HMAC-SHA256`.
pub(super) fn provider(scheme: &str) -> Option<&str> {
    let provider = scheme.strip_suffix(SCHEME_END)?;
    let sane = (1..=MAX_PROVIDER).contains(&provider.len())
        && provider.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    sane.then_some(provider)
}

impl<'a> Claim<'a> {
    /// Reads `Credential=KEY/DAY/REGION/SERVICE/…4_request, SignedHeaders=a;b, Signature=HEX`.
    pub(super) fn read(provider: &'a str, text: &'a str, headers: &'a HeaderMap) -> Result<Self, Problem> {
        let [mut credential, mut signed_headers, mut signature] = [None; 3];
        for part in text.split(',') {
            let (name, value) = part.trim().split_once('=').ok_or_else(malformed)?;
            let place = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return Err(malformed()),
            };
            if place.replace(value).is_some() {
                return Err(malformed());
            }
        }
        let (Some(credential), Some(signed_headers), Some(signature)) =
            (credential, signed_headers, signature)
        else {
            return Err(malformed());
        };
        // An access key may have slashes itself.
        let mut parts = credential.rsplitn(5, '/');
        let mut part = || parts.next().filter(|part| !part.is_empty()).ok_or_else(malformed);
        let (terminator, service, region, day, access_key) = (part()?, part()?, part()?, part()?, part()?);
        if terminator != format!("{}4_request", provider.to_ascii_lowercase()) {
            return Err(malformed());
        }
        let time = date_header(signed_headers, headers)?;
        if !time.starts_with(day) || day.len() != 8 {
            return Err(wrong("the day in the credential's scope is not that of the request's date"));
        }
        let signature =
            decode_hex(signature).filter(|bytes| bytes.len() == SIGNATURE_BYTES).ok_or_else(malformed)?;
        let prefix = format!("{provider}4");
        Ok(Self {
            provider,
            access_key,
            day,
            region,
            service,
            terminator,
            signed_headers,
            signature,
            time,
            prefix,
        })
    }

    /// Whether the access key comes with a token that it is worth nothing without, in a header like
    /// `X-Amz-Security-Token`.
    pub(super) fn is_temporary(&self, headers: &HeaderMap) -> bool {
        let is_token = |name: &str| name.starts_with("x-") && name.ends_with("-security-token");
        headers.iter().any(|(name, token)| is_token(name.as_str()) && !token.is_empty())
    }

    pub(super) fn scope(&self) -> [&str; 4] {
        [self.day, self.region, self.service, self.terminator]
    }

    pub(super) fn credentials<'c>(
        &'c self,
        scope: &'c [&'c str],
        texts: &'c [String],
        signed_at: Millis,
    ) -> Credentials<'c> {
        Credentials::Request {
            access_key: self.access_key,
            key: SigningKey::Scoped { prefix: &self.prefix, scope },
            texts,
            signature: &self.signature,
            signed_at,
        }
    }

    /// When the client says it signed.
    pub(super) fn signed_at(&self) -> Result<Millis, Problem> {
        parse_time(self.time).ok_or_else(|| wrong("the request's date is not like 20260106T080000Z"))
    }

    /// What may have been signed: the request in each of the forms that signers use.
    pub(super) fn texts(&self, head: &Parts, body: &[u8]) -> Result<Vec<String>, Problem> {
        let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
        let headers = self.canonical_headers(head)?;
        let payload = hex::encode(Sha256::digest(body));
        self.check_declared_payload(&head.headers, &payload)?;
        let (encoded, sorted) = (utf8_percent_encode(path, PATH).to_string(), canonical_query(query));
        // Such a path could be another one that was encoded once more: it is not taken for one that was not.
        let plain = (!has_double_escape(path)).then_some(path);
        let forms = plain.into_iter().flat_map(|path| [(path, query), (path, &sorted)]);
        let forms = forms.chain([(encoded.as_str(), sorted.as_str())]);
        let text = |(path, query): (&str, &str)| {
            let request = [
                head.method.as_str(),
                "\n",
                path,
                "\n",
                query,
                "\n",
                &headers,
                "\n",
                self.signed_headers,
                "\n",
                &payload,
            ];
            let hash = hex::encode(Sha256::digest(request.concat()));
            let scope = self.scope().join("/");
            format!("{}{SCHEME_END}\n{}\n{scope}\n{hash}", self.provider, self.time)
        };
        Ok(forms.map(text).collect())
    }

    /// The signed headers, each with its name on a line of its own.
    fn canonical_headers(&self, head: &Parts) -> Result<String, Problem> {
        let names: Vec<&str> = self.signed_headers.split(';').collect();
        if names.len() > MAX_SIGNED_HEADERS || !names.is_sorted_by(|a, b| a < b) {
            return Err(wrong("SignedHeaders are lower-case names in order, each once"));
        }
        if !names.contains(&"host") {
            return Err(wrong("the header host must be signed"));
        }
        let unsigned = head.headers.keys().map(|name| name.as_str());
        if let Some(name) =
            unsigned.filter(|name| name.starts_with("x-mq-")).find(|name| !names.contains(name))
        {
            return Err(wrong(&format!("the header {name} must be signed; a newer curl does that")));
        }
        let mut canonical = String::new();
        for name in names {
            let value = match name {
                "host" => host(&head.headers, &head.uri)?.map(str::to_owned),
                _ => joined(&head.headers, name)?,
            };
            let value = value.ok_or_else(|| wrong(&format!("the signed header {name:?} is not there")))?;
            canonical.extend([name, ":", &value, "\n"]);
        }
        Ok(canonical)
    }

    /// Some signers say the body's hash in a header; then it must be this one.
    fn check_declared_payload(&self, headers: &HeaderMap, payload: &str) -> Result<(), Problem> {
        let names = self.signed_headers.split(';');
        for name in names.filter(|name| name.starts_with("x-") && name.ends_with("-content-sha256")) {
            if single(headers, name)? != Some(payload) {
                return Err(wrong(&format!("the header {name} must be the SHA-256 of the body")));
            }
        }
        Ok(())
    }
}

/// The signed header with the time, `x-amz-date` and its like.
fn date_header<'a>(signed_headers: &str, headers: &'a HeaderMap) -> Result<&'a str, Problem> {
    let mut names =
        signed_headers.split(';').filter(|name| name.starts_with("x-") && name.ends_with("-date"));
    let (Some(name), None) = (names.next(), names.next()) else {
        return Err(wrong("exactly one header like x-amz-date must be signed"));
    };
    single(headers, name)?.ok_or_else(|| wrong(&format!("the signed header {name:?} is not there")))
}

/// All values of a header, blanks at their ends cut off and runs of blanks made one, as the standard says.
fn joined(headers: &HeaderMap, name: &str) -> Result<Option<String>, Problem> {
    let mut values = Vec::new();
    for value in headers.get_all(name) {
        let text = value.to_str().map_err(|_| wrong(&format!("the header {name} is not readable")))?;
        values.push(text.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
    }
    Ok((!values.is_empty()).then(|| values.join(",")))
}

/// An escaped `%` that begins an escape.
fn has_double_escape(path: &str) -> bool {
    path.match_indices("%25").any(|(at, _)| {
        path.as_bytes().get(at + 3..at + 5).is_some_and(|next| next.iter().all(u8::is_ascii_hexdigit))
    })
}

/// The parameters, encoded alike and sorted; a `+` is the blank that it means to us.
fn canonical_query(query: &str) -> String {
    let again = |text: &str| {
        let text = text.replace('+', " ");
        let decoded: Vec<u8> = percent_decode_str(&text).collect();
        percent_encoding::percent_encode(&decoded, UNRESERVED).to_string()
    };
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (again(name), again(value)))
        .collect();
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// `20260106T080000Z` as milliseconds.
fn parse_time(text: &str) -> Option<Millis> {
    let (day, time) = text.strip_suffix('Z')?.split_once('T')?;
    let digits = |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(day, 8) || !digits(time, 6) {
        return None;
    }
    let written = format!(
        "{}-{}-{}T{}:{}:{}Z",
        day.get(..4)?,
        day.get(4..6)?,
        day.get(6..)?,
        time.get(..2)?,
        time.get(2..4)?,
        time.get(4..)?
    );
    let time = humantime::parse_rfc3339(&written).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    Millis::try_from(since.as_millis()).ok()
}

/// Lower-case digits only: one signature has one spelling.
fn decode_hex(text: &str) -> Option<Vec<u8>> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    hex::decode(text).ok()
}

fn malformed() -> Problem {
    wrong(
        "the signature is not like Credential=KEY/DAY/REGION/SERVICE/aws4_request, SignedHeaders=host;x-amz-date, Signature=HEX",
    )
}
