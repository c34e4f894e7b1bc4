//! One identity on every wire: a client certificate stands for the same user, and a quota holds, said in each wire's words.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha1::Sha1;
use sluice_auth::{AclFile, CertificatePart, CertificateRule, Command as Change, Mode};
use sluice_net::ClientAuth;
use sluice_server::cli::DevCert;
use sluice_server::dev_cert;
use sluice_tests::TestServer;
use sluice_tests::wires::set_up;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

const USERS: &str = r#"
[[users]]
name = "shop-app"

[[users]]
name = "app"
secret = "apps-secret"

[[policies]]
subject = "app"
resource = "*"
actions = ["All"]
"#;

/// A frame of remoting with a JSON header.
fn remoting(code: i32, fields: Value, body: &str) -> Vec<u8> {
    let header = json!({ "code": code, "language": "JAVA", "version": 479, "opaque": 1, "flag": 0,
        "extFields": fields, "serializeTypeCurrentRPC": "JSON" })
    .to_string();
    let length = (4 + header.len() + body.len()) as u32;
    let parts =
        [&length.to_be_bytes()[..], &(header.len() as u32).to_be_bytes(), header.as_bytes(), body.as_bytes()];
    parts.concat()
}

/// The fields of a request that `app` has signed.
fn signed(mut fields: Map<String, Value>, body: &str) -> Value {
    fields.insert("AccessKey".to_owned(), json!("app"));
    let mut names: Vec<_> = fields.keys().cloned().collect();
    names.sort();
    let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(b"apps-secret").expect("any key is good");
    names.iter().for_each(|name| mac.update(fields[name].as_str().unwrap_or_default().as_bytes()));
    mac.update(body.as_bytes());
    fields.insert("Signature".to_owned(), json!(STANDARD.encode(mac.finalize().into_bytes())));
    fields.into()
}

fn send_message() -> Vec<u8> {
    let fields = json!({
        "producerGroup": "p", "topic": "t", "defaultTopic": "TBW102", "defaultTopicQueueNums": "1", "queueId": "0",
        "sysFlag": "0", "bornTimestamp": "1", "flag": "0", "properties": "", "reconsumeTimes": "0",
        "unitMode": "false", "batch": "false",
    });
    let Value::Object(fields) = fields else { unreachable!("an object") };
    remoting(10, signed(fields, "body"), "body")
}

fn http(method: &str, target: &str, more: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{more}Content-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn basic() -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode("app:apps-secret"))
}

/// What a TLS client with this certificate reads until it contains one of the words.
fn over_tls(address: SocketAddr, folder: &Path, client: &str, said: &[u8], wanted: &[&str]) -> String {
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
    let words: Vec<String> = wanted.iter().map(|word| (*word).to_owned()).collect();
    std::thread::spawn(move || {
        let (mut text, mut piece) = (String::new(), [0; 4096]);
        while let Ok(n @ 1..) = output.read(&mut piece) {
            text.push_str(&String::from_utf8_lossy(&piece[..n]));
            if words.iter().any(|word| text.contains(word)) {
                break;
            }
        }
        let _ = tell.send(text);
    });
    let text = told.recv_timeout(PATIENCE);
    let _ = openssl.kill();
    let _ = openssl.wait();
    text.expect("an answer in time")
}

#[test]
fn a_certificate_stands_for_the_same_user_on_every_wire() {
    set_up("curl"); // brings openssl along
    let folder = tempfile::tempdir().expect("a temporary folder");
    let client = vec!["till-app".to_owned(), "stranger".to_owned()];
    let wanted = DevCert { dir: folder.path().to_owned(), host: Vec::new(), client };
    dev_cert::make(&wanted).unwrap_or_else(|e| panic!("{e}"));
    let server = TestServer::start_with(|config| {
        config.tls.cert = Some(folder.path().join("server.pem"));
        config.tls.key = Some(folder.path().join("server.key"));
        config.tls.client_ca = Some(folder.path().join("ca.pem"));
        config.tls.client_auth = ClientAuth::Optional;
        config.auth.mode = Mode::Acl;
        config.auth.certificates = vec![CertificateRule {
            from: CertificatePart::CommonName,
            pattern: "till-*".into(),
            user: "shop-*".into(),
        }];
    });
    change(&server, USERS);
    let ask = |listener: &str, client: &str, said: &[u8], wanted: &[&str]| {
        over_tls(server.address(listener), folder.path(), client, said, wanted)
    };
    let whoami = http("GET", "/v1/whoami", "Connection: close\r\n", "");
    let known = ask("http", "till-app", &whoami, &["\"principal\"", "401"]);
    assert!(known.contains("\"principal\":\"shop-app\""), "{known}");
    let connect = b"CONNECT\naccept-version:1.2\nhost:x\n\n\0";
    let known = ask("stomp", "till-app", connect, &["\0"]);
    assert!(known.contains("\nuser-name:shop-app\n"), "{known}");
    // There is no question who one is, but a denial names them.
    let topics = remoting(21, json!({}), "");
    let known = ask("remoting", "till-app", &topics, &["\"code\""]);
    assert!(known.contains("User:shop-app has no permission") || known.contains("\"code\":0"), "{known}");

    assert!(ask("http", "stranger", &whoami, &["HTTP/1.1"]).contains("401"));
    assert!(ask("stomp", "stranger", connect, &["\0"]).starts_with("ERROR\n"));
    assert!(!ask("remoting", "stranger", &topics, &["\"code\""]).contains("\"code\":0"));
}

