use super::testing::{FORMS, event, message, parts, wire, with_headers};
use super::{Envelope, EnvelopeError, Form};
use crate::{Compress, Compression};

const LARGE: usize = 100_000;

fn large() -> Envelope {
    Envelope::new("order-42", "OrderCreated", format!("{{\"total\":\"{}\"}}", "7".repeat(LARGE)))
}

/// Bytes that nothing makes smaller.
fn noise(len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    (0..len).map(|_| random.u8(..)).collect()
}

/// An event in the header form whose body is `body`, marked as `encoding`.
fn marked(encoding: &str, body: &[u8]) -> jetlane_client::Message {
    let mut block = Vec::new();
    jetlane_client::HeaderBlock::encode(&event().headers().unwrap(), &mut block);
    block.truncate(block.len() - 2);
    block.extend_from_slice(format!("Content-Encoding: {encoding}\r\n\r\n").as_bytes());
    message(&block, body)
}

#[test]
fn what_was_compressed_is_read_as_it_was() {
    for &compression in Compression::ALL {
        for form in FORMS {
            let event = large().with_source("/s").with_content_type("application/json");
            let compressed = event.clone().compressed(&Compress::with(compression));
            assert_eq!(compressed.compression(), Some(compression));
            let message = wire(form, &compressed).unwrap();
            let encoding = message.headers().unwrap().get("Content-Encoding");
            match form {
                Form::Header | Form::CloudEventsBinary => {
                    assert_eq!(encoding, Some(compression.name().as_bytes()));
                    assert!(message.payload().len() < 2_000, "{compression:?}");
                }
                _ => {
                    assert_eq!(encoding, None, "{form:?}");
                    assert!(message.payload().len() > LARGE);
                }
            }
            assert_eq!(Form::of(&message), Some(form));
            let read = Envelope::read(&message).unwrap();
            assert_eq!(read.payload(), event.payload());
            assert_eq!(read.compression(), None, "it is plain again");
            assert_eq!(read.event_id(), event.event_id());
        }
    }
}

#[test]
fn only_what_gets_smaller_is_compressed() {
    for &compression in Compression::ALL {
        let default = Compress::with(compression);
        for (payload, compress, expected) in [
            (vec![b'x'; 1024], default, None),
            (vec![b'x'; 1025], default, Some(compression)),
            (vec![b'x'; 1025], default.above(2000), None),
            (vec![b'x'; 100], default.above(0), Some(compression)),
            // What it saves is less than what the mark costs.
            (vec![b'x'; 40], default.above(0), None),
            (vec![b'x'; 2000], default.up_to(1999), None),
            (vec![b'x'; 2000], default.up_to(2000), Some(compression)),
            (noise(10_000), default, None),
            (Vec::new(), default.above(0), None),
        ] {
            let len = payload.len();
            let event = Envelope::new("a", "t", payload).compressed(&compress);
            assert_eq!(event.compression(), expected, "{compress:?} of {len}");
            let marker = format!("Content-Encoding: {}\r\n", compression.name()).len();
            match expected {
                Some(_) => assert!(event.wire_payload().len() + marker < len),
                None => assert_eq!(event.wire_payload(), event.payload()),
            }
            assert_eq!(Envelope::read(&wire(Form::Header, &event).unwrap()).unwrap(), event);
        }
    }
}

#[test]
fn the_standard_tools_read_it() {
    // As `lz4`, `zstd` and `gzip` begin.
    for &compression in Compression::ALL {
        let magic: &[u8] = match compression.name() {
            "lz4" => &[0x04, 0x22, 0x4d, 0x18],
            "zstd" => &[0x28, 0xb5, 0x2f, 0xfd],
            _ => &[0x1f, 0x8b],
        };
        let event = large().compressed(&Compress::with(compression));
        assert!(event.wire_payload().starts_with(magic), "{compression:?}");
    }
}

#[test]
fn the_bound_is_exact_and_a_bomb_does_not_pass_it() {
    for &compression in Compression::ALL {
        let compressed = large().compressed(&Compress::with(compression));
        let message = wire(Form::Header, &compressed).unwrap();
        let len = compressed.payload().len();
        let read = |most| Envelope::read_up_to(&message, most).map(|read| read.payload().len());
        assert_eq!(read(len), Ok(len));
        assert_eq!(read(usize::MAX), Ok(len));
        for most in [0, 1, 1000, len - 1] {
            assert_eq!(read(most), Err(EnvelopeError::TooLarge { most }), "{compression:?}");
        }
        let bomb = vec![0; Envelope::DECOMPRESS_UP_TO + 1];
        let bomb = Envelope::new("a", "t", bomb);
        let compress = Compress::with(compression);
        assert_eq!(bomb.clone().compressed(&compress).compression(), None, "nobody would read it");
        let bomb = wire(Form::Header, &bomb.compressed(&compress.up_to(usize::MAX))).unwrap();
        assert!(bomb.payload().len() < 100_000);
        let most = Envelope::DECOMPRESS_UP_TO;
        assert_eq!(Envelope::read(&bomb), Err(EnvelopeError::TooLarge { most }));
    }
}

