//! A listen value: `host:port`, `port` (loopback) or `off`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Where a listener listens, as configured; names are resolved when it is bound.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddr {
    /// Not at all.
    Off,
    /// Host (name or address, without brackets) and port; port 0 takes a free one.
    At { host: String, port: u16 },
}

impl ListenAddr {
    /// A port on IPv4 loopback.
    pub fn loopback(port: u16) -> Self {
        Self::At { host: Ipv4Addr::LOCALHOST.to_string(), port }
    }

    /// Whether this listener is wanted.
    pub fn is_on(&self) -> bool {
        !matches!(self, Self::Off)
    }

    /// The addresses behind the name; empty when off.
    pub fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        match self {
            Self::Off => Ok(Vec::new()),
            Self::At { host, port } => Ok((host.as_str(), *port).to_socket_addrs()?.collect()),
        }
    }

    /// Whether every address behind the name is loopback; a name that does not resolve is not.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Off => true,
            Self::At { .. } => self
                .resolve()
                .is_ok_and(|all| !all.is_empty() && all.iter().all(|a| a.ip().to_canonical().is_loopback())),
        }
    }
}

impl FromStr for ListenAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("off") {
            return Ok(Self::Off);
        }
        if let Ok(port) = text.parse::<u16>() {
            return Ok(Self::loopback(port));
        }
        let wrong = || format!("{text:?} is not a listen value: write host:port, port (loopback) or off");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse::<u16>().map_err(|_| wrong())?;
        let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(v6) => v6.parse::<IpAddr>().map_err(|_| wrong())?.to_string(),
            None if host.is_empty() || host.contains([':', '[', ']', '/', ' ']) => return Err(wrong()),
            None => host.to_owned(),
        };
        Ok(Self::At { host, port })
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::At { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

impl Serialize for ListenAddr {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// Also takes a bare number, since `listen.http = 8080` is what people write in TOML.
impl<'de> Deserialize<'de> for ListenAddr {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Port(u16),
            Text(String),
        }
        match Written::deserialize(d)? {
            Written::Port(port) => Ok(Self::loopback(port)),
            Written::Text(text) => text.parse().map_err(de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ListenAddr;

    #[test]
    fn listen_values_are_host_port_or_port_or_off() {
        let parse = |text: &str| text.parse::<ListenAddr>().map(|a| a.to_string());
        assert_eq!(parse("off").unwrap(), "off");
        assert_eq!(parse("8080").unwrap(), "127.0.0.1:8080");
        assert_eq!(parse("0.0.0.0:0").unwrap(), "0.0.0.0:0");
        assert_eq!(parse("localhost:61613").unwrap(), "localhost:61613");
        assert_eq!(parse("[::1]:5").unwrap(), "[::1]:5");
        for bad in ["", "x", ":80", "host:", "host:70000", "::1:80", "[::1]", "[nonsense]:80", "tcp://h:1"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn loopback_is_told_apart_from_the_open_network() {
        let is_loopback = |text: &str| text.parse::<ListenAddr>().unwrap().is_loopback();
        assert!(
            is_loopback("8080") && is_loopback("[::1]:1") && is_loopback("off") && is_loopback("127.9.9.9:1")
        );
        assert!(!is_loopback("0.0.0.0:8080") && !is_loopback("[::]:1") && !is_loopback("192.0.2.1:1"));
    }
}
