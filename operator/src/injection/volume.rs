//! The volume that is injected.

use k8s_openapi::api::core::v1::{CSIVolumeSource, Volume, VolumeMount};

use super::{DRIVER, VOLUME, annotations::Annotations, mount_path::MountPath};

/// The volume that the annotations ask for.
pub(super) fn volume(asked: &Annotations) -> Volume {
    let attributes = asked.attributes.iter();
    let attributes = attributes.map(|(name, text)| ((*name).to_owned(), text.clone()));
    Volume {
        name: VOLUME.to_owned(),
        csi: Some(CSIVolumeSource {
            driver: DRIVER.to_owned(),
            read_only: Some(true),
            volume_attributes: Some(attributes.collect()),
            ..CSIVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// Its mount in a container.
pub(super) fn mount(volume: &str, path: &MountPath) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.as_str().to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    }
}

/// Whether a mount shows all of this volume there, and read-only.
pub(super) fn is_mount(mount: &VolumeMount, volume: &str, path: &MountPath) -> bool {
    mount.name == volume
        && path.is(&mount.mount_path)
        && mount.read_only == Some(true)
        && !shows_a_part(mount)
}

/// Whether a mount shows a part of its volume only: such a one stays as it was when the container
/// started, whatever becomes of the volume.
fn shows_a_part(mount: &VolumeMount) -> bool {
    let given = |path: &Option<String>| path.as_deref().is_some_and(|path| !path.is_empty());
    given(&mount.sub_path) || given(&mount.sub_path_expr)
}
