//! Message ids of this wire.
//!
//! An *offset id* (`offsetMsgId`) is the upper-case hex of the broker's address, its port and the record's locator; a
//! client may hand it back, and asks the address inside it. A *unique key* is the client's own id and is made only when
//! a sender gave none.

use sluice_model::push_hex;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The offset id of the record at `locator`, for clients that reach the broker at `host`.
pub(crate) fn offset_id(host: SocketAddr, locator: u64) -> String {
    let ip = host.ip().to_canonical();
    let address: &[u8] = match &ip {
        IpAddr::V4(ip) => &ip.octets(),
        IpAddr::V6(ip) => &ip.octets(),
    };
    let (port, locator) = (u32::from(host.port()).to_be_bytes(), locator.to_be_bytes());
    let bytes = [address, &port, &locator];
    // As long as it gets: text that has no room left is shared without another allocation.
    let mut id = String::with_capacity(2 * bytes.map(<[u8]>::len).iter().sum::<usize>());
    bytes.into_iter().for_each(|bytes| push_hex(&mut id, bytes));
    id
}

/// The address and the locator in an offset id.
pub(crate) fn parse_offset_id(id: &str) -> Option<(SocketAddr, u64)> {
    let bytes = hex::decode(id).ok()?;
    let (ip, rest): (IpAddr, &[u8]) = match bytes.len() {
        16 => bytes.split_first_chunk::<4>().map(|(ip, rest)| (Ipv4Addr::from(*ip).into(), rest))?,
        28 => bytes.split_first_chunk::<16>().map(|(ip, rest)| (Ipv6Addr::from(*ip).into(), rest))?,
        _ => return None,
    };
    let (port, locator) = rest.split_first_chunk::<4>()?;
    let port = u16::try_from(u32::from_be_bytes(*port)).ok()?;
    Some((SocketAddr::new(ip, port), u64::from_be_bytes(locator.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_ids_lead_back() {
        for (host, locator, id) in [
            ("127.0.0.1:10911", 1024, "7F00000100002A9F0000000000000400"),
            ("[2001:db8::1]:10911", 0, "20010DB800000000000000000000000100002A9F0000000000000000"),
        ] {
            let host: SocketAddr = host.parse().unwrap();
            assert_eq!(offset_id(host, locator), id);
            assert_eq!(parse_offset_id(id), Some((host, locator)));
        }
        for wrong in ["", "zz", "7F00000100002A9F00000000000004", "7F000001FFFF2A9F0000000000000400"] {
            assert_eq!(parse_offset_id(wrong), None, "{wrong}");
        }
    }
}
