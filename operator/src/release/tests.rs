//! Releases from end to end, in memory: the agent's own client, the gate, the service, a real
//! keyring and real envelopes. Only the API server is a fake.

mod agents;
mod catching_up;
mod grants;
mod keys;
mod messages;
mod namespaces;
mod refusals;
mod shares;
mod told;
mod unrecorded;
mod watch;
