//! SecretVault on a real Kubernetes, in the order of the story: the quickstart, what is applied,
//! what is mounted, who may, what is never seen, and what happens when parts fail.

mod quickstart;

mod apply;
mod keyring;
mod rights;
mod schema;

mod changes;
mod mounts;
mod on_delete;
mod selection;
mod values;
mod volume;
