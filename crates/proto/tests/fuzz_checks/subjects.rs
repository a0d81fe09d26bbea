//! What must hold of subjects, filters and names, whatever a caller gives.
//!
//! An input is a list of texts, each of which is taken for everything: up to four of them, and then for a subject, its
//! reply subject, a filter and its queue group.

use jetlane_proto::{
    AsSubject, NameError, Subject, SubjectError, SubjectFilter, check_filter, check_name,
    check_subject, encode, outbound,
};

use super::subjects_slow as slow;

/// Checks that what may be used is what the rules allow, and that it stays one word of one frame.
pub(crate) fn check(data: &[u8]) {
    let mut texts = super::texts(data);
    texts.resize(4, String::new());
    for text in &texts {
        check_as_subject(text);
        check_as_filter(text);
        check_as_name(text);
    }
    for filter in &texts {
        for subject in &texts {
            check_match(filter, subject);
        }
    }
    let [subject, reply, filter, queue] = &*texts else { unreachable!() };
    check_publish(subject, reply, data);
    check_subscribe(filter, queue);
}

fn check_as_subject(text: &str) {
    let checked = check_subject(text);
    assert_eq!(checked.is_ok(), slow::is_subject(text), "{checked:?}: {text:?}");
    match (&checked, Subject::new(text)) {
        (Ok(()), Ok(subject)) => {
            assert_eq!((subject.as_str(), subject.as_subject()), (text, Ok(text)));
            assert_eq!(subject.to_string(), text);
            assert!(check_filter(text).is_ok(), "a subject is a filter for itself");
        }
        (Err(error), Err(made)) => {
            assert_eq!(made, *error);
            check_subject_error(error, text);
        }
        (checked, made) => panic!("checked: {checked:?}, made: {made:?}"),
    }
    assert_eq!(text.as_subject(), checked.map(|()| text));
}

fn check_as_filter(text: &str) {
    let checked = check_filter(text);
    assert_eq!(checked.is_ok(), slow::is_filter(text), "{checked:?}: {text:?}");
    match (&checked, SubjectFilter::new(text)) {
        (Ok(()), Ok(filter)) => {
            assert_eq!((filter.as_str(), &*filter.to_string()), (text, text));
            assert_eq!(filter.is_literal(), slow::is_subject(text), "{text:?}");
        }
        (Err(error), Err(made)) => {
            assert_eq!(made, *error);
            check_subject_error(error, text);
        }
        (checked, made) => panic!("checked: {checked:?}, made: {made:?}"),
    }
}

/// What is said to be wrong is there.
fn check_subject_error(error: &SubjectError, text: &str) {
    let token = |at: usize| text[at..].split('.').next();
    match *error {
        SubjectError::Empty => assert!(text.is_empty()),
        SubjectError::TooLong { len } => assert!(len == text.len() && len > 3800),
        SubjectError::EmptyToken { at } => assert_eq!(token(at), Some("")),
        SubjectError::Forbidden { byte, at } => assert_eq!(text.as_bytes()[at], byte),
        SubjectError::WildcardInPublish { at } => assert!(matches!(token(at), Some("*" | ">"))),
        SubjectError::TailNotLast { at } => assert!(text[at..].starts_with(">.")),
        _ => panic!("an error that the checks do not know: {error:?}"),
    }
    assert!(!error.to_string().is_empty());
}

fn check_as_name(text: &str) {
    let checked = check_name(text);
    assert_eq!(checked.is_ok(), slow::is_name(text), "{checked:?}: {text:?}");
    match checked {
        Ok(()) => assert!(check_subject(text).is_ok(), "a name is a token"),
        Err(NameError::Empty) => assert!(text.is_empty()),
        Err(NameError::TooLong { len }) => assert!(len == text.len() && len > 255),
        Err(NameError::Forbidden { found, .. }) => assert!(text.contains(found)),
        Err(error) => panic!("an error that the checks do not know: {error:?}"),
    }
}

/// The subject need not be one: a server sends what it likes.
fn check_match(filter: &str, subject: &str) {
    let Ok(made) = SubjectFilter::new(filter) else { return };
    fn tokens(text: &str) -> Vec<&[u8]> {
        text.split('.').map(str::as_bytes).collect()
    }
    let expected = slow::matches(&tokens(filter), &tokens(subject));
    assert_eq!(made.matches(subject.as_bytes()), expected, "{filter:?} on {subject:?}");
    if made.is_literal() {
        assert_eq!(expected, filter == subject, "{filter:?} on {subject:?}");
    }
}

/// A PUB of what may be published is one frame, with these words and this payload.
fn check_publish(subject: &str, reply: &str, payload: &[u8]) {
    if check_subject(subject).is_err() {
        return;
    }
    let reply = if check_subject(reply).is_ok() { reply } else { "" };
    let mut out = Vec::new();
    encode::publish(&mut out, subject.as_bytes(), reply.as_bytes(), payload);
    let frames: Vec<_> = outbound::frames(&out).collect();
    let [frame] = &*frames else { panic!("{} frames: {frames:?}", frames.len()) };
    assert_eq!((frame.range.clone(), frame.size), (0..out.len(), payload.len()));
    let found = frame.publish_reply.map(|span| &out[span.range()]);
    assert_eq!(found, Some(reply.as_bytes()));
    let size = payload.len().to_string();
    assert_eq!(words(&out), without_empty(&["PUB", subject, reply, &size]));
}

/// A SUB of what may be subscribed to is one frame, with these words.
fn check_subscribe(filter: &str, queue: &str) {
    if check_filter(filter).is_err() {
        return;
    }
    let queue = if check_name(queue).is_ok() { queue } else { "" };
    let mut out = Vec::new();
    encode::subscribe(&mut out, filter.as_bytes(), queue.as_bytes(), 7);
    let frames: Vec<_> = outbound::frames(&out).collect();
    let [frame] = &*frames else { panic!("{} frames: {frames:?}", frames.len()) };
    assert_eq!((frame.range.clone(), frame.publish_reply), (0..out.len(), None));
    assert_eq!(words(&out), without_empty(&["SUB", filter, queue, "7"]));
}

/// The words of the first line, as a server tells them apart.
fn words(out: &[u8]) -> Vec<&[u8]> {
    let line = out.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
    line.split(blank).filter(|word| !word.is_empty()).collect()
}

fn without_empty<'a>(words: &[&'a str]) -> Vec<&'a [u8]> {
    words.iter().filter(|word| !word.is_empty()).map(|word| word.as_bytes()).collect()
}
