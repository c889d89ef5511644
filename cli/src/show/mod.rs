//! The commands that show what is there, and change nothing.
//!
//! # Guarantees
//! * A secret value is shown by `--reveal` alone. Otherwise its name stands for it, or the first
//!   and last two characters of a long text.
//! * What a vault holds takes one line of a table, and cannot steer the terminal.
//! * Several failures are all told: the last one is the command's error.

pub(crate) mod output;

pub(crate) mod table;

mod age;

pub(crate) mod mask;

mod vaults;

mod tree;

mod entries;

mod value;

mod object;

mod verify;

mod backup;

mod reference;

pub use backup::open;
pub use entries::entries;
pub use object::{export, object};
pub use reference::{completions, man};
pub use tree::tree;
pub use value::value;
pub use vaults::list;
pub use verify::verify;
