//! The program as scripts see it: its lines, its signals, its exit codes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that fails may say so

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(30);

/// Every listener on a free port.
const FREE_PORTS: [(&str, &str); 6] = [
    ("SLUICE_LISTEN__NAMESRV", "0"),
    ("SLUICE_LISTEN__REMOTING", "0"),
    ("SLUICE_LISTEN__HTTP", "0"),
    ("SLUICE_LISTEN__STOMP", "0"),
    ("SLUICE_LISTEN__KAFKA", "0"),
    ("SLUICE_LISTEN__ALL", "0"),
];

fn sluice(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.current_dir(dir).envs(FREE_PORTS).stdin(Stdio::null());
    command
}

struct Running {
    child: Child,
    addresses: HashMap<String, SocketAddr>,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let Some(pairs) = line.trim_end().strip_prefix("sluice ready ") else {
            let mut log = String::new();
            child.kill().unwrap();
            child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
            panic!("not ready: {line:?}\n{log}");
        };
        let addresses = pairs.split(' ').map(|pair| pair.split_once('=').unwrap());
        let addresses =
            addresses.map(|(name, address)| (name.to_owned(), address.parse().unwrap())).collect();
        Self { child, addresses, stdout }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    fn wait(&mut self) -> ExitStatus {
        wait(&mut self.child)
    }

    fn log(&mut self) -> String {
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        log
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.addresses["http"]).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill(); // a test has failed, or it has ended by itself
        let _ = self.child.wait();
    }
}

/// Runs it to its end, which must come by itself.
fn output(mut command: Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait(&mut child);
    child.wait_with_output().unwrap()
}

fn wait(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > DEADLINE {
            child.kill().unwrap();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn it_starts_with_nothing_says_where_it_listens_and_stops_on_a_signal() {
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let dir = tempfile::tempdir().unwrap();
        let mut server = Running::start(sluice(dir.path()));
        for name in ["namesrv", "remoting", "http", "stomp", "all"] {
            let address = server.addresses[name];
            assert!(address.ip().is_loopback() && address.port() != 0, "{name}");
            TcpStream::connect(address).unwrap();
        }
        assert!(dir.path().join("data").is_dir());
        assert!(server.get("/readyz").starts_with("HTTP/1.1 200"));
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0));
        let mut more = String::new();
        server.stdout.read_to_string(&mut more).unwrap();
        assert_eq!(more, "", "one line is all");
    }
}

#[test]
fn metrics_count_connections() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(sluice(dir.path()));
    server.get("/livez");
    let metrics = server.get("/metrics");
    assert!(metrics.contains("sluice_net_accepted_total{listener=\"http\"} 2"), "{metrics}");
    assert!(metrics.contains("sluice_net_bytes_in_total{listener=\"http\"}"), "{metrics}");
}

#[test]
fn a_second_server_on_the_same_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Running::start(sluice(dir.path()));
    let second = output(sluice(dir.path()));
    assert_eq!(second.status.code(), Some(3));
    assert!(text(&second.stderr).contains("in use"), "{}", text(&second.stderr));
    assert_eq!(second.stdout, b"");
}

#[test]
fn a_taken_port_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = sluice(dir.path());
    command.env("SLUICE_LISTEN__STOMP", taken.local_addr().unwrap().to_string());
    let refused = output(command);
    assert_eq!(refused.status.code(), Some(3));
    assert!(text(&refused.stderr).contains("for stomp"), "{}", text(&refused.stderr));
}

#[test]
fn wrong_configurations_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sluice.toml");
    std::fs::write(&file, "[listen]\nhtpp = 1\n").unwrap();
    for (arguments, variables, hint) in [
        (
            vec!["--config", "sluice.toml"],
            vec![],
            "sluice.toml:2: unknown key listen.htpp; did you mean listen.http?",
        ),
        (
            vec!["serve"],
            vec![("SLUICE_DATADIR", "x")],
            "SLUICE_DATADIR: unknown key datadir; did you mean data_dir?",
        ),
        (vec!["--config", "none.toml"], vec![], "cannot read none.toml"),
        (vec![], vec![("SLUICE_LISTEN__HTTP", "0.0.0.0:0")], "auth.allow_open_network"),
        (vec!["config", "--check", "sluice.toml"], vec![], "unknown key listen.htpp"),
        (vec!["fly"], vec![], "fly"),
    ] {
        let mut command = sluice(dir.path());
        command.args(&arguments).envs(variables);
        let refused = output(command);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        assert!(text(&refused.stderr).contains(hint), "{}", text(&refused.stderr));
        assert!(!dir.path().join("data").exists(), "nothing is touched");
    }
}

