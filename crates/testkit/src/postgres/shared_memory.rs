//! Shared memory outlives processes. A server gives its own back when it ends, and one that is
//! restarted takes over what a killed one left; for the data folder of a killed server that is not
//! restarted, this remains to be done.
//!
//! It is a few bytes, but some systems allow only 32 such pieces in all.

use std::process::Command;
use std::time::Duration;

use crate::tools;

const LIMIT: Duration = Duration::from_secs(5);

/// Removes the System V shared memory `id`, where the system has the program to do so.
pub(crate) fn release(id: u32) {
    let search_path = std::env::var_os("PATH").unwrap_or_default();
    let Some(ipcrm) = tools::on_path(&search_path, "ipcrm").next() else { return };
    // Without it the server ran all the same, and nobody is there to be told.
    let _ = tools::run(Command::new(ipcrm).arg("-m").arg(id.to_string()), LIMIT);
}
