//! What can be asked of the JetStream API besides creating streams and consumers.

use std::time::{Duration, SystemTime};

use jetlane_client::{Client, Headers};
use jetlane_jetstream::{
    ApiError, BatchGet, Compression, ConsumerConfig, DeliverPolicy, Discard, Get, JetStream, Purge,
    Republish, Storage, StoredMessage, StreamConfig, StreamSource, SubjectTransform,
};
use jetlane_tests::place::{Place, Started};
use jetlane_tests::stream::{with_stream, with_stream_at};

/// A server, and JetStream on it with a stream `S` that allows direct gets and holds messages 1 to 6 of `s.a` and `s.b` in turn.
fn with_messages(place: Place) -> (Started, JetStream) {
    let server = place.start();
    let js = JetStream::new(Client::connect(&server.url()).unwrap()).unwrap();
    js.create_stream(&StreamConfig::new("S").subject("s.>").allow_direct()).wait().unwrap();
    for n in 1..=6 {
        // Headers with names of the server's own must not be taken for them.
        let headers = Headers::new().with("Nats-Sequence", "999").unwrap().with("A", "1").unwrap();
        let subject = if n % 2 == 1 { "s.a" } else { "s.b" };
        js.publish_with(subject, &headers, n.to_string()).unwrap().wait().unwrap();
    }
    (server, js)
}

fn no_message() -> ApiError {
    ApiError::MessageNotFound { stream: "S".into() }
}

pub(crate) fn messages_are_read_from_the_leader_and_directly_alike(place: Place) {
    let (_server, js) = with_messages(place);
    let nothing = js.publish("s.bare", "").unwrap().wait().unwrap().sequence;
    for (get, sequence) in [
        (Get::Sequence(3), 3),
        (Get::Last("s.a"), 5),
        (Get::Last("s.*"), 7),
        (Get::Next { subject: "s.b", sequence: 3 }, 4),
        (Get::Next { subject: "s.b", sequence: 0 }, 2),
        (Get::Sequence(nothing), 7),
    ] {
        let api = js.get_message("S", get).wait().unwrap();
        let direct = js.direct_get("S", get).wait().unwrap();
        assert_eq!(api, direct, "{get:?}");
        assert_eq!(api.sequence, sequence, "{get:?}");
        let age = SystemTime::now().duration_since(api.time).unwrap();
        assert!(age < Duration::from_secs(60), "{age:?}");
    }
    let third = js.direct_get("S", Get::Sequence(3)).wait().unwrap();
    assert_eq!((third.subject.as_str(), &third.payload[..]), ("s.a", &b"3"[..]));
    let headers = third.headers().unwrap();
    assert_eq!((headers.get("A"), headers.iter().count()), (Some(&b"1"[..]), 2));
    let bare = js.direct_get("S", Get::Sequence(nothing)).wait().unwrap();
    assert_eq!((bare.headers(), bare.payload.len()), (None, 0));
}

pub(crate) fn a_message_that_is_not_there_is_an_error_of_its_own(place: Place) {
    let (_server, js) = with_messages(place);
    for get in [
        Get::Sequence(77),
        Get::Last("s.none"),
        Get::Next { subject: "s.a", sequence: 6 },
        Get::Next { subject: "s.none", sequence: 1 },
    ] {
        assert_eq!(js.get_message("S", get).wait().unwrap_err(), no_message(), "{get:?}");
        assert_eq!(js.direct_get("S", get).wait().unwrap_err(), no_message(), "{get:?}");
    }
    let no_stream = ApiError::StreamNotFound { stream: "NO".into() };
    assert_eq!(js.get_message("NO", Get::Sequence(1)).wait().unwrap_err(), no_stream);
    js.create_stream(&StreamConfig::new("OFF").subject("off")).wait().unwrap();
    for stream in ["NO", "OFF"] {
        let off = ApiError::NoDirectGet { stream: stream.into() };
        assert_eq!(js.direct_get(stream, Get::Sequence(1)).wait().unwrap_err(), off);
        let mut batch = js.direct_get_batch(stream, &BatchGet::next(">", 1, 2)).unwrap();
        assert_eq!(batch.next().unwrap().unwrap_err(), off);
        assert!(batch.next().is_none());
    }
    assert!(matches!(js.get_message("a.b", Get::Sequence(1)).wait(), Err(ApiError::Name(_))));
}

