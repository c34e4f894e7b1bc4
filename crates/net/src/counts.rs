//! What the numbers of this crate mean, for whoever scrapes them.

use metrics::{describe_counter, describe_gauge};

pub(crate) fn describe() {
    describe_gauge!("sluice_net_connections", "Open connections");
    describe_counter!("sluice_net_accepted_total", "Connections accepted");
    describe_counter!("sluice_net_refused_total", "Connections that did not reach their protocol, by reason");
    describe_counter!("sluice_net_closed_total", "Framed connections that have ended, by reason");
    describe_counter!("sluice_net_bytes_in_total", "Bytes received, decrypted");
    describe_counter!("sluice_net_bytes_out_total", "Bytes sent, before encryption");
    describe_counter!("sluice_net_tls_handshakes_failed_total", "TLS handshakes that failed");
}
