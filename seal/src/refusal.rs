use secretvault_crds::ParseError;
use secretvault_crds::limits::{MAX_ENTRIES, MAX_OBJECT, MAX_SEALED_TOTAL, MAX_VALUE};
use secretvault_vault::effort::MAX_EFFORT;

use crate::annotations::MAX_ANNOTATIONS;
use crate::need::MAX_REKEY_STEP;

/// Why a manifest cannot be sealed. Every message names the field and the remedy, never a value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A tool's annotation that cannot be looked into would keep the plain manifest.
    #[error(
        "metadata.annotations[{annotation}] keeps a copy of the manifest, which holds plain values: \
         let the tool apply the vault without that annotation (kapp: `kapp.k14s.io/disable-original`), \
         or seal the values before"
    )]
    AnnotationKeepsManifest {
        /// The annotation's key.
        annotation: String,
    },
    /// An annotation holds one of the vault's plain values.
    #[error(
        "metadata.annotations[{annotation}] contains the value of entry {entry}: annotations are \
         stored in plain text; take the value out, or rotate it if it was stored before"
    )]
    AnnotationHoldsValue {
        /// The annotation's key.
        annotation: String,
        /// The entry whose value it holds.
        entry: String,
    },
    /// More annotations than an object can have.
    #[error(
        "metadata.annotations have {bytes} bytes, and {MAX_ANNOTATIONS} (256 KiB) is the most that \
         Kubernetes takes: take out the largest"
    )]
    AnnotationsTooLarge {
        /// How many they have, without the one that client-side apply leaves.
        bytes: usize,
    },
    /// `binaryData` holds something else than canonical base64.
    #[error(
        "spec.binaryData[{entry}] is not base64 (RFC 4648 section 4, padded, one line): encode it with `base64 -w0`, or put text in spec.data"
    )]
    BinaryDataNotBase64 {
        /// The entry.
        entry: String,
    },
    /// The stored data key does not open.
    #[error(
        "the stored spec.dataKey does not open: restore the vault and the keys of its KeyProvider from \
         one and the same backup"
    )]
    DamagedDataKey,
    /// A stored envelope does not open, so that it cannot be sealed anew.
    #[error(
        "spec.{map}[{entry}] is stored as an envelope that does not open, so that it cannot be sealed \
         anew: apply its value anew, take the entry out, or restore the vault; nothing was changed"
    )]
    DamagedEntry {
        /// `data` or `binaryData`.
        map: &'static str,
        /// The entry.
        entry: String,
    },
    /// An entry's value is too long.
    #[error(
        "the value of entry {entry} is longer than {MAX_VALUE} bytes (512 KiB): a secret of this size belongs in a file that it encrypts"
    )]
    EntryTooLarge {
        /// The entry.
        entry: String,
    },
    /// The incoming wrapped data key is not this vault's.
    #[error(
        "spec.dataKey is not the data key of this vault: leave spec.dataKey out, the stored one is kept"
    )]
    ForeignDataKey,
    /// An incoming envelope does not open for this entry of this vault.
    #[error(
        "spec.{map}[{entry}] is an envelope that does not open for this entry of this vault: envelopes \
         cannot be moved or copied; give the plain value, or the stored envelope unchanged (a text \
         that merely starts like an envelope goes into spec.binaryData)"
    )]
    ForeignEnvelope {
        /// `data` or `binaryData`.
        map: &'static str,
        /// The entry.
        entry: String,
    },
    /// The name is not known when admission runs.
    #[error(
        "metadata.generateName is not supported: envelopes are bound to the vault's name; set metadata.name"
    )]
    GeneratedName,
    /// Another value for an immutable vault, in a request that seals it anew.
    #[error(
        "spec.{map}[{entry}] is not the stored value, and the vault is immutable: its values can be \
         sealed anew, but not changed; leave spec.{map} as it is stored, or create another vault"
    )]
    ImmutableValue {
        /// `data` or `binaryData`.
        map: &'static str,
        /// The entry.
        entry: String,
    },
    /// The last-applied annotation is not a manifest.
    #[error(
        "metadata.annotations[kubectl.kubernetes.io/last-applied-configuration] is not the JSON of a manifest: remove the annotation and apply again"
    )]
    LastAppliedUnreadable,
    /// A data map's value is not a string.
    #[error("spec.{map}[{entry}] must be a string: put quotes around it")]
    NotAString {
        /// The map.
        map: &'static str,
        /// The entry.
        entry: String,
    },
    /// The object with its status would not fit into etcd.
    #[error(
        "the object would have about {bytes} bytes with its status, and {MAX_OBJECT} fit into etcd: take out the largest values of spec.publicData and spec.publicBinaryData, or split the vault; a pod can use several"
    )]
    ObjectTooLarge {
        /// About how many it would have.
        bytes: usize,
    },
    /// A value that the operator itself would change or bring in.
    #[error(
        "spec.{map}[{entry}] is not as it is stored, and the SecretVault operator may change how a vault \
         is sealed, but no value: change it as another user"
    )]
    OperatorsValue {
        /// `data` or `binaryData`.
        map: &'static str,
        /// The entry.
        entry: String,
    },
    /// The operating system gives no randomness.
    #[error("the operating system gave no random bytes: try again")]
    Randomness,
    /// The counter of data keys jumps.
    #[error(
        "spec.dataKey.rekey is raised by more than {MAX_REKEY_STEP}: raise it by one for a new data \
         key; it is never lowered, and once at its end it could not be raised again"
    )]
    RekeyTooFar,
    /// A value sealed for Git.
    #[error(
        "spec.{map}[{entry}] is sealed for Git (git1:…), which this version cannot open: give the plain value (a text that merely starts so goes into spec.binaryData)"
    )]
    SealedForGit {
        /// The map.
        map: &'static str,
        /// The entry.
        entry: String,
    },
    /// The specification cannot be read; the API server's schema says why.
    #[error("spec does not fit the schema of SecretVault: `kubectl explain secretvault.spec`")]
    Spec,
    /// Too many entries.
    #[error(
        "with entry {entry} there are {count} entries, more than the limit of {MAX_ENTRIES}: split the vault; a pod can use several"
    )]
    TooManyEntries {
        /// One that is too many.
        entry: String,
        /// How many there are.
        count: usize,
    },
    /// Rules whose patterns would take too long to compare.
    #[error(
        "{field}: comparing its patterns with the names of the entries would take too long ({effort}, \
         and {MAX_EFFORT} is the limit: the bytes of the patterns that have a '*', times those of the \
         names): use fewer or shorter patterns, or split the vault; a pod can use several"
    )]
    TooManyPatterns {
        /// `spec.access` or `spec.editors`.
        field: &'static str,
        /// What it would take.
        effort: usize,
    },
    /// The manifest fits the schema, but no pod could use it.
    #[error(transparent)]
    Unusable(#[from] ParseError),
    /// The sealed values do not fit into one object.
    #[error(
        "with entry {entry} the sealed values are longer than {MAX_SEALED_TOTAL} bytes (1 MiB) in all, \
         the most that one object can hold: split the vault; a pod can use several"
    )]
    VaultTooLarge {
        /// The entry that crosses the limit.
        entry: String,
    },
}

