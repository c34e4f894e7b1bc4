//! What an operator does with files of users and policies, with the real binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that fails may say so

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const PLAIN_ACL: &str = r#"
globalWhiteRemoteAddresses:
  - 10.10.103.*
accounts:
  - accessKey: RocketMQ
    secretKey: "12345678"
    defaultTopicPerm: DENY
    defaultGroupPerm: SUB
    topicPerms:
      - orders=PUB|SUB
  - accessKey: boss
    secretKey: "87654321"
    admin: true
"#;

fn sluice(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.current_dir(dir).args(args).stdin(Stdio::null());
    command
}

fn run(dir: &Path, args: &[&str]) -> Output {
    sluice(dir, args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_plain_acl_becomes_a_file_that_is_valid() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("plain_acl.yml"), PLAIN_ACL).unwrap();
    let made = run(dir.path(), &["acl", "import", "plain_acl.yml"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let file = text(&made.stdout);
    assert!(file.contains("# Note: globalWhiteRemoteAddresses (10.10.103.*) is left out"), "{file}");
    assert!(file.contains("name = \"RocketMQ\"") && file.contains("resource = \"Topic:orders\""), "{file}");
    std::fs::write(dir.path().join("acl.toml"), &file).unwrap();
    let checked = run(dir.path(), &["acl", "check", "acl.toml"]);
    assert_eq!((checked.status.code(), text(&checked.stdout)), (Some(0), "acl.toml is valid\n".into()));

    std::fs::write(dir.path().join("acl.toml"), file.replace("RocketMQ\"\nresource", "nobody\"\nresource"))
        .unwrap();
    for (args, why) in [
        (["acl", "check", "acl.toml"], "User:nobody"),
        (["acl", "check", "plain_acl.yml"], "line 2"),
        (["acl", "import", "acl.toml"], "line"),
        (["acl", "import", "nowhere.yml"], "nowhere.yml"),
    ] {
        let refused = run(dir.path(), &args);
        assert_eq!(refused.status.code(), Some(2), "{args:?}");
        assert!(text(&refused.stderr).contains(why), "{args:?}: {}", text(&refused.stderr));
        assert!(!text(&refused.stderr).contains("12345678"));
    }
    let flag = run(dir.path(), &["acl", "check", "acl.toml", "--data-dir", "x"]);
    assert!(text(&flag.stderr).contains("--data-dir has no effect"));
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill(); // a test has failed, or it has ended by itself
        let _ = self.0.wait();
    }
}

#[test]
fn a_change_of_the_file_is_told_in_the_log_line_by_line() {
    let dir = tempfile::tempdir().unwrap();
    let write = |users: &str| std::fs::write(dir.path().join("acl.toml"), users).unwrap();
    write("[[users]]\nname = \"ops\"\nsuperuser = true\nsecret = \"hunter2\"\n");
    let mut command = sluice(dir.path(), &["serve"]);
    for listener in ["NAMESRV", "REMOTING", "HTTP", "STOMP", "KAFKA", "ALL"] {
        command.env(format!("SLUICE_LISTEN__{listener}"), "0");
    }
    command.env("SLUICE_AUTH__MODE", "acl").env("SLUICE_AUTH__FILE", "acl.toml");
    let mut child = Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut log = BufReader::new(child.0.stderr.take().unwrap()).lines();
    let mut until = |wanted: &str| {
        let line =
            log.by_ref().map(Result::unwrap).inspect(|line| assert!(!line.contains("hunter2"), "{line}"));
        let mut line = line;
        line.find(|line| line.contains(wanted)).unwrap_or_else(|| panic!("no {wanted}"))
    };
    until("+ User:ops");
    until("started");
    write(
        "[[users]]\nname = \"ops\"\nsuperuser = true\nsecret = \"hunter2-other\"\n[[users]]\nname = \"new\"\n",
    );
    until("~ User:ops: secret");
    until("+ User:new");
    write("[[users]]\nname = \"ops\"\nsuperuser = maybe\n");
    until("users and policies stay as they were");
}
