//! Finding with fake programs, run as ourselves: the user who runs them in root's stead could not
//! reach our temporary folders.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::super::fetch::PROGRAM_FOLDER;
use super::*;
use crate::tools::fakes;

/// A root folder with programs in folders of it.
struct Machine(TempDir);

impl Machine {
    fn new() -> Machine {
        Machine(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts an initdb and a postgres into a folder.
    fn with(self, folder: &str, version: &str) -> Machine {
        for program in ["initdb", "postgres"] {
            let answer = format!("echo '{program} (PostgreSQL) {version}'");
            fakes::script(&self.path(folder), program, &answer);
        }
        self
    }

    fn with_script(self, folder: &str, program: &str, script: &str) -> Machine {
        fakes::script(&self.path(folder), program, script);
        self
    }

    fn find(
        &self,
        named: Option<&str>,
        path: &[&str],
    ) -> Result<PostgresBinaries, PostgresFindError> {
        let folders = path.iter().map(|name| self.path(name));
        find_in(&Surroundings {
            named: named.map(|name| self.path(name)),
            search_path: std::env::join_paths(folders).unwrap(),
            installed: self.path("installed"),
            cache: Cache::Callers(self.path("cache")),
            run_as: RunAs::Ourselves,
            tell: |_| (),
        })
    }
}

#[test]
fn the_environment_names_a_folder_unless_it_is_empty() {
    let check = |value: Option<&str>, expected: Option<&str>| {
        let surroundings = Surroundings::from_environment(RunAs::Ourselves, |name| {
            value.filter(|_| name == "POSTGRES_BIN").map(OsString::from)
        });
        assert_eq!(surroundings.named.as_deref(), expected.map(Path::new));
        assert_eq!(surroundings.installed, Path::new("/usr/lib/postgresql"));
    };
    check(Some("/opt/pg/bin"), Some("/opt/pg/bin"));
    check(Some(""), None);
    check(None, None);
}

#[test]
fn named_comes_before_path_then_the_newest_installed_and_then_the_cache() {
    let cached = format!("cache/postgresql-v{VERSION}/{PROGRAM_FOLDER}");
    let machine = Machine::new()
        .with("named", "14.1")
        .with("path", "15.2 (Debian 15.2-0)")
        .with("old", "12.22")
        .with("broken", "16.0")
        .with_script("broken", "initdb", "exit 1")
        .with_script("half", "postgres", "echo 'postgres (PostgreSQL) 17.0'")
        .with("installed/9.6/bin", "9.6.24")
        .with("installed/14/bin", "14.9")
        .with("installed/16/bin", "16.3")
        .with("installed/18/bin", "18.0")
        .with_script("installed/18/bin", "postgres", "exit 1")
        .with(&cached, VERSION);
    let check = |named: Option<&str>, path: &[&str], version: &str, source: Source, at: &str| {
        let found = machine.find(named, path).unwrap();
        let expected =
            PostgresBinaries { folder: machine.path(at), version: version.to_owned(), source };
        assert_eq!(found, expected);
    };
    check(Some("named"), &["path"], "14.1", Source::Environment, "named");
    check(Some("broken/../named"), &[], "14.1", Source::Environment, "broken/../named");
    check(None, &["missing", "old", "half", "broken", "path"], "15.2", Source::Path, "path");
    check(None, &["old", "half", "broken"], "16.3", Source::Installed, "installed/16/bin");
    check(None, &[], "16.3", Source::Installed, "installed/16/bin");
    fs::remove_dir_all(machine.path("installed")).unwrap();
    check(None, &["old"], VERSION, Source::Cache, &cached);
}

#[test]
fn an_unusable_named_folder_is_an_error_that_says_why() {
    let machine = Machine::new()
        .with("good", "16.3")
        .with("old", "12.22")
        .with_script("half", "initdb", "echo 'initdb (PostgreSQL) 16.3'")
        .with("fails", "16.3")
        .with_script("fails", "initdb", "echo bad luck; exit 7")
        .with("other", "16.3")
        .with_script("other", "postgres", "echo other 1.2");
    let check = |named: &str, expected: &[&str]| {
        let error = machine.find(Some(named), &["good"]).unwrap_err().to_string();
        let path = machine.path(named);
        for part in [path.to_str().unwrap(), "POSTGRES_BIN"].iter().chain(expected) {
            assert!(error.contains(part), "{part:?} is not in: {error}");
        }
    };
    check("missing", &["initdb", "not an executable file"]);
    check("half", &["postgres cannot be used", "not an executable file"]);
    check("fails", &["initdb cannot be used", "bad luck"]);
    check("other", &["postgres cannot be used", "no such program of PostgreSQL", "other 1.2"]);
    check("old", &["too old", "12.22", "13 or later"]);
    // From wherever the tests run, the root is a few steps up.
    let relative = format!("{}{}", "../".repeat(64), machine.path("good").display());
    assert!(named(Path::new(&relative), RunAs::Ourselves).unwrap().folder.is_absolute());
    // A bare name is a folder here too, and not looked up anywhere.
    let bare = named(Path::new("good"), RunAs::Ourselves).unwrap_err().to_string();
    assert!(bare.contains("POSTGRES_BIN names good, whose initdb"), "{bare}");
}

#[test]
fn a_folder_that_the_user_cannot_enter_is_passed_over_or_refused() {
    let machine = Machine::new().with("closed", "16.3");
    fs::set_permissions(machine.0.path(), Permissions::from_mode(0o700)).unwrap();
    let user = RunAs::User { uid: 65534, gid: 65534 };
    let folder = machine.path("closed");
    assert_eq!(on_path(folder.as_os_str(), user), None);
    let error = named(&folder, user).unwrap_err().to_string();
    assert!(error.contains("another user, who may not enter its folder"), "{error}");
}

#[test]
fn a_machine_without_any_is_told_what_to_do() {
    let machine = Machine::new().with("old", "12.22");
    let error = machine.find(None, &["old"]).unwrap_err().to_string();
    for part in ["13 or later", "python3, python", "install postgresql", "POSTGRES_BIN"] {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}
