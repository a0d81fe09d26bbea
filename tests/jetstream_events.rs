//! What a stream and a consumer say: lists, pauses, refusals of publishes, advisories.

use std::time::{Duration, SystemTime};

use jetlane_jetstream::{
    AdvisoryEvent, ApiError, ConsumerConfig, Get, JetStream, NotStored, PublishHeaders, Rejection,
    Rollup, StreamConfig,
};
use jetlane_tests::DEADLINE;
use jetlane_tests::place::Place;
use jetlane_tests::stream::with_stream_at;

pub(crate) fn lists_go_on_behind_their_first_page(place: Place) {
    let (_server, js) = with_stream_at(place);
    let calls: Vec<_> = (0..300)
        .map(|n| {
            js.create_consumer("S", &ConsumerConfig::durable(format!("C{n:03}")).mem_storage())
        })
        .collect();
    for call in calls {
        call.wait().unwrap();
    }
    let consumers: Result<Vec<_>, _> = js.consumers("S").collect();
    let mut names: Vec<_> = consumers.unwrap().into_iter().map(|info| info.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 300, "a page has 256");
    assert_eq!(js.consumer_names("S").map(Result::unwrap).count(), 300);

    js.create_stream(&StreamConfig::new("T").subject("t")).wait().unwrap();
    let all: Vec<_> = js.streams(">").map(|info| info.unwrap().config.name).collect();
    assert_eq!(all, ["S", "T"]);
    assert_eq!(js.all_stream_names("t").map(Result::unwrap).collect::<Vec<_>>(), ["T"]);
    assert_eq!(js.all_stream_names("none").count(), 0);
    let mut missing = js.consumers("NO");
    assert!(matches!(missing.next(), Some(Err(ApiError::StreamNotFound { .. }))));
    assert!(missing.next().is_none());
    let mut bad = js.consumer_names("a.b");
    assert!(matches!(bad.next(), Some(Err(ApiError::Name(_)))));
    assert!(bad.next().is_none());

    let account = js.account_info().wait().unwrap();
    assert_eq!((account.total.streams, account.total.consumers), (2, 300));
    assert_eq!((account.total.limits.max_streams, account.domain.as_str()), (None, ""));
    assert!(account.api.total > 300 && account.api.level >= 1, "{:?}", account.api);
}

pub(crate) fn a_consumer_is_paused_and_resumed(place: Place) {
    let (_server, js) = with_stream_at(place);
    js.create_consumer("S", &ConsumerConfig::durable("C")).wait().unwrap();
    let until = SystemTime::now() + Duration::from_secs(600);
    let mut advisories = js.advisories("S", "C").unwrap();
    let paused = js.pause_consumer("S", "C", until).wait().unwrap();
    assert_eq!((paused.paused, paused.pause_until), (true, Some(until)));
    let info = js.consumer_info("S", "C").wait().unwrap();
    assert_eq!((info.paused, info.config.pause_until), (true, Some(until)));
    assert!(info.pause_remaining > Duration::from_secs(500), "{:?}", info.pause_remaining);
    let resumed = js.resume_consumer("S", "C").wait().unwrap();
    assert_eq!((resumed.paused, resumed.pause_until), (false, None));
    assert!(!js.consumer_info("S", "C").wait().unwrap().paused);
    let mut next = || advisories.next_timeout(DEADLINE).unwrap().unwrap().event;
    assert_eq!(next(), AdvisoryEvent::Paused { until: Some(until) });
    assert_eq!(next(), AdvisoryEvent::Resumed);
    let none = js.pause_consumer("S", "NO", until).wait().unwrap_err();
    assert!(matches!(none, ApiError::ConsumerNotFound { .. }), "{none:?}");
}

