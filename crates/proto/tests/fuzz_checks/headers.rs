//! What must hold of header blocks, whatever a publisher sends, and of headers to send, whatever a caller gives.
//!
//! An input is a header block as it would be on the wire. It is also a list of texts, each two of which are a name and
//! a value to send; so is every header that the block has.

use jetlane_proto::{HeaderBlock, HeaderView, Headers, encode, outbound};

use super::headers_slow::{self as slow, Header};

/// More would cost the square of their number and show nothing new.
const MOST: usize = 16;

/// Checks that a block is read as the slow reader reads it, and that what is sent is what was given.
pub(crate) fn check(data: &[u8]) {
    let view = HeaderView::new(data);
    check_view(view);

    let received = view.iter().filter_map(|(name, value)| {
        Some((str::from_utf8(name).ok()?.to_string(), str::from_utf8(value).ok()?.to_string()))
    });
    check_sent(&received.take(MOST).collect::<Vec<_>>());

    let texts = super::texts(data);
    let given = texts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
    check_sent(&given.take(MOST).collect::<Vec<_>>());
}

/// All that a view says is what the slow reader finds.
fn check_view(view: HeaderView<'_>) {
    let expected = slow::headers(view.as_bytes());
    assert_eq!(owned(view), expected);
    for (name, _) in expected.iter().take(MOST) {
        let Ok(text) = str::from_utf8(name) else { continue };
        let of_name = || expected.iter().filter(|(other, _)| other == name);
        let values: Vec<&[u8]> = of_name().map(|(_, value)| value.as_slice()).collect();
        assert_eq!(view.get(text), Some(values[0]), "{text:?}");
        assert_eq!(view.get_all(text).collect::<Vec<_>>(), values, "{text:?}");
    }
    assert_eq!(view.get(""), None, "there is no empty name");
    assert_eq!(view.get("no: name"), None, "no name has a colon");

    let status = view.status().map(|status| (status.code, status.description.to_vec()));
    assert_eq!(status, slow::status(view.as_bytes()));
    assert!(!format!("{view:?}").is_empty());
}

/// What may be sent is sent as given, and what may not leaves no trace.
fn check_sent(given: &[(String, String)]) {
    let (mut headers, mut accepted) = (Headers::new(), Vec::new());
    for (name, value) in given {
        let before = headers.clone();
        let written = headers.append(name, value);
        assert_eq!(written, slow::check(name, value));
        assert_eq!(Headers::check_value(name, value), slow::check_value(name, value));
        match (&written, before.clone().with(name, value)) {
            (Ok(()), Ok(chained)) => {
                assert_eq!(chained, headers);
                accepted.push((name.as_bytes().to_vec(), slow::trimmed(value.as_bytes())));
            }
            (Err(error), Err(chained)) => {
                assert_eq!(chained, *error);
                assert!(headers == before && !error.to_string().is_empty(), "{error}");
            }
            (written, chained) => panic!("inserted: {written:?}, chained: {chained:?}"),
        }
    }
    check_block(&headers, &accepted);
}

/// The block has a line for the version, one for each header, and the empty one; and fits a frame that ends with it.
fn check_block(headers: &Headers, accepted: &[Header]) {
    let mut block = Vec::new();
    headers.encode(&mut block);
    assert_eq!(block.len(), headers.encoded_len());
    assert!(block.starts_with(b"NATS/1.0\r\n") && block.ends_with(b"\r\n\r\n"));
    assert_eq!(block.iter().filter(|&&byte| byte == b'\n').count(), accepted.len() + 2);
    assert_eq!(block.iter().filter(|&&byte| byte == b'\r').count(), accepted.len() + 2);

    assert_eq!(slow::headers(&block), accepted);
    assert_eq!(owned(headers.view()), accepted);
    assert_eq!(headers.view().status(), None);

    let mut out = Vec::new();
    encode::publish_with_headers(&mut out, b"a", b"", headers, b"PING\r\n").expect("its length");
    let frames: Vec<_> = outbound::frames(&out).map(|frame| (frame.range, frame.size)).collect();
    assert_eq!(frames, [(0..out.len(), block.len() + 6)]);
}

fn owned(view: HeaderView<'_>) -> Vec<Header> {
    view.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}
