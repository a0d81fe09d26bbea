//! What a server writes down about itself in `postmaster.pid`, line by line, as it starts. It
//! removes the file when it ends, unless it is killed.

/// What is in the file so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PidFile {
    /// Whose file it is; that of a killed server stays until the next one starts.
    pub(crate) pid: u32,
    /// The id of the System V shared memory that marks the data folder as in use.
    pub(crate) shared_memory: Option<u32>,
    pub(crate) accepts_connections: bool,
}

impl PidFile {
    pub(crate) fn parse(text: &str) -> Option<PidFile> {
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok()?;
        // The folder, the time, the port, the folder of the socket and the address come between.
        let shared_memory =
            lines.nth(5).and_then(|key_and_id| key_and_id.split_whitespace().nth(1)?.parse().ok());
        let accepts_connections = lines.next().is_some_and(|status| status.trim() == "ready");
        Some(PidFile { pid, shared_memory, accepts_connections })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_is_read_as_far_as_it_goes() {
        let check = |text: &str, expected: Option<(u32, Option<u32>, bool)>| {
            let expected = expected.map(|(pid, shared_memory, accepts_connections)| PidFile {
                pid,
                shared_memory,
                accepts_connections,
            });
            assert_eq!(PidFile::parse(text), expected, "{text:?}");
        };
        let start = "17\n/tmp/a/data\n1795281123\n5432\n/tmp/a\n\n";
        check(&format!("{start} 10691102         4\nready   \n"), Some((17, Some(4), true)));
        check(&format!("{start} 10691102         4\nstarting\n"), Some((17, Some(4), false)));
        check(&format!("{start} 10691102         4\n"), Some((17, Some(4), false)));
        check(&format!("{start} 10691102"), Some((17, None, false)));
        check(start, Some((17, None, false)));
        check("17", Some((17, None, false)));
        check("", None);
        check("/tmp/a/data\n", None);
    }
}
