//! Where fetched programs are kept: where whoever runs them can reach them, and nobody else can
//! plant any.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::run_as::RunAs;
use crate::cache;
use crate::fetch::FetchError;

/// For root, whose home is closed to the user that runs the programs. Everybody may create folders
/// beside it, but by the sticky bit nobody can remove or rename root's.
const ROOTS: &str = "/var/tmp/jetlane-root";

const OPEN_TO_READERS: u32 = 0o755;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cache {
    /// The caller named it, or it is in the caller's home: it is the caller's to keep it safe.
    Callers(PathBuf),
    /// It is where anybody could have made it first.
    Public(PathBuf),
}

impl Cache {
    pub(crate) fn of(run_as: RunAs, variable: impl Fn(&str) -> Option<OsString>) -> Cache {
        let named = variable("JETLANE_CACHE").is_some_and(|value| !value.is_empty());
        match run_as {
            RunAs::User { .. } if !named => Cache::Public(ROOTS.into()),
            _ => Cache::Callers(cache::folder(variable)),
        }
    }

    /// The folder; a public one is there when this returns, and is ours alone to write to.
    pub(crate) fn folder(&self) -> Result<&Path, FetchError> {
        match self {
            Cache::Callers(folder) => Ok(folder),
            Cache::Public(folder) => {
                create(folder).map_err(FetchError::cache("create", folder))?;
                match is_ours_alone(folder).map_err(FetchError::cache("look at", folder))? {
                    true => Ok(folder),
                    false => Err(FetchError::Untrusted { path: folder.clone() }),
                }
            }
        }
    }
}

fn create(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(OPEN_TO_READERS).create(folder) {
        // The process may mask permissions that others need.
        Ok(()) => fs::set_permissions(folder, Permissions::from_mode(OPEN_TO_READERS)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_ours_alone(folder: &Path) -> io::Result<bool> {
    // A link is not followed, as whoever made it can make it lead elsewhere.
    let found = fs::symlink_metadata(folder)?;
    let ours = found.uid() == rustix::process::geteuid().as_raw();
    Ok(found.is_dir() && ours && found.mode() & 0o022 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_a_public_cache_unless_another_is_named() {
        let check = |run_as: RunAs, variables: &[(&str, &str)], expected: Cache| {
            let found = Cache::of(run_as, |name| {
                variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
            });
            assert_eq!(found, expected, "{run_as:?} {variables:?}");
        };
        let user = RunAs::User { uid: 101, gid: 104 };
        let home = ("HOME", "/h");
        check(user, &[home], Cache::Public(ROOTS.into()));
        check(user, &[home, ("JETLANE_CACHE", "")], Cache::Public(ROOTS.into()));
        check(user, &[home, ("JETLANE_CACHE", "/c")], Cache::Callers("/c".into()));
        check(RunAs::Ourselves, &[home], Cache::Callers("/h/.cache/jetlane".into()));
    }

    #[test]
    fn a_public_cache_is_used_only_if_it_is_ours_alone() {
        let parent = tempfile::tempdir().unwrap();
        let check = |name: &str, make: &dyn Fn(&Path), trusted: bool| {
            let path = parent.path().join(name);
            make(&path);
            let found = Cache::Public(path.clone()).folder().map(Path::to_owned);
            match found {
                Ok(folder) => assert!(trusted && folder == path, "{name}"),
                Err(FetchError::Untrusted { path: refused }) => {
                    assert!(!trusted && refused == path, "{name}");
                }
                Err(other) => panic!("{name}: {other}"),
            }
        };
        let with_mode = |mode: u32| {
            move |path: &Path| {
                fs::create_dir(path).unwrap();
                fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            }
        };
        check("new", &|_| (), true);
        check("new", &|_| (), true);
        check("closed", &with_mode(0o700), true);
        check("open to readers", &with_mode(0o755), true);
        check("open to the group", &with_mode(0o775), false);
        check("open to all", &with_mode(0o757), false);
        check("sticky", &with_mode(0o1777), false);
        check("file", &|path| fs::write(path, "").unwrap(), false);
        let elsewhere = parent.path().join("new");
        check("link", &|path| std::os::unix::fs::symlink(&elsewhere, path).unwrap(), false);
        let mode = fs::metadata(elsewhere).unwrap().mode();
        assert_eq!(mode & 0o777, OPEN_TO_READERS);
    }

    /// Only root can give folders away, so as another user this looks at one of root's.
    #[test]
    fn somebody_elses_folder_is_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        let is_root = rustix::process::geteuid().is_root();
        let path = if is_root { folder.path() } else { Path::new("/usr") };
        if is_root {
            std::os::unix::fs::chown(path, Some(65534), None).unwrap();
        }
        assert!(!is_ours_alone(path).unwrap());
    }
}