pub(crate) fn many_messages_are_read_for_one_request(place: Place) {
    let (_server, js) = with_messages(place);
    let read = |get: BatchGet| -> Result<Vec<u64>, ApiError> {
        let messages: Result<Vec<StoredMessage>, _> =
            js.direct_get_batch("S", &get).unwrap().collect();
        Ok(messages?.iter().map(|message| message.sequence).collect())
    };
    assert_eq!(read(BatchGet::next("s.>", 0, 100)).unwrap(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(read(BatchGet::next("s.b", 3, 100)).unwrap(), [4, 6]);
    assert_eq!(read(BatchGet::next("s.>", 2, 3)).unwrap(), [2, 3, 4]);
    assert_eq!(read(BatchGet::last(["s.a", "s.b"])).unwrap(), [5, 6]);
    assert_eq!(read(BatchGet::last(["s.>"]).up_to(3)).unwrap(), [2, 3]);
    assert_eq!(read(BatchGet::next("s.none", 1, 3)).unwrap_err(), no_message());
    assert_eq!(read(BatchGet::last(["s.none"])).unwrap_err(), no_message());
}

pub(crate) fn messages_are_deleted_one_by_one_and_many_at_once(place: Place) {
    let (_server, js) = with_messages(place);
    assert!(js.delete_message("S", 2).wait().unwrap().success);
    assert!(js.erase_message("S", 3).wait().unwrap().success);
    for gone in [2, 3] {
        assert_eq!(js.get_message("S", Get::Sequence(gone)).wait().unwrap_err(), no_message());
    }
    assert_eq!(js.delete_message("S", 2).wait().unwrap_err(), no_message());
    assert_eq!(js.stream_info("S").wait().unwrap().state.num_deleted, 2);

    let purge = |purge: Purge| js.purge_stream("S", &purge).wait().unwrap().purged;
    assert_eq!(purge(Purge::all().subject("s.b").keep(1)), 1, "4 goes, 6 stays");
    assert_eq!(purge(Purge::all().before(5)), 1, "1 goes");
    let state = js.stream_info("S").wait().unwrap().state;
    assert_eq!((state.messages, state.first_seq, state.last_seq), (2, 5, 6));
    assert_eq!(purge(Purge::all()), 2);
    let both = js.purge_stream("S", &Purge::all().before(1).keep(1)).wait();
    assert!(matches!(both, Err(ApiError::Rejected { code: 400, .. })), "{both:?}");
}

#[test]
fn the_server_takes_every_field_of_a_stream_and_gives_it_back() {
    let (_server, js) = with_stream();
    let config = StreamConfig::new("ALL")
        .subject("all.>")
        .storage(Storage::File)
        .discard(Discard::New)
        .max_msgs(100)
        .max_msgs_per_subject(5)
        .discard_new_per_subject()
        .max_msg_size(1000)
        .description("everything")
        .allow_direct()
        .allow_rollup()
        .allow_msg_ttl()
        .allow_atomic()
        .deny_delete()
        .compression(Compression::S2)
        .metadata("owner", "billing")
        .source(StreamSource::new("S").filter("s.copied"))
        .republish(Republish::new("all.>", "again.>").headers_only())
        .subject_transform(SubjectTransform::new("all.old", "all.new"));
    let made = js.create_stream(&config).wait().unwrap();
    let got = &made.config;
    assert!(got.allow_direct && got.allow_rollup && got.allow_msg_ttl && got.allow_atomic);
    assert!(got.deny_delete && got.discard_new_per_subject && !got.deny_purge && !got.sealed);
    assert_eq!((got.max_msg_size, got.description.as_str()), (Some(1000), "everything"));
    assert_eq!((got.compression, &got.metadata["owner"]), (Compression::S2, &"billing".into()));
    assert_eq!(
        (&got.republish, &got.subject_transform),
        (&config.republish, &config.subject_transform)
    );
    assert_eq!(got.sources[0].filter_subject, "s.copied");
    js.update_stream(got).wait().expect("what the server gives can be sent back");
    assert!(made.ts.is_some() && made.cluster.is_none());
    assert_eq!((made.state.first_ts, made.state.last_ts), (None, None));

    js.publish("all.old", "x").unwrap().wait().unwrap();
    let state = js.stream_info("ALL").wait().unwrap().state;
    assert!(state.first_ts.is_some() && state.first_ts == state.last_ts);
    assert_eq!((state.num_subjects, state.num_deleted), (1, 0));
    assert_eq!(js.get_message("ALL", Get::Last("all.new")).wait().unwrap().sequence, 1);

    let copy = StreamConfig::new("COPY").mirror(StreamSource::new("S").from_sequence(2));
    let copy = js.create_stream(&copy).wait().unwrap();
    assert_eq!(copy.config.mirror.clone().unwrap().opt_start_seq, 2);
    let sealed = js.update_stream(&js.stream_info("S").wait().unwrap().config.seal());
    assert!(sealed.wait().unwrap().config.sealed);
    let refused = js.purge_stream("S", &Purge::all()).wait().unwrap_err();
    assert!(matches!(refused, ApiError::Sealed { .. }), "{refused:?}");
}

pub(crate) fn the_server_takes_every_field_of_a_consumer_and_gives_it_back(place: Place) {
    let (_server, js) = with_messages(place);
    let waits = [Duration::from_secs(1), Duration::from_secs(5)];
    let config = ConsumerConfig::durable("C")
        .deliver_from_sequence(3)
        .max_deliver(4)
        .backoff(waits)
        .inactive_threshold(Duration::from_secs(600))
        .max_waiting(7)
        .headers_only()
        .mem_storage()
        .replicas(1)
        .description("everything")
        .metadata("owner", "billing");
    let info = js.create_consumer("S", &config).wait().unwrap();
    let got = &info.config;
    assert_eq!((got.deliver_policy, got.opt_start_seq), (DeliverPolicy::ByStartSequence, 3));
    assert_eq!((&got.backoff[..], got.max_waiting), (&waits[..], 7));
    assert_eq!(got.inactive_threshold, Duration::from_secs(600));
    assert!(got.headers_only && got.mem_storage && got.num_replicas == 1);
    assert_eq!(
        (got.description.as_str(), &got.metadata["owner"]),
        ("everything", &"billing".into())
    );
    assert_eq!((info.num_pending, info.paused), (4, false));
    js.update_consumer("S", got).wait().expect("what the server gives can be sent back");

    let fourth = js.get_message("S", Get::Sequence(4)).wait().unwrap();
    let since = ConsumerConfig::durable("T").deliver_from_time(fourth.time);
    let since = js.create_consumer("S", &since).wait().unwrap();
    assert_eq!((since.num_pending, since.config.opt_start_time), (3, Some(fourth.time)));
}

pub(crate) fn the_subjects_of_a_stream_are_told_with_their_counts(place: Place) {
    let (_server, js) = with_stream_at(place);
    for subject in ["s.a", "s.b.1", "s.b.2", "s.b.2"] {
        js.publish(subject, "x").unwrap().wait().unwrap();
    }
    for (filter, offset, expected, total) in [
        (">", 0, &[("s.a", 1), ("s.b.1", 1), ("s.b.2", 2)][..], 3),
        ("s.b.*", 0, &[("s.b.1", 1), ("s.b.2", 2)], 2),
        ("s.b.*", 1, &[("s.b.2", 2)], 2),
        ("s.c", 0, &[], 0),
    ] {
        let told = js.stream_subjects("S", filter, offset).wait().unwrap();
        let subjects = told.subjects.iter().map(|(subject, count)| (&**subject, *count));
        assert_eq!(subjects.collect::<Vec<_>>(), expected, "{filter} from {offset}");
        assert_eq!(told.total, total, "{filter} from {offset}");
    }
}
