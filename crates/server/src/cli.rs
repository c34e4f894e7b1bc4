//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use sluice_model::units::ByteSize;

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
    /// Users and policies
    #[command(subcommand)]
    Acl(AclVerb),
    /// Makes certificates
    #[command(subcommand)]
    Cert(CertVerb),
    /// Looks through a data folder while no broker runs: every checksum, what is lost, and the disk itself
    ///
    /// Ends with code 4 when something is damaged. Changes nothing.
    Doctor,
    /// Copies the data folder, also while a broker runs on it: everything acknowledged before the command began
    ///
    /// The broker deletes no old messages meanwhile. Whoever may read the data folder may do this.
    Backup(Copying),
    /// Makes the data folder, which must be empty or not be there, from a backup
    Restore(Copying),
    /// Makes a damaged data folder usable again
    ///
    /// Changed files are copied to damaged/ in the data folder first. What is lost is said, by topic, queue and offsets.
    Repair {
        /// Gives up what cannot be read
        #[arg(long, required = true)]
        accept_loss: bool,
    },
}

/// What about users and policies.
#[derive(Clone, Debug, Subcommand)]
pub enum AclVerb {
    /// Prints the users and permissions of a RocketMQ plain_acl.yml (ACL 1.0) as a file for auth.file
    ///
    /// What cannot be said here stands in comments at the top. Secrets are in the output.
    Import {
        /// The plain_acl.yml
        file: PathBuf,
    },
    /// Only says whether this acl.toml is valid
    Check {
        /// The acl.toml
        file: PathBuf,
    },
}

/// Which certificates.
#[derive(Clone, Debug, Subcommand)]
pub enum CertVerb {
    /// A local authority and a certificate for this machine, to try TLS with
    ///
    /// The authority is made once; run again, the command renews the server's certificate, which a running server
    /// takes over by itself.
    Dev(DevCert),
}

/// What `cert dev` makes.
#[derive(Clone, Debug, Args)]
pub struct DevCert {
    /// Where the files go
    #[arg(long, value_name = "DIR", default_value = "certs")]
    pub dir: PathBuf,
    /// One more name or address of the server, beside localhost, 127.0.0.1, ::1 and this machine's name; may be repeated
    #[arg(long, value_name = "NAME")]
    pub host: Vec<String>,
    /// Also a certificate for a client of this name (`tls.client_auth`); may be repeated
    #[arg(long, value_name = "USER")]
    pub client: Vec<String>,
}

/// A backup, and how it is copied.
#[derive(Clone, Debug, Args)]
pub struct Copying {
    /// The folder of the backup
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Reads both sides again afterwards and compares them
    #[arg(long)]
    pub verify: bool,
    /// At most so many bytes a second, as in 50MiB
    #[arg(long, value_name = "SIZE")]
    pub rate: Option<ByteSize>,
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
    /// The first of these flags that was given, for verbs that none of them concerns.
    pub fn given(&self) -> Option<&'static str> {
        self.config.as_ref().map(|_| "--config").or(self.data_dir.as_ref().map(|_| "--data-dir"))
    }

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
