//! A front-end on a broker on a log without threads and disk, and one client's connection to it.

use crate::allocations;
use metrics_exporter_prometheus::PrometheusBuilder;
use sluice_auth::Auth;
use sluice_broker::Broker;
use sluice_load::Wire;
use sluice_model::ManualClock;
use sluice_model::units::ByteSize;
use sluice_net::{Advertised, Connection, Drain, Protocol};
use sluice_store::LocalLog;
use sluice_store::sim::SimVfs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

/// When it is, for ever.
const NOW: u64 = 1_700_000_000_000;
/// More turns than any request needs: beyond, there is no answer.
const TURNS: usize = 10_000;

pub struct FrontEnd {
    runtime: Runtime,
    log: Arc<LocalLog>,
    client: TcpStream,
    incoming: Vec<u8>,
    counts: bool,
    allocations: u64,
}

/// The server's side of everything: what is ready runs, and what it appended is committed.
#[inline(never)]
fn turn(runtime: &Runtime, log: &LocalLog) {
    runtime.block_on(tokio::task::yield_now());
    log.commit();
}

/// The same, and the one function whose instructions are counted, with all that it calls.
#[inline(never)]
fn counted_turn(runtime: &Runtime, log: &LocalLog) {
    turn(runtime, log);
    // Without something behind it, this would be a jump, and not a call that ends here.
    std::hint::black_box(());
}

impl FrontEnd {
    /// The front-end of this protocol with one client connected to it.
    pub fn new(protocol: &str) -> Self {
        let clock = Arc::new(ManualClock::new(NOW));
        let config =
            sluice_store::Config { segment_size: ByteSize::mib(16), ..sluice_store::Config::default() };
        let vfs = Arc::new(SimVfs::seeded(1));
        let log = Arc::new(LocalLog::open_by_hand(vfs, Path::new("data"), config, clock.clone()).unwrap());
        while log.keep_files() {}
        let broker =
            Broker::open(log.clone(), Arc::new(Auth::open()), clock, sluice_broker::Config::default())
                .unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_nodelay(true).unwrap();
        client.set_nonblocking(true).unwrap();
        let (socket, _) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        runtime.block_on(async {
            let protocol = named(protocol, broker);
            let socket = tokio::net::TcpStream::from_std(socket).unwrap();
            tokio::spawn(protocol.serve(Connection::plain(socket).unwrap(), Drain::new()));
        });
        Self { runtime, log, client, incoming: Vec::new(), counts: false, allocations: 0 }
    }

    /// Sends this and lets the server work until so many requests are answered; gives the last answer.
    pub fn exchange(&mut self, wire: &dyn Wire, request: &[u8], answers: usize) -> Vec<u8> {
        self.send(request);
        let mut missing = answers;
        let mut more = Vec::new();
        for _ in 0..TURNS {
            self.turn();
            self.receive();
            while let Some(length) = wire.answer(&self.incoming).unwrap() {
                let answer: Vec<u8> = self.incoming.drain(..length).collect();
                let ends = wire.ends(&answer, &mut more);
                self.send(&more);
                more.clear();
                missing -= usize::from(ends);
                if missing == 0 {
                    return answer;
                }
            }
        }
        panic!("no answer after {TURNS} turns; {} bytes of one", self.incoming.len());
    }

    /// From now on the server's turns are counted.
    pub fn count(&mut self) {
        self.counts = true;
    }

    /// How often the server asked for memory since it is counted.
    pub fn allocations(&self) -> u64 {
        self.allocations
    }

    fn turn(&mut self) {
        if !self.counts {
            return turn(&self.runtime, &self.log);
        }
        let before = allocations::calls();
        counted_turn(&self.runtime, &self.log);
        self.allocations += allocations::calls() - before;
    }

    fn send(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).unwrap();
    }

    fn receive(&mut self) {
        let mut buffer = [0; 64 * 1024];
        loop {
            match self.client.read(&mut buffer) {
                Ok(0) => panic!("the server closed the connection"),
                Ok(n) => self.incoming.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn named(name: &str, broker: Broker) -> Arc<dyn Protocol> {
    let advertised = || Arc::new(Advertised::new(Some("127.0.0.1:1"), None).unwrap());
    match name {
        "remoting" => {
            Arc::new(sluice_remoting::Remoting::new(broker, sluice_remoting::Config::default(), advertised()))
        }
        "http" => {
            let metrics = PrometheusBuilder::new().build_recorder().handle();
            Arc::new(sluice_http::Http::new(broker, sluice_http::Config::default(), metrics))
        }
        "stomp" => Arc::new(sluice_stomp::Stomp::new(broker, sluice_stomp::Config::default())),
        "kafka" => Arc::new(sluice_kafka::Kafka::new(broker, sluice_kafka::Config::default(), advertised())),
        other => panic!("there is no protocol {other:?}"),
    }
}
