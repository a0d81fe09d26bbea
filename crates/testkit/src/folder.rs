//! The temporary folder of one server: its config, its log, its store and its ports file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::log_file::LogFile;

/// Removed, with all that is in it, when it is dropped.
#[derive(Debug)]
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> io::Result<Folder> {
        let folder = Folder(tempfile::Builder::new().prefix("jetlane-server-").tempdir()?);
        fs::create_dir(folder.ports())?;
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("server.conf")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path().join("store")
    }

    pub(crate) fn log(&self) -> LogFile {
        LogFile::at(self.path().join("server.log"))
    }

    pub(crate) fn ports(&self) -> PathBuf {
        self.path().join("ports")
    }

    /// Forgets the ports of an earlier run, so that only the next run's can be read.
    pub(crate) fn clear_ports(&self) -> io::Result<()> {
        fs::remove_dir_all(self.ports())?;
        fs::create_dir(self.ports())
    }

    /// The port on which the server serves `kind` (`nats`, `monitoring`), once it has written it
    /// down.
    pub(crate) fn port(&self, kind: &str) -> Option<u16> {
        // The file is called after the executable, so its folder is read instead of guessing the
        // name.
        let entry = fs::read_dir(self.ports()).ok()?.flatten().next()?;
        port_in(&fs::read_to_string(entry.path()).ok()?, kind)
    }
}

/// Finds the port in a text such as `{"nats":["nats://127.0.0.1:4222"]}`, which may be half
/// written.
fn port_in(text: &str, kind: &str) -> Option<u16> {
    let (_, list) = text.split_once(&format!("\"{kind}\":[\""))?;
    let (url, _) = list.split_once('"')?;
    let (_, port) = url.rsplit_once(':')?;
    port.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_once_they_are_whole() {
        let check = |text: &str, kind: &str, expected: Option<u16>| {
            assert_eq!(port_in(text, kind), expected, "{kind} in {text}");
        };
        let both = r#"{"nats":["nats://127.0.0.1:4222"],"monitoring":["http://127.0.0.1:8222"]}"#;
        check(both, "nats", Some(4222));
        check(both, "monitoring", Some(8222));
        check(both, "cluster", None);
        check(r#"{"nats":["tls://[::1]:4222","tls://127.0.0.1:1"]}"#, "nats", Some(4222));
        check(r#"{"nats":["nats://127.0.0.1:42"#, "nats", None);
        check(r#"{"nats":[]}"#, "nats", None);
        check(r#"{"nats":["nats://127.0.0.1:99999"]}"#, "nats", None);
        check("", "nats", None);
    }
}
