//! The protocol with loom's locks.

pub(super) mod sync {
    pub(crate) use loom::sync::MutexGuard;

    use crate::patience::Patience;

    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Mutex<T> {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }

    pub(crate) struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Condvar {
            Condvar(loom::sync::Condvar::new())
        }

        /// Loom has no time, so every patience is for ever here.
        pub(crate) fn wait<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
            _: Patience,
        ) -> MutexGuard<'a, T> {
            self.0.wait(guard).unwrap()
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
