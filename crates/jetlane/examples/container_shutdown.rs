//! A service in a container: it ends well when it is told to (SIGTERM), and what it has not begun goes at once to who comes next.
//!
//! Run it with `cargo run -p jetlane --example container_shutdown`; it sends the signal to itself after a while.

#[cfg(unix)]
mod service {
    use std::error::Error;
    use std::process::{Command, ExitCode};
    use std::thread;
    use std::time::Duration;

    use jetlane::{Envelope, EventBus, Strategy};
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    /// Kubernetes kills what has not ended 30 seconds after SIGTERM (`terminationGracePeriodSeconds`): end before that.
    const GRACE: Duration = Duration::from_secs(25);

    pub(crate) fn run() -> Result<ExitCode, Box<dyn Error>> {
        // Before anything else: a signal that comes early is not missed.
        let mut signals = Signals::new([SIGTERM, SIGINT])?;
        let server = jetlane_testkit::Server::start()?;
        let bus = EventBus::connect(&server.url())?;
        bus.topic("order.>").ensure(Strategy::CreateOnly)?;
        bus.subscribe("billing")
            .on("order.created", |event: &Envelope| {
                println!("bill {}", event.aggregate_id());
                // Some work that is not to be broken off.
                thread::park_timeout(Duration::from_millis(5));
            })
            .start()?;
        for order in 0..20 {
            let event = Envelope::new(format!("order-{order}"), "OrderCreated", "{}");
            bus.publish("order.created", event)?.wait()?;
        }
        // What Kubernetes would do.
        Command::new("kill").args(["-TERM", &std::process::id().to_string()]).status()?;

        let signal = signals.forever().next();
        println!("told to end by signal {}", signal.unwrap_or_default());
        // Requests nothing more, finishes what runs, settles it, gives back the rest, and says what was left undone.
        match bus.close(GRACE) {
            Ok(()) => {
                println!("all that was begun is done");
                Ok(ExitCode::SUCCESS)
            }
            Err(undone) => {
                println!("{undone}");
                Ok(ExitCode::FAILURE)
            }
        }
    }
}

#[cfg(unix)]
fn main() -> Result<std::process::ExitCode, Box<dyn std::error::Error>> {
    service::run()
}

#[cfg(not(unix))]
fn main() {
    eprintln!("this example is about signals, which are of Unix systems");
}
