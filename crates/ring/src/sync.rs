// The primitives of this crate, from the standard library. The loom models include the same source files against
// loom's own versions of them (see models.rs), so this facade has exactly what both offer.

pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
pub(crate) use std::sync::{Condvar, Mutex};
pub(crate) use std::thread::yield_now;

/// A cell whose accesses loom can see: closures over a raw pointer instead of `get`.
#[derive(Debug, Default)]
pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(core::cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}
