//! Which key was meant.

use strsim::osa_distance;

/// The key most like `unknown`: its own name, if it stands beside it, else its whole path.
pub(super) fn nearest(unknown: &str, known: &[String]) -> String {
    let (section, name) = split(unknown);
    let likeness = |key: &&String| {
        let (other_section, other_name) = split(key);
        // A key that stands in another section is meant only if it is much more alike.
        let elsewhere = usize::from(other_section != section) * 3;
        let distance = osa_distance(name, other_name) * 2 + elsewhere;
        (distance, osa_distance(section, other_section))
    };
    let Some(best) = known.iter().min_by_key(likeness) else { return String::new() };
    match split(best) {
        (best_section, best_name) if best_section == section => best_name.into(),
        _ => best.clone(),
    }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('.').unwrap_or(("", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_named() {
        let known: Vec<String> = [
            "eventbus",
            "eventbus.type",
            "eventbus.uri",
            "eventbus.nats",
            "eventbus.nats.urls",
            "eventbus.nats.token",
            "eventbus.nats.jetstream.consumer",
            "eventbus.nats.jetstream.consumer.max_ack_pending",
            "eventbus.nats.jetstream.consumer.ack_wait",
            "eventbus.nats.jetstream.stream.max_msgs",
        ]
        .map(String::from)
        .into();
        for (unknown, expected) in [
            ("eventbus.nats.jetstream.consumer.max_ack_pendng", "max_ack_pending"),
            ("eventbus.nats.jetstream.consumer.maxAckPending", "max_ack_pending"),
            ("eventbus.tpye", "type"),
            ("eventbuss", "eventbus"),
            ("eventbus.nats.url", "urls"),
            // Nearer to one that stands elsewhere, but not much.
            ("eventbus.nats.uril", "urls"),
            ("eventbus.nats.ack_wait", "eventbus.nats.jetstream.consumer.ack_wait"),
            ("eventbus.consumer", "eventbus.nats.jetstream.consumer"),
            (
                "eventbus.nats.jetstream.consumer.max_msgs",
                "eventbus.nats.jetstream.stream.max_msgs",
            ),
        ] {
            assert_eq!(nearest(unknown, &known), expected, "{unknown}");
        }
    }
}
