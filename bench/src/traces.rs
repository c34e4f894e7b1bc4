//! The fixed traces: what is sent before, what is sent again and again, and how many messages it stands for.

use crate::front_end::FrontEnd;
use sluice_load::wires::{
    Http, KafkaFetch, KafkaProduce, PopAck, Pull, Remoting, Stomp, StompCycle, create_topic_request,
};
use sluice_load::{Result, Wire, length_prefixed};

/// One trace.
pub struct Trace {
    pub name: &'static str,
    protocol: &'static str,
    /// Sent by itself first, so many times: what is read later.
    before: Option<(Box<dyn Wire>, usize)>,
    wire: Box<dyn Wire>,
    /// Requests in one go.
    together: usize,
    /// Messages that one of them stands for.
    messages: usize,
}

const BODY: usize = 1024;
const TOPIC: &str = "trace";
/// What is filled once is filled after so many.
const WARM_UP: usize = 20;
/// What is read once was sent before, so a trace is run at most so often.
pub const MOST_TIMES: usize = 100;
/// Messages of one batch, and of one read.
const MANY: usize = 32;

/// All of them, by the front-end that they go through.
pub fn all() -> Vec<Trace> {
    let trace = |name, protocol, wire, together, messages| Trace {
        name,
        protocol,
        before: None,
        wire,
        together,
        messages,
    };
    let kafka = |batch| Box::new(KafkaProduce { batch, queues: 1 }) as Box<dyn Wire>;
    let pull = Box::new(Pull { queues: 1, groups: 1 });
    let fetch = Box::new(KafkaFetch { queues: 1 });
    vec![
        trace("remoting send", "remoting", Box::new(Remoting), 1, 1),
        trace("remoting 32 sends", "remoting", Box::new(Remoting), MANY, 1),
        Trace {
            before: Some((Box::new(Remoting), 8 * MANY)),
            ..trace("remoting pull of 32", "remoting", pull, 1, MANY)
        },
        Trace {
            before: Some((Box::new(Remoting), 128 * MANY)),
            ..trace("remoting pop and ack of 32", "remoting", Box::new(PopAck), 1, MANY)
        },
        trace("http post", "http", Box::new(Http), 1, 1),
        trace("stomp send", "stomp", Box::new(Stomp), 1, 1),
        trace("stomp send, receive, ack", "stomp", Box::new(StompCycle), 1, 1),
        trace("kafka batch of 1", "kafka", kafka(1), 1, 1),
        trace("kafka batch of 32", "kafka", kafka(MANY), 1, MANY),
        Trace { before: Some((kafka(MANY), 8)), ..trace("kafka fetch of 256", "kafka", fetch, 1, 8 * MANY) },
    ]
}

impl Trace {
    /// Runs it so many times, and gives how often the server asked for memory, for each message.
    pub fn run(&self, times: usize) -> f64 {
        assert!(times <= MOST_TIMES);
        let mut server = FrontEnd::new(self.protocol);
        let body = vec![b'x'; BODY];
        if self.protocol == "kafka" {
            // Its producers make no topics.
            server.exchange(&Frame, &create_topic_request(TOPIC, 1), 1);
        }
        if let Some((wire, count)) = &self.before {
            let request = request(&**wire, &body);
            (0..*count).for_each(|_| drop(server.exchange(&**wire, &request, 1)));
        }
        let greeting = self.wire.greeting(TOPIC);
        if !greeting.is_empty() {
            server.exchange(&Greeting(&*self.wire), &greeting, 1);
        }
        let request = request(&*self.wire, &body).repeat(self.together);
        for _ in 0..WARM_UP {
            server.exchange(&*self.wire, &request, self.together);
        }
        server.count();
        for _ in 0..times {
            server.exchange(&*self.wire, &request, self.together);
        }
        server.allocations() as f64 / self.messages_of(times) as f64
    }

    /// How many messages so many runs stand for.
    pub fn messages_of(&self, times: usize) -> usize {
        times * self.together * self.messages
    }
}

fn request(wire: &dyn Wire, body: &[u8]) -> Vec<u8> {
    let mut request = Vec::new();
    wire.request_of(0, TOPIC, body, &mut request);
    request
}

/// Any answer of a wire, as the end of its greeting.
struct Greeting<'a>(&'a dyn Wire);

impl Wire for Greeting<'_> {
    fn request(&self, _topic: &str, _body: &[u8], _out: &mut Vec<u8>) {}

    fn answer(&self, bytes: &[u8]) -> Result<Option<usize>> {
        self.0.answer(bytes)
    }
}

/// Any answer with its length in front.
struct Frame;

impl Wire for Frame {
    fn request(&self, _topic: &str, _body: &[u8], _out: &mut Vec<u8>) {}

    fn answer(&self, bytes: &[u8]) -> Result<Option<usize>> {
        Ok(length_prefixed(bytes).map(|frame| 4 + frame.len()))
    }
}
