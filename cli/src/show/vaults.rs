//! The vaults of the store.

use jiff::Timestamp;
use secretvault_crds::{SecretVaultSpec, whole_second};
use serde::Serialize;

use super::{
    age::{UNKNOWN, ago},
    mask::{WIDTH, one_line},
    output::warn,
    table::{Row, print_rows},
};
use crate::{
    command::TableFormat,
    opened::OpenError,
    session::Session,
    store::{Store, Stored},
};

/// Lists the vaults.
///
/// # Errors
/// A vault cannot be read: the others are listed.
pub fn list(session: &Session, format: TableFormat) -> anyhow::Result<()> {
    let readable = Readable::load(&session.store()?)?;
    let vaults: Vec<Vault> = readable.vaults.iter().map(Vault::from).collect();
    match format {
        TableFormat::Table if vaults.is_empty() => readable.hint(),
        TableFormat::Json | TableFormat::Table | TableFormat::Yaml => {
            print_rows(&vaults, format, session.now)?;
        }
    }
    tell(readable.failures)
}

/// A vault whose file and specification can be read.
pub(super) struct ReadableVault {
    /// As it is stored.
    pub(super) stored: Stored,
    /// Its specification.
    pub(super) spec: SecretVaultSpec,
}

/// What of the store can be read: one damaged file hides no other.
pub(super) struct Readable {
    /// The vaults, by namespace and name.
    pub(super) vaults: Vec<ReadableVault>,
    /// Why others cannot be read.
    pub(super) failures: Vec<anyhow::Error>,
}

impl Readable {
    /// Reads the store.
    ///
    /// # Errors
    /// Its directory cannot be read.
    pub(super) fn load(store: &Store) -> anyhow::Result<Self> {
        let (mut vaults, mut failures) = (Vec::new(), Vec::new());
        for name in store.names()? {
            match store.read(&name) {
                // Deleted since the names were read.
                Ok(None) => {}
                Ok(Some(stored)) => match stored.object.typed() {
                    Ok(spec) => vaults.push(ReadableVault { stored, spec }),
                    Err(_) => failures.push(OpenError::Spec(name).into()),
                },
                Err(error) => failures.push(error.into()),
            }
        }
        Ok(Self { vaults, failures })
    }

    /// Says how to begin, where there is no vault yet.
    pub(super) fn hint(&self) {
        if self.vaults.is_empty() && self.failures.is_empty() {
            warn(
                "there is no vault yet: `secretvault set VAULT ENTRY` makes one with its first value",
            );
        }
    }
}

/// Tells all failures: the last one as the command's own.
///
/// # Errors
/// There is one.
pub(super) fn tell(mut failures: Vec<anyhow::Error>) -> anyhow::Result<()> {
    let last = failures.pop();
    for failure in failures {
        warn(format_args!("{failure:#}"));
    }
    last.map_or(Ok(()), Err)
}

#[derive(Serialize)]
struct Vault {
    namespace: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    entries: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated: Option<Timestamp>,
}

impl From<&ReadableVault> for Vault {
    fn from(vault: &ReadableVault) -> Self {
        let object = &vault.stored.object;
        let reference = object.reference();
        let updated = Timestamp::try_from(vault.stored.updated).ok();
        Self {
            namespace: reference.namespace,
            name: reference.name,
            description: vault.spec.description.clone(),
            entries: vault.spec.entry_count(),
            created: object.created(),
            updated: updated.map(|at| whole_second(at).0),
        }
    }
}

impl Row for Vault {
    const HEADER: &'static [&'static str] = &[
        "NAMESPACE",
        "NAME",
        "DESCRIPTION",
        "ENTRIES",
        "CREATED",
        "UPDATED",
    ];

    fn cells(&self, now: Timestamp) -> Vec<String> {
        let description = self.description.as_deref().filter(|it| !it.is_empty());
        vec![
            self.namespace.clone(),
            self.name.clone(),
            one_line(description.unwrap_or(UNKNOWN), WIDTH),
            self.entries.to_string(),
            ago(self.created, now),
            ago(self.updated, now),
        ]
    }
}
