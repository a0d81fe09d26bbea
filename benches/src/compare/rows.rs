//! The rows of the table, as data: what is run, and what is to be reached.

use jetlane_cli::bench::{ConsumeWork, StoreIn};

use crate::client::Client;

/// One client, in one mode.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    pub(crate) who: Client,
    pub(crate) label: &'static str,
    /// Options of its own.
    pub(crate) options: &'static str,
}

/// What the server needs before and after a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    /// Nothing but itself.
    Alone,
    /// Somebody who publishes, once the client has subscribed.
    Published,
    /// Somebody who answers.
    Answered,
    /// An empty stream, full in the end.
    Stored(StoreIn),
    /// A full stream, and a consumer of it.
    Consumed(ConsumeWork),
}

/// A condition on jetlane. `mode` is the label of the contender it is about.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub(crate) mode: &'static str,
    pub(crate) reach: Reach,
    /// May not be missed.
    pub(crate) must: bool,
}

/// What is to be reached. Ratios are of the same round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reach {
    /// At least so many times the throughput of this one.
    Throughput(Client, f64),
    /// At most so many nanoseconds of CPU a message.
    Cpu(f64),
    /// At most so many more than the bare socket.
    CpuOverRaw(f64),
    /// The mean latency at most so many times that of this one.
    Mean(Client, f64),
    /// Half of the latencies at most so many times that of this one.
    Median(Client, f64),
    /// At most so many MiB of memory.
    Memory(f64),
}

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// The words of the work.
    pub(crate) work: &'static str,
    /// Options of all clients, `--msgs` not among them.
    pub(crate) options: &'static str,
    pub(crate) msgs: u64,
    pub(crate) size: usize,
    pub(crate) scene: Scene,
    pub(crate) contenders: Vec<Contender>,
    pub(crate) checks: Vec<Check>,
}

const RAW: Contender = Contender { who: Client::Raw, label: "raw", options: "" };
const ASYNC_NATS: Contender =
    Contender { who: Client::AsyncNats, label: "async-nats", options: "" };

const fn jetlane(label: &'static str, options: &'static str) -> Contender {
    Contender { who: Client::Jetlane, label, options }
}

const fn must(mode: &'static str, reach: Reach) -> Check {
    Check { mode, reach, must: true }
}

const fn should(mode: &'static str, reach: Reach) -> Check {
    Check { mode, reach, must: false }
}

/// What every row that says nothing else reaches, too.
const MEMORY: Reach = Reach::Memory(6.0);

/// All rows, in the order of the table.
pub(crate) fn all() -> Vec<Row> {
    let mut rows = core();
    rows.extend(latency());
    rows.extend(stored());
    rows.extend(consumed());
    rows.extend(extremes());
    rows
}

fn core() -> Vec<Row> {
    use Reach::{Cpu, Throughput};
    let jetlane_only = || vec![RAW, ASYNC_NATS, jetlane("jetlane", "")];
    let publish = |name, size, msgs, checks| Row {
        name,
        work: "pub",
        options: "",
        msgs,
        size,
        scene: Scene::Alone,
        contenders: jetlane_only(),
        checks,
    };
    let subscribe = |name, size, contenders, checks| Row {
        name,
        work: "sub",
        options: "",
        msgs: 3_000_000,
        size,
        scene: Scene::Published,
        contenders,
        checks,
    };
    let inline = || jetlane("inline", "--mode inline");
    let queued = || jetlane("queued", "--mode queued");
    vec![
        publish(
            "core publish 16 B",
            16,
            8_000_000,
            vec![
                must("jetlane", Throughput(Client::Raw, 0.95)),
                must("jetlane", Cpu(35.0)),
                must("jetlane", MEMORY),
            ],
        ),
        publish(
            "core publish 1 KiB",
            1024,
            2_000_000,
            vec![
                should("jetlane", Throughput(Client::Raw, 0.95)),
                should("jetlane", Cpu(200.0)),
                must("jetlane", MEMORY),
            ],
        ),
        Row {
            contenders: vec![
                RAW,
                Contender { options: "--threads 4", ..ASYNC_NATS },
                jetlane("4 threads", "--threads 4"),
            ],
            ..publish(
                "core publish 16 B, 4 threads on one connection",
                16,
                8_000_000,
                vec![
                    should("4 threads", Throughput(Client::Raw, 0.95)),
                    should("4 threads", Cpu(60.0)),
                    must("4 threads", MEMORY),
                ],
            )
        },
        subscribe(
            "subscribe 16 B",
            16,
            vec![RAW, ASYNC_NATS, inline(), queued()],
            vec![
                must("inline", Throughput(Client::Raw, 0.95)),
                must("inline", Cpu(50.0)),
                should("queued", Cpu(110.0)),
                must("inline", MEMORY),
                must("queued", MEMORY),
            ],
        ),
        subscribe(
            "subscribe 128 B",
            128,
            vec![RAW, ASYNC_NATS, inline()],
            vec![
                should("inline", Throughput(Client::Raw, 0.95)),
                should("inline", Cpu(60.0)),
                must("inline", MEMORY),
            ],
        ),
    ]
}

