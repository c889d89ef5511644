//! The operator: seals what is applied, and releases keys to the pods that may have them.
//!
//! The modules stand in the order of the story: what the process is told and what it is, what it
//! proves itself with and how it is reached, what it does, how it is watched, and who owns it all.

pub mod config;
pub mod keyring_command;
pub mod process;

pub mod tls;

pub mod serve;

pub mod keys;
pub mod vaults;

pub mod audit;

mod events;
mod words;

pub mod consumers;

pub mod injection;

pub mod admission;
pub mod release;

pub mod controller;

pub mod health;
pub mod metrics;

pub mod run;
