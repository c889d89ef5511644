//! kubelet's publish call, checked once: from here on there are no string maps.

use std::{collections::HashMap, path::Path};

use serde::{Deserialize, Serialize};

use super::{
    attributes::{Attributes, AttributesError},
    pod_token::{PodToken, TokenError, TokenPlace},
    v1::{NodePublishVolumeRequest, VolumeCapability, volume_capability::AccessType},
};
use crate::volume::{TargetPath, TargetPathError};

/// A volume that kubelet wants for a pod.
#[derive(Debug)]
pub struct PublishRequest {
    /// Where it goes.
    pub target: TargetPath,
    /// The pod, as kubelet names it: for the operator to compare, not to believe.
    pub pod: PodReference,
    /// The pod's token.
    pub token: PodToken,
    /// What the volume's author asked for.
    pub attributes: Attributes,
    /// The pod's fsGroup.
    pub group: Option<u32>,
}

/// A pod's names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodReference {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its service account.
    pub service_account: String,
}

impl PublishRequest {
    /// Checks a request. `target` is its target path, parsed.
    ///
    /// # Errors
    /// Each says what to change. None quotes a token.
    pub fn parse(
        target: TargetPath,
        request: &NodePublishVolumeRequest,
        place: TokenPlace,
    ) -> Result<Self, RequestError> {
        let context = &request.volume_context;
        check_ephemeral(context)?;
        let group = group(request.volume_capability.as_ref())?;
        if !request.readonly {
            return Err(RequestError::NotReadOnly);
        }
        let pod = PodReference::parse(context)?;
        if pod.uid != target.pod_uid() {
            return Err(RequestError::OtherPod);
        }
        Ok(Self {
            token: place.take(&request.secrets, context)?,
            attributes: Attributes::parse(context)?,
            target,
            pod,
            group,
        })
    }
}

/// Reads the target path: also what a request that cannot be read otherwise speaks of.
///
/// # Errors
/// It is empty, or not where kubelet puts CSI volumes.
pub fn target(kubelet_dir: &Path, volume_id: &str, path: &str) -> Result<TargetPath, RequestError> {
    if volume_id.is_empty() {
        return Err(RequestError::Empty("volume_id"));
    }
    if path.is_empty() {
        return Err(RequestError::Empty("target_path"));
    }
    Ok(TargetPath::parse(kubelet_dir, path)?)
}

impl PodReference {
    fn parse(context: &HashMap<String, String>) -> Result<Self, RequestError> {
        let field = |key| {
            let found = context.get(key).filter(|text| !text.is_empty());
            found.cloned().ok_or(RequestError::NoPodInfo(key))
        };
        Ok(Self {
            namespace: field("csi.storage.k8s.io/pod.namespace")?,
            name: field("csi.storage.k8s.io/pod.name")?,
            uid: field("csi.storage.k8s.io/pod.uid")?,
            service_account: field("csi.storage.k8s.io/serviceAccount.name")?,
        })
    }
}

