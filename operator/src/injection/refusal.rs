//! Why a pod is not admitted.

use secretvault_vault::{FilePath, PlaceholderError, RequestError};
use thiserror::Error;

use super::{
    PREFIX, annotations::AnnotationError, launcher, mount_path::MountPath,
    variables::VariablesError,
};

/// Why a pod is not admitted. The text names what is wrong and what to do, and holds no value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Refusal {
    /// An annotation means nothing.
    #[error(transparent)]
    Annotation(#[from] AnnotationError),
    /// An init container that would need the launcher before it is there.
    #[error(
        "init container {container} stands before {}, which it needs: put it after, or name the other containers in {PREFIX}containers",
        launcher::NAME
    )]
    BeforeLauncher {
        /// The container.
        container: String,
    },
    /// No variables for files that are not there.
    #[error(
        "annotation {PREFIX}file-env: it cannot be told now which files there will be: {0}; apply the vault first, or name the variables in {PREFIX}env-file"
    )]
    FilesAwaited(secretvault_vault::Refusal),
    /// No variables for files that depend on what is not known.
    #[error(
        "annotation {PREFIX}file-env: which files there will be depends on the pod's name or node, which is not known yet: name the variables in {PREFIX}env-file"
    )]
    FilesNameless,
    /// A container that starts a launcher of its own.
    #[error(
        "container {container} starts {} already, but not as its annotations say: write the command that it shall run",
        launcher::PROGRAM
    )]
    ForeignCommand {
        /// The container.
        container: String,
    },
    /// A container by our launcher's name that is another.
    #[error(
        "init container {} is there and is not the launcher: rename it",
        launcher::NAME
    )]
    ForeignLauncher,
    /// A volume by one of our names that is another.
    #[error(
        "volume {name} is there and is not what the annotations ask for: take it out, it is added by itself (or rename it)"
    )]
    ForeignVolume {
        /// Its name.
        name: &'static str,
    },
    /// Something else is mounted where the files, or the launcher, would be.
    #[error(
        "container {container} mounts volume {volume} at {path}, where it would be in the way of {mount_path}: {remedy}, or name the other containers in {PREFIX}containers"
    )]
    MountConflict {
        /// The container.
        container: String,
        /// What it mounts.
        volume: String,
        /// Where.
        path: String,
        /// Where we would mount.
        mount_path: MountPath,
        /// What to do about it.
        remedy: &'static str,
    },
    /// Nothing to run for the launcher.
    #[error(
        "container {container} has no command, and {PREFIX}{annotation} needs one, because what its image would run is not looked up: write command: [program, …], or name the other containers in {PREFIX}containers"
    )]
    NoCommand {
        /// The container.
        container: String,
        /// Which annotation needs it.
        annotation: &'static str,
    },
    /// A container that is not there.
    #[error("annotation {PREFIX}containers: there is no container {name}{hint}: there are {there}")]
    NoContainer {
        /// What was written, shortened.
        name: String,
        /// `, did you mean …?`, or nothing.
        hint: String,
        /// Those that are.
        there: String,
    },
    /// Nobody said where the launcher comes from.
    #[error(
        "annotation {PREFIX}{annotation}: the operator has no launcher image: an administrator sets launcher.image in the chart"
    )]
    NoLauncherImage {
        /// Which annotation needs it.
        annotation: &'static str,
    },
    /// A file that the volume will not have.
    #[error(
        "annotation {PREFIX}env-file: {variable}={path}: there will be no file {path}{hint}: {there}"
    )]
    NoSuchFile {
        /// The variable, without its suffix.
        variable: String,
        /// The file.
        path: FilePath,
        /// `, did you mean …?`, or nothing.
        hint: String,
        /// Which files there will be.
        there: String,
    },
    /// A path variable that means nothing.
    #[error("annotation {PREFIX}{0}")]
    Placeholder(#[from] PlaceholderError),
    /// `vaults` or `items` mean nothing.
    #[error("annotation {PREFIX}{0}")]
    Request(#[from] RequestError),
    /// A pod that kubelet runs from a file, with no token of its own.
    #[error(
        "a static pod has no service account, and gets no secrets: take its {PREFIX} annotations out, or run it in a DaemonSet"
    )]
    StaticPod,
    /// More variables than a pod can have.
    #[error(
        "its annotations give {containers} containers {variables} variables each, and {} are possible in all: \
         name fewer, or the containers that need them in {PREFIX}containers",
        super::inject::MAX_VARIABLES
    )]
    TooManyVariables {
        /// How many containers get them.
        containers: usize,
        /// How many each gets.
        variables: usize,
    },
    /// This replica has not heard of the API server for too long.
    #[error("it cannot be told now which vaults there are: try again")]
    Unseen,
    /// The container has a variable of this name.
    #[error(
        "container {container} has a variable {name} of its own, which its annotations set too: take one of the two out"
    )]
    VariableTaken {
        /// The container.
        container: String,
        /// The variable.
        name: String,
    },
    /// Files that cannot be variables.
    #[error(transparent)]
    Variables(#[from] VariablesError),
    /// A pod for Windows.
    #[error(
        "volumes of {} are for Linux: take the {PREFIX} annotations out of this Windows pod",
        super::DRIVER
    )]
    Windows,
}

impl Refusal {
    /// Whether a change of a vault that this replica has not seen yet may be all that is missing.
    pub(crate) fn may_be_behind(&self) -> bool {
        matches!(self, Self::FilesAwaited(_) | Self::NoSuchFile { .. })
    }

    /// Whether the pod is as it should be, and trying again can help.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Unseen)
    }
}
