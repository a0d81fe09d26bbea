//! The two programs of PostgreSQL that we need, and whether a folder has them.

use std::path::Path;
use std::time::Duration;

use super::run_as::RunAs;
use crate::find::Unusable;
use crate::tools;

/// What makes and what runs a server. The first looks for the second beside itself.
pub(crate) const PROGRAMS: [&str; 2] = ["initdb", "postgres"];

/// The first version with `pg_current_xact_id`.
pub(crate) const LEAST_VERSION: u32 = 13;

const PROBE_LIMIT: Duration = Duration::from_secs(20);

/// Why a folder will not do.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) program: &'static str,
    pub(crate) reason: Unusable,
}

/// Runs the programs in `folder` to ask for their version, which is proof that they run here, and
/// as the right user. Returns that of the server.
pub(crate) fn version_in(folder: &Path, run_as: RunAs) -> Result<String, Refused> {
    let mut version = String::new();
    for program in PROGRAMS {
        version =
            version_of(folder, program, run_as).map_err(|reason| Refused { program, reason })?;
    }
    Ok(version)
}

fn version_of(folder: &Path, program: &str, run_as: RunAs) -> Result<String, Unusable> {
    let path = folder.join(program);
    if !tools::is_executable(&path) {
        return Err(Unusable::NotExecutable);
    }
    if !run_as.may_enter(folder) {
        return Err(Unusable::ClosedFolder);
    }
    let answer =
        tools::run(run_as.command(&path).arg("--version"), PROBE_LIMIT).map_err(Unusable::Run)?;
    match version_in_answer(&answer, program) {
        Some((_, major)) if major < LEAST_VERSION => {
            Err(Unusable::TooOld { answer: answer.trim().to_owned() })
        }
        Some((version, _)) => Ok(version.to_owned()),
        None => Err(Unusable::NotPostgres { answer: tools::tail(&answer) }),
    }
}

/// The version in an answer such as `initdb (PostgreSQL) 15.18 (Debian 15.18-0)`, and its major
/// part.
fn version_in_answer<'a>(answer: &'a str, program: &str) -> Option<(&'a str, u32)> {
    let rest = answer.strip_prefix(program)?.strip_prefix(" (PostgreSQL) ")?;
    let version = rest.split_whitespace().next()?;
    // There are betas, as in 19beta1.
    let digits = version.split(|letter: char| !letter.is_ascii_digit()).next()?;
    Some((version, digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_answers() {
        let check = |answer: &str, expected: Option<(&str, u32)>| {
            assert_eq!(version_in_answer(answer, "postgres"), expected, "{answer}");
        };
        check("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(("15.18", 15)));
        check("postgres (PostgreSQL) 18.4\n", Some(("18.4", 18)));
        check("postgres (PostgreSQL) 19beta1", Some(("19beta1", 19)));
        check("postgres (PostgreSQL) 9.6.24", Some(("9.6.24", 9)));
        check("postgres (PostgreSQL) devel", None);
        check("postgres (PostgreSQL) ", None);
        check("initdb (PostgreSQL) 15.18", None);
        check("postgres 15.18", None);
        check("", None);
    }
}
