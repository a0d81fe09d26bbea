//! Several servers that form one JetStream cluster.

use std::path::Path;
use std::time::Duration;

use crate::port::HeldPort;
use crate::process::StartError;
use crate::server::Server;
use crate::{monitor, tools, wait};

/// An election takes up to nine seconds, and on a busy machine it may take several.
const LEADER_LIMIT: Duration = Duration::from_secs(60);

/// Clustered JetStream servers on loopback. Dropping it drops every node.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Server>,
    /// Held for as long as the nodes live, so that no other process gets the route port of a
    /// killed node.
    _route_ports: Vec<HeldPort>,
}

/// How a cluster is to be started.
#[derive(Debug)]
#[must_use = "a builder does nothing until `start` is called"]
pub struct ClusterBuilder {
    size: usize,
    config: String,
}

impl Cluster {
    /// Starts `size` nodes, see [`ClusterBuilder::start`].
    ///
    /// # Errors
    ///
    /// As [`ClusterBuilder::start`].
    pub fn start(size: usize) -> Result<Cluster, StartError> {
        Cluster::builder(size).start()
    }

    /// A cluster of `size` nodes to be started with a config of its own.
    pub fn builder(size: usize) -> ClusterBuilder {
        ClusterBuilder { size, config: String::new() }
    }

    /// The nodes, killed ones included.
    #[must_use]
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// One node, to kill or restart it.
    ///
    /// # Panics
    ///
    /// Panics when there is no node `index`.
    pub fn node_mut(&mut self, index: usize) -> &mut Server {
        &mut self.nodes[index]
    }

    /// The URLs of all nodes, in their order.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Server::url).collect()
    }

    /// Waits until every node that has not been killed knows the same leader and the leader knows
    /// each of them. To be called after a node was killed or restarted.
    ///
    /// # Errors
    ///
    /// [`StartError::NoLeader`] when that does not come to pass within a minute.
    pub fn wait_for_leader(&self) -> Result<(), StartError> {
        wait::until(LEADER_LIMIT, || self.is_agreed().then_some(())).ok_or_else(|| {
            StartError::NoLeader {
                limit_s: LEADER_LIMIT.as_secs(),
                log: tools::tail(&self.nodes[0].log()),
            }
        })
    }

    fn is_agreed(&self) -> bool {
        let mut leaders = Vec::new();
        let mut known_to_leader = 0;
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.is_running()) {
            let Some(view) = node.monitor_port().and_then(monitor::meta_view) else { return false };
            if view.leader == node_name(index) {
                known_to_leader = view.current_peers + 1;
            }
            leaders.push(view.leader);
        }
        // A leader that has been killed may be named for a while; it has no view here, so it is not
        // counted.
        leaders.windows(2).all(|pair| pair[0] == pair[1]) && known_to_leader >= leaders.len().max(1)
    }
}

impl ClusterBuilder {
    /// Adds text to the config file of every node, as [`ServerBuilder::config`] does.
    ///
    /// [`ServerBuilder::config`]: crate::ServerBuilder::config
    pub fn config(mut self, text: &str) -> ClusterBuilder {
        self.config.push_str(text);
        self.config.push('\n');
        self
    }

    /// Starts nodes called `n1`, `n2` and so on, and waits until each of them knows the meta
    /// leader and the leader knows each of them.
    ///
    /// # Errors
    ///
    /// [`StartError::ClusterSize`] for fewer than two nodes, [`StartError::NoLeader`] when no
    /// leader is found in time, and all that [`Server::start`] may fail with. On an error
    /// nothing is left running.
    pub fn start(self) -> Result<Cluster, StartError> {
        let ClusterBuilder { size, config } = self;
        if size < 2 {
            return Err(StartError::ClusterSize { size });
        }
        let route_ports = (0..size)
            .map(|_| HeldPort::any())
            .collect::<Result<Vec<_>, _>>()
            .map_err(StartError::system("reserve ports on", Path::new("127.0.0.1")))?;
        // The name differs from that of every other cluster: its nodes may dial a port that was
        // ours before.
        let name = format!("jetlane-{:016x}", fastrand::u64(..));
        let nodes = (0..size)
            .map(|index| {
                let base = node_config(&name, &route_ports, index);
                Server::builder().config(&config).base_config(&base).start()
            })
            .collect::<Result<Vec<_>, _>>()?;
        let cluster = Cluster { nodes, _route_ports: route_ports };
        cluster.wait_for_leader()?;
        Ok(cluster)
    }
}

fn node_name(index: usize) -> String {
    format!("n{}", index + 1)
}

fn node_config(cluster: &str, route_ports: &[HeldPort], index: usize) -> String {
    let routes: Vec<String> =
        route_ports.iter().map(|port| format!("nats://127.0.0.1:{}", port.number())).collect();
    format!(
        "server_name: {}\nhttp: \"127.0.0.1:-1\"\n\
         cluster {{ name: {cluster}, listen: \"127.0.0.1:{}\", routes: {routes:?} }}",
        node_name(index),
        route_ports[index].number(),
    )
}
