//! kubelet's plugin registration: kubelet finds our socket and asks who we are.

use std::{path::PathBuf, sync::Arc};

use tonic::{Request, Response, Status, async_trait};
use tracing::{error, info};

use super::plugin::{
    InfoRequest, PluginInfo, RegistrationStatus, RegistrationStatusResponse,
    registration_server::Registration,
};
use crate::metrics::Metrics;

/// The service.
#[derive(Clone, Debug)]
pub struct RegistrationService {
    /// The driver's name.
    pub driver_name: String,
    /// The CSI socket.
    pub endpoint: PathBuf,
    /// Shows whether we are registered.
    pub metrics: Arc<Metrics>,
}

#[async_trait]
impl Registration for RegistrationService {
    async fn get_info(
        &self,
        _request: Request<InfoRequest>,
    ) -> Result<Response<PluginInfo>, Status> {
        Ok(Response::new(PluginInfo {
            r#type: "CSIPlugin".to_owned(),
            name: self.driver_name.clone(),
            endpoint: self.endpoint.display().to_string(),
            supported_versions: vec!["1.0.0".to_owned()],
        }))
    }

    async fn notify_registration_status(
        &self,
        request: Request<RegistrationStatus>,
    ) -> Result<Response<RegistrationStatusResponse>, Status> {
        let status = request.into_inner();
        self.metrics.registered(status.plugin_registered);
        if status.plugin_registered {
            info!("registered with kubelet");
        } else {
            error!(error = status.error, "kubelet refuses the registration");
        }
        Ok(Response::new(RegistrationStatusResponse {}))
    }
}
