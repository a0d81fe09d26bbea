//! Which nats-server runs: the one that is named, the one on `PATH`, the one in the cache, or a
//! fetched one.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::fetch::{self, FetchError, Fetcher, VERSION};
use crate::tools::{self, CommandError};
use crate::{cache, pins};

const PROBE_LIMIT: Duration = Duration::from_secs(20);

/// Where a server binary came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// `NATS_SERVER` or `POSTGRES_BIN` in the environment names it.
    Environment,
    /// It was found on `PATH`.
    Path,
    /// It was found where the system installs such programs, though not on `PATH`.
    Installed,
    /// An earlier fetch left it in the cache.
    Cache,
    /// It has just been fetched.
    Fetched,
}

/// A nats-server that runs on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerBinary {
    /// The absolute path of the binary.
    pub path: PathBuf,
    /// The version it reports, without the leading `v`.
    pub version: String,
    /// Where it came from.
    pub source: Source,
}

/// Why there is no nats-server to run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// The caller named a binary that cannot be used. Nothing else is tried then.
    #[error(
        "NATS_SERVER names {}, which cannot be used: {reason}; \
         point it at a nats-server or unset it",
        path.display()
    )]
    Named {
        /// The path that `NATS_SERVER` holds.
        path: PathBuf,
        /// What is wrong with it.
        reason: Unusable,
    },
    /// There is none on this machine and none could be fetched.
    #[error(
        "no nats-server was found, and fetching version {VERSION} failed: {reason}; \
         install nats-server on PATH, or name one in NATS_SERVER"
    )]
    Fetch {
        /// Why the fetch failed.
        reason: FetchError,
    },
}

/// What is wrong with a file that should be a nats-server, or a program of PostgreSQL.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// There is no executable file at the path.
    #[error("it is not an executable file")]
    NotExecutable,
    /// It does not run, or does not end.
    #[error(transparent)]
    Run(CommandError),
    /// It runs, but it is another program.
    #[error("it is no nats-server: asked for its version it says {answer:?}")]
    NotNatsServer {
        /// What the program wrote when asked for its version.
        answer: String,
    },
    /// It runs, but it is no program of PostgreSQL.
    #[error("it is no such program of PostgreSQL: asked for its version it says {answer:?}")]
    NotPostgres {
        /// What the program wrote when asked for its version.
        answer: String,
    },
    /// It is a PostgreSQL, but too old.
    #[error("it is too old: asked for its version it says {answer:?}")]
    TooOld {
        /// What the program wrote when asked for its version.
        answer: String,
    },
    /// Root has another user run the program, and that user cannot reach it.
    #[error("root has it run by another user, who may not enter its folder")]
    ClosedFolder,
    /// It is a nats-server, but not of the version that was fetched.
    #[error("it is version {found} and not {VERSION}")]
    OtherVersion {
        /// The version it reports.
        found: String,
    },
}

/// Finds a nats-server, or fetches one.
///
/// The order is: `NATS_SERVER` in the environment, which holds a path (empty counts as unset);
/// `PATH`; the cache; and at last version 2.15.1 is fetched into the cache and checked against its
/// SHA-256. The cache is `$JETLANE_CACHE`, else `$XDG_CACHE_HOME/jetlane`, else
/// `$HOME/.cache/jetlane` (`%LOCALAPPDATA%\jetlane` on Windows), else a folder in the temporary
/// folder. A fetch says on stderr what it does. What was found is remembered for the life of the
/// process.
///
/// # Errors
///
/// [`FindError::Named`] when `NATS_SERVER` names something that is no usable nats-server, and
/// [`FindError::Fetch`] when none is on this machine and none can be fetched.
pub fn find_server() -> Result<ServerBinary, FindError> {
    static FOUND: OnceLock<ServerBinary> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Ok(found.clone());
    }
    let found = find_in(&Surroundings::from_environment(|name| std::env::var_os(name)))?;
    Ok(FOUND.get_or_init(|| found).clone())
}

/// All that the search depends on, so that tests need not change the environment of their process.
#[derive(Debug)]
struct Surroundings {
    named: Option<PathBuf>,
    search_path: OsString,
    cache: PathBuf,
}

impl Surroundings {
    fn from_environment(variable: impl Fn(&str) -> Option<OsString>) -> Surroundings {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        Surroundings {
            named: set("NATS_SERVER").map(PathBuf::from),
            search_path: set("PATH").unwrap_or_default(),
            cache: cache::folder(&variable),
        }
    }
}

