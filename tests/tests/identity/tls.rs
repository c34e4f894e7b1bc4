//! A connection over TLS, with openssl's client at this end.

use crate::PATIENCE;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a TLS client with this certificate reads until it has enough, or until the end.
pub fn over_tls(
    address: SocketAddr,
    folder: &Path,
    client: &str,
    said: &[u8],
    enough: impl Fn(&[u8]) -> bool + Send + 'static,
) -> Vec<u8> {
    let mut openssl = Command::new("openssl")
        .args(["s_client", "-quiet", "-verify_return_error", "-connect", &address.to_string()])
        .args(["-CAfile", "ca.pem", "-cert", &format!("{client}.pem"), "-key", &format!("{client}.key")])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl runs");
    let mut input = openssl.stdin.take().expect("a pipe");
    input.write_all(said).expect("it reads");
    let mut output = openssl.stdout.take().expect("a pipe");
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut heard, mut piece) = (Vec::new(), [0; 4096]);
        while let Ok(n @ 1..) = output.read(&mut piece) {
            heard.extend_from_slice(&piece[..n]);
            if enough(&heard) {
                break;
            }
        }
        let _ = tell.send(heard);
    });
    let heard = told.recv_timeout(PATIENCE);
    let _ = openssl.kill();
    let _ = openssl.wait();
    heard.expect("an answer in time")
}