impl Refusal {
    /// The field that it is about, such as `spec.data[db/password]`, if it names one.
    pub fn field(&self) -> Option<String> {
        match self {
            Self::BinaryDataNotBase64 { entry } => Some(format!("spec.binaryData[{entry}]")),
            Self::DamagedEntry { map, entry }
            | Self::ForeignEnvelope { map, entry }
            | Self::ImmutableValue { map, entry }
            | Self::NotAString { map, entry }
            | Self::OperatorsValue { map, entry }
            | Self::SealedForGit { map, entry } => Some(format!("spec.{map}[{entry}]")),
            Self::DamagedDataKey | Self::ForeignDataKey => Some("spec.dataKey".to_owned()),
            Self::GeneratedName => Some("metadata.generateName".to_owned()),
            Self::RekeyTooFar => Some("spec.dataKey.rekey".to_owned()),
            Self::TooManyPatterns { field, .. } => Some((*field).to_owned()),
            Self::Unusable(error) => Some(error.field.clone()),
            Self::AnnotationHoldsValue { .. }
            | Self::AnnotationKeepsManifest { .. }
            | Self::AnnotationsTooLarge { .. }
            | Self::LastAppliedUnreadable => Some("metadata.annotations".to_owned()),
            Self::EntryTooLarge { .. }
            | Self::ObjectTooLarge { .. }
            | Self::Spec
            | Self::TooManyEntries { .. }
            | Self::VaultTooLarge { .. } => Some("spec".to_owned()),
            Self::Randomness => None,
        }
    }
}
