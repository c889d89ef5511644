//! The volume attribute `vaults`.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{MAX_TEXT, MAX_VAULTS, RequestError, RequestedVault};
use crate::{names::VaultRef, yaml};

pub(super) fn parse(pod_namespace: &str, text: &str) -> Result<Vec<RequestedVault>, RequestError> {
    if text.len() > MAX_TEXT {
        return Err(RequestError::TooLong {
            attribute: "vaults",
        });
    }
    let text = text.trim();
    if text.is_empty() {
        return Err(RequestError::NoVault);
    }
    // Reviewers and policies read here which vaults a pod uses: what is written is what is meant.
    if text.contains("${") {
        return Err(RequestError::VariableInVaults);
    }
    let vaults = if yaml::is_list(text) {
        parse_yaml(pod_namespace, text)?
    } else {
        parse_commas(pod_namespace, text)?
    };
    let mut seen = BTreeSet::new();
    match vaults.iter().find(|vault| !seen.insert(&vault.reference)) {
        None => Ok(vaults),
        Some(twice) => Err(RequestError::DuplicateVault {
            vault: twice.reference.clone(),
        }),
    }
}

fn parse_commas(pod_namespace: &str, text: &str) -> Result<Vec<RequestedVault>, RequestError> {
    limit(text.split(',').count())?;
    let vaults = text.split(',').map(|part| {
        Ok(RequestedVault {
            reference: reference(pod_namespace, part.trim())?,
            prefix: None,
            optional: false,
        })
    });
    vaults.collect()
}

fn parse_yaml(pod_namespace: &str, text: &str) -> Result<Vec<RequestedVault>, RequestError> {
    let vaults: Vec<LongVault> = yaml::parse(text).map_err(RequestError::VaultsYaml)?;
    if vaults.is_empty() {
        return Err(RequestError::NoVault);
    }
    limit(vaults.len())?;
    let vaults = vaults.into_iter().map(|vault| vault.checked(pod_namespace));
    vaults.collect()
}

/// A vault as it stands in a YAML list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LongVault {
    vault: String,
    prefix: Option<String>,
    #[serde(default)]
    optional: bool,
}

impl LongVault {
    fn checked(self, pod_namespace: &str) -> Result<RequestedVault, RequestError> {
        let vault = reference(pod_namespace, self.vault.trim())?;
        let prefix = self.prefix.map(|prefix| prefix.parse()).transpose();
        let prefix = prefix.map_err(|reason| RequestError::Prefix {
            vault: vault.clone(),
            reason,
        })?;
        Ok(RequestedVault {
            reference: vault,
            prefix,
            optional: self.optional,
        })
    }
}

fn reference(pod_namespace: &str, text: &str) -> Result<VaultRef, RequestError> {
    VaultRef::parse(pod_namespace, text).map_err(RequestError::Vault)
}

fn limit(count: usize) -> Result<(), RequestError> {
    if count > MAX_VAULTS {
        return Err(RequestError::TooManyVaults { count });
    }
    Ok(())
}
