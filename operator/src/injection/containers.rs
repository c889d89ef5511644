//! The containers and volumes of a pod, and which containers get the files.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, Pod, Volume};

use super::{annotations::Annotations, launcher, nearest::did_you_mean, refusal::Refusal};
use crate::words;

/// A container, and where in the pod it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// The container.
    pub(super) container: &'a Container,
    /// `containers` or `initContainers`.
    pub(super) list: &'static str,
    /// Its index there.
    pub(super) index: usize,
}

impl Place<'_> {
    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.container.name
    }

    /// The path of one of its fields.
    pub(super) fn field(&self, name: &str) -> [String; 4] {
        ["spec", self.list, &self.index.to_string(), name].map(str::to_owned)
    }

    /// Whether it is an init container.
    pub(super) fn is_init(&self) -> bool {
        self.list == INIT_CONTAINERS
    }

    /// Whether it runs as long as the pod does, so that it can see a change.
    pub(super) fn lasts(&self) -> bool {
        !self.is_init() || self.container.restart_policy.as_deref() == Some("Always")
    }
}

/// Every container but our own: init containers first, as they run.
pub(super) fn all(pod: &Pod) -> Vec<Place<'_>> {
    let main = pod.spec.as_ref().map(|spec| spec.containers.as_slice());
    let main = main.unwrap_or_default().iter().enumerate();
    let init = init(pod).iter().enumerate();
    let init = init.map(|place| (INIT_CONTAINERS, place));
    init.chain(main.map(|place| (CONTAINERS, place)))
        .filter(|(list, (_, it))| *list == CONTAINERS || it.name != launcher::NAME)
        .map(|(list, (index, container))| Place {
            container,
            list,
            index,
        })
        .collect()
}

/// The init containers, our own among them.
pub(super) fn init(pod: &Pod) -> &[Container] {
    let spec = pod.spec.as_ref();
    let init = spec.and_then(|spec| spec.init_containers.as_deref());
    init.unwrap_or_default()
}

/// The volumes.
pub(super) fn volumes(pod: &Pod) -> &[Volume] {
    let spec = pod.spec.as_ref();
    let volumes = spec.and_then(|spec| spec.volumes.as_deref());
    volumes.unwrap_or_default()
}

/// The containers that get the files.
///
/// # Errors
/// One is named that is not there.
pub(super) fn selected<'a>(pod: &'a Pod, asked: &Annotations) -> Result<Vec<Place<'a>>, Refusal> {
    let all = all(pod);
    let Some(names) = &asked.containers else {
        return Ok(all);
    };
    let there: BTreeSet<&str> = all.iter().map(Place::name).collect();
    if let Some(name) = names.iter().find(|name| !there.contains(name.as_str())) {
        return Err(Refusal::NoContainer {
            name: name.chars().take(64).collect(),
            hint: did_you_mean(name, all.iter().map(Place::name)),
            there: words::listed(all.iter().map(Place::name)),
        });
    }
    let named = |place: &Place<'_>| names.contains(place.name());
    Ok(all.into_iter().filter(named).collect())
}

/// The pod's field for containers that run side by side.
pub(super) const CONTAINERS: &str = "containers";

/// The pod's field for containers that run before them.
pub(super) const INIT_CONTAINERS: &str = "initContainers";
