//! Publish, republish, unpublish: when to ask, what to do with the answer, and what to tell
//! kubelet. The rules of DESIGN.md "Rules learned from the field" are kept here.

mod error;

mod hold;

mod slot;

mod turns;

mod shelf;

mod publisher;

mod renewal;

mod refresh;

mod pending;

mod follow_up;

mod push;

pub use error::{PublishError, Reason};
pub use publisher::{Outcome, Publisher, VolumeStats};
pub use push::Pushed;
pub use shelf::{Load, Shelf};
pub use slot::Trouble;
