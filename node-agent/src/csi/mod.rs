//! What kubelet says to us: registration, and the Container Storage Interface for node drivers.

pub mod registration;

pub mod identity;

pub mod request;

mod attributes;

mod pod_token;

pub mod node;

mod redact;

pub mod socket;

pub use attributes::{Attributes, AttributesError};
pub use pod_token::{PodToken, TokenError, TokenPlace};
pub use request::{PodReference, PublishRequest, RequestError};

/// The Container Storage Interface, as generated from `proto/csi.proto`.
pub mod v1 {
    #![allow(
        missing_docs,
        reason = "documented in csi.proto and in the specification"
    )]
    #![allow(
        clippy::all,
        clippy::too_many_lines,
        clippy::wildcard_enum_match_arm,
        unreachable_pub,
        unused_qualifications,
        reason = "generated code"
    )]
    tonic::include_proto!("csi.v1");
}

/// kubelet's plugin registration, as generated from `proto/pluginregistration.proto`.
pub mod plugin {
    #![allow(missing_docs, reason = "documented in pluginregistration.proto")]
    #![allow(
        clippy::all,
        clippy::too_many_lines,
        clippy::wildcard_enum_match_arm,
        unreachable_pub,
        unused_qualifications,
        reason = "generated code"
    )]
    tonic::include_proto!("pluginregistration");
}
