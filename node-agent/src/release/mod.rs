//! The way to the operator and back: a request for volumes goes out, envelopes and the keys of
//! exactly the allowed entries come in, and are opened here. And a stream that says when to ask.

mod address;

mod credentials;

mod connect;

mod line;

mod operator;

mod error;

mod handle;

mod held;

mod question;

mod open;

mod subscriptions;

mod holdings;

mod backoff;

mod watch;

pub use address::{Address, AddressError};
pub use credentials::Credentials;
pub use error::{DenialReason, ReleaseError};
pub use handle::Handle;
pub use held::{Held, HeldFile, HeldVault};
pub use holdings::{Changed, Holdings};
pub use open::{Opened, by_name, least_lengths, open};
pub use operator::{Answer, Operator};
pub use question::question;
pub use subscriptions::{Word, Words};
pub use watch::{Listener, Watch};
