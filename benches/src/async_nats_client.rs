//! async-nats, used as who knows it well would use it: payloads are shared, acks are awaited a window later, consumers pull
//! ahead. On the runtime of tokio's that is faster for it: one thread where it waits for answers, several where it does not.

use std::collections::VecDeque;
use std::future::IntoFuture;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use async_nats::jetstream;
use async_nats::{Client, Subject};
use bytes::Bytes;
use futures_lite::StreamExt;
use jetlane_cli::bench::{
    ConsumeWork, JsWork, Latencies, Line, Meter, Options, PubWork, Schedule, Work,
};

use crate::stage::{CONSUMER, STREAM};

/// Publishes that wait for their acks: the best of 1 000, 4 000 and 10 000.
const WINDOW: u32 = 4000;

const PATIENCE: Duration = Duration::from_secs(30);

/// Does the work on `--url`.
///
/// # Errors
/// If it can not be done, or something is missing.
pub fn run(options: &Options) -> Result<Line> {
    let mut builder = match options.work {
        Work::Req | Work::Js(JsWork::Pub(_)) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.enable_all().build()?;
    runtime.block_on(work(options))
}

async fn work(options: &Options) -> Result<Line> {
    let url = options.common.url.as_deref().context("--url is needed")?;
    // As much room as it takes: what finds none is dropped, and the run would wait for it.
    let capacity = 1 << 20;
    let ours = async_nats::ConnectOptions::new().subscription_capacity(capacity);
    let client = ours.connect(url).await?;
    match options.work {
        Work::Pub if options.common.rate.is_some() => paced(options, client).await,
        Work::Pub => publish(options, client).await,
        Work::Sub => subscribe(options, client).await,
        Work::Req => request(options, client).await,
        Work::Js(JsWork::Pub(PubWork::Async)) => many_at_a_time(options, client).await,
        Work::Js(JsWork::Pub(PubWork::Sync)) => one_at_a_time(options, client).await,
        Work::Js(JsWork::Consume(how)) => consume(options, how, client).await,
        Work::Serve | Work::Js(JsWork::Fetch) | Work::Bus | Work::Pressure => bail!("not measured"),
    }
}

fn line(options: &Options, meter: &Meter) -> Line {
    let common = &options.common;
    meter.finish("async-nats", &options.work.to_string(), common.msgs, common.size)
}

fn line_with(options: &Options, meter: &Meter, latencies: &Latencies) -> Line {
    let mut line = line(options, meter);
    latencies.write_to(&mut line);
    line
}

fn payload(options: &Options) -> Bytes {
    vec![b'x'; options.common.size].into()
}

/// Waits until the server has processed all that was sent: a request that nobody answers says so behind it. `flush` does
/// not.
async fn barrier(client: &Client) -> Result<()> {
    client.flush().await?;
    match client.request("nobody.listens.here", Bytes::new()).await {
        Err(error) if error.kind() == async_nats::RequestErrorKind::NoResponders => Ok(()),
        other => bail!("a request that nobody answers came back as {other:?}"),
    }
}

async fn publish(options: &Options, client: Client) -> Result<Line> {
    let (common, payload) = (&options.common, payload(options));
    let subjects: Vec<_> =
        (0..common.subjects).map(|n| Subject::from(options.subject_of(n))).collect();
    let meter = Meter::start();
    let mut tasks = Vec::new();
    for _ in 0..common.threads {
        let (client, payload, subjects) = (client.clone(), payload.clone(), subjects.clone());
        let count = common.msgs / common.threads as u64;
        tasks.push(tokio::spawn(async move {
            let mut subjects = subjects.iter().cycle();
            for _ in 0..count {
                let Some(subject) = subjects.next() else { break };
                client.publish(subject.clone(), payload.clone()).await?;
            }
            Ok::<_, anyhow::Error>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    barrier(&client).await?;
    Ok(line(options, &meter))
}

async fn subscribe(options: &Options, client: Client) -> Result<Line> {
    let common = &options.common;
    let mut subscriptions = Vec::new();
    for n in 0..common.subjects {
        subscriptions.push(client.subscribe(options.subject_of(n)).await?);
    }
    barrier(&client).await?;
    eprintln!("subscribed");
    let mut meter = None;
    // With several subjects the messages go round, so each has its share.
    let mut tasks = Vec::new();
    let mut first = subscriptions.remove(0);
    let share = common.msgs / common.subjects as u64;
    for mut subscription in subscriptions {
        let size = common.size;
        tasks.push(tokio::spawn(async move {
            for _ in 0..share {
                let message = subscription.next().await.context("the subscription ended")?;
                ensure!(message.payload.len() == size, "a message of another size");
            }
            Ok::<_, anyhow::Error>(())
        }));
    }
    for _ in 0..share {
        let message = first.next().await.context("the subscription ended")?;
        meter.get_or_insert_with(Meter::start);
        ensure!(message.payload.len() == common.size, "a message of another size");
    }
    for task in tasks {
        tokio::time::timeout(PATIENCE, task).await???;
    }
    let meter = meter.context("no message was measured")?;
    Ok(line(options, &meter))
}

async fn paced(options: &Options, receiver: Client) -> Result<Line> {
    let common = &options.common;
    let url = common.url.as_deref().context("--url is needed")?;
    let publisher = async_nats::connect(url).await?;
    let mut subscription = receiver.subscribe(common.subject.clone()).await?;
    barrier(&receiver).await?;
    let all = common.msgs;
    let receiving = tokio::spawn(async move {
        let mut received = Vec::with_capacity(usize::try_from(all)?);
        while received.len() as u64 != all {
            let message = subscription.next().await.context("the subscription ended")?;
            let number = message.payload.first_chunk().context("a short message")?;
            received.push((u64::from_le_bytes(*number), Instant::now()));
        }
        Ok::<_, anyhow::Error>(received)
    });
    let meter = Meter::start();
    let rate = common.rate.context("a rate is given")?;
    let (subject, size) = (Subject::from(common.subject.clone()), common.size);
    // Dropped with its last messages unwritten, it would lose them.
    let open = publisher.clone();
    let runtime = tokio::runtime::Handle::current();
    // On a thread of its own: pacing blocks.
    let pacing = tokio::task::spawn_blocking(move || {
        let schedule = Schedule::new(rate);
        for n in 0..all {
            schedule.wait_for(n);
            let mut payload = vec![b'x'; size];
            payload[..8].copy_from_slice(&n.to_le_bytes());
            runtime.block_on(publisher.publish(subject.clone(), payload.into()))?;
        }
        Ok::<_, anyhow::Error>(schedule)
    });
    let schedule = pacing.await??;
    open.flush().await?;
    let received = tokio::time::timeout(PATIENCE, receiving).await???;
    let mut latencies = Latencies::new();
    for (expected, (n, at)) in (0..).zip(received) {
        ensure!(n == expected, "message {n} came where {expected} was due");
        latencies.record(at.saturating_duration_since(schedule.due(n)));
    }
    Ok(line_with(options, &meter, &latencies))
}

async fn request(options: &Options, client: Client) -> Result<Line> {
    let (common, payload) = (&options.common, payload(options));
    let subject = Subject::from(common.subject.clone());
    let mut latencies = Latencies::new();
    let meter = Meter::start();
    for _ in 0..common.msgs {
        let begun = Instant::now();
        let answer = client.request(subject.clone(), payload.clone()).await?;
        latencies.record(begun.elapsed());
        ensure!(answer.payload == payload, "an answer is not what was asked");
    }
    Ok(line_with(options, &meter, &latencies))
}

async fn many_at_a_time(options: &Options, client: Client) -> Result<Line> {
    let (common, payload) = (&options.common, payload(options));
    let subject = Subject::from(common.subject.clone());
    let window = usize::try_from(common.window.unwrap_or(WINDOW))?;
    let js = jetstream::ContextBuilder::new().max_ack_inflight(window * 2).build(client);
    let mut acks = VecDeque::with_capacity(window);
    let meter = Meter::start();
    for _ in 0..common.msgs {
        acks.push_back(js.publish(subject.clone(), payload.clone()).await?);
        if acks.len() >= window
            && let Some(ack) = acks.pop_front()
        {
            ack.into_future().await?;
        }
    }
    for ack in acks {
        ack.into_future().await?;
    }
    Ok(line(options, &meter))
}

async fn one_at_a_time(options: &Options, client: Client) -> Result<Line> {
    let (common, payload) = (&options.common, payload(options));
    let subject = Subject::from(common.subject.clone());
    let js = jetstream::new(client);
    let mut latencies = Latencies::new();
    let meter = Meter::start();
    for _ in 0..common.msgs {
        let begun = Instant::now();
        js.publish(subject.clone(), payload.clone()).await?.await?;
        latencies.record(begun.elapsed());
    }
    Ok(line_with(options, &meter, &latencies))
}

async fn consume(options: &Options, how: ConsumeWork, client: Client) -> Result<Line> {
    let common = &options.common;
    let js = jetstream::new(client.clone());
    let consumer: jetstream::consumer::PullConsumer =
        js.get_consumer_from_stream(CONSUMER, STREAM).await?;
    let meter = Meter::start();
    let mut messages = consumer.stream().max_messages_per_batch(common.batch).messages().await?;
    for n in 1..=common.msgs {
        let message = messages.next().await.context("the consumer ended")??;
        let sequence = message.info().map_err(|error| anyhow!(error))?.stream_sequence;
        ensure!(sequence == n, "message {sequence} came where {n} was due");
        let acks = match how {
            ConsumeWork::Each => true,
            ConsumeWork::Watermark => n % common.batch as u64 == 0 || n == common.msgs,
            ConsumeWork::None => false,
        };
        if acks {
            message.ack().await.map_err(|error| anyhow!(error))?;
        }
    }
    barrier(&client).await?;
    Ok(line(options, &meter))
}
