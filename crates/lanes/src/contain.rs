//! Where panics of a user's code end.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls `f`; if it panics, the error is the text of the panic.
///
/// What `f` had borrowed may be half changed after a panic. It is the user's own (a worker, a job), and the trait says
/// so. Of this crate only the place of a job that is dropped is borrowed, and what takes its place is written all the same.
pub(crate) fn contain<R>(f: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(into_message)
}

/// Drops what belongs to a user.
pub(crate) fn discard<T>(value: T) {
    // Nobody is left to decide anything about it, and the panic hook has shown the text.
    let _ = contain(|| drop(value));
}

fn into_message(payload: Box<dyn Any + Send>) -> String {
    let payload = match payload.downcast::<&'static str>() {
        Ok(text) => return (*text).to_string(),
        Err(payload) => payload,
    };
    let payload = match payload.downcast::<String>() {
        Ok(text) => return *text,
        Err(payload) => payload,
    };
    // The payload is the user's too, and so is the payload of a panic in its drop. The latter is leaked: there
    // must be an end.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(second);
    }
    "the panic carried no text".to_string()
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;

    use super::*;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic_any(Bomb2);
        }
    }

    struct Bomb2;

    impl Drop for Bomb2 {
        fn drop(&mut self) {
            panic!("a payload of a payload must not be dropped");
        }
    }

    #[track_caller]
    fn check(f: impl FnOnce(), message: &str) {
        assert_eq!(contain(f), Err(message.to_string()));
    }

    #[test]
    fn messages() {
        check(|| panic!("plain"), "plain");
        check(|| panic!("number {}", 7), "number 7");
        check(|| panic_any(7), "the panic carried no text");
        check(|| panic_any(Bomb), "the panic carried no text");
        assert_eq!(contain(|| 5), Ok(5));
        discard(Bomb);
    }
}
