//! The tables in docs name tests that prove what they say: those must be there.

use std::fs;
use std::path::Path;

/// Files whose modules have another name.
fn file_of(module: &str) -> &str {
    match module {
        "core_nats" => "core",
        "traces" => "tracing",
        other => other,
    }
}

/// The tests that `page` names, as module and name.
fn named(page: &str) -> Vec<(String, String)> {
    let word = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    page.split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|code| code.split_once("::"))
        .filter(|(module, name)| word(module) && word(name) && *module != "file")
        .map(|(module, name)| (module.into(), name.into()))
        .collect()
}

#[test]
fn every_test_that_the_docs_name_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for page in ["docs/FEATURES.md", "docs/RELIABILITY.md"] {
        let text = fs::read_to_string(root.join(page)).unwrap();
        let tests = named(&text);
        assert!(tests.len() > 10, "{page} names {} tests", tests.len());
        for (module, name) in tests {
            let file = root.join("tests").join(format!("{}.rs", file_of(&module)));
            let source = fs::read_to_string(&file).unwrap_or_default();
            assert!(source.contains(&format!("fn {name}(")), "{page} names {module}::{name}");
        }
    }
}
