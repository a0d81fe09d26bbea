//! The server from its official release archive, checked against the hashes that are published
//! beside it.

use std::env::consts::{ARCH, OS};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::fetch::{FILE_NAME, FetchError, VERSION};
use crate::{sha, tools};

const RELEASES: &str = "https://github.com/nats-io/nats-server/releases/download";
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(300);
const UNPACK_LIMIT: Duration = Duration::from_secs(120);

/// Downloads the archive into `work`, checks it, unpacks it there, and returns the path of the
/// server.
pub(crate) fn download(search_path: &OsStr, work: &Path) -> Result<PathBuf, FetchError> {
    let name = archive_name(OS, ARCH)?;
    let file = format!("{name}.tar.gz");
    let archive = work.join(&file);
    let sums = work.join("SHA256SUMS");
    get(search_path, "SHA256SUMS", &sums)?;
    get(search_path, &file, &archive)?;

    let list = fs::read_to_string(&sums).map_err(FetchError::cache("read", &sums))?;
    let Some(expected) = listed_hash(&list, &file) else {
        return Err(FetchError::NotListed { file });
    };
    let found = sha::of_file(&archive).map_err(FetchError::cache("read", &archive))?;
    if found != expected {
        return Err(FetchError::Mismatch { file, expected: expected.to_owned(), found });
    }

    let tar =
        tools::on_path(search_path, "tar").next().ok_or(FetchError::NoTool { wanted: "tar" })?;
    let mut unpack = Command::new(tar);
    unpack.arg("-xzf").arg(&archive).arg("-C").arg(work);
    tools::run(&mut unpack, UNPACK_LIMIT).map_err(FetchError::Command)?;
    Ok(work.join(name).join(FILE_NAME))
}

fn archive_name(os: &'static str, arch: &'static str) -> Result<String, FetchError> {
    let system = match os {
        "linux" => "linux",
        "macos" => "darwin",
        _ => return Err(FetchError::NoArchive { os, arch }),
    };
    let processor = match arch {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        _ => return Err(FetchError::NoArchive { os, arch }),
    };
    Ok(format!("nats-server-v{VERSION}-{system}-{processor}"))
}

/// The hash that a list of lines `<hash>  <file>` gives for `file`.
fn listed_hash<'a>(list: &'a str, file: &str) -> Option<&'a str> {
    list.lines().find_map(|line| {
        let (hash, name) = line.split_once(char::is_whitespace)?;
        // The star marks binary mode in the output of checksum programs.
        let name = name.trim();
        (name.strip_prefix('*').unwrap_or(name) == file).then_some(hash)
    })
}

/// Fetches one file of the release, by curl or else by wget; the error is that of the first one.
fn get(search_path: &OsStr, file: &str, target: &Path) -> Result<(), FetchError> {
    let url = format!("{RELEASES}/v{VERSION}/{file}");
    let mut first_error = None;
    for (name, options) in [
        ("curl", &["-fsSL", "--connect-timeout", "20", "-o"][..]),
        ("wget", &["-q", "--timeout=20", "--tries=2", "-O"][..]),
    ] {
        let Some(tool) = tools::on_path(search_path, name).next() else { continue };
        let mut command = Command::new(tool);
        command.args(options).arg(target).arg(&url);
        match tools::run(&mut command, DOWNLOAD_LIMIT) {
            Ok(_) => return Ok(()),
            Err(error) => first_error = first_error.or(Some(FetchError::Command(error))),
        }
    }
    Err(first_error.unwrap_or(FetchError::NoTool { wanted: "curl, wget" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_exist_for_four_kinds_of_machine() {
        let check = |os, arch, expected: Option<&str>| {
            assert_eq!(archive_name(os, arch).ok().as_deref(), expected, "{os} {arch}");
        };
        check("linux", "x86_64", Some("nats-server-v2.15.1-linux-amd64"));
        check("linux", "aarch64", Some("nats-server-v2.15.1-linux-arm64"));
        check("macos", "x86_64", Some("nats-server-v2.15.1-darwin-amd64"));
        check("macos", "aarch64", Some("nats-server-v2.15.1-darwin-arm64"));
        check("windows", "x86_64", None);
        check("linux", "riscv64", None);
    }

    #[test]
    fn a_hash_is_found_by_the_whole_file_name() {
        let list = "aa  one.tar.gz\nbb *two.tar.gz\n\ncc\ndd  one.tar.gz.asc\n";
        let check = |file: &str, expected: Option<&str>| {
            assert_eq!(listed_hash(list, file), expected, "{file}");
        };
        check("one.tar.gz", Some("aa"));
        check("two.tar.gz", Some("bb"));
        check("one.tar.gz.asc", Some("dd"));
        check("one", None);
        check("", None);
    }
}
