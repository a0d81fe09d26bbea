//! The connection string of a server on a Unix socket.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// A URL as libpq and its like understand it: a host that starts with an encoded slash is the
/// folder of a socket. The port is there because some clients take it from `PGPORT` otherwise.
pub(crate) fn for_socket(folder: &Path, port: u16, user: &str, database: &str) -> String {
    format!("postgres://{user}@{}:{port}/{database}", percent_encoded(folder))
}

fn percent_encoded(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(*byte));
            }
            // Writing to a String does not fail.
            _ => drop(write!(text, "%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_stand_in_a_host_stands_in_it() {
        let check = |folder: &str, expected: &str| {
            let url = for_socket(Path::new(folder), 5432, "postgres", "test");
            assert_eq!(url, format!("postgres://postgres@{expected}:5432/test"));
        };
        check("/tmp/jetlane-pg-aB3", "%2Ftmp%2Fjetlane-pg-aB3");
        check("/tmp/a b:c@d%e?f#g", "%2Ftmp%2Fa%20b%3Ac%40d%25e%3Ff%23g");
        check("/tmp/a\tb", "%2Ftmp%2Fa%09b");
        check("/tmp/.x_y~z/ü", "%2Ftmp%2F.x_y~z%2F%C3%BC");
    }
}
