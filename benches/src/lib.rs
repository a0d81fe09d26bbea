//! Benchmarks of jetlane.
