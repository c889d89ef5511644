//! What happens when parts fail: running pods keep their files, new ones wait and say why, and when
//! the part is back all goes on by itself.

mod agent;
mod authority;
pub(crate) mod budget;
mod kubelet;
pub(crate) mod operator;
mod reboot;
