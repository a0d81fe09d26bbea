//! What the nodes of a cluster know of their meta leader, asked over their HTTP monitor.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// One node's view of the meta group.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MetaView {
    /// Empty while the node knows of no leader.
    pub(crate) leader: String,
    /// How many other nodes are up to date, as far as this node knows; only the leader knows of
    /// all.
    pub(crate) current_peers: usize,
}

/// Asks the node whose monitor listens on `port`; `None` when it gives no whole answer.
pub(crate) fn meta_view(port: u16) -> Option<MetaView> {
    get(port, "/jsz").ok().as_deref().and_then(parse)
}

fn get(port: u16, path: &str) -> io::Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_LIMIT)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.set_write_timeout(Some(ANSWER_LIMIT))?;
    // Version 1.0 makes the server close the connection behind its answer, which marks the end.
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn parse(answer: &str) -> Option<MetaView> {
    let (_, meta) = answer.split_once("\"meta_cluster\"")?;
    let leader = match meta.split_once("\"leader\": \"") {
        Some((_, rest)) => rest.split_once('"')?.0.to_owned(),
        None => String::new(),
    };
    Some(MetaView { leader, current_peers: meta.matches("\"current\": true").count() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_read_from_answers() {
        let check = |answer: &str, expected: Option<(&str, usize)>| {
            let expected = expected.map(|(leader, current_peers)| MetaView {
                leader: leader.to_owned(),
                current_peers,
            });
            assert_eq!(parse(answer), expected, "{answer}");
        };
        let replicas = r#""replicas": [{"current": true}, {"current": false}, {"current": true}]"#;
        check(&format!(r#""meta_cluster": {{"leader": "n2", {replicas}}}"#), Some(("n2", 2)));
        check(&format!(r#""meta_cluster": {{{replicas}}}"#), Some(("", 2)));
        check(r#""meta_cluster": {"leader": "n"#, None);
        check("HTTP/1.0 503 Service Unavailable", None);
    }
}
