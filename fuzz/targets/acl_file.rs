//! The operator's ACL file: any text gives a file or an error that names a line.
#![no_main]

use sluice_auth::AclFile;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(file) = AclFile::parse(text) {
        for policy in file.policies {
            let pattern = policy.resource.to_string();
            assert_eq!(pattern.parse::<sluice_auth::ResourcePattern>().ok(), Some(policy.resource));
        }
    }
});
