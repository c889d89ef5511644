//! The question about one volume.

use secretvault_delivery::v1::{self, FileDefaults};

use super::Held;
use crate::csi::PublishRequest;

/// Puts together what the operator must know: whose volume, what for, what it holds already.
pub fn question(request: &PublishRequest, held: &Held) -> v1::Volume {
    let PublishRequest {
        pod,
        token,
        attributes,
        ..
    } = request;
    v1::Volume {
        pod_token: token.expose().to_owned(),
        pod: Some(v1::PodReference {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            service_account: pod.service_account.clone(),
        }),
        vaults: attributes.vaults.clone(),
        items: attributes.items.clone(),
        defaults: Some(FileDefaults {
            uid: attributes.uid,
            gid: attributes.gid,
            mode: attributes.mode,
        }),
        held_vaults: held.vaults.iter().map(Into::into).collect(),
        held_files: held.files.iter().map(Into::into).collect(),
    }
}
