//! What a pod's annotations mean, and what they make of it.
//!
//! Each annotation begins with `secretvault.dev/`:
//!
//! | annotation | is |
//! |---|---|
//! | `vaults` | which vaults: the text of the volume attribute `vaults`. All others but the last need it |
//! | `mount-path` | where the files are; `/run/secrets` unless it says otherwise |
//! | `containers` | which containers get them, by name and separated by commas; else all, init containers too |
//! | `items`, `uid`, `gid`, `mode` | the volume attributes of these names |
//! | `env-file` | `NAME=path, …`: sets `NAME_FILE` to where the file is |
//! | `file-env` | `"true"`: the same for every file, under the name that [`secretvault_vault::variables()`] gives it |
//! | `env` | `"true"`: the launcher sets `NAME` to each file's content, and then becomes the command |
//! | `on-change` | `none`, `restart`, or `signal:NAME`: what happens to a running container after a change |
//! | `restarted-at` | for which changes the operator rolled the pod's owner; it writes this itself, and it asks for nothing |
//!
//! A name that is not here is refused: a typo must not silently mean that a pod runs without its
//! secrets. So is a pod that has no volume of ours although it asks for one: by a policy of the API
//! server's own, where the webhook was not called.
//!
//! # Guarantees
//! * Injecting twice changes nothing: what is there already, and as it would be made, stays.
//! * What is there and is *not* as it would be made is refused, never replaced: two webhooks that
//!   want different things would go on for ever, and a person would learn nothing.
//! * Only names are decided by. No value of a variable is ever in a message.
//! * What the image would run is never looked up: a container that needs the launcher says its
//!   command itself.

mod annotations;
mod containers;
mod files;
mod inject;
mod launcher;
mod mount_path;
mod nearest;
mod patch;
mod refusal;
mod variables;
mod volume;
mod warnings;

#[cfg(test)]
mod tests;

pub(crate) use annotations::{ask_for_restart, ask_for_variables};
pub(crate) use files::Known;
pub(crate) use inject::{Injection, inject, looks_at_namespace};
pub use launcher::Launcher;
pub(crate) use refusal::Refusal;

/// What every annotation of ours begins with.
const PREFIX: &str = "secretvault.dev/";

/// The driver of our volumes.
const DRIVER: &str = "csi.secretvault.dev";

/// The name of the volume that is injected.
const VOLUME: &str = "secretvault";
