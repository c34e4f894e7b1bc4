//! The signature of the cloud's HTTP clients: `Authorization: MQ key:signature`, HMAC-SHA1.
//!
//! It covers method, type, date, `x-mq-` headers and target, but the body only if the client sends its digest, which
//! is then checked. So it proves who asks, and where it travels without TLS not what. SHA-1 is what those clients have;
//! nothing else should choose it.

use super::{BASE64, single, wrong};
use crate::errors::Problem;
use base64::Engine;
use http::HeaderMap;
use http::request::Parts;
use md5::{Digest, Md5};
use sluice_auth::{Credentials, HmacAlgorithm, SigningKey};
use sluice_model::Millis;

/// What is said to who shows an access key that is good for some hours only, as a cloud's token service gives them out.
pub(crate) const TEMPORARY: &str =
    "temporary credentials (a security token) are not offered; use a user's own access key and secret";
const SECURITY_TOKEN: &str = "security-token";
const DIGEST: &str = "content-md5";
const PREFIX: &str = "x-mq-";
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// What the header says; nothing of it is proven.
pub(crate) struct Claim<'a> {
    access_key: &'a str,
    signature: Vec<u8>,
}

impl<'a> Claim<'a> {
    pub(crate) fn read(text: &'a str) -> Result<Self, Problem> {
        let malformed = || wrong("the signature is not like MQ KEY:SIGNATURE");
        let (access_key, signature) = text.split_once(':').ok_or_else(malformed)?;
        let signature = BASE64.decode(signature).map_err(|_| malformed())?;
        if access_key.is_empty() {
            return Err(malformed());
        }
        Ok(Self { access_key, signature })
    }

    pub(crate) fn credentials<'c>(&'c self, texts: &'c [String], signed_at: Millis) -> Credentials<'c> {
        Credentials::Request {
            access_key: self.access_key,
            key: SigningKey::Secret(HmacAlgorithm::Sha1),
            texts,
            signature: &self.signature,
            signed_at,
        }
    }
}

/// When the client says it signed. The day's name is passed over: some clients write it in their own language.
pub(crate) fn signed_at(headers: &HeaderMap) -> Result<Millis, Problem> {
    let date = single(headers, "date")?.ok_or_else(|| wrong("a signed request has a header Date"))?;
    let of_a_day = |day| httpdate::parse_http_date(&format!("{day}, {}", date.split_once(", ")?.1)).ok();
    let time = httpdate::parse_http_date(date).ok().or_else(|| DAYS.into_iter().find_map(of_a_day));
    time.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
        .and_then(|since| Millis::try_from(since.as_millis()).ok())
        .ok_or_else(|| wrong("the header Date is not like Tue, 06 Jan 2026 08:00:00 GMT"))
}

/// What may have been signed: the target as it came, and with its query sorted, because some clients sort it before
/// they sign and some proxies after.
pub(crate) fn texts(head: &Parts) -> Result<Vec<String>, Problem> {
    let value = |name| Ok::<_, Problem>(single(&head.headers, name)?.unwrap_or_default());
    let mut text = [head.method.as_str(), value(DIGEST)?, value("content-type")?, value("date")?].join("\n");
    text.push('\n');
    let mut names: Vec<&str> =
        head.headers.keys().map(|name| name.as_str()).filter(|name| name.starts_with(PREFIX)).collect();
    names.sort_unstable();
    for name in names {
        text.extend([name, ":", value(name)?, "\n"]);
    }
    let (path, query) = (head.uri.path(), head.uri.query());
    let mut parameters: Vec<&str> = query.unwrap_or_default().split('&').collect();
    parameters.sort_unstable();
    let sorted = parameters.join("&");
    let with = |query: Option<&str>| match query {
        Some(query) => format!("{text}{path}?{query}"),
        None => format!("{text}{path}"),
    };
    Ok(vec![with(query), with(query.map(|_| sorted.as_str()))])
}

/// Whether the access key comes with a token that it is worth nothing without. Clients that have none send none.
pub(crate) fn is_temporary(headers: &HeaderMap) -> bool {
    headers.get_all(SECURITY_TOKEN).iter().any(|token| !token.is_empty())
}

pub(crate) fn has_digest(headers: &HeaderMap) -> bool {
    headers.contains_key(DIGEST)
}

/// The digest comes as Base64 of its bytes, as its hexadecimal digits, or as Base64 of those.
pub(crate) fn check_digest(headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
    let digest = Md5::digest(body);
    let digits = hex::encode(digest);
    let shown = single(headers, DIGEST)?.unwrap_or_default();
    let decoded = BASE64.decode(shown).unwrap_or_default();
    if decoded == digest[..] || decoded == digits.as_bytes() || shown.eq_ignore_ascii_case(&digits) {
        return Ok(());
    }
    Err(wrong("the header Content-MD5 is not the digest of the body"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn text(method: &str, target: &str, headers: &[(&str, &str)]) -> Vec<String> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        texts(&request.body(()).unwrap().into_parts().0).unwrap()
    }

    #[test]
    fn the_text_is_what_clients_sign() {
        let version = ("x-mq-version", "2015-06-06");
        let date = ("date", "Tue, 06 Jan 2026 08:00:00 GMT");
        let headers = [("content-type", "text/xml;charset=UTF-8"), date, version];
        assert_eq!(
            text("POST", "/topics/Orders/messages?ns=MQ_INST_1", &headers)[0],
            "POST\n\ntext/xml;charset=UTF-8\nTue, 06 Jan 2026 08:00:00 GMT\nx-mq-version:2015-06-06\n\
             /topics/Orders/messages?ns=MQ_INST_1"
        );
        let target = "/topics/Orders/messages?consumer=GID_a&numOfMessages=3&ns=MQ_INST_1&tag=A%7C%7CB";
        let [as_it_came, sorted] = &text("GET", target, &[version, date])[..] else { panic!("two forms") };
        let start = "GET\n\n\nTue, 06 Jan 2026 08:00:00 GMT\nx-mq-version:2015-06-06\n";
        assert_eq!(*as_it_came, format!("{start}{target}"));
        let in_order = "/topics/Orders/messages?consumer=GID_a&ns=MQ_INST_1&numOfMessages=3&tag=A%7C%7CB";
        assert_eq!(*sorted, format!("{start}{in_order}"));
        assert!(text("GET", "/a", &[date])[1].ends_with("GMT\n/a"));
    }

    #[test]
    fn the_name_of_the_day_is_passed_over() {
        let at = |date: &str| {
            let request = Request::builder().uri("/a").header("date", date).body(()).unwrap();
            signed_at(request.headers()).ok()
        };
        for date in
            ["Tue, 06 Jan 2026 08:00:00 GMT", "Fri, 06 Jan 2026 08:00:00 GMT", "Di, 06 Jan 2026 08:00:00 GMT"]
        {
            assert_eq!(at(date), Some(1_767_686_400_000), "{date}");
        }
        for date in ["", "Tue", "Tue, 06 Foo 2026 08:00:00 GMT", "2026-01-06T08:00:00Z"] {
            assert_eq!(at(date), None, "{date}");
        }
    }

    #[test]
    fn what_could_be_meant_in_two_ways_is_refused() {
        for name in ["date", "x-mq-version", "content-type", "content-md5"] {
            let request = Request::builder().uri("/a").header(name, "a").header(name, "b");
            assert!(texts(&request.body(()).unwrap().into_parts().0).is_err(), "{name}");
        }
    }
}
