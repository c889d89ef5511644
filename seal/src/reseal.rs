//! Every value of a vault anew, under a new data key.
//!
//! # Guarantees
//! * A value that is not in the manifest in plain form is the stored one, byte for byte.
//! * In a request of the operator itself every value is.
//! * The stored data key only opens, and so does one that a manifest brings along: whoever knows an
//!   earlier data key cannot make a vault go back to it.

use std::collections::BTreeSet;

use secretvault_crds::{Resealed, SecretVaultSpec};
use secretvault_envelope::Plaintext;
use serde::Deserialize as _;
use serde_json::Value;
use subtle::ConstantTimeEq as _;

use crate::editing::field;
use crate::entries::{Entry, Sealable, SecretMap};
use crate::sealing::{FormerKeys, OpenedKey, Sealed};
use crate::{Examined, Manifest, Refusal};

impl Examined<'_> {
    /// An entry's value under the new data key.
    pub(crate) fn sealed_anew(
        &self,
        entry: &Entry<'_>,
        key: &OpenedKey,
        former: &FormerKeys,
    ) -> Result<Sealed, Refusal> {
        let stored = entry.stored.as_ref();
        let stored = stored.and_then(|it| former.stored.open(self.incoming, entry.name, it));
        let is_stored = |value: &Plaintext| {
            let stored = stored.as_ref();
            stored.is_some_and(|stored| bool::from(stored.ct_eq(value)))
        };
        let opened;
        let value = match &entry.sealable {
            Sealable::Stored => stored.as_ref().ok_or_else(|| entry.damaged())?,
            // It also heals an entry that is damaged.
            Sealable::Plain(value) => value,
            Sealable::Envelope(envelope) => {
                let value = match &former.brought {
                    Some(brought) => {
                        let value = brought.open(self.incoming, entry.name, envelope);
                        value.filter(is_stored)
                    }
                    None => former.stored.open(self.incoming, entry.name, envelope),
                };
                opened = value.ok_or_else(|| entry.foreign())?;
                &opened
            }
        };
        let same = is_stored(value);
        if self.by_operator && !same {
            return Err(entry.of_operator());
        }
        if self.immutable && !same {
            return Err(Refusal::ImmutableValue {
                map: entry.map.field(),
                entry: entry.name.to_owned(),
            });
        }
        let text = self.envelope(entry, value, key)?;
        Ok(Sealed { text, same })
    }

    /// What the values were before, if nothing that a pod would see is another now.
    pub(crate) fn resealed(&self, sealed: &[Option<Sealed>]) -> Option<Resealed> {
        let stored = self.stored?;
        let same = |it: &Option<Sealed>| it.as_ref().is_some_and(|it| it.same);
        if !sealed.iter().all(same) || !self.lands_as(stored) {
            return None;
        }
        let before = SecretVaultSpec::deserialize(stored.spec).ok()?;
        let from = before.content_revision();
        let mut after = before;
        for (entry, sealed) in self.entries.iter().zip(sealed) {
            let map = match entry.map {
                SecretMap::BinaryData => &mut after.binary_data,
                SecretMap::Data => &mut after.data,
            };
            let text = sealed.as_ref()?.text.as_str();
            map.insert(entry.name.to_owned(), text.into());
        }
        let to = after.stored_revision();
        Some(Resealed { from, to })
    }

    /// Whether the manifest has the stored object's secret entries, and all else that a pod finds in
    /// its files.
    fn lands_as(&self, stored: Manifest<'_>) -> bool {
        let named = |spec: &Value, map: SecretMap| {
            let map = spec.get(map.field()).and_then(Value::as_object);
            let names = map.into_iter().flat_map(|map| map.keys().cloned());
            names.collect::<BTreeSet<_>>()
        };
        let [incoming, stored] = [self.incoming.spec, stored.spec];
        SecretMap::ALL
            .into_iter()
            .all(|map| named(incoming, map) == named(stored, map))
            && LANDING
                .into_iter()
                .all(|name| field(incoming, name) == field(stored, name))
    }
}

impl Entry<'_> {
    fn damaged(&self) -> Refusal {
        Refusal::DamagedEntry {
            map: self.map.field(),
            entry: self.name.to_owned(),
        }
    }
}

/// The fields that say what pods find, beside the secret entries.
const LANDING: [&str; 4] = ["fileDefaults", "files", "publicBinaryData", "publicData"];
