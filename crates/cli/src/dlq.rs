//! `jetlane dlq`: dead letters and parked events, looked at and redriven.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use jetlane::{EventBus, Letter, LetterKind, Letters, Pick};
use jiff::Timestamp;
use serde_json::{Value, json};

/// How long the bus may take to close.
const CLOSE: Duration = Duration::from_secs(5);

/// Look at letters, and redrive them.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    work: Work,
    /// The server.
    #[arg(long, global = true, default_value = "nats://127.0.0.1:4222")]
    url: String,
    /// What letters are kept under: that which was given to `DeadLetters::to` or `Parking::to`.
    #[arg(long, global = true, default_value = "dead")]
    subject: String,
    #[command(flatten)]
    pick: PickBy,
    /// Print one JSON object a letter.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Work {
    /// Print letters, the oldest first.
    List,
    /// Publish events again, in order, for the subscription that could not handle them. Without --run it only says what it would do.
    Redrive {
        /// Do it.
        #[arg(long)]
        run: bool,
    },
    /// Delete letters for good: their events will not be redriven. Without --run it only says which.
    Delete {
        /// Do it.
        #[arg(long)]
        run: bool,
    },
}

/// Which letters. Without any of these: all of them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which letters")]
struct PickBy {
    /// Of this subscription.
    #[arg(long, global = true)]
    subscription: Option<String>,
    /// Of this aggregate. Of a parked one all events are redriven.
    #[arg(long, global = true)]
    key: Option<String>,
    /// With this text in the reason.
    #[arg(long, global = true)]
    reason: Option<String>,
    /// Written at this time or later: RFC 3339, as 2026-11-21T13:00:00Z.
    #[arg(long, global = true, value_parser = time)]
    since: Option<SystemTime>,
    /// Written before this time.
    #[arg(long, global = true, value_parser = time)]
    until: Option<SystemTime>,
    /// The letter at this place of its stream.
    #[arg(long, global = true)]
    sequence: Option<u64>,
    /// Of this kind.
    #[arg(long, global = true, value_enum)]
    kind: Option<Kind>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// Given up.
    Dead,
    /// Waiting, with the later events of its aggregate.
    Parked,
}

fn time(text: &str) -> Result<SystemTime, String> {
    text.parse::<Timestamp>().map(SystemTime::from).map_err(|error| error.to_string())
}

impl PickBy {
    fn pick(&self) -> Pick {
        let Self { subscription, key, reason, since, until, sequence, kind } = self;
        let mut pick = Pick::all();
        if let Some(name) = subscription {
            pick = pick.subscription(name);
        }
        if let Some(key) = key {
            pick = pick.key(key);
        }
        if let Some(text) = reason {
            pick = pick.reason(text);
        }
        if let Some(time) = since {
            pick = pick.since(*time);
        }
        if let Some(time) = until {
            pick = pick.until(*time);
        }
        if let Some(sequence) = sequence {
            pick = pick.sequence(*sequence);
        }
        match kind {
            Some(Kind::Dead) => pick.kind(LetterKind::Dead),
            Some(Kind::Parked) => pick.kind(LetterKind::Parked),
            None => pick,
        }
    }
}

/// Does what was asked for.
///
/// # Errors
/// If the server can not be reached, keeps no letters there, or refuses.
pub fn run(options: &Options) -> Result<()> {
    let bus = EventBus::connect(&options.url)
        .with_context(|| format!("no connection to {}", redacted(&options.url)))?;
    let done = bus.letters(&options.subject).map_err(Into::into).and_then(|letters| {
        let pick = options.pick.pick();
        match options.work {
            Work::List => list(options, &letters, &pick),
            Work::Redrive { run } => redrive(options, &letters, &pick, run),
            Work::Delete { run } => delete(options, &letters, &pick, run),
        }
    });
    let closed = bus.close(CLOSE);
    done?;
    Ok(closed?)
}

/// Without what may be a password.
fn redacted(url: &str) -> &str {
    url.rsplit('@').next().unwrap_or_default()
}

fn list(options: &Options, letters: &Letters, pick: &Pick) -> Result<()> {
    let mut count = 0u64;
    for letter in letters.read(pick) {
        print(options, &letter?)?;
        count += 1;
    }
    say(options, &format!("{count} letters"))
}

fn redrive(options: &Options, letters: &Letters, pick: &Pick, run: bool) -> Result<()> {
    let plan = letters.plan(pick)?;
    let events = plan.events().try_fold(0u64, |count, letter| {
        print(options, letter)?;
        anyhow::Ok(count + 1)
    })?;
    if !run {
        return say(options, &format!("{events} events would be redriven; with --run they are"));
    }
    let done = plan.run()?;
    say(options, &format!("{} events redriven, {} parked aggregates", done.events, done.keys))?;
    if done.gone > 0 {
        bail!("{} events are in no letter and gone from their stream", done.gone);
    }
    Ok(())
}

fn delete(options: &Options, letters: &Letters, pick: &Pick, run: bool) -> Result<()> {
    let mut count = 0u64;
    for letter in letters.read(pick) {
        let letter = letter?;
        print(options, &letter)?;
        if run {
            letters.delete(&letter)?;
        }
        count += 1;
    }
    let done = if run { "deleted" } else { "would be deleted; with --run they are" };
    say(options, &format!("{count} letters {done}"))
}

/// Also where nobody reads on: then it ends with an error, as it should, and not with a panic.
fn print(options: &Options, letter: &Letter) -> Result<()> {
    let mut out = io::stdout().lock();
    if options.json {
        writeln!(out, "{}", as_json(letter))?;
        return Ok(());
    }
    let Letter { sequence, subscription, subject, stream, event_sequence, reason, .. } = letter;
    let (kind, time) = (kind(letter), when(letter));
    let key = letter.key.as_deref().unwrap_or("-");
    let attempts = letter.attempts;
    writeln!(
        out,
        "{sequence}  {time}  {kind}  {subscription}  {subject}  {key}  {stream}:{event_sequence}  after {attempts}: {reason}"
    )?;
    Ok(())
}

fn kind(letter: &Letter) -> &'static str {
    match letter.kind {
        LetterKind::Parked => "parked",
        _ => "dead",
    }
}

fn when(letter: &Letter) -> String {
    Timestamp::try_from(letter.time).unwrap_or_default().to_string()
}

fn as_json(letter: &Letter) -> Value {
    json!({
        "sequence": letter.sequence,
        "kind": kind(letter),
        "time": when(letter),
        "subscription": letter.subscription,
        "subject": letter.subject,
        "key": letter.key,
        "stream": letter.stream,
        "event_sequence": letter.event_sequence,
        "attempts": letter.attempts,
        "deliveries": letter.deliveries,
        "reason": letter.reason,
        "payload": letter.payload.as_deref().map(String::from_utf8_lossy),
    })
}

/// For people; who reads JSON gets letters only.
fn say(options: &Options, text: &str) -> Result<()> {
    if options.json {
        eprintln!("{text}");
    } else {
        writeln!(io::stdout().lock(), "{text}")?;
    }
    Ok(())
}