/// Why a request is refused. Wrong for ever, unless the pod, the CSIDriver or our flags change.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The volume's attributes.
    #[error(transparent)]
    Attributes(#[from] AttributesError),
    /// A field that the specification requires.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// A capability that a volume of ours cannot have.
    #[error("{0}")]
    Capability(&'static str),
    /// The fsGroup is no number.
    #[error("the volume's mount group is not a number")]
    Group,
    /// The pod information is not there.
    #[error("kubelet did not send {0}: CSIDriver must have podInfoOnMount: true")]
    NoPodInfo(&'static str),
    /// A PersistentVolume.
    #[error(
        "only ephemeral volumes: name the driver in the pod, under volumes[].csi, and not in a \
         PersistentVolume; CSIDriver must have volumeLifecycleModes: [Ephemeral]"
    )]
    NotEphemeral,
    /// The container could write into the volume.
    #[error("the volume is writable for its containers: set readOnly: true under volumes[].csi")]
    NotReadOnly,
    /// The path is that of another pod.
    #[error("the target path belongs to another pod than the one that kubelet names")]
    OtherPod,
    /// The path is not below kubelet's directory.
    #[error(transparent)]
    Target(#[from] TargetPathError),
    /// The pod's token.
    #[error(transparent)]
    Token(#[from] TokenError),
}

fn check_ephemeral(context: &HashMap<String, String>) -> Result<(), RequestError> {
    match context
        .get("csi.storage.k8s.io/ephemeral")
        .map(String::as_str)
    {
        Some("true") => Ok(()),
        Some(_) => Err(RequestError::NotEphemeral),
        None => Err(RequestError::NoPodInfo("csi.storage.k8s.io/ephemeral")),
    }
}

fn group(capability: Option<&VolumeCapability>) -> Result<Option<u32>, RequestError> {
    let capability = capability.ok_or(RequestError::Empty("volume_capability"))?;
    match &capability.access_type {
        Some(AccessType::Mount(mount)) => {
            if !matches!(mount.fs_type.as_str(), "" | "tmpfs") {
                return Err(RequestError::Capability(
                    "the volume is a tmpfs: leave fsType out",
                ));
            }
            if !mount.mount_flags.is_empty() {
                return Err(RequestError::Capability("mount options cannot be changed"));
            }
            match mount.volume_mount_group.as_str() {
                "" => Ok(None),
                text => text.parse().map(Some).map_err(|_| RequestError::Group),
            }
        }
        Some(AccessType::Block(_)) => Err(RequestError::Capability("block volumes do not exist")),
        None => Err(RequestError::Empty("volume_capability.access_type")),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::csi::{
        pod_token::TOKENS_KEY,
        v1::volume_capability::{BlockVolume, MountVolume},
    };

    /// A request as kubelet 1.36 sends it.
    pub(crate) fn request() -> NodePublishVolumeRequest {
        let mut request = NodePublishVolumeRequest::default();
        "csi-0f".clone_into(&mut request.volume_id);
        "/k/pods/uid-1/volumes/kubernetes.io~csi/secrets/mount"
            .clone_into(&mut request.target_path);
        request.readonly = true;
        request.volume_capability = Some(VolumeCapability {
            access_type: Some(AccessType::Mount(MountVolume::default())),
            access_mode: None,
        });
        let token = r#"{"csi.secretvault.dev":{"token":"t"}}"#;
        request
            .secrets
            .insert(TOKENS_KEY.to_owned(), token.to_owned());
        for (key, value) in [
            ("csi.storage.k8s.io/ephemeral", "true"),
            ("csi.storage.k8s.io/pod.namespace", "shop"),
            ("csi.storage.k8s.io/pod.name", "web-0"),
            ("csi.storage.k8s.io/pod.uid", "uid-1"),
            ("csi.storage.k8s.io/serviceAccount.name", "web"),
            ("vaults", "app"),
        ] {
            request
                .volume_context
                .insert(key.to_owned(), value.to_owned());
        }
        request
    }

    fn parse(request: &NodePublishVolumeRequest) -> Result<PublishRequest, RequestError> {
        let target = target(Path::new("/k"), &request.volume_id, &request.target_path)?;
        PublishRequest::parse(target, request, TokenPlace::Secrets)
    }

    fn refused(change: impl FnOnce(&mut NodePublishVolumeRequest)) -> RequestError {
        let mut request = request();
        change(&mut request);
        parse(&request).unwrap_err()
    }

    fn mount(change: impl FnOnce(&mut MountVolume)) -> Option<VolumeCapability> {
        let mut mount = MountVolume::default();
        change(&mut mount);
        Some(VolumeCapability {
            access_type: Some(AccessType::Mount(mount)),
            access_mode: None,
        })
    }

    #[test]
    fn a_request_of_kubelet_is_read() {
        let read = parse(&request()).unwrap();
        assert_eq!(read.pod.name, "web-0");
        assert_eq!(read.pod.service_account, "web");
        assert_eq!(read.attributes.vaults, "app");
        assert_eq!(read.token.expose(), "t");
        assert_eq!(read.group, None);
    }

    #[test]
    fn the_mount_group_is_read() {
        let mut request = request();
        request.volume_capability = mount(|m| "2000".clone_into(&mut m.volume_mount_group));
        assert_eq!(parse(&request).unwrap().group, Some(2000));
    }

    #[test]
    fn what_is_missing_or_not_ours_is_refused() {
        assert_eq!(
            refused(|r| r.volume_id.clear()),
            RequestError::Empty("volume_id")
        );
        assert_eq!(
            refused(|r| r.target_path.clear()),
            RequestError::Empty("target_path")
        );
        assert_eq!(
            refused(|r| r.volume_capability = None),
            RequestError::Empty("volume_capability")
        );
        assert_eq!(refused(|r| r.readonly = false), RequestError::NotReadOnly);
        let path = "/k/pods/uid-2/volumes/kubernetes.io~csi/secrets/mount";
        assert_eq!(
            refused(|r| path.clone_into(&mut r.target_path)),
            RequestError::OtherPod
        );
        assert_eq!(
            refused(|r| r.secrets.clear()),
            RequestError::Token(TokenError::Missing)
        );
    }

    #[test]
    fn a_capability_that_a_secret_volume_cannot_have_is_refused() {
        let block = VolumeCapability {
            access_type: Some(AccessType::Block(BlockVolume {})),
            access_mode: None,
        };
        for capability in [
            Some(block),
            mount(|m| "ext4".clone_into(&mut m.fs_type)),
            mount(|m| m.mount_flags.push("rw".to_owned())),
        ] {
            let error = refused(|r| r.volume_capability = capability);
            assert!(matches!(error, RequestError::Capability(_)), "{error:?}");
        }
        let capability = mount(|m| "staff".clone_into(&mut m.volume_mount_group));
        assert_eq!(
            refused(|r| r.volume_capability = capability),
            RequestError::Group
        );
    }

    #[test]
    fn pod_information_is_demanded() {
        for key in [
            "csi.storage.k8s.io/ephemeral",
            "csi.storage.k8s.io/pod.namespace",
            "csi.storage.k8s.io/pod.name",
            "csi.storage.k8s.io/pod.uid",
            "csi.storage.k8s.io/serviceAccount.name",
        ] {
            let error = refused(|r| drop(r.volume_context.remove(key)));
            assert_eq!(error, RequestError::NoPodInfo(key));
        }
        let error = refused(|r| {
            r.volume_context.insert(
                "csi.storage.k8s.io/ephemeral".to_owned(),
                "false".to_owned(),
            );
        });
        assert_eq!(error, RequestError::NotEphemeral);
    }
}
