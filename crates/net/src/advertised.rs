//! Which address a client is told to connect to.
//!
//! A client that asks for a route gets an address, and the socket knows only its own side of the connection: behind
//! NAT or a published container port that is not what the client dialled. The one idea to know is the order: what is
//! configured, else what the client itself named, else what the connection was accepted on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Connection;

/// Where the clients of one listener are sent: what is configured, and what is known of the network around us.
#[derive(Debug, Default)]
pub struct Advertised {
    own: Option<(String, u16)>,
    host: Option<String>,
    gateway: Option<IpAddr>,
    /// The listener's real port, once it is bound.
    port: OnceLock<u16>,
    warned: AtomicBool,
}

/// What is known of the connection on which the question came.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The host that the client named itself: TLS server name, HTTP Host.
    pub named: Option<&'a str>,
    /// Our end of the connection.
    pub local: SocketAddr,
    /// The client's end.
    pub peer: SocketAddr,
}

impl<'a> From<&'a Connection> for Asked<'a> {
    fn from(conn: &'a Connection) -> Self {
        Self { named: conn.sni(), local: conn.local, peer: conn.peer }
    }
}

impl Advertised {
    /// With `own` (`host:port` of this listener as clients reach it) and `host` (for every listener) as configured.
    ///
    /// # Errors
    /// A sentence about the one that is not of that form.
    pub fn new(own: Option<&str>, host: Option<&str>) -> Result<Self, String> {
        if let Some(host) = host.filter(|host| !is_host(host)) {
            return Err(format!("{host:?} is not a host name or address (without a port)"));
        }
        let split = |text: &str| split_host_port(text).ok_or_else(|| format!("{text:?} is not host:port"));
        Ok(Self {
            own: own.map(split).transpose()?,
            host: host.map(str::to_owned),
            gateway: std::fs::read_to_string("/proc/net/route").ok().as_deref().and_then(default_gateway),
            ..Self::default()
        })
    }

    /// Tells the listener's real port; the first time counts. Until then it is that of the asking connection.
    pub fn set_port(&self, port: u16) {
        let _ = self.port.set(port);
    }

    /// Host and port to tell this client; an IPv6 host has no brackets.
    pub fn address(&self, asked: Asked<'_>) -> (String, u16) {
        match &self.own {
            Some(own) => own.clone(),
            None => (self.host(asked), self.port.get().copied().unwrap_or(asked.local.port())),
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

fn is_host(text: &str) -> bool {
    !text.is_empty() && (!text.contains([':', '/', ' ']) || text.parse::<IpAddr>().is_ok())
}

fn split_host_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => v6,
        None if host.contains(':') => return None,
        None => host,
    };
    let port = port.parse().ok().filter(|port| *port != 0)?;
    is_host(host).then(|| (host.to_owned(), port))
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

    fn advertised(own: Option<&str>, host: Option<&str>) -> Advertised {
        let gateway = Some(IpAddr::V4(Ipv4Addr::new(10, 88, 0, 1)));
        Advertised { gateway, ..Advertised::new(own, host).unwrap() }
    }

    fn told(advertised: &Advertised, named: Option<&str>, peer: &str) -> String {
        let peer = SocketAddr::new(peer.parse().unwrap(), 5000);
        let (host, port) =
            advertised.address(Asked { named, local: "10.88.0.7:9876".parse().unwrap(), peer });
        format!("{host}:{port}")
    }

    #[test]
    fn configured_before_named_before_local() {
        assert_eq!(
            told(&advertised(Some("mq.example:1"), Some("h")), Some("sni"), "10.88.0.9"),
            "mq.example:1"
        );
        assert_eq!(told(&advertised(None, Some("h")), Some("sni"), "10.88.0.9"), "h:9876");
        let unset = advertised(None, None);
        unset.set_port(10_911);
        assert_eq!(told(&unset, Some("sni"), "10.88.0.9"), "sni:10911");
        assert!(!unset.warned.load(Ordering::Relaxed));
        assert_eq!(told(&unset, None, "10.88.0.9"), "10.88.0.7:10911");
        assert!(unset.warned.load(Ordering::Relaxed));
    }

    #[test]
    fn a_peer_that_is_the_gateway_is_told_loopback() {
        let unset = advertised(None, None);
        assert_eq!(told(&unset, None, "10.88.0.1"), "127.0.0.1:9876");
        assert_eq!(told(&unset, None, "::ffff:10.88.0.1"), "127.0.0.1:9876");
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
        assert!(Advertised::new(Some("mq.example:10911"), Some("mq.example")).is_ok());
        assert!(Advertised::new(Some("[::1]:5"), Some("::1")).is_ok());
        for bad in ["", "h:80", "http://h"] {
            assert!(Advertised::new(None, Some(bad)).is_err(), "{bad}");
        }
        for bad in ["h", "h:0", ":1", "h:x", "http://h:1", "::1:5"] {
            assert!(Advertised::new(Some(bad), None).is_err(), "{bad}");
        }
    }
}
