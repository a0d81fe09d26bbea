//! Programs that a test makes suffer: signals, system calls that fail, a look into their memory.
//!
//! Only what the system itself offers is used (`ptrace`, `/proc`), so nothing needs to be installed.

#[cfg(target_arch = "x86_64")]
mod call;
mod memory;
mod program;
#[cfg(target_arch = "x86_64")]
mod tracer;

#[cfg(target_arch = "x86_64")]
pub use call::{Call, Fault};
pub use memory::occurrences;
pub use program::{Ended, Program};
#[cfg(target_arch = "x86_64")]
pub use rustix::io::Errno;
#[cfg(target_arch = "x86_64")]
pub use tracer::Trace;
