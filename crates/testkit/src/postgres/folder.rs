//! The temporary folder of one server: its data, its log and its socket.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::pid_file::PidFile;
use super::run_as::RunAs;
use super::shared_memory;
use super::start_error::PostgresStartError;
use crate::log_file::LogFile;

/// No two servers share a folder, so they need not differ in this part of the socket's name.
pub(crate) const PORT: u16 = 5432;

const PREFIX: &str = "jetlane-pg-";
const SOCKET: &str = ".s.PGSQL.5432";

/// Systems allow 103 bytes for the path of a socket, Linux 107.
const LONGEST_SOCKET_PATH: usize = 103;

/// The letters that make the folder's name its own, and two slashes.
const LENGTH_OF_THE_REST: usize = 8;

/// Removed, with all that is in it, when it is dropped. The server must have ended by then.
#[derive(Debug)]
pub(crate) struct Folder(TempDir);

impl Folder {
    /// A folder that belongs to whoever runs the server.
    pub(crate) fn new(run_as: RunAs) -> Result<Folder, PostgresStartError> {
        let parent = first_suitable(vec![std::env::temp_dir(), "/tmp".into()], run_as)?;
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            // Nobody else is to get at the socket: the server asks for no password.
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&parent)
            .map_err(PostgresStartError::system("create a folder in", &parent))?;
        run_as
            .give(folder.path())
            .map_err(PostgresStartError::system("give away", folder.path()))?;
        Ok(Folder(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path().join(SOCKET)
    }

    pub(crate) fn log(&self) -> LogFile {
        LogFile::at(self.path().join("server.log"))
    }

    /// Absent before a server starts in the folder, and after it has ended by itself.
    pub(crate) fn pid_file(&self) -> Option<PidFile> {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        Some(PidFile::parse(&text))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(id) = self.pid_file().and_then(|file| file.shared_memory) {
            shared_memory::release(id);
        }
    }
}

/// The first folder of which the server can have a folder in it, and a socket in that.
fn first_suitable(candidates: Vec<PathBuf>, run_as: RunAs) -> Result<PathBuf, PostgresStartError> {
    let suits = |folder: &&PathBuf| {
        let length = PREFIX.len() + SOCKET.len() + LENGTH_OF_THE_REST + folder.as_os_str().len();
        length <= LONGEST_SOCKET_PATH && run_as.may_enter(folder)
    };
    let absolute: io::Result<Vec<PathBuf>> = candidates.iter().map(std::path::absolute).collect();
    let found = absolute.ok().and_then(|folders| folders.iter().find(suits).cloned());
    found.ok_or(PostgresStartError::NoTemporaryFolder { tried: candidates })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_folder_suits_if_its_path_is_short_and_it_is_open() {
        let closed = tempfile::tempdir_in("/tmp").unwrap();
        fs::set_permissions(closed.path(), Permissions::from_mode(0o700)).unwrap();
        let closed = closed.path().to_str().unwrap();
        // The rest is 32 bytes.
        let (long, longest) = (format!("/{:x<71}", ""), format!("/{:x<70}", ""));
        let check = |candidates: &[&str], run_as: RunAs, expected: Option<&str>| {
            let candidates: Vec<PathBuf> = candidates.iter().map(PathBuf::from).collect();
            let found = first_suitable(candidates.clone(), run_as).ok();
            assert_eq!(found.as_deref(), expected.map(Path::new), "{candidates:?} {run_as:?}");
        };
        let user = RunAs::User { uid: 65534, gid: 65534 };
        check(&["/usr", "/tmp"], RunAs::Ourselves, Some("/usr"));
        check(&[&long, "/tmp"], RunAs::Ourselves, Some("/tmp"));
        check(&[&longest, "/tmp"], RunAs::Ourselves, Some(&longest));
        check(&[closed, "/tmp"], RunAs::Ourselves, Some(closed));
        check(&[closed, "/tmp"], user, Some("/tmp"));
        check(&[closed, &long], user, None);
    }

    #[test]
    fn a_servers_folder_is_its_own() {
        let check = |run_as: RunAs, owner: u32| {
            let folder = Folder::new(run_as).unwrap();
            let data = folder.path().metadata().unwrap();
            assert_eq!((data.uid(), data.mode() & 0o777), (owner, 0o700));
        };
        let me = rustix::process::geteuid();
        check(RunAs::Ourselves, me.as_raw());
        if me.is_root() {
            check(RunAs::User { uid: 65534, gid: 65534 }, 65534);
        }
    }

    #[test]
    fn the_path_of_the_socket_is_as_long_as_was_reckoned() {
        let folder = Folder::new(RunAs::Ourselves).unwrap();
        let parent = folder.path().parent().unwrap().as_os_str().len();
        let reckoned = PREFIX.len() + SOCKET.len() + LENGTH_OF_THE_REST + parent;
        assert_eq!(folder.socket().as_os_str().len(), reckoned);
        assert!(folder.socket().ends_with(format!(".s.PGSQL.{PORT}")));
    }
}
