//! What a client costs that has asked over HTTP and waits: a stream of events, or a long poll.

use super::growth::IDLE_KIB;
use super::usage::resident_kib;
use crate::load::{Broker, Settings};
use crate::shell::{self, Result};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

const CLIENTS: usize = 10_000;
/// What the last ones set free, and what the log prepares, is behind it.
const SETTLE: Duration = Duration::from_secs(5);

pub fn measure(folder: &Path) -> Result {
    shell::raise_descriptor_limit();
    let waits = [
        (
            "server-sent events",
            "GET /v1/topics/bench/stream HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n",
            true,
        ),
        (
            "long polls",
            "POST /v1/groups/bench/receive?topic=bench&wait=60s HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n",
            false,
        ),
    ];
    for (name, request, answers) in waits {
        let folder = folder.join(if answers { "events" } else { "polls" });
        std::fs::create_dir_all(&folder)?;
        let mut settings = Settings::in_folder(&folder);
        for limit in ["NET__MAX_CONNECTIONS", "NET__MAX_CONNECTIONS_PER_IP"] {
            settings.set(&format!("SLUICE_{limit}"), (2 * CLIENTS).to_string());
        }
        let broker = Broker::start(&settings)?;
        let address = broker.address("http")?;
        create_topic(address)?;
        std::thread::sleep(SETTLE);
        let before = resident_kib(broker.id())?;
        let mut clients = Vec::with_capacity(CLIENTS);
        for _ in 0..CLIENTS {
            let mut client = TcpStream::connect(address)?;
            client.write_all(request.as_bytes())?;
            if answers {
                let _ = client.read(&mut [0; 1024])?;
            }
            clients.push(client);
        }
        std::thread::sleep(SETTLE);
        let each = resident_kib(broker.id())?.saturating_sub(before) as f64 / CLIENTS as f64;
        println!("{CLIENTS} {name:<20} {each:>6.1} KiB each   (target <= {IDLE_KIB})");
    }
    Ok(())
}

fn create_topic(address: SocketAddr) -> Result {
    let mut client = TcpStream::connect(address)?;
    client.write_all(
        b"POST /v1/topics/bench/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\nx",
    )?;
    let mut answer = [0; 1024];
    let n = client.read(&mut answer)?;
    if !answer.get(..n).unwrap_or_default().starts_with(b"HTTP/1.1 201") {
        return Err(String::from_utf8_lossy(&answer).into_owned().into());
    }
    Ok(())
}
