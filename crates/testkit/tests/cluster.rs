//! A cluster of real nats-servers.

mod wire;

use jetlane_testkit::{Cluster, StartError};
use wire::Connection;

const CREATE: &str = r#"{"name":"THREE","subjects":["three"],"num_replicas":3}"#;

#[test]
fn it_replicates_at_once_and_survives_the_loss_of_any_node() {
    let mut cluster = Cluster::start(3).unwrap();
    assert_eq!(cluster.nodes().len(), 3);
    let urls: Vec<String> = cluster.nodes().iter().map(|node| node.url()).collect();
    assert_eq!(cluster.urls(), urls);

    let mut connection = Connection::open(cluster.nodes()[0].port());
    let created = connection.request("$JS.API.STREAM.CREATE.THREE", CREATE);
    assert!(created.contains("\"did_create\":true"), "{created}");
    for index in 0..3 {
        cluster.node_mut(index).kill();
        cluster.wait_for_leader().unwrap();
        cluster.node_mut(index).restart().unwrap();
        cluster.wait_for_leader().unwrap();
    }
    let info = Connection::open(cluster.nodes()[1].port()).request("$JS.API.STREAM.NAMES", "");
    assert!(info.contains("THREE"), "{info}");
}

#[test]
fn clusters_do_not_meet() {
    let clusters = [Cluster::start(3).unwrap(), Cluster::start(2).unwrap()];
    for (cluster, expected) in clusters.iter().zip([3, 2]) {
        let mut connection = Connection::open(cluster.nodes()[0].port());
        let urls = connection.info.split("\"connect_urls\":[").nth(1).unwrap().to_owned();
        let urls = urls.split(']').next().unwrap().split(',').count();
        assert_eq!(urls, expected, "{}", connection.info);
        connection.send("PING\r\n");
        assert_eq!(connection.line(), "PONG");
    }
}

#[test]
fn a_node_keeps_its_place_over_a_reload() {
    let cluster = Cluster::start(3).unwrap();
    cluster.nodes()[2].reload("max_payload: 3000").unwrap();
    cluster.wait_for_leader().unwrap();
    assert!(Connection::open(cluster.nodes()[2].port()).info.contains("\"max_payload\":3000"));
}

#[test]
fn all_nodes_get_the_config_of_the_cluster() {
    let cluster =
        Cluster::builder(2).config("max_payload: 3000").config("ping_max: 7").start().unwrap();
    for node in cluster.nodes() {
        let info = Connection::open(node.port()).info;
        assert!(info.contains("\"max_payload\":3000"), "{info}");
    }
}

#[test]
fn too_small_a_cluster_is_refused() {
    for size in [0, 1] {
        let error = Cluster::start(size).unwrap_err();
        assert!(matches!(error, StartError::ClusterSize { size: found } if found == size));
    }
}
