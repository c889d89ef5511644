//! Who asks, and for what: a pod, or what a workload makes pods of, and the volumes in it.
//!
//! A volume's attributes are read as the node agent reads them, and a pod's annotations stand for the
//! volume that the operator makes of them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodSpec, PodTemplateSpec, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use secretvault_vault::{
    FileAttributes, FileMode, PlaceholderError, PodFacts, Request, Subject, names::MAX_OWNER_ID,
    resolve_items,
};
use thiserror::Error;

use crate::nearest::nearest;

/// A pod, or the template of pods that are not there yet.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    /// Such as `Pod` or `Deployment`.
    pub(super) kind: String,
    /// The namespace.
    pub(super) namespace: String,
    /// The pod's or the workload's name.
    pub(super) name: String,
    /// The pods' service account.
    pub(super) account: String,
    /// The node, if a pod has one.
    pub(super) node: Option<String>,
    /// The pods' labels.
    pub(super) labels: BTreeMap<String, String>,
    /// The pods' fsGroup: the group of files for which nobody says one.
    pub(super) group: Option<i64>,
    /// The volumes of our driver.
    pub(super) volumes: Vec<AskedVolume>,
    /// Whether the pod has ended.
    pub(super) ended: bool,
}

/// A volume of our driver.
#[derive(Clone, Debug)]
pub(super) struct AskedVolume {
    /// Its name in the pod.
    pub(super) name: String,
    attributes: BTreeMap<String, String>,
    read_only: bool,
}

/// Why a volume asks for nothing.
#[derive(Debug, Error)]
pub(super) enum Unasked {
    /// It is refused, whatever vaults there are.
    #[error("{0}")]
    Refused(String),
    /// It cannot be said before there is a pod, or before it has a node.
    #[error("{0}, before the pod runs")]
    NotYet(PlaceholderError),
}

impl Asker {
    /// A pod as it is. Only its volumes count: what its annotations asked for was made when it was
    /// created, or never.
    pub(super) fn of_pod(pod: Pod) -> Self {
        let phase = pod.status.and_then(|status| status.phase);
        let spec = pod.spec.unwrap_or_default();
        Self {
            node: spec.node_name.clone(),
            ended: matches!(phase.as_deref(), Some("Succeeded" | "Failed")),
            ..Self::new("Pod", pod.metadata, spec)
        }
    }

    /// A pod's manifest, which is to be created: annotations count.
    pub(super) fn of_manifest(pod: Pod) -> Self {
        let annotations = pod.metadata.annotations.clone();
        Self::of_pod(pod).with_annotations(annotations)
    }

    /// What a workload makes pods of.
    pub(super) fn of_template(kind: &str, owner: &ObjectMeta, template: PodTemplateSpec) -> Self {
        let of_pods = template.metadata.unwrap_or_default();
        let annotations = of_pods.annotations.clone();
        let metadata = ObjectMeta {
            name: owner.name.clone(),
            namespace: owner.namespace.clone(),
            ..of_pods
        };
        Self::new(kind, metadata, template.spec.unwrap_or_default()).with_annotations(annotations)
    }

