//! As whom the programs of PostgreSQL run. They refuse to run as root, and in containers tests often
//! do.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunAs {
    /// As whoever runs this process.
    Ourselves,
    /// We are root: as this user, who owns the server's folder and may enter what is open to
    /// everybody.
    User { uid: u32, gid: u32 },
}

impl RunAs {
    /// `None` when root finds nobody to run them as.
    pub(crate) fn of_this_process() -> Option<RunAs> {
        if !rustix::process::geteuid().is_root() {
            return Some(RunAs::Ourselves);
        }
        stand_in(&fs::read_to_string("/etc/passwd").ok()?)
    }

    pub(crate) fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // Our working folder may be closed to the user, and PostgreSQL wants to know where it is.
        command.current_dir("/");
        // The messages are for our errors, and macOS asks for some locale.
        command.env("LC_ALL", "C");
        if let RunAs::User { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Makes the folder the user's own.
    pub(crate) fn give(self, folder: &Path) -> io::Result<()> {
        match self {
            RunAs::Ourselves => Ok(()),
            RunAs::User { uid, gid } => chown(folder, Some(uid), Some(gid)),
        }
    }

    /// Whether the user may reach what lies in `folder`, as far as the folders above it tell.
    pub(crate) fn may_enter(self, folder: &Path) -> bool {
        let open = |folder: &Path| folder.metadata().is_ok_and(|data| data.mode() & 0o001 != 0);
        self == RunAs::Ourselves || folder.ancestors().all(open)
    }
}

/// PostgreSQL's own user, or else the one who is nobody in particular.
fn stand_in(passwd: &str) -> Option<RunAs> {
    ["postgres", "nobody"].into_iter().find_map(|name| {
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let found = fields.next() == Some(name);
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            (found && uid != 0).then_some(RunAs::User { uid, gid })
        })
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn roots_stand_in_is_postgres_or_else_nobody() {
        let check = |passwd: &str, expected: Option<(u32, u32)>| {
            let expected = expected.map(|(uid, gid)| RunAs::User { uid, gid });
            assert_eq!(stand_in(passwd), expected, "{passwd}");
        };
        let nobody = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65533::/:/bin/false\n";
        check(nobody, Some((65534, 65533)));
        check(&format!("{nobody}postgres:x:101:104:,,,:/var:/bin/bash\n"), Some((101, 104)));
        check(&format!("postgres2:x:7:8::/:\n{nobody}"), Some((65534, 65533)));
        check(&format!("postgres:x:0:0::/:\n{nobody}"), Some((65534, 65533)));
        check("postgres:x:seven:8::/:\n", None);
        check("nobody:*:-2:-2::/:\n", None);
        check("nobody\n\n", None);
        check("", None);
    }

    #[test]
    fn the_user_may_enter_what_is_open_all_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let check = |run_as: RunAs, outer_mode: u32, inner_mode: u32, expected: bool| {
            let mode = fs::Permissions::from_mode;
            fs::set_permissions(&inner, mode(inner_mode)).unwrap();
            fs::set_permissions(folder.path(), mode(outer_mode)).unwrap();
            assert_eq!(run_as.may_enter(&inner), expected, "{outer_mode:o} {inner_mode:o}");
        };
        let user = RunAs::User { uid: 65534, gid: 65534 };
        check(user, 0o755, 0o711, true);
        check(user, 0o700, 0o755, false);
        check(user, 0o755, 0o700, false);
        check(RunAs::Ourselves, 0o700, 0o700, true);
        assert!(!user.may_enter(Path::new("/no/such/folder")));
    }
}
