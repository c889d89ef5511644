//! CSI Identity: who we are, and whether we can serve.

use std::sync::Arc;

use tonic::{Request, Response, Status, async_trait};

use super::v1::{
    GetPluginCapabilitiesRequest, GetPluginCapabilitiesResponse, GetPluginInfoRequest,
    GetPluginInfoResponse, ProbeRequest, ProbeResponse, identity_server::Identity,
};
use crate::publish::Publisher;

/// The service.
#[derive(Debug)]
pub struct IdentityService {
    /// The driver's name.
    pub driver_name: String,
    /// Tells whether we can serve.
    pub publisher: Arc<Publisher>,
}

#[async_trait]
impl Identity for IdentityService {
    async fn get_plugin_info(
        &self,
        _request: Request<GetPluginInfoRequest>,
    ) -> Result<Response<GetPluginInfoResponse>, Status> {
        Ok(Response::new(GetPluginInfoResponse {
            name: self.driver_name.clone(),
            vendor_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..GetPluginInfoResponse::default()
        }))
    }

    async fn get_plugin_capabilities(
        &self,
        _request: Request<GetPluginCapabilitiesRequest>,
    ) -> Result<Response<GetPluginCapabilitiesResponse>, Status> {
        Ok(Response::new(GetPluginCapabilitiesResponse::default()))
    }

    async fn probe(
        &self,
        _request: Request<ProbeRequest>,
    ) -> Result<Response<ProbeResponse>, Status> {
        let ready = self.publisher.is_ready().await;
        Ok(Response::new(ProbeResponse { ready: Some(ready) }))
    }
}
