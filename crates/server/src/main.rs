//! The binary `sluice`: configure, start, say so, wait, stop.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use sluice_server::cli::{AclVerb, CertVerb, Cli, Verb};
use sluice_server::config::{self, Config, Loader};
use sluice_server::failure::Failure;
use sluice_server::signals::{Asked, Signals};
use sluice_server::{Server, access, backup, dev_cert, doctor, logging};

/// Thousands of clients that wait, each with a few pieces of odd sizes: its size classes waste little on them.
#[global_allocator]
static MEMORY: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// One arena for each core in place of four. What one arena's threads have freed the others cannot use, so with fewer of them
/// less memory lies between what is in use, and the few threads here hardly meet. What nobody has used for a second goes back to the
/// system: a tail that shrinks, or a batch of delayed messages, is not wanted again so soon.
#[allow(
    unsafe_code,
    reason = "the allocator looks for its settings under this name, and nothing else has it"
)]
#[unsafe(export_name = "_rjem_malloc_conf")]
#[used]
static SETTINGS: &[u8] = b"narenas_ratio:1,dirty_decay_ms:1000\0";

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.verb {
        Some(Verb::Config { check: Some(file) }) => check(file),
        Some(Verb::Config { check: None }) => {
            cli.options.load().map_err(Failure::from).and_then(|loaded| print(&config::show(&loaded)))
        }
        Some(Verb::Acl(verb)) => match (cli.options.given(), verb) {
            (Some(flag), _) => Err(Failure::Config(format!("{flag} has no effect on acl"))),
            (None, AclVerb::Import { file }) => access::import(file).and_then(|text| print(&text)),
            (None, AclVerb::Check { file }) => {
                access::check(file).and_then(|()| print(&format!("{} is valid\n", file.display())))
            }
        },
        Some(Verb::Cert(CertVerb::Dev(wanted))) => match cli.options.given() {
            Some(flag) => Err(Failure::Config(format!("{flag} has no effect on cert dev"))),
            None => dev_cert::make(wanted).and_then(|made| print(&made.to_string())),
        },
        Some(Verb::Doctor) => {
            cli.options.load().map_err(Failure::from).and_then(|l| doctor::doctor(&l.config, &mut print))
        }
        Some(Verb::Backup(wanted)) => cli
            .options
            .load()
            .map_err(Failure::from)
            .and_then(|l| backup::backup(&l.config, wanted, &mut print)),
        Some(Verb::Restore(wanted)) => cli
            .options
            .load()
            .map_err(Failure::from)
            .and_then(|l| backup::restore(&l.config, wanted, &mut print)),
        Some(Verb::Repair { .. }) => {
            cli.options.load().map_err(Failure::from).and_then(|l| doctor::mend(&l.config, &mut print))
        }
        Some(Verb::Serve) | None => {
            cli.options.load().map_err(Failure::from).and_then(|loaded| serve(loaded.config))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("sluice: {failure}");
            failure.exit_code()
        }
    }
}

fn check(file: &Path) -> Result<(), Failure> {
    let mut loader = Loader::new();
    loader.file(file)?;
    loader.finish()?;
    print(&format!("{} is valid\n", file.display()))
}

fn serve(config: Config) -> Result<(), Failure> {
    logging::start(&config.log);
    let unexpected = |error: std::io::Error| Failure::Unexpected(error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(unexpected)?;
    runtime.block_on(async {
        let mut signals = Signals::install().map_err(unexpected)?;
        let server = tokio::select! {
            started = Server::start(config) => started?,
            () = signals.stop() => std::process::exit(0), // nothing was promised yet, and a recovery can be long
        };
        print(&format!("{}\n", server.ready_line()))?;
        let outcome = run(&server, &mut signals).await;
        tokio::select! {
            stopped = server.shutdown() => outcome.and(stopped),
            () = signals.stop() => std::process::exit(1),
        }
    })
}

/// Until somebody or something ends it.
async fn run(server: &Server, signals: &mut Signals) -> Result<(), Failure> {
    loop {
        tokio::select! {
            error = server.failed() => return Err(Failure::Storage(format!("{error:?}"))),
            asked = signals.next() => match asked {
                Asked::Stop => return Ok(()),
                Asked::Reload => server.reload().await,
            },
        }
    }
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| Failure::Unexpected(e.to_string()))
}
