//! `secretvault`: the vaults of one machine, without a cluster. A directory is the store, a keyring
//! file is the key provider, and a command finds its secrets in memory at `/run/secrets`. And what may
//! be asked of a cluster: who may have what, and whether all is well.
//!
//! Sealing, access, selection, merge and the writing of files are the cluster's own code; here is
//! what stands around it. The modules stand in the order of a secret's life: a manifest is read,
//! sealed, stored, opened, selected, and written for a command that runs.

pub mod command;

pub mod place;

pub mod session;

pub mod files;

mod nearest;

pub mod yaml;

mod schema;

pub mod object;

pub mod keys;

mod wait;

pub mod sealing;

pub mod store;

pub mod opened;

pub mod selection;

pub mod edit;

pub mod show;

pub mod run;

pub mod audit;

pub mod cluster;
