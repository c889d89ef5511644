//! The operator's own certificates: an authority that rotates, and what this replica serves with.
//!
//! The authority lives in the Secret `secretvault-ca` of the operator's namespace, so that every
//! replica signs with the same one. Each replica makes its serving certificate in memory, and
//! makes another before it ends or when the authority changes. No replica waits for a leader:
//! whoever finds the authority missing or old writes it, and a conflict means that another replica
//! already has.

mod authority;
mod callers;
mod handle_key;
mod keep;
mod rotation;
mod servers;
mod serving;
mod store;
mod stored;

pub use authority::{Authority, CertificateError, Validity};
pub use callers::{Callers, CallersError};
pub use handle_key::{HandleKeys, TAG_LEN};
pub use keep::{KeepError, Keeper, service_names};
pub use rotation::{OVERLAP, Plan, Seen, plan};
pub use servers::{ServersTls, SetupError, server_config};
pub use serving::ServingCertificate;
pub use store::{AuthorityStore, CA_SECRET, StoreError};
pub use stored::{BUNDLE, Stored, Unreadable};
