//! gRPC and REST on one port.

use tonic_health::pb::{health_client::HealthClient, HealthCheckRequest};

use super::{
    page::assert_shown,
    support::{assert_conforms, assert_revalidates, Server},
};

#[path = "../../examples/grpc.rs"]
#[allow(dead_code, unreachable_pub)]
mod program;

#[tokio::test]
async fn grpc_is_answered_beside_rest() {
    let server = Server::new(program::app()).await;
    let channel = tonic::transport::Channel::from_shared(server.url.clone()).unwrap();
    let mut client = HealthClient::new(channel.connect().await.unwrap());
    for _ in 0..2 {
        let answer = client.check(HealthCheckRequest::default()).await.unwrap();
        assert!(answer.metadata().get("etag").is_none());
        assert_eq!(answer.into_inner().status, 1, "serving");
    }
    let mut watch =
        client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status, 1);

    assert_shown(&server, "gRPC beside REST").await;
    assert_revalidates(&server, "/flags", &[]).await;
    assert_conforms(&server.check("/flags").await, &[]);
}