fn latency() -> Vec<Row> {
    let both =
        || vec![RAW, ASYNC_NATS, jetlane("caller-driven", "--local"), jetlane("threaded", "")];
    vec![
        Row {
            name: "JetStream publish, one at a time, memory",
            work: "js pub sync",
            options: "--storage memory",
            msgs: 20_000,
            size: 128,
            scene: Scene::Stored(StoreIn::Memory),
            contenders: both(),
            checks: vec![
                must("caller-driven", Reach::Mean(Client::Raw, 1.1)),
                should("threaded", Reach::Mean(Client::AsyncNats, 0.8)),
                must("caller-driven", MEMORY),
            ],
        },
        Row {
            name: "request and reply",
            work: "req",
            options: "",
            msgs: 10_000,
            size: 128,
            scene: Scene::Answered,
            contenders: both(),
            checks: vec![
                should("caller-driven", Reach::Median(Client::Raw, 1.0)),
                should("threaded", Reach::Median(Client::AsyncNats, 1.0)),
                must("caller-driven", MEMORY),
            ],
        },
        Row {
            name: "publish to receive, 64 B at 10 000 a second",
            work: "pub",
            options: "--rate 10000",
            msgs: 20_000,
            size: 64,
            scene: Scene::Alone,
            contenders: vec![
                ASYNC_NATS,
                jetlane("inline", "--mode inline"),
                jetlane("queued", "--mode queued"),
                jetlane("inline, spin", "--mode inline --idle spin"),
            ],
            checks: vec![
                should("inline", Reach::Median(Client::AsyncNats, 1.0)),
                should("queued", Reach::Median(Client::AsyncNats, 1.0)),
                must("inline", MEMORY),
            ],
        },
    ]
}

fn stored() -> Vec<Row> {
    use Reach::{Cpu, Throughput};
    let row = |name, storage, options, msgs, checks| Row {
        name,
        work: "js pub async",
        options,
        msgs,
        size: 128,
        scene: Scene::Stored(storage),
        contenders: vec![RAW, ASYNC_NATS, jetlane("jetlane", "")],
        checks,
    };
    vec![
        row(
            "JetStream async publish, memory",
            StoreIn::Memory,
            "--storage memory",
            500_000,
            vec![
                should("jetlane", Throughput(Client::Raw, 0.95)),
                must("jetlane", Throughput(Client::AsyncNats, 1.25)),
                must("jetlane", Cpu(250.0)),
                must("jetlane", MEMORY),
            ],
        ),
        row(
            "JetStream async publish, file",
            StoreIn::File,
            "--storage file",
            300_000,
            vec![
                should("jetlane", Throughput(Client::Raw, 0.95)),
                should("jetlane", Cpu(250.0)),
                must("jetlane", MEMORY),
            ],
        ),
    ]
}

