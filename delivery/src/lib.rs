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

/// Audience of the agent's own token: what the operator demands in `authorization`.
pub const AGENT_AUDIENCE: &str = "secretvault-operator";

/// Audience of a pod's token: `CSIDriver.spec.tokenRequests`.
pub const POD_AUDIENCE: &str = "csi.secretvault.dev";

/// Volumes in one request. Bounds the work that one call can ask for.
pub const MAX_VOLUMES_PER_REQUEST: usize = 64;

/// Bytes of one message, either way: 16 vaults of 1 MiB sealed values, with room for names.
pub const MAX_MESSAGE_BYTES: usize = 32 * 1024 * 1024;
