//! The log of a server, which the server and we may both write to.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(crate) struct LogFile(PathBuf);

impl LogFile {
    /// The log at `path`, which need not be there yet.
    pub(crate) fn at(path: PathBuf) -> LogFile {
        LogFile(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Opened so that what is written to it goes behind what the server writes itself.
    pub(crate) fn open(&self) -> io::Result<File> {
        File::options().create(true).append(true).open(&self.0)
    }

    /// The log so far; empty before the first line.
    pub(crate) fn text(&self) -> String {
        fs::read(&self.0)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The part of the log behind `mark`, which is the length of an earlier [`LogFile::text`].
    pub(crate) fn since(&self, mark: usize) -> String {
        self.text().get(mark..).unwrap_or_default().to_owned()
    }
}
