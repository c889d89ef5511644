//! The annotations of a pod, read once into what they mean.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::ParseIntError,
};

use secretvault_vault::{
    FileAttributes, FileMode, FilePath,
    names::{MAX_OWNER_ID, ModeError, NameError},
};
use thiserror::Error;

use super::{
    PREFIX,
    mount_path::{MountPath, MountPathError},
    nearest::did_you_mean,
    variables::{VariableName, VariableNameError},
};

/// What a pod asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Annotations {
    /// The volume attributes, as they are written.
    pub(super) attributes: BTreeMap<&'static str, String>,
    /// What `uid`, `gid` and `mode` say.
    pub(super) defaults: FileAttributes,
    /// Where the volume is mounted.
    pub(super) mount_path: MountPath,
    /// Which containers; none: all.
    pub(super) containers: Option<BTreeSet<String>>,
    /// The variables of `env-file`, and the file that each leads to.
    pub(super) env_file: BTreeMap<VariableName, FilePath>,
    /// Whether every file has a variable with its path.
    pub(super) file_env: bool,
    /// Whether every file's content is a variable.
    pub(super) env: bool,
    /// What happens after a change.
    pub(super) on_change: OnChange,
}

/// What happens to a running container when its files change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnChange {
    /// It reads them again by itself, or does not.
    None,
    /// Its pod's owner is rolled.
    Restart,
    /// It gets a signal.
    Signal(&'static str),
}

/// Why annotations mean nothing. Each message names the annotation and what to write.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum AnnotationError {
    /// Neither true nor false.
    #[error("annotation {PREFIX}{annotation}: write \"true\" or \"false\"")]
    Boolean {
        /// Which one.
        annotation: &'static str,
    },
    /// Names of containers that are none.
    #[error(
        "annotation {PREFIX}containers: write names separated by commas, each once, or leave it out for all containers"
    )]
    Containers,
    /// A pair that is none.
    #[error("annotation {PREFIX}env-file: {pair:?}: {why}")]
    EnvFile {
        /// What was written, shortened.
        pair: String,
        /// What is wrong with it.
        why: PairError,
    },
    /// No permission bits.
    #[error("annotation {PREFIX}mode: {0}")]
    Mode(ModeError),
    /// No place to mount at.
    #[error("annotation {PREFIX}mount-path: {0}")]
    MountPath(MountPathError),
    /// Something is asked for, but of no vault.
    #[error(
        "annotation {PREFIX}{annotation} is of no use without {PREFIX}vaults: write which vaults, such as \"app\" or \"platform/shared, app\", or take it out"
    )]
    NoVaults {
        /// The first that is there.
        annotation: String,
    },
    /// No number of a user or a group.
    #[error("annotation {PREFIX}{annotation}: write a number from 0 to {MAX_OWNER_ID}")]
    Number {
        /// `uid` or `gid`.
        annotation: &'static str,
    },
    /// Nothing that can happen.
    #[error(
        "annotation {PREFIX}on-change: write none, restart, or signal:NAME with one of {}",
        SIGNALS.join(", ")
    )]
    OnChange,
    /// More than Kubernetes takes of all annotations together. It looks after us.
    #[error(
        "the annotations of {PREFIX} have {bytes} bytes, and {MAX_ANNOTATIONS} are read: ask for less in them"
    )]
    TooLong {
        /// How many bytes they have together.
        bytes: usize,
    },
    /// An annotation that does not exist.
    #[error("unknown annotation {PREFIX}{name}{hint}: there are {}", KNOWN.join(", "))]
    Unknown {
        /// Its name, shortened.
        name: String,
        /// `, did you mean …?`, or nothing.
        hint: String,
    },
}

