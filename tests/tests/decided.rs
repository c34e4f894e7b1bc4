//! What stock clients of the other wires see of transactions over several queues, as Kafka's producers make them: what is
//! committed, in its place, and nothing else.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step has to panic")]

use bytes::Bytes;
use sluice_auth::{Credentials, Session};
use sluice_broker::{
    Broker, NameProducer, PartOf, ProducerId, QueueChoice, SendRequest, Sequence, SequencedRequest,
    SequencedSent, Speaker,
};
use sluice_model::{GroupName, Message, QueueId, TopicName};
use sluice_tests::wires::{Curl, Java, Stomp};
use sluice_tests::{TestServer, Wire};
use std::thread;
use std::time::Duration;

const TOPIC: &str = "decided";

struct Producer<'a> {
    broker: &'a Broker,
    session: Session,
    name: GroupName,
    id: ProducerId,
    next: u32,
}

fn message(body: &str) -> Message {
    Message { body: Some(Bytes::copy_from_slice(body.as_bytes())), ..Message::default() }
}

impl<'a> Producer<'a> {
    async fn new(broker: &'a Broker, name: &str) -> Self {
        let session = broker.login(Credentials::Anonymous, "127.0.0.1:1".parse().unwrap()).await.unwrap();
        let name = GroupName::new(name).unwrap();
        let request = NameProducer { name: &name, timeout: Duration::from_secs(600), was: None };
        let id = broker.name_producer(&session, &request).unwrap().await.unwrap();
        Self { broker, session, name, id, next: 0 }
    }

    async fn send(&mut self, body: &str) {
        let ProducerId { number: producer, epoch } = self.id;
        let request = SequencedRequest {
            topic: TopicName::new(TOPIC).unwrap(),
            queue: QueueId(0),
            messages: vec![message(body)],
            packed: None,
            sequence: Some(Sequence { producer, epoch, first: self.next }),
            transaction: Some(PartOf { producer: self.name.clone(), joins: true }),
            durability: None,
        };
        let Ok(SequencedSent::First(promise)) = self.broker.send_sequenced(&self.session, request) else {
            panic!("{body} was not stored")
        };
        promise.await.unwrap();
        self.next += 1;
    }

    async fn end(&self, commit: bool) {
        let speaker = Speaker { name: &self.name, id: self.id };
        self.broker.decide_transaction(&self.session, &speaker, commit, false).unwrap().await.unwrap();
    }

    async fn plain(&self, body: &str) {
        let topic = TopicName::new(TOPIC).unwrap();
        let queue = QueueChoice::Exactly(QueueId(0));
        let request = SendRequest { queue, ..SendRequest::one(topic, message(body)) };
        self.broker.send(&self.session, request).unwrap().await.unwrap();
    }
}

fn bodies<W: Wire>(wire: &mut W, group: &str, count: usize) -> Vec<String> {
    let seen = wire.receive(TOPIC, group, count).into_iter();
    seen.map(|seen| String::from_utf8(seen.body.unwrap()).unwrap()).collect()
}

#[test]
fn clients_of_other_wires_see_what_is_committed_and_nothing_else() {
    let server = TestServer::start();
    let (mut one, mut other) = server.block_on(async {
        let one = Producer::new(server.broker(), "one").await;
        server.broker().ensure_topic(&one.session, &TopicName::new(TOPIC).unwrap(), 1).unwrap();
        (one, Producer::new(server.broker(), "other").await)
    });
    let (mut java, mut curl, mut stomp) = (Java::new(&server), Curl::new(&server), Stomp::new(&server));
    server.block_on(async {
        one.send("aborted").await;
        other.send("first").await;
        one.send("aborted, too").await;
        other.end(true).await;
        one.end(false).await;
        one.plain("second").await;
        other.send("third").await; // open: it and what follows are not there yet
        one.plain("fourth").await;
    });
    // Who waits for four gets the rest when the transaction is committed, and no sooner.
    let got = thread::scope(|scope| {
        let java = scope.spawn(|| bodies(&mut java, "java", 4));
        let curl = scope.spawn(|| [bodies(&mut curl, "curl", 2), bodies(&mut curl, "curl", 2)].concat());
        let stomp = scope.spawn(|| bodies(&mut stomp, "stomp", 4));
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        let behind = |group: &str| {
            let (group, topic) = (GroupName::new(group).unwrap(), TopicName::new(TOPIC).unwrap());
            let committed = server.broker().committed(&one.session, &group, &topic, QueueId(0));
            committed.unwrap().is_some_and(|offset| offset >= 6)
        };
        // All that was decided before the third is consumed over HTTP; so that has seen what there was.
        while !behind("curl") && std::time::Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        server.block_on(other.end(true));
        [java, curl, stomp].map(|reader| reader.join().unwrap())
    });
    for (wire, mut got) in ["remoting", "http", "stomp"].into_iter().zip(got) {
        if wire == "remoting" {
            got.sort_by_key(|body| {
                ["first", "second", "third", "fourth"].iter().position(|known| known == body)
            }); // its threads take turns
        }
        assert_eq!(got, ["first", "second", "third", "fourth"], "{wire}");
    }
}
