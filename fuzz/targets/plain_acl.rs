//! RocketMQ's plain_acl.yml: any text gives a file that can be written and read again, or an error.
#![no_main]

use sluice_auth::{AclFile, PlainAcl};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(acl) = PlainAcl::parse(text) {
        let written = acl.file.to_toml().expect("what was read can be written");
        assert_eq!(AclFile::parse(&written).ok(), Some(acl.file));
    }
});
