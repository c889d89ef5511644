//! The launcher: how it comes into a container, and what becomes of the container's command.
//!
//! An init container copies it into a volume in memory. From there it runs as the container's first
//! process, reads the files, and becomes the command that the container says, or stays to signal it.
//! So nothing of a value is in the pod's spec, and the image needs no launcher of its own.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Capabilities, Container, EmptyDirVolumeSource, ResourceRequirements, SeccompProfile,
        SecurityContext, Volume, VolumeMount,
    },
    apimachinery::pkg::api::resource::Quantity,
};

use super::{
    annotations::{Annotations, OnChange},
    containers::Place,
    mount_path::MountPath,
    refusal::Refusal,
};
use crate::config::PullPolicy;

/// Where the launcher comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launcher {
    /// Its image.
    pub image: String,
    /// When a node pulls that image.
    pub pull_policy: PullPolicy,
}

impl Launcher {
    /// The init container that brings it.
    ///
    /// Its limits are its requests, so that a pod of guaranteed quality stays one; it meets the
    /// restricted Pod Security Standard, so that a pod that does goes on doing so.
    pub(super) fn container(&self) -> Container {
        let amounts = || {
            let amounts = [("cpu", "20m"), ("memory", "32Mi")];
            let amounts = amounts.map(|(name, much)| (name.to_owned(), Quantity(much.to_owned())));
            Some(BTreeMap::from(amounts))
        };
        Container {
            name: NAME.to_owned(),
            image: Some(self.image.clone()),
            image_pull_policy: Some(format!("{:?}", self.pull_policy)),
            command: Some(install_command()),
            resources: Some(ResourceRequirements {
                limits: amounts(),
                requests: amounts(),
                ..ResourceRequirements::default()
            }),
            security_context: Some(restricted()),
            volume_mounts: Some(vec![VolumeMount {
                name: NAME.to_owned(),
                mount_path: DIRECTORY.to_owned(),
                ..VolumeMount::default()
            }]),
            ..Container::default()
        }
    }
}

/// Whether a container is the one that brings the launcher. Others may have changed what they care
/// for, such as where its image comes from or what it may use: that is theirs to say.
pub(super) fn is_launcher(container: &Container) -> bool {
    let mounts = container.volume_mounts.iter().flatten();
    let mut mounts = mounts.filter(|it| it.name == NAME && it.mount_path == DIRECTORY);
    container.command.as_deref() == Some(install_command().as_slice()) && mounts.next().is_some()
}

/// The volume that holds it: in memory, where nothing of it outlives the pod.
pub(super) fn volume() -> Volume {
    Volume {
        name: NAME.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: Some("Memory".to_owned()),
            size_limit: Some(Quantity("16Mi".to_owned())),
        }),
        ..Volume::default()
    }
}

/// Where the volume is mounted.
pub(super) fn mount_path() -> MountPath {
    MountPath::of(DIRECTORY)
}

/// The annotation for whose sake a pod needs the launcher, if it does.
pub(super) fn needed_for(asked: &Annotations) -> Option<&'static str> {
    match asked.on_change {
        _ if asked.env => Some("env"),
        OnChange::Signal(_) => Some("on-change"),
        OnChange::None | OnChange::Restart => None,
    }
}

/// What stands before a container's own command; none if it needs no launcher. A container that
/// ends before the pod runs gets no signals.
pub(super) fn prefix(asked: &Annotations, place: &Place<'_>) -> Option<Vec<String>> {
    let mut flags: Vec<&str> = Vec::new();
    if asked.env {
        flags.push("--env");
    }
    let signal = match asked.on_change {
        OnChange::Signal(name) if place.lasts() => Some(format!("signal:{name}")),
        OnChange::Signal(_) | OnChange::None | OnChange::Restart => None,
    };
    if let Some(signal) = &signal {
        flags.extend(["--on-change", signal]);
    }
    if flags.is_empty() {
        return None;
    }
    let start = [PROGRAM, "run", "--files", asked.mount_path.as_str()];
    let all = start.into_iter().chain(flags).chain(["--"]);
    Some(all.map(str::to_owned).collect())
}

/// The command that a container must have instead of its own; none if it has it already.
///
/// # Errors
/// It has no command, or one that starts a launcher in another way.
pub(super) fn command(
    place: &Place<'_>,
    prefix: &[String],
    annotation: &'static str,
) -> Result<Option<Vec<String>>, Refusal> {
    let container = || place.name().to_owned();
    let own = place.container.command.as_deref().unwrap_or_default();
    let Some(program) = own.first() else {
        let container = container();
        return Err(Refusal::NoCommand {
            container,
            annotation,
        });
    };
    if own.len() > prefix.len() && own.starts_with(prefix) {
        return Ok(None);
    }
    if program == PROGRAM {
        let container = container();
        return Err(Refusal::ForeignCommand { container });
    }
    Ok(Some([prefix, own].concat()))
}

fn install_command() -> Vec<String> {
    ["/secretvault-launcher", "install", PROGRAM]
        .map(str::to_owned)
        .to_vec()
}

fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            ..Capabilities::default()
        }),
        read_only_root_filesystem: Some(true),
        run_as_group: Some(NOBODY),
        run_as_non_root: Some(true),
        run_as_user: Some(NOBODY),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..SecurityContext::default()
    }
}

/// The name of the init container and of the volume.
pub(super) const NAME: &str = "secretvault-launcher";

/// Where the volume is mounted.
pub(super) const DIRECTORY: &str = "/secretvault";

/// The program in it.
pub(super) const PROGRAM: &str = "/secretvault/launcher";

/// No user of anything else.
const NOBODY: i64 = 65532;