fn find_in(surroundings: &Surroundings) -> Result<ServerBinary, FindError> {
    if let Some(path) = &surroundings.named {
        return named(path);
    }
    if let Some(found) = on_path(&surroundings.search_path) {
        return Ok(found);
    }
    let fetcher = Fetcher {
        search_path: &surroundings.search_path,
        cache: &surroundings.cache,
        pins: pins::PINS,
        tell: fetch::tell_on_stderr,
    };
    match fetcher.cached() {
        Some(found) => Ok(found),
        None => fetcher.fetch().map_err(|reason| FindError::Fetch { reason }),
    }
}

/// The caller's choice: taken as it is, or refused by name.
fn named(path: &Path) -> Result<ServerBinary, FindError> {
    let refused = |reason| FindError::Named { path: path.to_owned(), reason };
    // A bare file name is a path here; given to the system as it is, it would be looked up on PATH.
    let absolute = std::path::absolute(path).map_err(|_| refused(Unusable::NotExecutable))?;
    let version = version_of(&absolute).map_err(refused)?;
    Ok(ServerBinary { path: absolute, version, source: Source::Environment })
}

fn on_path(search_path: &OsStr) -> Option<ServerBinary> {
    tools::on_path(search_path, "nats-server").find_map(|path| {
        let version = version_of(&path).ok()?;
        Some(ServerBinary { path, version, source: Source::Path })
    })
}

/// Runs the binary to ask for its version: the only proof that it is a nats-server for this
/// machine.
pub(crate) fn version_of(path: &Path) -> Result<String, Unusable> {
    if !tools::is_executable(path) {
        return Err(Unusable::NotExecutable);
    }
    let answer =
        tools::run(Command::new(path).arg("--version"), PROBE_LIMIT).map_err(Unusable::Run)?;
    match answer.trim().strip_prefix("nats-server: v") {
        Some(version) => Ok(version.to_owned()),
        None => Err(Unusable::NotNatsServer { answer: tools::tail(&answer) }),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::tools::fakes;

    #[test]
    fn the_named_server_comes_before_path_and_path_before_the_cache() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let named = fakes::script(&root.join("named"), "server", "echo nats-server: v1.0.0");
        fakes::script(&root.join("broken"), "nats-server", "exit 1");
        fakes::script(&root.join("path"), "nats-server", "echo nats-server: v2.0.0");
        let cached = root.join(format!("cache/nats-server-v{VERSION}"));
        fakes::script(&cached, "nats-server", &format!("echo nats-server: v{VERSION}"));
        let search_path = |folders: &[&str]| {
            std::env::join_paths(folders.iter().map(|name| root.join(name))).unwrap()
        };

        let check = |named: Option<&Path>, folders: &[&str], version: &str, source: Source| {
            let found = find_in(&Surroundings {
                named: named.map(Path::to_owned),
                search_path: search_path(folders),
                cache: root.join("cache"),
            });
            let found = found.unwrap();
            assert_eq!((found.version.as_str(), found.source), (version, source));
        };
        check(Some(&named), &["path"], "1.0.0", Source::Environment);
        check(None, &["broken", "path"], "2.0.0", Source::Path);
        check(None, &["broken"], VERSION, Source::Cache);
        check(None, &[], VERSION, Source::Cache);
    }

    #[test]
    fn an_unusable_named_server_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let good = fakes::script(&root.join("path"), "nats-server", "echo nats-server: v2.0.0");
        let plain = root.join("plain");
        std::fs::write(&plain, "text").unwrap();

        let check = |named: PathBuf, expected: &str| {
            let error = find_in(&Surroundings {
                named: Some(named.clone()),
                search_path: good.parent().unwrap().into(),
                cache: root.join("cache"),
            })
            .unwrap_err()
            .to_string();
            assert!(error.contains(named.to_str().unwrap()), "{error}");
            assert!(error.contains(expected), "{error}");
        };
        check(root.join("missing"), "not an executable file");
        check(PathBuf::from("nats-server"), "not an executable file");
        check(plain, "not an executable file");
        check(fakes::script(root, "fails", "echo bad luck; exit 7"), "bad luck");
        check(fakes::script(root, "other", "echo other 1.2"), "no nats-server");
    }
}
