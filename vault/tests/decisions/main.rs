//! The decisions, as tables and as properties.

mod access;
mod fixture;
mod held;
mod names;
mod pattern;
mod plan;
mod properties;
mod request;