    fn new(kind: &str, metadata: ObjectMeta, spec: PodSpec) -> Self {
        let volumes = spec.volumes.unwrap_or_default();
        let account = spec.service_account_name.or(spec.service_account);
        Self {
            kind: kind.to_owned(),
            namespace: metadata.namespace.unwrap_or_default(),
            name: metadata.name.unwrap_or_default(),
            account: account
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| "default".to_owned()),
            node: None,
            labels: metadata.labels.unwrap_or_default(),
            group: spec.security_context.and_then(|context| context.fs_group),
            volumes: volumes.into_iter().filter_map(AskedVolume::of).collect(),
            ended: false,
        }
    }

    /// The volume that annotations ask for, unless it is there.
    fn with_annotations(mut self, annotations: Option<BTreeMap<String, String>>) -> Self {
        let ours = annotations.unwrap_or_default().into_iter();
        let ours = ours.filter_map(|(key, text)| {
            let name = key.strip_prefix(PREFIX)?;
            ATTRIBUTES.contains(&name).then(|| (name.to_owned(), text))
        });
        let attributes: BTreeMap<String, String> = ours.collect();
        let there = self.volumes.iter().any(|volume| volume.name == INJECTED);
        if attributes.contains_key("vaults") && !there {
            self.volumes.push(AskedVolume {
                name: INJECTED.to_owned(),
                attributes,
                read_only: true,
            });
        }
        self
    }

    /// As whom the pod asks, as far as its namespace's labels are known.
    pub(super) fn subject(&self, namespace_labels: BTreeMap<String, String>) -> Subject {
        Subject {
            namespace: self.namespace.clone(),
            service_account: self.account.clone(),
            labels: self.labels.clone(),
            namespace_labels,
        }
    }

    /// What a volume asks for.
    ///
    /// # Errors
    /// It would be refused whatever the vaults say, or is not known yet.
    pub(super) fn request(&self, volume: &AskedVolume) -> Result<Request, Unasked> {
        let facts = PodFacts {
            namespace: &self.namespace,
            name: (self.kind == "Pod").then_some(self.name.as_str()),
            service_account: &self.account,
            node: self.node.as_deref(),
            labels: &self.labels,
        };
        volume.check()?;
        let items = volume.attribute("items");
        let items = resolve_items(items, &facts).map_err(|error| match error {
            PlaceholderError::NotYet { .. } => Unasked::NotYet(error),
            PlaceholderError::NoLabel { .. }
            | PlaceholderError::NoSegment { .. }
            | PlaceholderError::TooLong
            | PlaceholderError::Unclosed
            | PlaceholderError::Unknown { .. } => {
                Unasked::Refused(format!("volume attribute {error}"))
            }
        })?;
        let defaults = volume.defaults()?;
        let vaults = volume.attribute("vaults");
        Request::parse(&self.namespace, vaults, &items, defaults)
            .map_err(|error| Unasked::Refused(format!("volume attribute {error}")))
    }
}

impl AskedVolume {
    fn of(volume: Volume) -> Option<Self> {
        let csi = volume.csi.filter(|csi| csi.driver == DRIVER)?;
        let attributes = csi.volume_attributes.unwrap_or_default().into_iter();
        Some(Self {
            name: volume.name,
            attributes: attributes
                .filter(|(key, _)| !key.starts_with(KUBELET_PREFIX))
                .collect(),
            read_only: csi.read_only == Some(true),
        })
    }

    fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    fn check(&self) -> Result<(), Unasked> {
        if !self.read_only {
            let text = "the volume is writable for its containers: set readOnly: true under \
                        volumes[].csi";
            return Err(Unasked::Refused(text.to_owned()));
        }
        let mut names = self.attributes.keys();
        match names.find(|name| !ATTRIBUTES.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => {
                let meant = nearest(name, ATTRIBUTES);
                let hint = meant.map_or_else(String::new, |it| format!(", did you mean {it}?"));
                Err(Unasked::Refused(format!(
                    "unknown volume attribute {name:?}{hint}: there are {}",
                    ATTRIBUTES.join(", ")
                )))
            }
        }
    }

    fn defaults(&self) -> Result<FileAttributes, Unasked> {
        let refused = |name: &str, why: &str| Unasked::Refused(format!("attribute {name}: {why}"));
        let owner = |name: &str| match self.attributes.get(name) {
            None => Ok(None),
            Some(text) => {
                let id = text.trim().parse::<u32>().ok();
                let id = id.filter(|id| *id <= MAX_OWNER_ID);
                let why = format!("{text:?} is not a number from 0 to {MAX_OWNER_ID}");
                id.map(Some).ok_or_else(|| refused(name, &why))
            }
        };
        let mode = self.attributes.get("mode");
        let mode = mode.map(|text| text.trim().parse::<FileMode>()).transpose();
        Ok(FileAttributes {
            uid: owner("uid")?,
            gid: owner("gid")?,
            mode: mode.map_err(|error| refused("mode", &error.to_string()))?,
        })
    }
}

/// What every annotation of ours begins with.
const PREFIX: &str = "secretvault.dev/";

/// The driver of our volumes.
const DRIVER: &str = "csi.secretvault.dev";

/// The volume that the operator makes of annotations.
const INJECTED: &str = "secretvault";

/// kubelet's own keys.
const KUBELET_PREFIX: &str = "csi.storage.k8s.io/";

/// What a volume may say.
const ATTRIBUTES: [&str; 5] = ["vaults", "items", "uid", "gid", "mode"];
