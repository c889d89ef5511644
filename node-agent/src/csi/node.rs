//! CSI Node: kubelet's calls, turned into operations, and their ends into answers.

use std::{path::PathBuf, sync::Arc, time::Instant};

use tonic::{Request, Response, Status, async_trait};
use tracing::{debug, warn};

use super::{
    PublishRequest, TokenPlace,
    request::{self, RequestError},
    v1::{
        NodeGetCapabilitiesRequest, NodeGetCapabilitiesResponse, NodeGetInfoRequest,
        NodeGetInfoResponse, NodeGetVolumeStatsRequest, NodeGetVolumeStatsResponse,
        NodePublishVolumeRequest, NodePublishVolumeResponse, NodeServiceCapability,
        NodeUnpublishVolumeRequest, NodeUnpublishVolumeResponse, VolumeCondition, VolumeUsage,
        node_server::Node,
        node_service_capability::{Rpc, Type, rpc},
        volume_usage::Unit,
    },
};
use crate::{
    metrics::Metrics,
    publish::{Outcome, PublishError, Publisher, Trouble, VolumeStats},
    volume::TargetPath,
};

/// The service.
#[derive(Debug)]
pub struct NodeService {
    /// Does the work.
    pub publisher: Arc<Publisher>,
    /// Counts it.
    pub metrics: Arc<Metrics>,
    /// The node's name: all that there is to know of a node.
    pub node_name: String,
    /// Where targets lie.
    pub kubelet_dir: PathBuf,
    /// Where this cluster's kubelets put tokens.
    pub token_place: TokenPlace,
}

#[async_trait]
impl Node for NodeService {
    async fn node_publish_volume(
        &self,
        request: Request<NodePublishVolumeRequest>,
    ) -> Result<Response<NodePublishVolumeResponse>, Status> {
        let begun = Instant::now();
        let published = self.publish(&request.into_inner()).await;
        match &published {
            Ok(outcome) => self.metrics.published(*outcome, begun.elapsed()),
            Err(error) => self.metrics.refused(error.reason(), begun.elapsed()),
        }
        match published {
            Ok(_) => Ok(Response::new(NodePublishVolumeResponse {})),
            Err(error) => Err(Status::from(&error)),
        }
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<NodeUnpublishVolumeRequest>,
    ) -> Result<Response<NodeUnpublishVolumeResponse>, Status> {
        let request = request.into_inner();
        let removed = match self.target(&request.volume_id, &request.target_path) {
            Ok(target) => self.publisher.unpublish(target).await,
            Err(error) => Err(error.into()),
        };
        match removed {
            Ok(()) => Ok(Response::new(NodeUnpublishVolumeResponse {})),
            Err(error) => {
                let message = error.message();
                warn!(
                    volume = request.target_path,
                    error = message,
                    "volume not removed"
                );
                Err(Status::from(&error))
            }
        }
    }

    async fn node_get_volume_stats(
        &self,
        request: Request<NodeGetVolumeStatsRequest>,
    ) -> Result<Response<NodeGetVolumeStatsResponse>, Status> {
        let request = request.into_inner();
        let not_found = || Status::not_found("no volume is published at this path");
        let target = match self.target(&request.volume_id, &request.volume_path) {
            Ok(target) => target,
            Err(error @ RequestError::Empty(_)) => {
                return Err(Status::invalid_argument(error.to_string()));
            }
            Err(_) => return Err(not_found()),
        };
        match self.publisher.stats(target).await {
            Ok(Some(stats)) => Ok(Response::new(stats.into())),
            Ok(None) => Err(not_found()),
            Err(error) => Err(Status::from(&error)),
        }
    }

    async fn node_get_capabilities(
        &self,
        _request: Request<NodeGetCapabilitiesRequest>,
    ) -> Result<Response<NodeGetCapabilitiesResponse>, Status> {
        let capabilities = CAPABILITIES.map(|capability| NodeServiceCapability {
            r#type: Some(Type::Rpc(Rpc {
                r#type: capability.into(),
            })),
        });
        Ok(Response::new(NodeGetCapabilitiesResponse {
            capabilities: capabilities.into(),
        }))
    }

    async fn node_get_info(
        &self,
        _request: Request<NodeGetInfoRequest>,
    ) -> Result<Response<NodeGetInfoResponse>, Status> {
        Ok(Response::new(NodeGetInfoResponse {
            node_id: self.node_name.clone(),
            ..NodeGetInfoResponse::default()
        }))
    }
}

impl NodeService {
    async fn publish(&self, request: &NodePublishVolumeRequest) -> Result<Outcome, PublishError> {
        let target = self.target(&request.volume_id, &request.target_path)?;
        let published = match PublishRequest::parse(target.clone(), request, self.token_place) {
            Ok(parsed) => self.publisher.publish(parsed).await,
            Err(error) => self.publisher.keep(target.clone(), error.into()).await,
        };
        match &published {
            Ok(outcome) => debug!(volume = %target, ?outcome, "published"),
            Err(error) => {
                let (reason, message) = (error.reason(), error.message());
                warn!(volume = %target, ?reason, error = message, "not published");
            }
        }
        published
    }

    fn target(&self, volume_id: &str, path: &str) -> Result<TargetPath, RequestError> {
        request::target(&self.kubelet_dir, volume_id, path)
    }
}

impl From<VolumeStats> for NodeGetVolumeStatsResponse {
    fn from(stats: VolumeStats) -> Self {
        let (room, used) = (stats.usage.room, stats.usage.used);
        Self {
            usage: vec![
                usage(room.bytes, used.bytes, Unit::Bytes),
                usage(room.inodes, used.inodes, Unit::Inodes),
            ],
            volume_condition: Some(condition(stats.trouble)),
        }
    }
}

fn usage(total: u64, used: u64, unit: Unit) -> VolumeUsage {
    let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
    VolumeUsage {
        total: number(total),
        used: number(used),
        available: number(total.saturating_sub(used)),
        unit: unit.into(),
    }
}

fn condition(trouble: Option<Trouble>) -> VolumeCondition {
    match trouble {
        None => VolumeCondition {
            abnormal: false,
            message: "up to date".to_owned(),
        },
        Some(trouble) => VolumeCondition {
            abnormal: true,
            message: format!("the files stay as they were: {}", trouble.message),
        },
    }
}

const CAPABILITIES: [rpc::Type; 3] = [
    rpc::Type::GetVolumeStats,
    rpc::Type::VolumeCondition,
    rpc::Type::VolumeMountGroup,
];
