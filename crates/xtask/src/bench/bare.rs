//! The limit that a broker really has: a server of one thread that reads frames from sockets, writes them to a
//! pre-written file, syncs at the end of its turn, and answers. No protocol, no rules, no index.

use super::probe::{HEADER, Prewritten, RUN};
use crate::shell::Result;
use rustix::event::{PollFd, PollFlags, poll};
use sluice_load::length_prefixed;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A server to compare with, as a process of its own, as the broker is one.
pub struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// The bare server, which writes to this file.
    pub fn start(file: &Path) -> Result<Self> {
        Self::run(Command::new(std::env::current_exe()?).arg("bare-server").arg(file))
    }

    /// The same without a file: it answers at once.
    pub fn echo() -> Result<Self> {
        Self::run(Command::new(std::env::current_exe()?).arg("bare-server"))
    }

    /// Starts a server that says its address in its first line.
    pub fn run(command: &mut Command) -> Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let address = line.trim().parse().map_err(|error| format!("the server said {line:?}: {error}"))?;
        Ok(Self { child, address })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Client {
    stream: TcpStream,
    incoming: Vec<u8>,
    /// How many frames of this turn wait for the sync.
    pending: usize,
    gone: bool,
}

/// Serves until it is killed.
pub fn serve(path: Option<&Path>) -> Result {
    let file = path.map(|path| Prewritten::new(path, RUN)).transpose()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    serve_on(&listener, file)
}

fn serve_on(listener: &TcpListener, mut file: Option<Prewritten>) -> Result {
    listener.set_nonblocking(true)?;
    let mut clients: Vec<Client> = Vec::new();
    let mut turn = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let (accepts, readable) = ready(listener, &clients)?;
        for at in readable {
            if let Some(client) = clients.get_mut(at) {
                client.read(&mut buffer, &mut turn);
            }
        }
        if !turn.is_empty() {
            if let Some(file) = &mut file {
                file.commit(&turn)?;
            }
            turn.clear();
            clients.iter_mut().for_each(Client::answer);
        }
        clients.retain(|client| !client.gone);
        if accepts {
            while let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                clients.push(Client { stream, incoming: Vec::new(), pending: 0, gone: false });
            }
        }
    }
}

fn ready(listener: &TcpListener, clients: &[Client]) -> Result<(bool, Vec<usize>)> {
    let streams = clients.iter().map(|client| PollFd::new(&client.stream, PollFlags::IN));
    let mut polled: Vec<PollFd<'_>> =
        std::iter::once(PollFd::new(listener, PollFlags::IN)).chain(streams).collect();
    poll(&mut polled, None)?;
    let mut flags = polled.iter().map(|fd| !fd.revents().is_empty());
    let accepts = flags.next().unwrap_or_default();
    Ok((accepts, flags.enumerate().filter_map(|(at, ready)| ready.then_some(at)).collect()))
}

impl Client {
    fn read(&mut self, buffer: &mut [u8], turn: &mut Vec<u8>) {
        match self.stream.read(buffer) {
            Ok(0) => self.gone = true,
            Ok(n) => self.incoming.extend(buffer.get(..n).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.gone = true,
        }
        while let Some(frame) = length_prefixed(&self.incoming) {
            turn.extend([0; HEADER]);
            turn.extend(frame);
            let length = 4 + frame.len();
            self.incoming.drain(..length);
            self.pending += 1;
        }
    }

    fn answer(&mut self) {
        let answers = [0; 4].repeat(std::mem::take(&mut self.pending));
        // Four bytes a frame always fit the socket's buffer in a closed loop.
        self.gone |= self.stream.write_all(&answers).is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_load::wires::Bare;
    use sluice_load::{Load, Pace};
    use std::time::Duration;

    #[test]
    fn the_generator_is_answered_and_the_bytes_are_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = Prewritten::new(&path, 1 << 20).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || serve_on(&listener, Some(file)));
        let run = |pace, millis| {
            let load = Load {
                address,
                wire: &Bare,
                topic: "",
                connections: 4,
                depth: 2,
                body: 100,
                warm_up: Duration::from_millis(50),
                duration: Duration::from_millis(millis),
                pace,
            };
            load.run().unwrap()
        };
        for pace in [Pace::Closed, Pace::Open(500.0)] {
            // On a machine that has other things to do it may take longer to be answered ten times.
            let mut reports = [200, 2_000, 20_000].into_iter().map(|millis| run(pace, millis));
            let report = reports.find(|report| report.count > 10).expect("answers");
            assert!(report.p50 <= report.p99, "{report:?}");
        }
        let written = std::fs::read(&path).unwrap();
        assert!(written.starts_with(&[[0; HEADER].as_slice(), &[b'x'; 100]].concat()));
    }
}