#[test]
fn verbs_that_only_tell() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("good.toml"), "data_dir = \"elsewhere\"\n").unwrap();
    let tell = |arguments: &[&str]| {
        let mut command = sluice(dir.path());
        command.args(arguments);
        let told = output(command);
        assert_eq!(told.status.code(), Some(0), "{}", text(&told.stderr));
        text(&told.stdout)
    };
    let version = tell(&["--version"]);
    assert!(version.starts_with(&format!("sluice {} (", env!("CARGO_PKG_VERSION"))), "{version}");
    assert_eq!(tell(&["config", "--check", "good.toml"]), "good.toml is valid\n");
    let shown = tell(&["config", "--config", "good.toml"]);
    assert!(shown.contains("data_dir = \"elsewhere\"") && shown.contains("# good.toml:1"), "{shown}");
    assert!(shown.contains("# environment SLUICE_LISTEN__HTTP"), "{shown}");
}

#[test]
fn the_first_start_with_access_control_makes_one_administrator() {
    let dir = tempfile::tempdir().unwrap();
    let start = || {
        let mut command = sluice(dir.path());
        command.env("SLUICE_AUTH__MODE", "acl").env("SLUICE_LOG__FORMAT", "json");
        Running::start(command)
    };
    let mut first = start();
    first.signal(rustix::process::Signal::TERM);
    assert_eq!(first.wait().code(), Some(0));
    assert_eq!(first.log().matches("administrator created").count(), 1);
    let mut second = start();
    second.signal(rustix::process::Signal::TERM);
    assert_eq!(second.wait().code(), Some(0));
    let log = second.log();
    assert!(!log.contains("administrator created"));
    assert!(log.lines().all(|line| line.starts_with('{') && line.ends_with('}')), "{log}");
}

#[test]
fn damaged_data_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Running::start(sluice(dir.path()));
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    drop(server);
    let data = dir.path().join("data");
    let before = overwrite_everything(&data);
    let refused = output(sluice(dir.path()));
    assert_eq!(refused.status.code(), Some(4), "{}", text(&refused.stderr));
    for (path, bytes) in contents(&data) {
        // The lock file names the process that holds it.
        assert!(path.ends_with("LOCK") || before.get(&path) == Some(&bytes), "{} is changed", path.display());
    }
}

/// Every file of the folder becomes something else of the same length.
fn overwrite_everything(dir: &Path) -> HashMap<std::path::PathBuf, Vec<u8>> {
    for (path, bytes) in contents(dir) {
        if !bytes.is_empty() {
            std::fs::write(&path, bytes.iter().map(|b| b ^ 0x5a).collect::<Vec<u8>>()).unwrap();
        }
    }
    contents(dir)
}

fn contents(dir: &Path) -> HashMap<std::path::PathBuf, Vec<u8>> {
    let mut all = HashMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            all.insert(path, bytes);
        }
    }
    all
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Running::start(sluice(dir.path()));
    // A request that never becomes whole holds the drain up.
    let mut stuck = TcpStream::connect(server.addresses["http"]).unwrap();
    stuck.write_all(b"POST /v1/topics/t/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n").unwrap();
    server.get("/livez"); // by now the other request is under way
    let start = Instant::now();
    server.signal(rustix::process::Signal::TERM);
    while TcpStream::connect(server.addresses["stomp"]).is_ok() {
        assert!(start.elapsed() < DEADLINE, "it does not stop accepting");
    }
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.wait().code(), Some(1));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn clients_that_hang_are_cut_off_within_the_grace() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = sluice(dir.path());
    command.env("SLUICE_SHUTDOWN__GRACE", "1s");
    let mut server = Running::start(command);
    let mut stuck = TcpStream::connect(server.addresses["http"]).unwrap();
    stuck.write_all(b"POST /v1/topics/t/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n").unwrap();
    server.get("/livez");
    let start = Instant::now();
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
