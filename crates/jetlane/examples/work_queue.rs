//! A work queue: several workers share the tasks, each is done by one of them, and none is lost when a worker dies.
//!
//! Run it with `cargo run -p jetlane --example work_queue`.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use jetlane::{EventBus, OrderBy, RawEvent, Strategy};

const TASKS: u64 = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let server = jetlane_testkit::Server::start()?;
    let producer = EventBus::connect(&server.url())?;
    producer.topic("tasks.>").ensure(Strategy::CreateOnly)?;

    // Two workers; in production each is a process of its own. They have one name, so they share.
    let done: Arc<[AtomicU64; 2]> = Arc::default();
    let mut workers = Vec::new();
    for number in 0..2 {
        let (worker, done) = (EventBus::connect(&server.url())?, Arc::clone(&done));
        worker
            .subscribe("workers")
            .shared()
            .order_by(OrderBy::Nothing) // tasks have no order, and use all lanes
            .on_raw("tasks.*", move |task: &RawEvent<'_>| {
                assert!(task.payload().starts_with(b"task "));
                done[number].fetch_add(1, Relaxed);
            })
            .start()?;
        workers.push(worker);
    }

    for task in 0..TASKS {
        producer.publish_raw("tasks.resize", format!("task {task}"))?.wait()?;
    }
    let all = || done.iter().map(|count| count.load(Relaxed)).sum::<u64>();
    while all() < TASKS {
        std::thread::park_timeout(Duration::from_millis(1));
    }
    println!("{} tasks done by {} workers", all(), workers.len());
    for worker in workers {
        worker.close(Duration::from_secs(10))?;
    }
    Ok(())
}
