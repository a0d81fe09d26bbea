//! The rules of subjects, filters and names, and what a filter matches, written down one by one.
//!
//! White space is that of ASCII: a server looks at bytes, and those of other white space end nothing on the wire.

/// Tokens with something in them between dots, and nothing that would end the subject on the wire.
pub(crate) fn is_subject(text: &str) -> bool {
    is_filter(text) && !text.split('.').any(|token| token == "*" || token == ">")
}

/// A subject that may have wildcards, of which `>` takes all that follows.
pub(crate) fn is_filter(text: &str) -> bool {
    let tokens: Vec<&str> = text.split('.').collect();
    let (_, before_last) = tokens.split_last().expect("at least one token");
    text.len() <= 3800
        && tokens.iter().all(|token| !token.is_empty())
        && !text.chars().any(ends_a_word)
        && !before_last.contains(&">")
}

/// One token, without wildcards, that is no path either.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && !text.chars().any(ends_a_word)
        && !text.contains(['.', '*', '>', '/', '\\'])
}

/// Token by token.
pub(crate) fn matches(filter: &[&[u8]], subject: &[&[u8]]) -> bool {
    match (filter, subject) {
        ([], []) => true,
        ([b">"], [_, ..]) => true,
        ([wanted, filter @ ..], [token, subject @ ..]) => {
            (*wanted == b"*" || wanted == token) && matches(filter, subject)
        }
        _ => false,
    }
}

fn ends_a_word(char: char) -> bool {
    char.is_ascii_whitespace() || char.is_ascii_control()
}
