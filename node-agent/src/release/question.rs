//! The question about one volume.

use secretvault_delivery::v1::{self, FileDefaults};

use super::{Changed, Held, HeldVault};
use crate::csi::PublishRequest;

/// Puts together what the operator must know: whose volume, what for, what it holds already, and
/// what should have come by now.
pub fn question(request: &PublishRequest, held: &Held, changed: &[Changed]) -> v1::Volume {
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
        held_vaults: held
            .vaults
            .iter()
            .map(|vault| v1::HeldVault {
                at_least: at_least(vault, changed),
                ..vault.into()
            })
            .collect(),
        held_files: held.files.iter().map(Into::into).collect(),
    }
}

/// The generation that another replica has told us of; 0: none.
fn at_least(vault: &HeldVault, changed: &[Changed]) -> i64 {
    let told = changed
        .iter()
        .filter(|changed| changed.known && vault.handle.as_ref() == Some(&changed.handle));
    told.map(|changed| changed.at_least).max().unwrap_or(0)
}