fn change(server: &TestServer, file: &str) {
    let file = AclFile::parse(file).unwrap_or_else(|e| panic!("{e}"));
    let changed = server.broker().change_access_as_operator(Change::ReplaceFile(file));
    server.block_on(changed).unwrap_or_else(|e| panic!("{e}"));
}

/// A plain connection.
struct Line(TcpStream);

impl Line {
    fn open(server: &TestServer, listener: &str) -> Self {
        let socket = TcpStream::connect(server.address(listener)).expect("a connection");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self(socket)
    }

    /// Says this, and reads until the answer contains the word.
    fn ask(&mut self, said: &[u8], until: &str) -> String {
        self.0.write_all(said).expect("it reads");
        let (mut text, mut piece) = (String::new(), [0; 4096]);
        while !text.contains(until) {
            match self.0.read(&mut piece) {
                Ok(n @ 1..) => text.push_str(&String::from_utf8_lossy(&piece[..n])),
                other => panic!("{other:?} after {text:?}, before {until:?}"),
            }
        }
        text
    }
}

fn stomp_connect() -> &'static [u8] {
    b"CONNECT\naccept-version:1.2\nhost:x\nlogin:app\npasscode:apps-secret\n\n\0"
}

#[test]
fn who_is_over_a_rate_is_told_or_slowed_down() {
    let server = TestServer::start_with(|config| config.auth.mode = Mode::Acl);
    let limited = USERS.replace("\"apps-secret\"", "\"apps-secret\"\nquota = { messages_per_second = 1 }");
    change(&server, &limited);
    let publish = http("POST", "/v1/topics/t/messages", &basic(), "body");
    let mut line = Line::open(&server, "http");
    let mut answers: Vec<String> = (0..3).map(|_| line.ask(&publish, "\r\n\r\n")).collect();
    assert!(answers.remove(0).starts_with("HTTP/1.1 201"));
    let told = answers.iter().find(|answer| answer.starts_with("HTTP/1.1 429"));
    assert!(told.is_some_and(|told| told.to_lowercase().contains("\r\nretry-after: ")), "{answers:?}");

    let mut line = Line::open(&server, "remoting");
    let answers: Vec<String> = (0..3).map(|_| line.ask(&send_message(), "\"code\":")).collect();
    let told = answers.iter().find(|answer| answer.contains("\"code\":2,") || answer.contains("\"code\":2}"));
    let told = told.unwrap_or_else(|| panic!("nothing of it in {answers:?}"));
    assert!(told.contains("User:app is over its quota of 1 messages a second"), "{told}");

    // STOMP has no word for "later": what it sends waits, and so does the client.
    let mut line = Line::open(&server, "stomp");
    assert!(line.ask(stomp_connect(), "\0").starts_with("CONNECTED"));
    let began = Instant::now();
    for number in 0..3 {
        let send = format!("SEND\ndestination:/queue/t\nreceipt:{number}\n\nbody\0");
        let answer = line.ask(send.as_bytes(), "\0");
        assert!(answer.trim_start().starts_with("RECEIPT"), "{answer}");
    }
    assert!(began.elapsed() >= Duration::from_secs(1), "three messages in {:?}", began.elapsed());
}

