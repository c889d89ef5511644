//! The decision about one pod: what to add to it, or why not.

use std::collections::BTreeMap;

use json_patch::PatchOperation;
use k8s_openapi::api::core::v1::{EnvVar, Pod, PodSpec, Volume, VolumeMount};
use serde_json::json;

use super::{
    VOLUME,
    annotations::Annotations,
    containers::{self, INIT_CONTAINERS, Place},
    files::{Known, Wanted},
    launcher::{self, Launcher},
    mount_path::MountPath,
    patch::Patch,
    refusal::Refusal,
    variables::Variables,
    volume, warnings,
};
use crate::vaults::Vaults;

/// What to do with a pod that is admitted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Injection {
    /// What to add, in this order; nothing, if all of it is there.
    pub(crate) patch: Vec<PatchOperation>,
    /// What the pod's author should know.
    pub(crate) warnings: Vec<String>,
}

/// Decides about a pod that is to be created in `namespace`. Without a launcher nobody said where it
/// comes from.
///
/// # Errors
/// The pod cannot be as its annotations say.
pub(crate) fn inject(
    pod: &Pod,
    namespace: &str,
    known: Known<'_>,
    launcher: Option<&Launcher>,
) -> Result<Injection, Refusal> {
    let asked = match &pod.metadata.annotations {
        Some(annotations) => Annotations::parse(annotations)?,
        None => return Ok(Injection::default()),
    };
    if asked.attributes.is_empty() {
        return Ok(Injection::default());
    }
    check_kind(pod)?;
    let wanted = Wanted::parse(&asked, pod, namespace)?;
    let files = wanted.files(known);
    let variables = Variables::of(&asked, files.for_variables(&asked, &wanted)?)?;
    let mut work = Work {
        pod,
        asked: &asked,
        variables: &variables,
        patch: Patch::default(),
        warnings: warnings::all(pod, &asked, &files),
    };
    work.fill(launcher)?;
    Ok(Injection {
        patch: work.patch.into_operations(),
        warnings: work.warnings,
    })
}

/// Whether the labels of the pod's namespace may take part in the decision.
pub(crate) fn looks_at_namespace(pod: &Pod, namespace: &str, vaults: &Vaults) -> bool {
    let annotations = pod.metadata.annotations.as_ref();
    let asked = annotations.and_then(|annotations| Annotations::parse(annotations).ok());
    let asked = asked.filter(|asked| !asked.attributes.is_empty());
    let wanted = asked.and_then(|asked| Wanted::parse(&asked, pod, namespace).ok());
    wanted.is_some_and(|wanted| wanted.looks_at_namespace(vaults))
}

/// # Errors
/// No volume of ours can be in such a pod.
fn check_kind(pod: &Pod) -> Result<(), Refusal> {
    let mirrors = |it: &BTreeMap<String, String>| it.contains_key("kubernetes.io/config.mirror");
    if pod.metadata.annotations.as_ref().is_some_and(mirrors) {
        return Err(Refusal::StaticPod);
    }
    let windows = |spec: &PodSpec| {
        let os = spec.os.as_ref().map(|os| os.name.as_str());
        let selector = spec.node_selector.as_ref();
        let selected = selector.and_then(|it| it.get("kubernetes.io/os"));
        [os, selected.map(String::as_str)].contains(&Some("windows"))
    };
    if pod.spec.as_ref().is_some_and(windows) {
        return Err(Refusal::Windows);
    }
    Ok(())
}

/// A pod that is being filled.
struct Work<'a> {
    pod: &'a Pod,
    asked: &'a Annotations,
    variables: &'a Variables,
    patch: Patch,
    warnings: Vec<String>,
}

