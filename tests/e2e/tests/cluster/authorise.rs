//! Who may: every refusal beside a control that differs in that one thing and succeeds.

pub(crate) mod scene;
pub(crate) mod table;

mod agents;
pub(crate) mod audit;
mod events;
pub(crate) mod least_privilege;
mod matrix;
mod names;
mod namespaces;
mod policies;
mod rules;
mod streams;
mod tokens;
mod told;