fn refused(js: &JetStream, headers: &PublishHeaders) -> Rejection {
    match js.publish_with("s.x", headers, "").unwrap().wait() {
        Err(NotStored::Rejected(why)) => *why,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn a_stream_stores_only_what_was_expected(place: Place) {
    let (_server, js) = with_stream_at(place);
    let wide = StreamConfig::new("S").subject("s.>").allow_msg_ttl().allow_rollup();
    js.update_stream(&wide).wait().unwrap();
    let new = PublishHeaders::new;
    let first = new().msg_id("one").unwrap().expected_last_subject_sequence(0);
    let stored = |headers: &PublishHeaders| js.publish_with("s.x", headers, "").unwrap().wait();
    assert_eq!(stored(&first).unwrap().sequence, 1);
    let second = new().expected_stream("S").unwrap().expected_last_msg_id("one").unwrap();
    assert_eq!(stored(&second.expected_last_sequence(1)).unwrap().sequence, 2);
    for lost in [new().expected_last_sequence(1), new().expected_last_subject_sequence(1)] {
        let why = refused(&js, &lost);
        assert!(why.is_wrong_last_sequence() && !why.is_temporary(), "{why}");
    }
    let elsewhere = new().expected_last_sequence_of("s.y", 0).unwrap();
    assert_eq!(stored(&elsewhere).unwrap().sequence, 3);
    assert_eq!(refused(&js, &new().expected_stream("T").unwrap()).error_code, 10060);
    assert_eq!(refused(&js, &new().expected_last_msg_id("two").unwrap()).error_code, 10070);

    stored(&new().rollup(Rollup::Subject).ttl(Duration::from_millis(3_599_001))).unwrap();
    let state = js.stream_info("S").wait().unwrap().state;
    assert_eq!((state.messages, state.first_seq), (1, 4));
    let last = js.get_message("S", Get::Sequence(4)).wait().unwrap();
    assert_eq!(last.headers().unwrap().get("Nats-TTL"), Some(&b"3600"[..]));
    stored(&new().rollup(Rollup::All).never_expires()).unwrap();
    assert_eq!(js.stream_info("S").wait().unwrap().state.messages, 1);
}

pub(crate) fn what_happens_to_messages_is_told_in_advisories(place: Place) {
    let (_server, js) = with_stream_at(place);
    let config = ConsumerConfig::durable("C").max_deliver(2);
    let consumer = js.create_consumer("S", &config).wait().unwrap();
    let mut advisories = js.advisories("S", "C").unwrap();
    js.client().flush().wait().unwrap();
    js.publish("s.x", "").unwrap().wait().unwrap();
    let mut messages = js.consume(&consumer).queued().unwrap();
    messages.next_timeout(DEADLINE).unwrap().nak(Duration::ZERO);
    messages.next_timeout(DEADLINE).unwrap().nak(Duration::ZERO);
    let mut next = || advisories.next_timeout(DEADLINE).unwrap().unwrap();
    let nak = next();
    assert_eq!((nak.stream.as_str(), nak.consumer.as_str()), ("S", "C"));
    let expected = AdvisoryEvent::Nak { stream_sequence: 1, consumer_sequence: 1, deliveries: 1 };
    assert_eq!(nak.event, expected);
    assert!(nak.time.is_some() && !nak.id.is_empty());
    assert!(matches!(next().event, AdvisoryEvent::Nak { deliveries: 2, .. }));
    let given_up = AdvisoryEvent::MaxDeliveries { stream_sequence: 1, deliveries: 2 };
    assert_eq!(next().event, given_up);

    js.publish("s.x", "").unwrap().wait().unwrap();
    messages.next_timeout(DEADLINE).unwrap().term("no such order");
    let AdvisoryEvent::Terminated { stream_sequence, reason, .. } = next().event else {
        panic!("another event")
    };
    assert_eq!((stream_sequence, reason.as_str()), (2, "no such order"));

    // Who forges one is told from the server, and ends nothing.
    js.client().publish("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.C", "{").unwrap();
    assert!(advisories.next_timeout(DEADLINE).unwrap().is_err());
    assert!(js.advisories("a.*", "C").is_err());
}
