//! The wires, and what can be said and heard on each.

use crate::world::World;
use crate::{http, kafka, mqhttp, remoting, stomp};
use sluice_broker::Verb;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// No answer takes longer.
pub const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Remoting,
    Http,
    MqHttp,
    Stomp,
    Kafka,
    /// HTTP on the port that has numbers alone.
    Metrics,
}

/// What a client shows of itself.
#[derive(Clone, Debug)]
pub enum Shown {
    Nothing,
    Secret { user: String, secret: String },
    Token(String),
}

/// How a request was answered, whatever the wire. The words are for whoever reads a failure.
#[derive(Debug)]
#[allow(dead_code)]
pub enum Answer {
    /// It was done; what the answer shows.
    Done(String),
    /// Who asks is not known, or not any more: the wire's words.
    Unknown(String),
    /// Who asks may not: the wire's words.
    Denied(String),
    /// Anything else.
    Failed(String),
}

/// How a connection ended by itself.
#[derive(Debug)]
pub struct Ending {
    pub after: Duration,
    /// What came before the end.
    pub words: String,
}

/// One connection. A request is a text in the wire's own notation, see `rows`.
pub trait Speaker {
    fn ask(&mut self, request: &str) -> Answer;

    /// Reads to the end that the server makes.
    fn read_to_end(&mut self) -> io::Result<String>;
}

impl Wire {
    pub const ALL: [Self; 6] =
        [Self::Remoting, Self::Http, Self::MqHttp, Self::Stomp, Self::Kafka, Self::Metrics];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Remoting => "remoting",
            Self::Http => "http",
            Self::MqHttp => "mqhttp",
            Self::Stomp => "stomp",
            Self::Kafka => "kafka",
            Self::Metrics => "metrics",
        }
    }

    /// Where it is spoken.
    const fn listener(self) -> &'static str {
        match self {
            Self::MqHttp => Self::Http.name(),
            other => other.name(),
        }
    }

    /// Why a client of this wire cannot show a token, if it cannot.
    pub const fn no_tokens(self) -> Option<&'static str> {
        match self {
            Self::Remoting | Self::MqHttp => Some(
                "every request is signed with a secret; a client of this wire has nowhere to show a token",
            ),
            Self::Http | Self::Stomp | Self::Kafka | Self::Metrics => None,
        }
    }

    /// What a connection hears last when it is cut because its user is gone.
    pub const fn last_words(self) -> &'static str {
        match self {
            // None of them may answer what was not asked.
            Self::Remoting | Self::Http | Self::MqHttp | Self::Kafka | Self::Metrics => "",
            Self::Stomp => "Access refused",
        }
    }

    pub fn row(self, verb: Verb) -> crate::rows::Row {
        match self {
            Self::Remoting => crate::rows::remoting::row(verb),
            Self::Http => crate::rows::http::row(verb),
            Self::MqHttp => crate::rows::mqhttp::row(verb),
            Self::Stomp => crate::rows::stomp::row(verb),
            Self::Kafka => crate::rows::kafka::row(verb),
            Self::Metrics => crate::rows::metrics::row(verb),
        }
    }

    /// Connects from an address of this machine, as this user.
    pub fn connect(self, world: &World, from: Ipv4Addr, shown: Shown) -> Box<dyn Speaker> {
        self.connect_to(world, self.listener(), from, shown)
    }

    /// The same where another wire is spoken.
    pub fn connect_to(self, world: &World, listener: &str, from: Ipv4Addr, shown: Shown) -> Box<dyn Speaker> {
        let socket = dial(from, world.address(listener))
            .unwrap_or_else(|e| panic!("cannot connect from {from} to {}: {e}", self.name()));
        match self {
            Self::Remoting => Box::new(remoting::Remoting::new(socket, shown)),
            Self::Http | Self::Metrics => Box::new(http::Http::new(socket, shown)),
            Self::MqHttp => Box::new(mqhttp::MqHttp::new(socket, shown)),
            Self::Stomp => Box::new(stomp::Stomp::new(socket, shown)),
            Self::Kafka => Box::new(kafka::Kafka::new(socket, shown)),
        }
    }
}

fn dial(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&to.into())?;
    socket.set_tcp_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

/// How long until the server ends this connection, which asks for nothing meanwhile.
pub fn wait_for_end(speaker: &mut dyn Speaker) -> io::Result<Ending> {
    let begin = Instant::now();
    let words = speaker.read_to_end()?;
    Ok(Ending { after: begin.elapsed(), words })
}
