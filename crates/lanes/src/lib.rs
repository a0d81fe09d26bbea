//! Keyed worker threads, called lanes.
//!
//! Jobs with the same [`Key`] run in the order in which they were pushed, one at a time, also when a job has to be
//! tried again and when a handler panics. Different keys run in parallel, and a key that waits for a retry stops
//! nobody else.
//!
//! One thread feeds: it pushes jobs into its [`Feeder`], which only buffers, and hands them over with
//! [`Feeder::flush`]: one lock and at most one wake a lane, whatever the number of jobs. It never waits for a lane.
//! Each lane is one thread with one [`Worker`], optionally pinned to a core. [`Lanes`] is the handle that stops it all.
//!
//! ```
//! use std::sync::mpsc;
//! use std::time::{Duration, Instant};
//! use jetlane_lanes::{Config, Key, Lanes, Step, Worker};
//!
//! struct Billing {
//!     charged: mpsc::Sender<String>,
//! }
//!
//! impl Worker for Billing {
//!     type Job = String;
//!
//!     fn run(&mut self, order: &mut String, attempt: u32) -> Step {
//!         if order.ends_with("later") && attempt == 1 {
//!             return Step::Again { after: Duration::from_millis(5) };
//!         }
//!         self.charged.send(order.clone()).unwrap();
//!         Step::Done
//!     }
//!
//!     fn panicked(&mut self, _: &mut String, _: u32, _: &str) -> Step {
//!         Step::Again { after: Duration::from_secs(1) }
//!     }
//!
//!     fn pause(&mut self) {}
//! }
//!
//! let (charged, charges) = mpsc::channel();
//! let (lanes, mut feeder) =
//!     Lanes::start(Config::default(), |_lane| Billing { charged: charged.clone() })?;
//!
//! let key = Some(Key::of(b"customer-42"));
//! feeder.push(key, "first, later".to_string())?;
//! feeder.push(key, "second".to_string())?;
//! feeder.flush();
//!
//! let drained = lanes.drain(Instant::now() + Duration::from_secs(30));
//! assert!(drained.untouched.is_empty() && drained.stuck == 0);
//! assert_eq!(charges.try_iter().collect::<Vec<_>>(), ["first, later", "second"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Panics of what a user brings
//!
//! They end where they happen, and neither the lane nor another job is lost. (A program built with `panic = "abort"`
//! aborts all the same.)
//!
//! | what panics | what happens |
//! |---|---|
//! | [`Worker::run`] | [`Worker::panicked`] decides what becomes of the job |
//! | [`Worker::panicked`] | nobody has decided, so nothing is given up: the job runs again after one second |
//! | [`Worker::pause`] | counts as called; it is called again when something has run again |
//! | the drop of a finished job | the job counts as finished |
//! | the drop of a job that is thrown away | the other jobs are thrown away as well |
//! | the drop of a worker | the lane has ended |
//! | the closure that makes the workers | [`Lanes::start`] panics; no thread was started |
//!
//! # Memory
//!
//! [`Config::max_jobs`] bounds everything that queues. No job costs an allocation once the buffers have grown to the
//! size of the usual batch; only keys that wait for a retry allocate.

#![forbid(unsafe_code)]

mod backlog;
mod budget;
mod config;
mod contain;
mod error;
mod feeder;
mod gate;
mod intake;
mod key;
mod lane;
mod lanes;
#[cfg(test)]
mod model;
mod patience;
mod pinning;
mod runner;
mod sync;
mod waiting;
mod worker;

pub use config::{Config, Pinning};
pub use error::{Refused, StartError};
pub use feeder::Feeder;
pub use key::Key;
pub use lanes::{Drained, Lanes};
pub use worker::{Step, Worker};
