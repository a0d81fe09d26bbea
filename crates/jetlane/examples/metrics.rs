//! A bus whose metrics Prometheus can read, at `http://127.0.0.1:9187/metrics`, and whose readiness a load balancer can ask for, at
//! `/ready`. The bus is set up by the environment (JETLANE_EVENTBUS_NATS_URLS and so on), and METRICS_ADDRESS says where to listen.
//!
//! `cargo run -p jetlane --features config,metrics --example metrics`

use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use jetlane::{Envelope, EventBus, Strategy, metrics};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// From a tenth of a millisecond to ten seconds.
const SECONDS: &[f64] = &[0.0001, 0.001, 0.01, 0.1, 1.0, 10.0];
/// Who asks has this long to do so, and may say so much.
const PATIENCE: Duration = Duration::from_secs(2);
const LONGEST: u64 = 16 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let histogram = |name: &str| Matcher::Full(name.into());
    // Before the bus: what is registered without a recorder counts for nobody.
    let prometheus = PrometheusBuilder::new()
        .set_buckets_for_metric(histogram(metrics::HANDLER_SECONDS), SECONDS)?
        .set_buckets_for_metric(histogram(metrics::EVENT_AGE_SECONDS), SECONDS)?
        .install_recorder()?;
    let bus = EventBus::from_env()?;
    bus.topic("order.>").ensure(Strategy::CreateOnly)?;
    bus.subscribe("billing").on("order.>", |_: &Envelope| {}).start()?;
    for order in 0..100 {
        let event = Envelope::new(format!("order-{order}"), "OrderCreated", "{}");
        bus.publish("order.created", event)?.wait()?;
    }
    let address = env::var("METRICS_ADDRESS").unwrap_or_else(|_| "127.0.0.1:9187".into());
    let listener = TcpListener::bind(address)?;
    println!("http://{}/metrics", listener.local_addr()?);
    for connection in listener.incoming() {
        // Who hangs up has no answer, and the next one has.
        let _ = connection.and_then(|connection| answer(connection, &bus, &prometheus));
    }
    Ok(())
}

fn answer(
    mut connection: TcpStream,
    bus: &EventBus,
    prometheus: &PrometheusHandle,
) -> std::io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    let mut request = String::new();
    let mut reader = BufReader::new(connection.try_clone()?.take(LONGEST));
    reader.read_line(&mut request)?;
    // What is left unread when the connection ends would cut off the answer.
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let (status, body) = match request.split(' ').nth(1) {
        Some("/metrics") => {
            prometheus.run_upkeep();
            ("200 OK", prometheus.render())
        }
        Some("/ready") if bus.health().is_ready() => ("200 OK", "ready\n".into()),
        Some("/ready") => ("503 Service Unavailable", "not ready\n".into()),
        _ => ("404 Not Found", "look at /metrics or /ready\n".into()),
    };
    let len = body.len();
    write!(
        connection,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}"
    )
}
