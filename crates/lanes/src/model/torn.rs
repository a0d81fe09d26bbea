//! The protocol with a broken lock: `wait` unlocks first and begins to wait afterwards, so that whoever sleeps has not
//! looked again under the lock under which it falls asleep. The models must notice.

pub(super) mod sync {
    use std::ops::{Deref, DerefMut};

    use crate::patience::Patience;

    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    pub(crate) struct MutexGuard<'a, T> {
        mutex: &'a Mutex<T>,
        locked: loom::sync::MutexGuard<'a, T>,
    }

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Mutex<T> {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard { mutex: self, locked: self.0.lock().unwrap() }
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.locked
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.locked
        }
    }

    pub(crate) struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Condvar {
            Condvar(loom::sync::Condvar::new())
        }

        pub(crate) fn wait<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
            _: Patience,
        ) -> MutexGuard<'a, T> {
            let mutex = guard.mutex;
            drop(guard);
            let locked = self.0.wait(mutex.lock().locked).unwrap();
            MutexGuard { mutex, locked }
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }
    }
}

#[allow(clippy::duplicate_mod, reason = "the same protocol over other locks")]
#[path = "../gate.rs"]
pub(super) mod gate;
#[allow(clippy::duplicate_mod, reason = "the same protocol over other locks")]
#[path = "../intake.rs"]
pub(super) mod intake;