/// What is wrong with one pair of `env-file`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum PairError {
    /// The same variable twice.
    #[error("this variable stands there twice: take one out")]
    Duplicate,
    /// No path of a file.
    #[error(transparent)]
    Path(#[from] NameError),
    /// No `=`.
    #[error("write NAME=path, such as DB_PASSWORD=db/password")]
    Shape,
    /// No name of a variable.
    #[error(transparent)]
    Variable(#[from] VariableNameError),
}

impl Annotations {
    /// Reads all annotations of a pod, ours and others.
    ///
    /// # Errors
    /// One of ours is unknown, malformed, or of no use, or they are too long.
    pub(super) fn parse(all: &BTreeMap<String, String>) -> Result<Self, AnnotationError> {
        let ours: BTreeMap<&str, &str> = all
            .iter()
            .filter_map(|(key, text)| Some((key.strip_prefix(PREFIX)?, text.as_str())))
            .collect();
        let bytes = ours.values().map(|text| text.len()).sum();
        if bytes > MAX_ANNOTATIONS {
            return Err(AnnotationError::TooLong { bytes });
        }
        if let Some(name) = ours.keys().find(|name| !KNOWN.contains(name)) {
            return Err(unknown(name));
        }
        let asking = ours.keys().find(|name| **name != RESTARTED_AT);
        if let (Some(first), false) = (asking, ours.contains_key("vaults")) {
            let annotation = (*first).to_owned();
            return Err(AnnotationError::NoVaults { annotation });
        }
        let text = |name: &str| ours.get(name).copied();
        let attributes = ATTRIBUTES
            .into_iter()
            .filter_map(|name| Some((name, text(name)?.to_owned())));
        Ok(Self {
            attributes: attributes.collect(),
            defaults: FileAttributes {
                uid: text("uid").map(|it| owner("uid", it)).transpose()?,
                gid: text("gid").map(|it| owner("gid", it)).transpose()?,
                mode: text("mode").map(mode).transpose()?,
            },
            mount_path: text("mount-path").map_or_else(
                || Ok(MountPath::of(DEFAULT_MOUNT_PATH)),
                |it| MountPath::parse(it).map_err(AnnotationError::MountPath),
            )?,
            containers: text("containers").map(containers).transpose()?,
            env_file: text("env-file").map_or_else(|| Ok(BTreeMap::new()), env_file)?,
            file_env: boolean("file-env", text("file-env"))?,
            env: boolean(ENV, text(ENV))?,
            on_change: text(ON_CHANGE).map_or(Ok(OnChange::None), on_change)?,
        })
    }

    /// A volume attribute; empty if it is not written.
    pub(super) fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// Whether the annotations of a pod, or of a template, ask to roll the owner after a change. What
/// means nothing asks for nothing: the webhook refuses it.
pub(crate) fn ask_for_restart(annotations: &BTreeMap<String, String>) -> bool {
    let text = said(annotations, ON_CHANGE);
    text.is_some_and(|text| on_change(text) == Ok(OnChange::Restart))
}

/// Whether the annotations of a pod ask for variables: these are as old as its containers.
pub(crate) fn ask_for_variables(annotations: &BTreeMap<String, String>) -> bool {
    boolean(ENV, said(annotations, ENV)) == Ok(true)
}

fn said<'a>(annotations: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    let text = annotations.get(&format!("{PREFIX}{name}"));
    text.map(String::as_str)
}

fn unknown(name: &str) -> AnnotationError {
    AnnotationError::Unknown {
        name: shown(name),
        hint: did_you_mean(name, KNOWN),
    }
}

fn owner(annotation: &'static str, text: &str) -> Result<u32, AnnotationError> {
    let number: Result<u32, ParseIntError> = text.trim().parse();
    let number = number.ok().filter(|number| *number <= MAX_OWNER_ID);
    number.ok_or(AnnotationError::Number { annotation })
}

fn mode(text: &str) -> Result<FileMode, AnnotationError> {
    text.trim().parse().map_err(AnnotationError::Mode)
}

fn boolean(annotation: &'static str, text: Option<&str>) -> Result<bool, AnnotationError> {
    match text {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(AnnotationError::Boolean { annotation }),
    }
}

fn containers(text: &str) -> Result<BTreeSet<String>, AnnotationError> {
    let mut names = BTreeSet::new();
    for name in text.split(',').map(str::trim) {
        if name.is_empty() || !names.insert(name.to_owned()) {
            return Err(AnnotationError::Containers);
        }
    }
    Ok(names)
}

fn env_file(text: &str) -> Result<BTreeMap<VariableName, FilePath>, AnnotationError> {
    let mut variables = BTreeMap::new();
    for pair in text.split(',').map(str::trim) {
        let named = |why| AnnotationError::EnvFile {
            pair: shown(pair),
            why,
        };
        let (name, path) = read_pair(pair).map_err(named)?;
        if variables.insert(name, path).is_some() {
            return Err(named(PairError::Duplicate));
        }
    }
    Ok(variables)
}

fn read_pair(pair: &str) -> Result<(VariableName, FilePath), PairError> {
    let (name, path) = pair.split_once('=').ok_or(PairError::Shape)?;
    let name = VariableName::parse(name.trim_end())?;
    Ok((name, path.trim_start().parse()?))
}

fn on_change(text: &str) -> Result<OnChange, AnnotationError> {
    match (text, text.strip_prefix("signal:")) {
        ("none", _) => Ok(OnChange::None),
        ("restart", _) => Ok(OnChange::Restart),
        (_, Some(name)) => SIGNALS
            .into_iter()
            .find(|known| *known == name)
            .map(OnChange::Signal)
            .ok_or(AnnotationError::OnChange),
        (_, None) => Err(AnnotationError::OnChange),
    }
}

/// A message must not grow with its input.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

const DEFAULT_MOUNT_PATH: &str = "/run/secrets";

const ENV: &str = "env";

const ON_CHANGE: &str = "on-change";

/// It asks for nothing. The operator writes it into pod templates, where it stays when others go.
const RESTARTED_AT: &str = "restarted-at";

/// Every annotation there is.
const KNOWN: [&str; 12] = [
    "vaults",
    "mount-path",
    "containers",
    "items",
    "uid",
    "gid",
    "mode",
    "env-file",
    "file-env",
    ENV,
    ON_CHANGE,
    RESTARTED_AT,
];

/// What Kubernetes takes of all annotations of an object, in bytes.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// Those that are attributes of the volume.
const ATTRIBUTES: [&str; 5] = ["vaults", "items", "uid", "gid", "mode"];

/// What a launcher may send: signals that ask, and none that a program cannot answer.
const SIGNALS: [&str; 7] = ["HUP", "USR1", "USR2", "INT", "TERM", "QUIT", "WINCH"];

#[cfg(test)]
mod tests;