impl Work<'_> {
    fn fill(&mut self, launcher: Option<&Launcher>) -> Result<(), Refusal> {
        let selected = containers::selected(self.pod, self.asked)?;
        let variables = self.variables.set.len() + self.variables.launched.len();
        let containers = selected.len();
        if containers.saturating_mul(variables) > MAX_VARIABLES {
            return Err(Refusal::TooManyVariables {
                containers,
                variables,
            });
        }
        let mut volumes = Vec::new();
        volumes.extend(self.missing_volume(volume::volume(self.asked), VOLUME)?);
        let was_here = volumes.is_empty() && selected.iter().any(|it| self.is_mounted_in(it));
        let mut launched = false;
        for place in &selected {
            let before = self.patch.len();
            match self.container(place) {
                Ok(with_launcher) => launched |= with_launcher,
                Err(refusal) if was_here && self.may_go_without(place) => {
                    self.patch.truncate(before);
                    let name = place.name();
                    self.warnings.push(format!(
                        "container {name} was added later and gets no secrets: {refusal}"
                    ));
                }
                Err(refusal) => return Err(refusal),
            }
        }
        if let (true, Some(annotation)) = (launched, launcher::needed_for(self.asked)) {
            volumes.extend(self.missing_volume(launcher::volume(), launcher::NAME)?);
            self.add_volumes(&volumes);
            return self.bring_launcher(launcher, annotation);
        }
        self.add_volumes(&volumes);
        Ok(())
    }

    /// Whether a container that cannot have the files may run without: if nobody named it, and it may
    /// be another webhook's, which came after this one. Else no sidecar of a mesh could be in an
    /// annotated pod.
    fn may_go_without(&self, place: &Place<'_>) -> bool {
        self.asked.containers.is_none() && !self.is_mounted_in(place)
    }

    fn is_mounted_in(&self, place: &Place<'_>) -> bool {
        let mut mounts = place.container.volume_mounts.iter().flatten();
        mounts.any(|it| volume::is_mount(it, VOLUME, &self.asked.mount_path))
    }

    /// Gives a container its mounts, its variables, and the launcher before its command; true if it
    /// has the launcher.
    fn container(&mut self, place: &Place<'_>) -> Result<bool, Refusal> {
        let mut mounts = Vec::new();
        mounts.extend(missing_mount(place, VOLUME, &self.asked.mount_path)?);
        let variables = missing_variables(place, self.variables)?;
        let prefix = launcher::prefix(self.asked, place);
        let annotation = launcher::needed_for(self.asked);
        if let (Some(prefix), Some(annotation)) = (&prefix, annotation) {
            check_order(self.pod, place)?;
            let path = launcher::mount_path();
            mounts.extend(missing_mount(place, launcher::NAME, &path)?);
            if let Some(command) = launcher::command(place, prefix, annotation)? {
                self.patch.set(&place.field("command"), json!(command));
            }
        }
        let there = |list: Option<usize>| list.unwrap_or_default();
        let own = place.container.volume_mounts.as_ref().map(Vec::len);
        self.patch
            .append(&place.field("volumeMounts"), there(own), &mounts);
        // First, so that the container's own variables can refer to them.
        let own = place.container.env.as_ref().map(Vec::len);
        self.patch
            .prepend(&place.field("env"), there(own), &variables);
        Ok(prefix.is_some())
    }

    fn missing_volume(
        &self,
        wanted: Volume,
        name: &'static str,
    ) -> Result<Option<Volume>, Refusal> {
        let volumes = containers::volumes(self.pod);
        match volumes.iter().find(|it| it.name == name) {
            None => Ok(Some(wanted)),
            Some(found) if *found == wanted => Ok(None),
            Some(_) => Err(Refusal::ForeignVolume { name }),
        }
    }

    fn add_volumes(&mut self, volumes: &[Volume]) {
        let there = containers::volumes(self.pod).len();
        self.patch.append(&["spec", "volumes"], there, volumes);
    }

    /// Adds the init container that brings the launcher, before all others. That moves the others, so
    /// it is the last operation.
    fn bring_launcher(
        &mut self,
        launcher: Option<&Launcher>,
        annotation: &'static str,
    ) -> Result<(), Refusal> {
        let init = containers::init(self.pod);
        match init.iter().find(|it| it.name == launcher::NAME) {
            Some(found) if launcher::is_launcher(found) => Ok(()),
            Some(_) => Err(Refusal::ForeignLauncher),
            None => {
                let launcher = launcher.ok_or(Refusal::NoLauncherImage { annotation })?;
                let list = ["spec", INIT_CONTAINERS];
                self.patch
                    .prepend(&list, init.len(), &[launcher.container()]);
                Ok(())
            }
        }
    }
}

/// The mount that a container lacks.
///
/// # Errors
/// Something else is mounted there, above or below.
fn missing_mount(
    place: &Place<'_>,
    volume: &'static str,
    path: &MountPath,
) -> Result<Option<VolumeMount>, Refusal> {
    let mut there = false;
    for mount in place.container.volume_mounts.iter().flatten() {
        if volume::is_mount(mount, volume, path) {
            there = true;
        } else if path.clashes_with(&mount.mount_path) {
            return Err(Refusal::MountConflict {
                container: place.name().to_owned(),
                volume: mount.name.clone(),
                path: mount.mount_path.clone(),
                mount_path: path.clone(),
                remedy: remedy(mount, volume),
            });
        }
    }
    Ok((!there).then(|| volume::mount(volume, path)))
}

fn remedy(mount: &VolumeMount, volume: &'static str) -> &'static str {
    if mount.name == volume {
        "take this mount out, it is added by itself"
    } else if volume == VOLUME {
        "choose another secretvault.dev/mount-path"
    } else {
        "mount it elsewhere"
    }
}

/// The variables that a container lacks.
///
/// # Errors
/// It has one of its own by the same name.
fn missing_variables(place: &Place<'_>, wanted: &Variables) -> Result<Vec<EnvVar>, Refusal> {
    let own = place.container.env.as_deref().unwrap_or_default();
    let taken = |name: &str| Refusal::VariableTaken {
        container: place.name().to_owned(),
        name: name.to_owned(),
    };
    let has = |name: &str| own.iter().find(|variable| variable.name == name);
    if let Some(name) = wanted.launched.keys().find(|name| has(name).is_some()) {
        return Err(taken(name));
    }
    let mut missing = Vec::new();
    for (name, text) in &wanted.set {
        let wanted = EnvVar {
            name: name.clone(),
            value: Some(text.clone()),
            ..EnvVar::default()
        };
        match has(name) {
            None => missing.push(wanted),
            Some(found) if *found == wanted => {}
            Some(_) => return Err(taken(name)),
        }
    }
    Ok(missing)
}

/// How many variables are added to all containers of a pod together. An API server stores no object
/// beyond 1.5 MiB, and one of these has some 75 bytes at least.
pub(super) const MAX_VARIABLES: usize = 20_000;

/// # Errors
/// The container would need the launcher before it is there.
fn check_order(pod: &Pod, place: &Place<'_>) -> Result<(), Refusal> {
    let mut init = containers::init(pod).iter();
    let launcher = init.position(|it| it.name == launcher::NAME);
    if place.is_init() && launcher.is_some_and(|launcher| launcher > place.index) {
        let container = place.name().to_owned();
        return Err(Refusal::BeforeLauncher { container });
    }
    Ok(())
}
