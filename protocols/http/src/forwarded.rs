//! Who a request comes from when proxies stand in between: as far as the settings trust those who say so.
//!
//! The one idea to know: each proxy writes down whom it was asked by, the last one at the end. So the list is read from
//! its end, as long as who is named is a trusted proxy too; whatever a client wrote in front counts for nothing.

use crate::app::App;
use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};
use std::net::{IpAddr, SocketAddr};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address: the connection's, or the one that trusted proxies name.
pub(crate) fn client(app: &App, headers: &HeaderMap, peer: SocketAddr) -> SocketAddr {
    let trusted = |address: IpAddr| app.config.trusted_proxies.iter().any(|net| net.contains(address));
    if app.config.trusted_proxies.is_empty() || !trusted(peer.ip()) {
        return peer;
    }
    let mut client = peer;
    for hop in hops(headers).into_iter().rev() {
        // What cannot be read could be anybody.
        let Some(address) = hop else { return client };
        client = address;
        if !trusted(address.ip()) {
            break;
        }
    }
    client
}

/// Everyone named, in order. The standard header counts where there are both.
fn hops(headers: &HeaderMap) -> Vec<Option<SocketAddr>> {
    let texts =
        |name| headers.get_all(name).iter().flat_map(|value| value.to_str().unwrap_or("?").split(','));
    match headers.contains_key(FORWARDED) {
        true => texts(FORWARDED).map(|element| address(forwarded_for(element)?)).collect(),
        false => texts(X_FORWARDED_FOR).map(|text| address(text.trim())).collect(),
    }
}

/// The `for` of one element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<&str> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    let value = value.trim();
    Some(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
}

/// An address with a port or without, as proxies write it: `10.0.0.1`, `10.0.0.1:80`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address);
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>().ok().map(|address| (address, 0).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use http::HeaderValue;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use sluice_broker::Broker;

    fn seen(peer: &str, headers: &[(&str, &str)]) -> String {
        let trusted_proxies = ["127.0.0.0/8", "10.0.0.0/8"].map(|net| net.parse().unwrap()).into();
        let config = Config { trusted_proxies, ..Config::default() };
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let app = App::new(Broker::in_memory(), config, metrics);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
        }
        client(&app, &map, (peer.parse::<IpAddr>().unwrap(), 9).into()).to_string()
    }

    #[test]
    fn trusted_proxies_are_believed_and_nobody_else() {
        for (peer, header, value, client) in [
            ("127.0.0.1", "x-forwarded-for", "192.0.2.7", "192.0.2.7:0"),
            ("127.0.0.1", "x-forwarded-for", "203.0.113.9, 192.0.2.7, 10.1.1.1", "192.0.2.7:0"),
            ("127.0.0.1", "x-forwarded-for", "10.1.1.1, 10.1.1.2", "10.1.1.1:0"),
            ("127.0.0.1", "x-forwarded-for", "192.0.2.7, unknown, 10.1.1.1", "10.1.1.1:0"),
            ("127.0.0.1", "x-forwarded-for", "", "127.0.0.1:9"),
            ("192.0.2.1", "x-forwarded-for", "10.9.9.9", "192.0.2.1:9"),
            ("127.0.0.1", "forwarded", "for=192.0.2.7;proto=https, for=\"10.1.1.1:80\"", "192.0.2.7:0"),
            ("127.0.0.1", "forwarded", "For=\"[2001:db8::1]:4711\"", "[2001:db8::1]:4711"),
            ("127.0.0.1", "forwarded", "proto=https", "127.0.0.1:9"),
        ] {
            assert_eq!(seen(peer, &[(header, value)]), client, "{header}: {value}");
        }
        let both = [("x-forwarded-for", "192.0.2.8"), ("forwarded", "for=192.0.2.7")];
        assert_eq!(seen("127.0.0.1", &both), "192.0.2.7:0");
        let twice = [("x-forwarded-for", "192.0.2.8"), ("x-forwarded-for", "192.0.2.7")];
        assert_eq!(seen("127.0.0.1", &twice), "192.0.2.7:0");
        assert_eq!(seen("127.0.0.1", &[]), "127.0.0.1:9");
    }
}
