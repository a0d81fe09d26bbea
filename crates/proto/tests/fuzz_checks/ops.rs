//! What happens to a session, decoded from bytes that one can read.

use std::time::Duration;

use jetlane_proto::SessionConfig;

/// Something that happens to a session.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op<'a> {
    /// `I` and a line: an INFO comes.
    Info(&'a [u8]),
    /// `P`: a PONG comes.
    Pong,
    /// `E` and a line: an `-ERR` comes.
    Error(&'a [u8]),
    /// `F`: the PING of a flush is sent.
    Flush,
    /// `X`: the flushes are taken back.
    TakeFlushes,
    /// `T` and a byte: so many milliseconds pass, then somebody looks at the time.
    Turn(Duration),
    /// `t` and a byte: so many milliseconds pass, and nobody looks.
    Pass(Duration),
    /// `W`: the time comes for which the session asks to be woken.
    Wait,
}

/// Three bytes in front: milliseconds of the handshake and between PINGs, and how many PINGs may be out. 255 stands
/// for the most there is.
pub(crate) fn take_config(data: &[u8]) -> Option<(SessionConfig, &[u8])> {
    let ([handshake, interval, pings], ops) = data.split_first_chunk()?;
    let time = |byte| if byte == u8::MAX { Duration::MAX } else { milliseconds(byte) };
    let config = SessionConfig {
        handshake_timeout: time(*handshake),
        ping_interval: time(*interval),
        max_pings_out: if *pings == u8::MAX { u32::MAX } else { u32::from(*pings) },
    };
    Some((config, ops))
}

/// What happens, in order. Bytes that mean nothing are passed over.
pub(crate) fn ops(mut rest: &[u8]) -> impl Iterator<Item = Op<'_>> {
    std::iter::from_fn(move || {
        loop {
            let (&letter, behind) = rest.split_first()?;
            rest = behind;
            return Some(match letter {
                b'I' => Op::Info(take_line(&mut rest)),
                b'P' => Op::Pong,
                b'E' => Op::Error(take_line(&mut rest)),
                b'F' => Op::Flush,
                b'X' => Op::TakeFlushes,
                b'T' => Op::Turn(take_time(&mut rest)),
                b't' => Op::Pass(take_time(&mut rest)),
                b'W' => Op::Wait,
                _ => continue,
            });
        }
    })
}

fn take_line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
    let (line, behind) = rest.split_at(end);
    *rest = behind;
    line
}

fn take_time(rest: &mut &[u8]) -> Duration {
    let Some((&byte, behind)) = rest.split_first() else { return Duration::ZERO };
    *rest = behind;
    milliseconds(byte)
}

fn milliseconds(byte: u8) -> Duration {
    Duration::from_millis(byte.into())
}
