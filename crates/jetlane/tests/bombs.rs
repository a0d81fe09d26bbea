//! What would become far too large is refused without the memory that it would take. A test binary of its own with one test in it, so that
//! nothing else is counted.

use std::alloc::System;

use jetlane::client::{Arena, Message, MessageRef};
use jetlane::{Compress, Compression, Envelope, EnvelopeError};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const BOMB: usize = 256 << 20;
const MOST: usize = 1 << 20;
/// What a decoder works with at most, whatever it is given: that of LZ4 has room for three blocks of 4 MiB.
const DECODER: usize = 13 << 20;

fn bomb(compression: Compression) -> Message {
    let compress = Compress::with(compression).up_to(usize::MAX);
    let event = Envelope::new("a", "t", vec![0; BOMB]).compressed(&compress);
    let block = format!(
        "NATS/1.0\r\nX-Aggregate-ID: a\r\nX-Event-Type: t\r\nX-Event-ID: i\r\nX-Event-Version: 1\r\nX-Timestamp: 2026-01-01T00:00:00Z\r\nContent-Encoding: {}\r\n\r\n",
        compression.name()
    );
    let body = event.wire_payload();
    let start = format!("HMSG s 1 {} {}\r\n", block.len(), block.len() + body.len());
    let frame = [start.as_bytes(), block.as_bytes(), body, b"\r\n"].concat();
    MessageRef::read(&frame).expect("a message").to_message(&mut Arena::new())
}

#[test]
fn a_bomb_is_refused_without_its_memory() {
    for &compression in Compression::ALL {
        let message = bomb(compression);
        let region = Region::new(ALLOCATOR);
        let read = Envelope::read_up_to(&message, MOST);
        let taken = region.change();
        let taken = taken.bytes_allocated;
        assert_eq!(read.map(drop), Err(EnvelopeError::TooLarge { most: MOST }));
        println!("{compression:?}: {taken} bytes taken for {}", message.payload().len());
        // A buffer that doubles takes twice of what it ends with, and that is up to twice of what it may have.
        assert!(taken < 4 * MOST + DECODER, "{compression:?}: {taken} bytes");
    }
}
