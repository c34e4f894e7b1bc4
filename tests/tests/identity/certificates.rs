//! A client certificate stands for the same user on every wire.

use crate::kafka::{self, frame, is_whole};
use crate::tls::over_tls;
use crate::words::{basic, http, remoting};
use crate::{USERS, change, line::Line};
use kafka_protocol::messages::MetadataRequest;
use serde_json::json;
use sluice_auth::{CertificatePart, CertificateRule, Mode};
use sluice_net::ClientAuth;
use sluice_server::cli::DevCert;
use sluice_server::dev_cert;
use sluice_tests::TestServer;
use sluice_tests::wires::set_up;

#[test]
fn a_certificate_stands_for_the_same_user_on_every_wire() {
    set_up("curl"); // brings openssl along
    let folder = tempfile::tempdir().expect("a temporary folder");
    let client = vec!["till-app".to_owned(), "stranger".to_owned()];
    let wanted = DevCert { dir: folder.path().to_owned(), host: Vec::new(), client };
    dev_cert::make(&wanted).unwrap_or_else(|e| panic!("{e}"));
    let server = TestServer::start_with(|config| {
        for more in [&mut config.listen.all, &mut config.listen.metrics] {
            *more = "0".parse().expect("a listen value");
        }
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
        let words: Vec<String> = wanted.iter().map(|word| (*word).to_owned()).collect();
        let said_so = move |heard: &[u8]| {
            let heard = String::from_utf8_lossy(heard);
            words.iter().any(|word| heard.contains(word))
        };
        let heard = over_tls(server.address(listener), folder.path(), client, said, said_so);
        String::from_utf8_lossy(&heard).into_owned()
    };
    for topic in ["till", "safe"] {
        let make = http("PUT", &format!("/v1/topics/{topic}"), &format!("{}{JSON}", basic()), "{}");
        assert!(Line::open(&server, "http").ask(&make, "\r\n\r\n").starts_with("HTTP/1.1 201"));
    }

    let whoami = http("GET", "/v1/whoami", "Connection: close\r\n", "");
    for listener in ["http", "all"] {
        let known = ask(listener, "till-app", &whoami, &["\"principal\"", "401"]);
        assert!(known.contains("\"principal\":\"shop-app\""), "{known}");
    }
    assert!(ask("http", "stranger", &whoami, &["HTTP/1.1"]).contains("401"));
    let numbers = http("GET", "/metrics", "Connection: close\r\n", "");
    let known = ask("metrics", "till-app", &numbers, &["no permission", "401", "200"]);
    assert!(known.contains("User:shop-app has no permission to Get Cluster"), "{known}");
    assert!(ask("metrics", "stranger", &numbers, &["HTTP/1.1"]).contains("401"));
    let connect = b"CONNECT\naccept-version:1.2\nhost:x\n\n\0";
    for listener in ["stomp", "all"] {
        let known = ask(listener, "till-app", connect, &["\0"]);
        assert!(known.contains("\nuser-name:shop-app\n"), "{known}");
    }
    assert!(ask("stomp", "stranger", connect, &["\0"]).starts_with("ERROR\n"));
    // There is no question who one is, but what the user may see and what not, and a denial names them.
    let route = |topic: &str| remoting(105, json!({ "topic": topic }), "");
    for listener in ["remoting", "namesrv", "all"] {
        let known = ask(listener, "till-app", &route("till"), &["\"code\""]);
        assert!(known.contains("\"code\":0"), "{known}");
        let denied = ask(listener, "till-app", &route("safe"), &["\"code\""]);
        assert!(denied.contains("User:shop-app has no permission"), "{denied}");
    }
    assert!(!ask("remoting", "stranger", &route("till"), &["\"code\""]).contains("\"code\":0"));
    // Kafka's denials have no names.
    let described = |listener: &str, client: &str, topic: &str| {
        let asked = frame(9, 1, &kafka::metadata(topic));
        let heard = over_tls(server.address(listener), folder.path(), client, &asked, is_whole);
        is_whole(&heard).then(|| kafka::response::<MetadataRequest>(9, &heard).topics.remove(0).error_code)
    };
    for listener in ["kafka", "all"] {
        assert_eq!(described(listener, "till-app", "till"), Some(0));
        assert_eq!(described(listener, "till-app", "safe"), Some(kafka::TOPIC_DENIED));
    }
    assert_eq!(described("kafka", "stranger", "till"), None, "nobody is behind that certificate");
}

const JSON: &str = "Content-Type: application/json\r\n";
