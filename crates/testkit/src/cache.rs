//! The cache of fetched programs: filled by one process at a time, and never half.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::fetch::FetchError;

const WORK_PREFIX: &str = "fetch-";

/// The folder that `JETLANE_CACHE` names, or else the user's own.
pub(crate) fn folder(variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let below = |name: &str, folder: &str| set(name).map(|base| Path::new(&base).join(folder));
    let home = || match cfg!(windows) {
        true => below("LOCALAPPDATA", "jetlane"),
        false => below("HOME", ".cache/jetlane"),
    };
    set("JETLANE_CACHE")
        .map(PathBuf::from)
        .or_else(|| below("XDG_CACHE_HOME", "jetlane"))
        .or_else(home)
        .unwrap_or_else(|| std::env::temp_dir().join("jetlane-cache"))
}

/// Runs `fetch` with a folder to work in, unless another process has fetched first, which `cached`
/// tells. The folder lies in the cache, so that what it holds can be renamed to its final place.
pub(crate) fn fetch_once<T>(
    cache: &Path,
    cached: impl Fn() -> Option<T>,
    fetch: impl FnOnce(&Path) -> Result<T, FetchError>,
) -> Result<T, FetchError> {
    fs::create_dir_all(cache).map_err(FetchError::cache("create", cache))?;
    // Whoever holds the lock runs only commands with time limits, and the system frees it when
    // a holder dies.
    let _lock = lock(&cache.join("lock"))?;
    if let Some(found) = cached() {
        return Ok(found);
    }
    remove_leftovers(cache);
    let work = tempfile::Builder::new()
        .prefix(WORK_PREFIX)
        .tempdir_in(cache)
        .map_err(FetchError::cache("create a folder in", cache))?;
    fetch(work.path())
}

/// The lock lasts as long as the returned file is open.
fn lock(path: &Path) -> Result<File, FetchError> {
    let file = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(path)
        .map_err(FetchError::cache("open", path))?;
    file.lock().map_err(FetchError::cache("lock", path))?;
    Ok(file)
}

/// Removes what killed fetches left behind. Only the holder of the lock may: these folders are
/// nobody's now.
fn remove_leftovers(cache: &Path) {
    let Ok(entries) = fs::read_dir(cache) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(WORK_PREFIX) {
            // A leftover that stays costs space and nothing else.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_environment_decides_the_cache() {
        let temp = std::env::temp_dir().join("jetlane-cache");
        let check = |variables: &[(&str, &str)], expected: &str| {
            let found = folder(|name| {
                variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
            });
            assert_eq!(found, Path::new(expected), "{variables:?}");
        };
        check(&[("JETLANE_CACHE", "/c"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")], "/c");
        check(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")], "/x/jetlane");
        check(&[("JETLANE_CACHE", ""), ("HOME", "/h")], "/h/.cache/jetlane");
        check(&[], temp.to_str().unwrap());
    }
}
