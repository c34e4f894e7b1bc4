//! The matrix of access: every verb of the broker, on every wire, asked by everyone who may come to ask.
//!
//! Brokers with several protocols leak at the door that someone forgot. The one idea to know: nothing can be forgotten
//! here. The rows are [`Verb::ALL`], which a test of the broker compares with its methods; each wire says for each verb
//! by which request it is called, or why it has no word for it, in a `match` that a new verb breaks; and a listener that
//! no wire of the table speaks for fails the test. Whoever may do a thing is granted exactly what the row says, so the
//! table shows what each request needs, too.
//!
//! - `wire` — the wires, and how each is spoken raw: `http` (on the port of numbers, too), `mqhttp`, `remoting`, `stomp`,
//!   and `kafka` with its `kafka_requests`
//! - `rows` — by which request each wire calls each verb
//! - `world` — the server, its users, and what each cell finds there
//! - `cell` — one question and the judgement of its answer
//!
//! That stock clients are let in and kept out the same way is shown by `tests/interop`.

mod cell;
mod http;
mod kafka;
mod kafka_requests;
mod kafka_transactions;
mod mqhttp;
mod remoting;
mod rows;
mod stomp;
mod wire;
mod world;

use cell::{Case, Cell};
use rows::Row;
use sluice_broker::Verb;
use std::time::Duration;
use wire::{Answer, Wire};
use world::World;

#[test]
fn every_verb_on_every_wire_for_everyone() {
    let world = World::start();
    let mut reasons: Vec<&str> = Vec::new();
    let mut wrong = Vec::new();
    print!("{:18}{:10}", "verb", "wire");
    Case::ALL.iter().for_each(|case| print!("{:14}", case.name()));
    println!();
    for verb in Verb::ALL.iter().copied() {
        for wire in Wire::ALL {
            print!("{:18}{:10}", verb.name(), wire.name());
            for case in Case::ALL {
                let shown = match cell::judge(&world, verb, wire, case) {
                    Cell::Right(shown) => shown,
                    Cell::CannotBe(why) => {
                        let known = reasons.iter().position(|reason| *reason == why);
                        let number = known.unwrap_or_else(|| {
                            reasons.push(why);
                            reasons.len() - 1
                        });
                        format!("n/a ({})", number + 1)
                    }
                    Cell::Wrong(why) => {
                        wrong.push(format!("{} over {}, {}: {why}", verb.name(), wire.name(), case.name()));
                        "WRONG".to_owned()
                    }
                };
                print!("{shown:14}");
            }
            println!();
        }
    }
    for (number, reason) in reasons.iter().enumerate() {
        println!("n/a ({}): {reason}", number + 1);
    }
    assert!(wrong.is_empty(), "{} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_connection_ends_with_the_token_it_was_opened_with() {
    let world = World::start();
    for wire in Wire::ALL.into_iter().filter(|wire| wire.no_tokens().is_none()) {
        for lasts in [None, Some(Duration::from_secs(2))] {
            let ended = cell::ends_with_its_token(&world, wire, lasts);
            ended.unwrap_or_else(|why| panic!("{}, token that lasts {lasts:?}: {why}", wire.name()));
        }
    }
}

#[test]
fn every_listener_speaks_wires_of_the_table() {
    for (name, _) in sluice_server::config::Config::default().listen.named() {
        let wires: &[Wire] = match name {
            "namesrv" | "remoting" => &[Wire::Remoting],
            "http" => &[Wire::Http, Wire::MqHttp],
            "stomp" => &[Wire::Stomp],
            "kafka" => &[Wire::Kafka],
            "metrics" => &[Wire::Metrics],
            "all" => &[Wire::Remoting, Wire::Http, Wire::MqHttp, Wire::Stomp, Wire::Kafka],
            other => {
                panic!("a new listener, {other}: add its wire to wire.rs, and the compiler tells the rest")
            }
        };
        assert!(!wires.is_empty());
    }
}

/// The reason that the table gives for the port of numbers: whoever may do everything gets nothing else there, however it
/// is asked for.
#[test]
fn the_port_of_numbers_has_nothing_for_any_request_of_a_verb() {
    let world = World::start();
    let stage = world.stage();
    for wire in Wire::ALL.into_iter().filter(|wire| *wire != Wire::Metrics) {
        let rows = Verb::ALL.iter().filter_map(|verb| match wire.row(*verb) {
            Row::Asks(ask) => Some(ask),
            Row::Unsaid(_) => None,
        });
        let is_http = matches!(wire, Wire::Http | Wire::MqHttp);
        let mut asked = 0;
        // What is no HTTP is refused before it is read.
        for request in rows.flat_map(|ask| ask.requests).take(if is_http { usize::MAX } else { 1 }) {
            let mut speaker = wire.connect_to(&world, "metrics", world.near(), world.roots());
            let answer = speaker.ask(&stage.fill(&request));
            let nothing = matches!(&answer, Answer::Failed(why) if !is_http || why.starts_with("404 "));
            assert!(nothing, "{}, {request}: {answer:?}", wire.name());
            asked += 1;
        }
        assert!(asked > 0, "{} asks for nothing", wire.name());
    }
}
