//! The calls as the specification has them: what csi-sanity asks, and kubelet's registration.

use std::{fs, os::unix::fs::PermissionsExt};

use secretvault_node_agent::csi::{
    plugin::{InfoRequest, RegistrationStatus, registration_client::RegistrationClient},
    v1::{
        GetPluginCapabilitiesRequest, GetPluginInfoRequest, NodeGetCapabilitiesRequest,
        NodeGetInfoRequest, NodeGetVolumeStatsRequest, ProbeRequest,
        node_service_capability::{Type, rpc},
    },
};
use tonic::Code;

use crate::node::{Node, connect_as_kubelet, eventually, is_socket, on_a_node};

const REGISTRATION: &str = "plugins_registry/csi.secretvault.dev@reg.sock";

#[test]
#[ignore = "needs root: make test"]
fn kubelet_finds_the_driver_and_finds_it_again() {
    on_a_node(|node| {
        let socket = node.path(REGISTRATION);
        eventually("the socket is there", || is_socket(&socket));
        let ask = |node: &Node| {
            node.wait(async {
                let mut client =
                    RegistrationClient::new(connect_as_kubelet(&node.path(REGISTRATION)));
                let info = client.get_info(InfoRequest {}).await?.into_inner();
                let status = RegistrationStatus {
                    plugin_registered: true,
                    ..Default::default()
                };
                client.notify_registration_status(status).await?;
                Ok::<_, tonic::Status>(info)
            })
        };
        let info = ask(node).unwrap();
        assert_eq!(
            (info.r#type.as_str(), info.name.as_str()),
            ("CSIPlugin", "csi.secretvault.dev")
        );
        assert!(is_socket(info.endpoint.as_ref()), "{}", info.endpoint);
        assert_eq!(info.supported_versions, ["1.0.0"]);
        assert!(
            node.get("/metrics")
                .unwrap()
                .contains("secretvault_agent_registered 1")
        );
        for path in [&info.endpoint, socket.to_str().unwrap()] {
            assert_eq!(
                fs::metadata(path).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
        fs::remove_file(&socket).unwrap();
        eventually("the socket is there again", || {
            is_socket(&socket) && ask(node).is_ok()
        });
    });
}

#[test]
#[ignore = "needs root: make test"]
fn the_driver_says_who_it_is_and_what_it_can() {
    on_a_node(|node| {
        let (mut identity, mut driver) = (node.identity(), node.node());
        node.wait(async {
            let info = identity
                .get_plugin_info(GetPluginInfoRequest {})
                .await
                .unwrap();
            let info = info.into_inner();
            assert_eq!(info.name, "csi.secretvault.dev");
            // CSI demands one; csi-sanity does not look.
            assert_eq!(info.vendor_version, env!("CARGO_PKG_VERSION"));
            let request = GetPluginCapabilitiesRequest {};
            let capabilities = identity.get_plugin_capabilities(request).await.unwrap();
            assert!(capabilities.into_inner().capabilities.is_empty());
            let probe = identity.probe(ProbeRequest {}).await.unwrap();
            assert_eq!(probe.into_inner().ready, Some(true));
            let info = driver.node_get_info(NodeGetInfoRequest {}).await.unwrap();
            assert_eq!(info.into_inner().node_id, "node-1");
            let request = NodeGetCapabilitiesRequest {};
            let capabilities = driver
                .node_get_capabilities(request)
                .await
                .unwrap()
                .into_inner();
            let types =
                capabilities
                    .capabilities
                    .into_iter()
                    .map(|one| match one.r#type.unwrap() {
                        Type::Rpc(rpc) => rpc.r#type(),
                    });
            let expected = [
                rpc::Type::GetVolumeStats,
                rpc::Type::VolumeCondition,
                rpc::Type::VolumeMountGroup,
            ];
            assert_eq!(types.collect::<Vec<_>>(), expected);
        });
    });
}

#[test]
#[ignore = "needs root: make test"]
fn readiness_is_what_the_operator_asks_for() {
    on_a_node(|node| {
        assert!(node.get("/readyz").unwrap().starts_with("HTTP/1.1 200"));
        fs::rename(node.path("token"), node.path("token-away")).unwrap();
        assert!(node.get("/readyz").unwrap().starts_with("HTTP/1.1 503"));
        let mut identity = node.identity();
        let probe = node.wait(identity.probe(ProbeRequest {})).unwrap();
        assert_eq!(probe.into_inner().ready, Some(false));
        assert!(node.get("/livez").unwrap().starts_with("HTTP/1.1 200"));
    });
}

#[test]
#[ignore = "needs root: make test"]
fn calls_that_lack_what_they_must_have_are_refused() {
    on_a_node(|node| {
        let code = |published: Result<(), tonic::Status>| published.unwrap_err().code();
        let mut request = node.request("t");
        request.volume_id.clear();
        assert_eq!(code(node.publish_as(request)), Code::InvalidArgument);
        let mut request = node.request("t");
        request.target_path.clear();
        assert_eq!(code(node.publish_as(request)), Code::InvalidArgument);
        let mut request = node.request("t");
        request.volume_capability = None;
        assert_eq!(code(node.publish_as(request)), Code::InvalidArgument);
        let mut request = node.request("t");
        request.readonly = false;
        assert_eq!(code(node.publish_as(request)), Code::InvalidArgument);
        let path = node.mount();
        let path = path.to_str().unwrap();
        assert_eq!(code(node.unpublish_at("", path)), Code::InvalidArgument);
        assert_eq!(code(node.unpublish_at("csi-1", "")), Code::InvalidArgument);
        assert_eq!(
            code(node.unpublish_at("csi-1", "/etc")),
            Code::InvalidArgument
        );
        assert!(node.operator.seen().is_empty());
    });
}

#[test]
#[ignore = "needs root: make test"]
fn there_are_no_stats_of_what_is_not_there() {
    on_a_node(|node| {
        let target = node.mount().display().to_string();
        for (id, path, code) in [
            ("", target.as_str(), Code::InvalidArgument),
            ("csi-1", "", Code::InvalidArgument),
            ("csi-1", target.as_str(), Code::NotFound),
            ("csi-1", "/some/path", Code::NotFound),
        ] {
            let request = NodeGetVolumeStatsRequest {
                volume_id: id.to_owned(),
                volume_path: path.to_owned(),
                ..Default::default()
            };
            let mut driver = node.node();
            let stats = node.wait(driver.node_get_volume_stats(request));
            assert_eq!(stats.unwrap_err().code(), code, "{id} {path}");
        }
    });
}