#[test]
fn who_has_too_many_connections_is_told_on_the_next() {
    let server = TestServer::start_with(|config| config.auth.mode = Mode::Acl);
    change(&server, &USERS.replace("\"apps-secret\"", "\"apps-secret\"\nquota = { connections = 1 }"));
    let words = "User:app is over its quota of 1 connections at once";
    let whoami = http("GET", "/v1/whoami", &basic(), "");
    let mut first = Line::open(&server, "http");
    assert!(first.ask(&whoami, "\r\n\r\n").starts_with("HTTP/1.1 200"));
    let over = Line::open(&server, "http").ask(&whoami, words);
    assert!(over.starts_with("HTTP/1.1 429"), "{over}");
    let over = Line::open(&server, "stomp").ask(stomp_connect(), words);
    assert!(over.starts_with("ERROR\nmessage:Too busy") || over.contains("\nmessage:Too busy"), "{over}");
    let over = Line::open(&server, "remoting").ask(&send_message(), words);
    assert!(over.contains("\"code\":2"), "{over}");
    drop(first);
    let began = Instant::now();
    while !Line::open(&server, "stomp").ask(stomp_connect(), "\0").starts_with("CONNECTED") {
        assert!(began.elapsed() < PATIENCE, "the place is not given back");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_group_that_has_enough_consumers_says_so_to_the_next() {
    let server = TestServer::start_with(|config| config.auth.mode = Mode::Acl);
    change(&server, &format!("{USERS}\n[[groups]]\ngroup = \"g\"\nquota = {{ connections = 1 }}\n"));
    let publish = http("POST", "/v1/topics/t/messages", &basic(), "body");
    assert!(Line::open(&server, "http").ask(&publish, "\r\n\r\n").starts_with("HTTP/1.1 201"));
    let words = "Group:g is over its quota of 1 connections at once";
    let receive = http("POST", "/v1/groups/g/receive?topic=t&max=1&from=earliest", &basic(), "");
    let mut first = Line::open(&server, "http");
    for _ in 0..2 {
        assert!(first.ask(&receive, "\r\n\r\n").starts_with("HTTP/1.1 200"));
    }
    let mut second = Line::open(&server, "http");
    let over = second.ask(&receive, words);
    assert!(over.starts_with("HTTP/1.1 429"), "{over}");
    let heartbeat = json!({
        "clientID": "c", "producerDataSet": [], "consumerDataSet": [{
            "groupName": "g", "consumeType": "CONSUME_PASSIVELY", "messageModel": "CLUSTERING",
            "consumeFromWhere": "CONSUME_FROM_LAST_OFFSET", "unitMode": false, "subscriptionDataSet": [],
        }],
    })
    .to_string();
    let heartbeat = remoting(34, signed(Map::new(), &heartbeat), &heartbeat);
    let over = Line::open(&server, "remoting").ask(&heartbeat, words);
    assert!(over.contains("\"code\":2"), "{over}");
    drop(first);
    let began = Instant::now();
    while !Line::open(&server, "http").ask(&receive, "\r\n\r\n").starts_with("HTTP/1.1 200") {
        assert!(began.elapsed() < PATIENCE, "the place is not given back");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What `app` is told of the open connections, as soon as it is what is wanted.
fn connections(server: &TestServer, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let mut line = Line::open(server, "http");
    let began = Instant::now();
    loop {
        let answer = line.ask(&http("GET", "/v1/connections", &basic(), ""), "\"next\":null}");
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let Ok(Value::Object(mut page)) = serde_json::from_str(body) else { panic!("{answer}") };
        let Some(Value::Array(items)) = page.remove("items") else { panic!("{answer}") };
        if wanted(&items) {
            return items;
        }
        assert!(began.elapsed() < PATIENCE, "{answer}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn whoever_may_look_sees_every_connection_and_its_user() {
    let server = TestServer::start_with(|config| config.auth.mode = Mode::Acl);
    change(&server, USERS);
    let silent = Line::open(&server, "remoting");
    connections(&server, |open| open.len() == 2);
    let mut remoting = Line::open(&server, "remoting");
    remoting.ask(&send_message(), "\"code\":0");
    let mut stomp = Line::open(&server, "stomp");
    assert!(stomp.ask(stomp_connect(), "\0").starts_with("CONNECTED"));
    let mut stranger = Line::open(&server, "http");
    assert!(stranger.ask(&http("GET", "/livez", "", ""), "ok").starts_with("HTTP/1.1 200"));
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut socket = Line::open(&server, "http");
    socket.ask(&http("GET", "/ws", upgrade, ""), "HTTP/1.1 101");

    let open = connections(&server, |open| open.len() == 6 && open[4]["protocol"] == "stomp");
    let told = |open: &Value| {
        ["listener", "protocol", "user"].map(|name| open[name].as_str().unwrap_or("-").to_owned())
    };
    let lines = [
        (&silent, ["remoting", "-", "-"]),
        (&remoting, ["remoting", "remoting", "app"]),
        (&stomp, ["stomp", "stomp", "app"]),
        (&stranger, ["http", "http", "-"]),
        (&socket, ["http", "stomp", "-"]),
    ];
    for ((line, wanted), open) in lines.iter().zip(&open) {
        assert_eq!(told(open), *wanted, "{open}");
        assert_eq!(open["peer"], line.0.local_addr().expect("an address").to_string());
        assert_eq!(open["tls"], if wanted[1] == "-" { Value::Null } else { json!(false) });
    }
    assert_eq!(told(&open[5]), ["http", "http", "app"], "whoever asks is connected, too");
    let numbers: Vec<_> = open.iter().map(|open| open["id"].clone()).collect();
    drop((silent, stomp));
    let open = connections(&server, |open| open.len() == 4);
    assert_eq!(
        open[..3].iter().map(|open| &open["id"]).collect::<Vec<_>>(),
        [&numbers[1], &numbers[3], &numbers[4]]
    );
}
