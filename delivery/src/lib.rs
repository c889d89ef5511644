//! The protocol between operator and node agent, as generated from `proto/delivery.proto`, which
//! is its specification, and what must be true of its messages in memory: a token, a key and an
//! opened value never appear in `Debug`, and keys and tokens are wiped when their message drops.

/// Version 1 of the protocol.
pub mod v1 {
    #![allow(missing_docs, reason = "documented in delivery.proto")]
    #![allow(
        clippy::all,
        clippy::too_many_lines,
        clippy::semicolon_if_nothing_returned,
        clippy::wildcard_enum_match_arm,
        unreachable_pub,
        unused_qualifications,
        reason = "generated code"
    )]
    tonic::include_proto!("secretvault.delivery.v1");
}

mod redact;

use std::time::Duration;

/// Audience of the agent's own token: what the operator demands in `authorization`.
pub const AGENT_AUDIENCE: &str = "secretvault-operator";

/// Audience of a pod's token: `CSIDriver.spec.tokenRequests`.
pub const POD_AUDIENCE: &str = "csi.secretvault.dev";

/// Volumes in one request. Bounds the work that one call can ask for.
pub const MAX_VOLUMES_PER_REQUEST: usize = 64;

/// Handles in one message of a watch stream, either way: subscriptions and dropped ones together.
pub const MAX_WATCH_HANDLES: usize = 1024;

/// Subscriptions of one watch stream: 500 volumes of 16 vaults.
pub const MAX_SUBSCRIPTIONS: usize = 8000;

/// Bytes of one message of a watch stream: 1024 subscriptions of the longest names, whose handles have
/// 1.5 KiB.
pub const MAX_WATCH_MESSAGE_BYTES: usize = 2 * 1024 * 1024;

/// How often each side of a watch stream says something, be it empty.
pub const WATCH_HEARTBEAT: Duration = Duration::from_secs(15);

/// Beyond this without a word from the other side, a watch stream is lost.
pub const WATCH_SILENCE: Duration = Duration::from_secs(45);

/// Bytes of one request: a volume that holds 16 vaults of 500 entries with the longest names, and as
/// many that are gone. What does not fit is asked for one by one.
pub const MAX_REQUEST_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of one answer: 16 vaults of 1 MiB sealed values, with room for names.
pub const MAX_MESSAGE_BYTES: usize = 32 * 1024 * 1024;

/// Bytes of an answer about several volumes. Either side has the whole of it in memory, and when a
/// vault changes every node asks at once. What does not fit is asked for one by one.
pub const MAX_BYTES_FOR_SEVERAL: usize = 2 * 1024 * 1024;