#[test]
fn what_is_broken_is_refused() {
    for &compression in Compression::ALL {
        let name = compression.name();
        // Large enough for several blocks, and not too regular.
        let payload: String = (0..20_000).map(|n| format!("{} ", n * 7919)).collect();
        let good = Envelope::new("a", "t", payload).compressed(&Compress::with(compression));
        let good = good.wire_payload().to_vec();
        let is_corrupt = |body: &[u8]| match Envelope::read(&marked(name, body)) {
            Err(EnvelopeError::Corrupt { encoding, reason }) => {
                assert!(encoding == name && !reason.is_empty());
                true
            }
            Err(EnvelopeError::TooLarge { .. }) => true,
            _ => false,
        };
        assert!(!is_corrupt(&good));
        for len in (0..40).chain((40..good.len()).step_by(97)).chain(good.len() - 9..good.len()) {
            assert!(is_corrupt(&good[..len]), "{name}: {len} of {}", good.len());
        }
        assert!(is_corrupt(&[&good[..], b"x"].concat()), "{name}: something behind it");
        assert!(is_corrupt(&[&good[..], &good[..]].concat()), "{name}: another one behind it");
        assert!(is_corrupt(b"plain text, and no more"));
    }
}

#[test]
fn one_wrong_bit_never_makes_another_payload() {
    for &compression in Compression::ALL {
        let payload: String = (0..400).map(|n| format!("{} ", n * 7919)).collect();
        let good = Envelope::new("a", "t", payload).compressed(&Compress::with(compression));
        for at in 0..good.wire_payload().len() {
            let mut flipped = good.wire_payload().to_vec();
            flipped[at] ^= 1 << (at % 8);
            // Some bits of gzip's header say nothing of the payload.
            if let Ok(read) = Envelope::read(&marked(compression.name(), &flipped)) {
                assert_eq!(read.payload(), good.payload(), "{compression:?}: byte {at}");
            }
        }
    }
}

#[test]
fn what_says_everything_twice_is_not_compressed() {
    let event = event();
    let body = event.to_json().unwrap();
    let plain = marked("identity", &body);
    assert_eq!(Form::of(&plain), Some(Form::Json));
    assert_eq!(Envelope::read(&plain).unwrap(), event);
    assert_eq!(Form::of(&marked("gzip", &body)), Some(Form::Header));
    assert!(Envelope::read(&marked("gzip", &body)).is_err());
}

#[test]
fn what_is_not_known_is_refused_and_identity_is_plain() {
    let unknown =
        |encoding: &str| Err(EnvelopeError::UnknownEncoding { encoding: encoding.into() });
    for (encoding, expected) in [
        ("identity", Ok("{}")),
        ("Identity", Ok("{}")),
        ("br", unknown("br")),
        ("lz4, gzip", unknown("lz4, gzip")),
        ("", unknown("")),
    ] {
        let read = Envelope::read(&marked(encoding, b"{}"));
        assert_eq!(
            read.as_ref().map(|read| &read.payload()[..]).map_err(Clone::clone),
            expected.map(str::as_bytes),
            "{encoding}"
        );
    }
    #[cfg(not(feature = "zstd"))]
    assert_eq!(Envelope::read(&marked("zstd", b"x")).map(|_| ""), unknown("zstd"));
    for &compression in Compression::ALL {
        let body = large().compressed(&Compress::with(compression));
        let name = compression.name().to_uppercase();
        let read = Envelope::read(&marked(&name, body.wire_payload())).unwrap();
        assert_eq!(read.payload(), body.payload());
    }
}

#[test]
fn a_form_that_is_json_can_not_be_compressed() {
    for form in [Form::Json, Form::CloudEventsStructured] {
        for encoding in ["gzip", "br"] {
            let (mut block, body) = parts(form, &large()).unwrap();
            block.truncate(block.len() - 2);
            block.extend_from_slice(format!("content-encoding: {encoding}\r\n\r\n").as_bytes());
            let expected = EnvelopeError::CompressedForm { form, encoding: encoding.into() };
            assert_eq!(Envelope::read(&message(&block, &body)), Err(expected));
        }
    }
    let nothing = with_headers(&["Content-Encoding: gzip"], "\x1f\x7f");
    assert_eq!(Envelope::read(&nothing), Err(EnvelopeError::NoEnvelope));
}

#[cfg(feature = "zstd")]
#[test]
fn a_frame_that_does_not_say_its_size_is_bounded_too() {
    let plain = vec![0; 1_000_000];
    let frame = zstd::stream::encode_all(&plain[..], 3).unwrap();
    let read = |most| Envelope::read_up_to(&marked("zstd", &frame), most);
    assert_eq!(read(1_000_000).unwrap().payload(), &plain);
    assert_eq!(read(999_999), Err(EnvelopeError::TooLarge { most: 999_999 }));
}

#[cfg(feature = "zstd")]
#[test]
fn a_frame_that_asks_for_too_much_memory_is_refused() {
    // A frame without a size, whose window is 2 GiB, and a last block of one raw byte.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x09, 0x00, 0x00, b'x'];
    let read = Envelope::read(&marked("zstd", &frame));
    assert!(matches!(read, Err(EnvelopeError::Corrupt { encoding: "zstd", .. })), "{read:?}");
    // The same with a window of 8 MiB, which everybody is to read.
    let mut frame = frame;
    frame[5] = 0x68;
    assert_eq!(Envelope::read_up_to(&marked("zstd", &frame), 10).unwrap().payload(), "x");
}
