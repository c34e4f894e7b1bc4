//! The layers of the configuration, their errors, and that the reference is the truth.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that fails may say so

use std::path::Path;

use sluice_net::ListenAddr;
use sluice_server::config::{Config, ConfigError, Loaded, Loader, Source, show};

const REFERENCE: &str = include_str!("../../../conf/reference.toml");
const STARTER: &str = include_str!("../../../conf/sluice.toml");

fn load(
    file: &str,
    environment: &[(&str, &str)],
    flags: &[(&str, &'static str, &str)],
) -> Result<Loaded, ConfigError> {
    let mut loader = Loader::new();
    loader.text(file, Path::new("sluice.toml"))?;
    loader.environment(environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))?;
    for (key, flag, value) in flags {
        loader.set(key, value, Source::Flag(flag))?;
    }
    loader.finish()
}

fn refused(file: &str, environment: &[(&str, &str)]) -> String {
    load(file, environment, &[]).expect_err("must be refused").to_string()
}

#[test]
fn the_reference_is_exactly_the_defaults() {
    assert_eq!(load(REFERENCE, &[], &[]).unwrap().config, Config::default());
}

#[test]
fn the_reference_lists_every_key() {
    let listed = |key: &str| {
        let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
        let mut here = section.is_empty();
        REFERENCE.lines().any(|line| {
            let line = line.trim_start_matches("# "); // keys without a default are there as comments
            if let Some(header) = line.strip_prefix('[') {
                here = header.split(']').next() == Some(section);
            }
            here && line.split_once('=').is_some_and(|(left, _)| left.trim() == name)
        })
    };
    let shown = show(&load("", &[], &[]).unwrap());
    let keys: Vec<&str> =
        shown.lines().map(|line| line.trim_start_matches("# ").split([' ', '=']).next().unwrap()).collect();
    assert!(keys.len() > 25, "{keys:?}");
    for key in keys {
        assert!(listed(key), "conf/reference.toml does not list {key}");
    }
}

#[test]
fn the_starter_loads_and_fits_a_screen() {
    let loaded = load(STARTER, &[], &[]).unwrap();
    assert_eq!(loaded.config, Config::default(), "a copy of the starter changes nothing");
    assert!(STARTER.lines().count() <= 40);
}

#[test]
fn later_layers_win_and_are_remembered() {
    let file = "data_dir = \"from-file\"\n[listen]\nhttp = 1\nstomp = \"off\"\n";
    let environment = [("SLUICE_LISTEN__HTTP", "2"), ("SLUICE_DATA_DIR", "from-env"), ("HOME", "/ignored")];
    let loaded = load(file, &environment, &[("data_dir", "--data-dir", "from-flag")]).unwrap();
    assert_eq!(loaded.config.data_dir, Path::new("from-flag"));
    assert_eq!(loaded.config.listen.http, ListenAddr::loopback(2));
    assert_eq!(loaded.config.listen.stomp, ListenAddr::Off);
    assert_eq!(loaded.config.listen.namesrv, ListenAddr::loopback(9876));
    let source = |key: &str| loaded.sources.get(key).map(ToString::to_string);
    assert_eq!(source("data_dir").as_deref(), Some("flag --data-dir"));
    assert_eq!(source("listen.http").as_deref(), Some("environment SLUICE_LISTEN__HTTP"));
    assert_eq!(source("listen.stomp").as_deref(), Some("sluice.toml:4"));
    assert_eq!(source("listen.namesrv"), None);
}

#[test]
fn text_from_the_environment_takes_the_type_of_its_key() {
    let environment = [
        ("SLUICE_TOPICS__AUTO_CREATE", "false"),
        ("SLUICE_NET__MAX_CONNECTIONS", "7"),
        ("SLUICE_SHUTDOWN__GRACE", "3s"),
        ("SLUICE_NET__SNIFF_TIMEOUT", "1m 30s"),
        ("SLUICE_LISTEN__ALL", "127.0.0.1:0"),
        ("SLUICE_ADVERTISE__HOST", "12345.example"),
        ("SLUICE_LOG__FORMAT", "json"),
        ("SLUICE_AUTH__MODE", "acl"),
        ("SLUICE_AUTH__JWT", "[{issuer='i', audience='a', algorithms=['HS256'], secret='s'}]"),
    ];
    let config = load("", &environment, &[]).unwrap().config;
    assert!(!config.topics.auto_create);
    assert_eq!(config.net.max_connections, 7);
    assert_eq!(config.shutdown.grace.as_millis(), 3_000);
    assert_eq!(config.net.sniff_timeout.as_secs(), 90);
    assert!(config.listen.all.is_on());
    assert_eq!(config.auth.jwt.len(), 1);
    let wrong = refused("", &[("SLUICE_NET__MAX_CONNECTIONS", "many")]);
    assert!(wrong.starts_with("environment SLUICE_NET__MAX_CONNECTIONS: invalid type"), "{wrong}");
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_known_one() {
    assert_eq!(
        refused("[listen]\n\nhtpp = 1\n", &[]),
        "sluice.toml:3: unknown key listen.htpp; did you mean listen.http?"
    );
    assert_eq!(refused("data_dri = 'x'", &[]), "sluice.toml:1: unknown key data_dri; did you mean data_dir?");
    assert_eq!(
        refused("", &[("SLUICE_LISTEN_HTTP", "1")]),
        "environment SLUICE_LISTEN_HTTP: unknown key listen_http; did you mean listen.http?"
    );
    assert_eq!(refused("[quantum]\nx = 1", &[]), "sluice.toml:1: unknown key quantum");
    let inside = refused("[[auth.jwt]]\nissuer='i'\naudience='a'\nalgorithms=['HS256']\nsecrets='s'", &[]);
    assert!(inside.starts_with("sluice.toml:5: unknown field `secrets`, expected"), "{inside}");
}

#[test]
fn what_kubernetes_says_about_a_service_of_our_name_is_not_ours() {
    let link = ("SLUICE_PORT_8080_TCP_ADDR", "10.0.0.1");
    let host = ("KUBERNETES_SERVICE_HOST", "10.0.0.1");
    assert!(
        load("", &[link, host, ("SLUICE_SERVICE_PORT", "8080"), ("SLUICE_PORT", "tcp://x")], &[]).is_ok()
    );
    assert!(refused("", &[link]).contains("unknown key"));
    assert!(refused("", &[host, ("SLUICE_PROT", "1")]).contains("unknown key"));
}

#[test]
fn wrong_values_are_located() {
    let wrong = refused("[listen]\nhttp = \"nowhere\"\n", &[]);
    assert!(wrong.starts_with("sluice.toml:2: ") && wrong.contains("listen value"), "{wrong}");
    let syntax = refused("data_dir = \"x\"\n[listen\n", &[]);
    assert!(syntax.starts_with("sluice.toml:2: "), "{syntax}");
}

#[test]
fn the_open_network_needs_an_access_list_or_a_word() {
    let open = [("SLUICE_LISTEN__HTTP", "0.0.0.0:0")];
    let wrong = refused("", &open);
    assert!(wrong.contains("listen.http") && wrong.contains("auth.allow_open_network"), "{wrong}");
    let allowed = [open[0], ("SLUICE_AUTH__ALLOW_OPEN_NETWORK", "true")];
    assert_eq!(load("", &allowed, &[]).unwrap().config.exposed_listeners(), ["http"]);
    let acl = [open[0], ("SLUICE_AUTH__MODE", "acl")];
    assert!(load("", &acl, &[]).unwrap().config.exposed_listeners().is_empty());
}

#[test]
fn contradictions_are_refused() {
    let off = "[listen]\nnamesrv='off'\nremoting='off'\nhttp='off'\nstomp='off'\nkafka='off'";
    assert!(refused(off, &[]).contains("every listener is off"));
    assert!(refused("tls.cert = 'x.pem'", &[]).contains("cert needs key"));
    assert!(refused("tls.modes = { htp = 'required' }", &[]).contains("no listener htp"));
    assert!(refused("", &[("SLUICE_TLS__MODES", "{ http = 'required' }")]).contains("without cert and key"));
    assert!(refused("tls.certificates = [{ cert = 'x.pem' }]", &[]).contains("key"));
    assert!(refused("auth.file = 'acl.toml'", &[]).contains("auth.mode"));
    assert!(refused("store.max_entry = '1MiB'", &[]).contains("broker.max_batch_size"));
    assert!(refused("store.disk_guard = 0", &[]).contains("store.disk_guard"));
    assert!(refused("advertise.host = 'http://x'", &[]).contains("advertise: "));
    assert!(refused("log.level = 'sluice=loud'", &[]).contains("log.level"));
}

#[test]
fn what_is_shown_is_valid_and_has_no_secrets() {
    let file = "auth.mode = 'acl'\n[[auth.jwt]]\nissuer='i'\naudience='a'\nalgorithms=['HS256']\nsecret='hush hush'\n";
    let loaded = load(file, &[("SLUICE_DATA_DIR", "d")], &[]).unwrap();
    let shown = show(&loaded);
    assert!(!shown.contains("hush") && shown.contains("***"), "{shown}");
    let line = |start: &str| shown.lines().find(|line| line.starts_with(start)).unwrap();
    assert!(line("data_dir").ends_with("# environment SLUICE_DATA_DIR"));
    assert!(line("listen.http =").ends_with("# default"));
    assert!(line("auth.jwt").ends_with("# sluice.toml:2"));
    assert!(line("# tls.cert is not set").ends_with("# default"));
    let again = load(&shown.replace("\"***\"", "'hush hush'"), &[], &[]);
    assert_eq!(again.unwrap().config, loaded.config);
}

/// A secret on a command line or in an environment is seen by others; a file is not.
#[test]
fn every_secret_has_a_twin_that_names_a_file() {
    let keys = show(&load("", &[], &[]).unwrap());
    for line in keys.lines() {
        let key = line.trim_start_matches("# ").split(' ').next().unwrap();
        if ["secret", "password", "token"].iter().any(|word| key.ends_with(word)) {
            assert!(keys.contains(&format!("{key}_file")), "{key} has no twin");
        }
    }
}
