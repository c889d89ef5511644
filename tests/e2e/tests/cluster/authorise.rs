//! Who may: every refusal beside a control that differs in that one thing and succeeds.

mod scene;
mod table;

mod agents;
mod audit;
mod events;
mod least_privilege;
mod names;
mod policies;
mod rules;
mod tokens;
