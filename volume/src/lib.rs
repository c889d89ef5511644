//! What a volume looks like: a tmpfs filled before it is seen, changed by an atomic swap, wiped
//! before it goes.
//!
//! The node agent and the standalone program write secrets with this code, and neither has a
//! second copy. It knows the kernel and nothing else: where a volume belongs, how much all of them
//! may take, and who may have what is in it, the caller has decided. Everything here blocks.
//!
//! # Guarantees
//! * Nobody ever sees a part of the contents, a wrong owner or mode, or a writable mount.
//! * A reader sees all files of one generation, or all of the next.
//! * What goes is overwritten, except what an application may still read: a value that is replaced.
//!
//! # Assumptions
//! The process has `CAP_SYS_ADMIN` and `CAP_DAC_OVERRIDE` in the user namespace that owns its mount
//! namespace, and `CAP_CHOWN` there if the contents name other owners than itself.

mod contents;

mod size;

mod sys;

mod mount;

mod generation;

mod wipe;

mod volume;

pub mod mountinfo;

pub use contents::{Contents, File, PathCollision};
pub use generation::GenerationName;
pub use mount::{SOURCE, TMPFS, noswap_works};
pub use size::Room;
pub use volume::{Change, Usage, Volume};
