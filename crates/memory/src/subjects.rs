//! What filters have in common.

use jetlane_proto::SubjectFilter;

/// Whether some subject matches both filters.
pub(crate) fn overlap(a: &str, b: &str) -> bool {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some("*"), Some(_)) | (Some(_), Some("*")) => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

/// Whether one of the filters matches. No filter is one that matches all.
pub(crate) fn any_matches(filters: &[SubjectFilter], subject: &str) -> bool {
    filters.is_empty() || filters.iter().any(|filter| filter.matches(subject.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_overlap_if_a_subject_matches_both() {
        for (a, b, expected) in [
            ("a", "a", true),
            ("a", "b", false),
            ("a.*", "*.b", true),
            ("a.*", "b.*", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            ("*", "a.b", false),
            (">", "a.b", true),
            ("a.*.c", "a.>", true),
            ("a.b", "a.b.c", false),
        ] {
            assert_eq!((overlap(a, b), overlap(b, a)), (expected, expected), "{a} and {b}");
        }
    }
}
