//! The way to the operator and back: a request for one volume goes out, envelopes and the keys of
//! exactly the allowed entries come in, and are opened here.

mod address;

mod connect;

mod line;

mod operator;

mod error;

mod held;

mod question;

mod open;

pub use address::{Address, AddressError};
pub use error::{DenialReason, ReleaseError};
pub use held::{Held, HeldFile, HeldVault};
pub use open::{Opened, open};
pub use operator::{Credentials, Operator};
pub use question::question;
