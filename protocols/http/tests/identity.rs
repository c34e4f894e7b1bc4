//! Whose connection it is, and that it ends with them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sluice_auth::{Auth, Command, UserSpec};
use sluice_broker::Broker;
use sluice_model::SystemClock;
use sluice_net::{Connection, Drain, Protocol};
use sluice_store::MemoryLog;
use std::sync::Arc;
use support::{PATIENCE, server_on};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn with_users(names: &[&str]) -> Broker {
    let clock = Arc::new(SystemClock);
    let auth = Arc::new(Auth::acl(Default::default(), clock.clone()).unwrap());
    let broker = Broker::open(Arc::new(MemoryLog::new()), auth, clock, Default::default()).unwrap();
    for name in names {
        let user = UserSpec { secret: Some("secret".into()), ..UserSpec::named(*name) };
        broker.change_access_as_operator(Command::PutUser(user)).await.unwrap();
    }
    broker
}

async fn connect(broker: &Broker) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let accepted = Connection::plain(listener.accept().await.unwrap().0).unwrap();
    let server = server_on(broker.clone(), Default::default());
    tokio::spawn(Arc::clone(&server.http).serve(accepted, Drain::new()));
    socket
}

/// Asks on this connection who it is, as this user; the status.
async fn whoami(socket: &mut TcpStream, user: &str) -> u16 {
    let credentials = STANDARD.encode(format!("{user}:secret"));
    let request = format!("GET /v1/whoami HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {credentials}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with("}\n") {
        let mut bytes = [0; 4096];
        let read = tokio::time::timeout(PATIENCE, socket.read(&mut bytes)).await.expect("an answer").unwrap();
        assert!(read > 0, "closed after {answer:?}");
        answer.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

async fn delete(broker: &Broker, user: &str) {
    broker.change_access_as_operator(Command::DeleteUser(user.to_owned())).await.unwrap();
}

#[tokio::test]
async fn a_resting_connection_is_closed_when_its_user_is_gone() {
    let broker = with_users(&["app", "other"]).await;
    let mut socket = connect(&broker).await;
    assert_eq!(whoami(&mut socket, "app").await, 200);
    delete(&broker, "other").await;
    assert_eq!(whoami(&mut socket, "app").await, 200, "somebody else is gone");
    delete(&broker, "app").await;
    let end = tokio::time::timeout(PATIENCE, socket.read(&mut [0; 1])).await.expect("an end").unwrap();
    assert_eq!(end, 0);
}

/// What is under way is cut off, too: here a body that is still to come.
#[tokio::test]
async fn a_request_under_way_does_not_outlast_its_user() {
    let broker = with_users(&["app"]).await;
    let mut socket = connect(&broker).await;
    assert_eq!(whoami(&mut socket, "app").await, 200);
    let credentials = STANDARD.encode("app:secret");
    let head = format!(
        "POST /v1/topics/t/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {credentials}\r\n\
         Content-Length: 1000\r\n\r\nbegun"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    delete(&broker, "app").await;
    let mut rest = Vec::new();
    let end = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut rest)).await;
    end.expect("an end").unwrap_or_default(); // by a reset, perhaps
}

#[tokio::test]
async fn a_connection_of_several_users_stays_for_those_who_are_left() {
    let broker = with_users(&["app", "other"]).await;
    let mut socket = connect(&broker).await;
    assert_eq!(whoami(&mut socket, "app").await, 200);
    assert_eq!(whoami(&mut socket, "other").await, 200);
    delete(&broker, "app").await;
    assert_eq!(whoami(&mut socket, "app").await, 401);
    assert_eq!(whoami(&mut socket, "other").await, 200);
}
