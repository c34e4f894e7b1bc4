//! Which address a client is told to connect to.
//!
//! A client that asks for a route gets an address, and the socket knows only its own side of the connection: behind
//! NAT or a published container port that is not what the client dialled. The one idea to know is the order: what is
//! configured, else what the client itself named, else what the connection was accepted on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::{Advertise, ConfigError};

/// The configured addresses and what is known of the network around us.
pub struct Advertised {
    host: Option<String>,
    remoting: Option<(String, u16)>,
    gateway: Option<IpAddr>,
    warned: AtomicBool,
}

/// What is known of the connection on which the question came.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The host that the client named itself: TLS SNI, HTTP Host.
    pub named: Option<&'a str>,
    pub local: SocketAddr,
    pub peer: SocketAddr,
}

impl Advertised {
    /// From the section `[advertise]`.
    pub fn new(config: &Advertise) -> Self {
        Self {
            host: config.host.clone(),
            remoting: config.remoting.as_deref().and_then(split_host_port),
            gateway: std::fs::read_to_string("/proc/net/route").ok().as_deref().and_then(default_gateway),
            warned: AtomicBool::new(false),
        }
    }

    /// Host and port of the RocketMQ broker, which really listens on `port`.
    pub fn remoting(&self, asked: Asked<'_>, port: u16) -> (String, u16) {
        match &self.remoting {
            Some(configured) => configured.clone(),
            None => (self.host(asked), port),
        }
    }

    fn host(&self, asked: Asked<'_>) -> String {
        if let Some(host) = self.host.as_deref().or(asked.named) {
            return host.to_owned();
        }
        let (local, peer) = (asked.local.ip().to_canonical(), asked.peer.ip().to_canonical());
        if peer.is_loopback() {
            return local.to_string();
        }
        if self.gateway == Some(peer) {
            // A published container port: our own address is unknown outside, the host's loopback is what was dialled.
            return Ipv4Addr::LOCALHOST.to_string();
        }
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                %peer, told = %local,
                "clients are told the address their connection arrived at; if they cannot reach it, set advertise.host"
            );
        }
        local.to_string()
    }
}

impl Advertise {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let wrong = |message: String| Err(ConfigError::Contradiction(message));
        if let Some(host) = &self.host
            && (host.is_empty() || (host.contains([':', '/', ' ']) && host.parse::<IpAddr>().is_err()))
        {
            return wrong(format!("advertise.host: {host:?} is not a host name or address (without a port)"));
        }
        match &self.remoting {
            Some(address) if split_host_port(address).is_none() => {
                wrong(format!("advertise.remoting: {address:?} is not host:port"))
            }
            _ => Ok(()),
        }
    }
}

fn split_host_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let legal = !host.is_empty() && (!host.contains([':', '/', ' ']) || host.parse::<IpAddr>().is_ok());
    let port = port.parse().ok().filter(|port| *port != 0)?;
    legal.then(|| (host.to_owned(), port))
}

/// The gateway of the route to everywhere, from the kernel's table (hexadecimal, in the machine's byte order).
fn default_gateway(table: &str) -> Option<IpAddr> {
    let default = table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|fields| matches!(fields[..], [_, "00000000", gateway, ..] if gateway != "00000000"))?;
    let gateway = u32::from_str_radix(default.get(2)?, 16).ok()?;
    Some(IpAddr::V4(Ipv4Addr::from(gateway.to_ne_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advertised(host: Option<&str>, remoting: Option<&str>) -> Advertised {
        Advertised {
            host: host.map(str::to_owned),
            remoting: remoting.and_then(split_host_port),
            gateway: Some(IpAddr::V4(Ipv4Addr::new(10, 88, 0, 1))),
            warned: AtomicBool::new(false),
        }
    }

    fn told(advertised: &Advertised, named: Option<&str>, peer: &str) -> String {
        let asked = Asked {
            named,
            local: "10.88.0.7:9876".parse().unwrap(),
            peer: SocketAddr::new(peer.parse().unwrap(), 5000),
        };
        let (host, port) = advertised.remoting(asked, 10_911);
        format!("{host}:{port}")
    }

    #[test]
    fn configured_before_named_before_local() {
        assert_eq!(
            told(&advertised(Some("h"), Some("mq.example:1")), Some("sni"), "10.88.0.9"),
            "mq.example:1"
        );
        assert_eq!(told(&advertised(Some("h"), None), Some("sni"), "10.88.0.9"), "h:10911");
        assert_eq!(told(&advertised(None, None), Some("sni"), "10.88.0.9"), "sni:10911");
        let unset = advertised(None, None);
        assert_eq!(told(&unset, None, "10.88.0.9"), "10.88.0.7:10911");
        assert!(unset.warned.load(Ordering::Relaxed));
    }

    #[test]
    fn a_peer_that_is_the_gateway_is_told_loopback() {
        let unset = advertised(None, None);
        assert_eq!(told(&unset, None, "10.88.0.1"), "127.0.0.1:10911");
        assert_eq!(told(&unset, None, "::ffff:10.88.0.1"), "127.0.0.1:10911");
        assert!(!unset.warned.load(Ordering::Relaxed));
    }

    #[test]
    fn the_kernels_table_is_understood() {
        let table = "Iface\tDestination\tGateway \tFlags\n\
                     eth0\t0000580A\t00000000\t0001\n\
                     eth0\t00000000\t0100580A\t0003\n";
        if cfg!(target_endian = "little") {
            assert_eq!(default_gateway(table), Some(IpAddr::V4(Ipv4Addr::new(10, 88, 0, 1))));
        }
        assert_eq!(default_gateway("Iface\n"), None);
    }

    #[test]
    fn addresses_are_checked() {
        let check = |host: Option<&str>, remoting: Option<&str>| {
            Advertise { host: host.map(str::to_owned), remoting: remoting.map(str::to_owned) }.check().is_ok()
        };
        assert!(check(Some("mq.example"), Some("mq.example:10911")) && check(Some("::1"), Some("[::1]:5")));
        for bad in ["", "h:80", "http://h"] {
            assert!(!check(Some(bad), None), "{bad}");
        }
        for bad in ["h", "h:0", ":1", "h:x", "http://h:1"] {
            assert!(!check(None, Some(bad)), "{bad}");
        }
    }
}
