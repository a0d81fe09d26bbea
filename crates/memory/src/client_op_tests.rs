use super::*;

#[test]
fn what_clients_say_is_read() {
    let message = |subject, reply, headers, payload| {
        Ok(Some(ClientOp::Publish(Publish { subject, reply, headers, payload })))
    };
    let long = "x".repeat(MAX_LINE + 1);
    for (said, expected) in [
        ("PING\r\n", Ok(Some(ClientOp::Ping))),
        ("ping\n", Ok(Some(ClientOp::Ping))),
        ("PONG\r\n", Ok(Some(ClientOp::Nothing))),
        ("CONNECT {}\r\n", Ok(Some(ClientOp::Connect(b"{}")))),
        ("PUB a 2\r\nhi\r\n", message("a", None, b"", b"hi")),
        ("PUB a b 0\r\n\r\n", message("a", Some("b"), b"", b"")),
        ("HPUB a 2 4\r\nhihi\r\n", message("a", None, b"hi", b"hi")),
        ("HPUB a b 1 1\r\nh\r\n", message("a", Some("b"), b"h", b"")),
        ("PUB a 2\r\nhi", Ok(None)),
        ("PUB a 2\r\nhi\r", Ok(None)),
        ("PUB a 2", Ok(None)),
        ("", Ok(None)),
        ("SUB a.* 1\r\n", Ok(Some(ClientOp::Subscribe { filter: "a.*", queue: None, sid: "1" }))),
        (
            "SUB a q 1\r\n",
            Ok(Some(ClientOp::Subscribe { filter: "a", queue: Some("q"), sid: "1" })),
        ),
        ("UNSUB 1\r\n", Ok(Some(ClientOp::Unsubscribe { sid: "1", max: None }))),
        ("UNSUB 1 5\r\n", Ok(Some(ClientOp::Unsubscribe { sid: "1", max: Some(5) }))),
        ("PUB a 2\r\nhixx\r\n", Err(Nonsense::Operation)),
        ("PUB a -1\r\n\r\n", Err(Nonsense::Operation)),
        ("PUB a\r\n", Err(Nonsense::Operation)),
        ("PUB a b c 1\r\nx\r\n", Err(Nonsense::Operation)),
        ("HPUB a 4 2\r\nhi\r\n", Err(Nonsense::Operation)),
        ("PUB a 1048577\r\n", Err(Nonsense::Payload)),
        ("PUB a 18446744073709551615\r\n", Err(Nonsense::Payload)),
        ("PUB a 99999999999999999999999\r\n", Err(Nonsense::Operation)),
        ("SUB a\r\n", Err(Nonsense::Operation)),
        ("SUB a b c d\r\n", Err(Nonsense::Operation)),
        ("UNSUB 1 x\r\n", Err(Nonsense::Operation)),
        ("GET / HTTP/1.1\r\n", Err(Nonsense::Operation)),
        (&long, Err(Nonsense::LongLine)),
    ] {
        let read = read_op(said.as_bytes());
        if let Ok(Some((_, len))) = &read {
            assert_eq!(*len, said.len(), "{said:?}");
        }
        assert_eq!(read.map(|read| read.map(|(op, _)| op)), expected, "{said:.40?}");
    }
    assert_eq!(read_op(b"SUB \xff 1\r\n"), Err(Nonsense::Operation));
}
