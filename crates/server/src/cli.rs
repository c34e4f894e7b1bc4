//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{ConfigError, Loaded, Loader, Source};

/// A message broker that speaks RocketMQ, HTTP and STOMP on one log.
#[derive(Debug, Parser)]
#[command(name = "sluice", version = VERSION, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Option<Verb>,
    #[command(flatten)]
    pub options: Options,
}

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("BUILD_COMMIT"), ")");

/// What to do; without one, serve.
#[derive(Clone, Debug, Subcommand)]
pub enum Verb {
    /// Runs the broker (the default)
    Serve,
    /// Prints every setting, its value and where it came from
    Config {
        /// Only says whether this file is valid
        #[arg(long, value_name = "FILE")]
        check: Option<PathBuf>,
    },
}

/// Flags of every verb.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// The configuration file; without it, defaults and environment alone
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Where everything is kept [default: ./data]
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
}

impl Options {
    /// The configuration that these flags, the environment and the file amount to.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let mut loader = Loader::new();
        if let Some(path) = &self.config {
            loader.file(path)?;
        }
        loader.environment(std::env::vars_os().filter_map(|(name, value)| {
            // A name that is not text is none of ours; a value that is not text is judged by its key.
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        }))?;
        if let Some(dir) = &self.data_dir {
            loader.set("data_dir", &dir.to_string_lossy(), Source::Flag("--data-dir"))?;
        }
        loader.finish()
    }
}
