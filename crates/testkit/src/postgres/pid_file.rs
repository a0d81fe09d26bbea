//! What a server writes down about itself in `postmaster.pid`, line by line, as it starts. It
//! removes the file when it ends, unless it is killed.

/// What is in the file so far. That of a killed server stays until the next one starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PidFile {
    /// The id of the System V shared memory that marks the data folder as in use.
    pub(crate) shared_memory: Option<u32>,
    pub(crate) accepts_connections: bool,
}

impl PidFile {
    pub(crate) fn parse(text: &str) -> PidFile {
        // The pid, the folder, the time, the port, the folder of the socket and the address come
        // before.
        let mut lines = text.lines().skip(6);
        let shared_memory =
            lines.next().and_then(|key_and_id| key_and_id.split_whitespace().nth(1)?.parse().ok());
        let accepts_connections = lines.next().is_some_and(|status| status.trim() == "ready");
        PidFile { shared_memory, accepts_connections }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_is_read_as_far_as_it_goes() {
        let check = |text: &str, shared_memory: Option<u32>, accepts_connections: bool| {
            let expected = PidFile { shared_memory, accepts_connections };
            assert_eq!(PidFile::parse(text), expected, "{text:?}");
        };
        let start = "17\n/tmp/a/data\n1795281123\n5432\n/tmp/a\n\n";
        check(&format!("{start} 10691102         4\nready   \n"), Some(4), true);
        check(&format!("{start} 10691102         4\nstarting\n"), Some(4), false);
        check(&format!("{start} 10691102         4\n"), Some(4), false);
        check(&format!("{start} 10691102"), None, false);
        check(start, None, false);
        check("17", None, false);
        check("", None, false);
    }
}
