//! Tells the program which commit it was built from.

use std::process::Command;

fn main() {
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    let commit = output
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned());
    println!("cargo:rustc-env=BUILD_COMMIT={commit}");
    // A debug build may name an older commit: it is not worth compiling again for.
    let changes = if std::env::var("PROFILE").as_deref() == Ok("release") {
        "../../.git/logs/HEAD"
    } else {
        "build.rs"
    };
    println!("cargo:rerun-if-changed={changes}");
}