fn consumed() -> Vec<Row> {
    use Reach::{CpuOverRaw, Throughput};
    let row = |name, work, how, peer: Contender, checks| Row {
        name,
        work,
        options: "--storage memory",
        msgs: 500_000,
        size: 128,
        scene: Scene::Consumed(how),
        contenders: vec![
            RAW,
            peer,
            jetlane("inline", "--mode inline"),
            jetlane("queued", "--mode queued"),
        ],
        checks,
    };
    // The peer has no watermark; what it does instead is the measure.
    let explicit = Contender { label: "async-nats, each", ..ASYNC_NATS };
    vec![
        row(
            "pull consume, explicit acks",
            "js consume each",
            ConsumeWork::Each,
            ASYNC_NATS,
            vec![
                should("inline", Throughput(Client::Raw, 0.95)),
                must("inline", Throughput(Client::AsyncNats, 1.3)),
                must("inline", CpuOverRaw(100.0)),
                must("inline", MEMORY),
                should("queued", MEMORY),
            ],
        ),
        row(
            "pull consume, watermark",
            "js consume watermark",
            ConsumeWork::Watermark,
            explicit,
            vec![
                must("inline", Throughput(Client::AsyncNats, 2.5)),
                should("inline", CpuOverRaw(100.0)),
                must("inline", MEMORY),
                should("queued", MEMORY),
            ],
        ),
        row(
            "pull consume, no acks",
            "js consume none",
            ConsumeWork::None,
            ASYNC_NATS,
            vec![
                should("inline", Throughput(Client::Raw, 0.95)),
                should("inline", CpuOverRaw(80.0)),
                must("inline", MEMORY),
                should("queued", MEMORY),
            ],
        ),
    ]
}

fn extremes() -> Vec<Row> {
    use Reach::Throughput;
    let inline = || jetlane("inline", "--mode inline");
    vec![
        Row {
            name: "1 000 subscriptions on one connection, 16 B",
            work: "sub",
            options: "--subjects 1000",
            msgs: 2_000_000,
            size: 16,
            scene: Scene::Published,
            contenders: vec![ASYNC_NATS, inline()],
            checks: vec![should("inline", Throughput(Client::AsyncNats, 1.0))],
        },
        Row {
            name: "publish 1 MiB",
            work: "pub",
            options: "",
            msgs: 4000,
            size: 1 << 20,
            scene: Scene::Alone,
            contenders: vec![RAW, ASYNC_NATS, jetlane("jetlane", "")],
            checks: vec![should("jetlane", Throughput(Client::AsyncNats, 1.0))],
        },
        Row {
            name: "subscribe 1 MiB",
            work: "sub",
            options: "",
            msgs: 3000,
            size: 1 << 20,
            scene: Scene::Published,
            contenders: vec![RAW, ASYNC_NATS, inline()],
            checks: vec![should("inline", Throughput(Client::AsyncNats, 1.0))],
        },
        Row {
            name: "event bus, JSON 512 B, 1 000 keys, file",
            work: "bus",
            options: "--storage file",
            msgs: 200_000,
            size: 512,
            scene: Scene::Alone,
            contenders: vec![jetlane("jetlane", "")],
            checks: vec![should("jetlane", Reach::Memory(16.0))],
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_about_a_contender_and_measured_against_one() {
        for row in all() {
            for check in &row.checks {
                let mode = row.contenders.iter().find(|other| other.label == check.mode);
                let mode = mode.unwrap_or_else(|| panic!("{}: {check:?}", row.name));
                assert_eq!(mode.who, Client::Jetlane, "{}: {check:?}", row.name);
                let against = match check.reach {
                    Reach::Throughput(who, _) | Reach::Mean(who, _) | Reach::Median(who, _) => who,
                    Reach::CpuOverRaw(_) => Client::Raw,
                    Reach::Cpu(_) | Reach::Memory(_) => continue,
                };
                let found = row.contenders.iter().any(|other| other.who == against);
                assert!(found, "{}: {check:?}", row.name);
            }
        }
    }
}
