# The daily front door. Nothing needs it: each recipe is a plain command.

# formatting, lints, docs
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# all tests, on real servers
test:
    cargo test --workspace

# the main job, end to end
demo *options:
    cargo run --release -p jetlane-cli -- demo {{options}}

# what the pieces cost
bench *filter:
    cargo bench -p jetlane-bench --bench pieces -- {{filter}}

# one fuzz target (see fuzz/README.md) for some seconds; needs cargo-fuzz and a nightly toolchain
fuzz target="parser_bytes" seconds="60":
    cd fuzz && cargo +nightly fuzz run {{target}} -- -dict=nats.dict -max_total_time={{seconds}} -print_final_stats=1

# the loom models, and that each fails when an ordering is weakened
loom:
    cargo test -p jetlane-ring --lib models
    cargo test -p jetlane-lanes --lib model

# jetlane beside async-nats and a bare socket, held against its targets; the report goes to target/bench
compare *options:
    cargo run --release -p jetlane-bench -- compare {{options}}

# instructions of each piece, by callgrind; needs valgrind
icount:
    cargo run --release -p jetlane-bench -- icount

# where the time goes in the demo
flame:
    cargo build --release -p jetlane-cli
    perf record -F 2000 -g -o target/perf.data target/release/jetlane demo --no-progress
    perf report -i target/perf.data --no-children
