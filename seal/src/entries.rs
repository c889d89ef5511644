use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secretvault_crds::limits::MAX_VALUE;
use secretvault_envelope::{Envelope, Plaintext};
use serde_json::Value;

use crate::Refusal;

/// A secret entry of the incoming manifest.
pub(crate) struct Entry<'a> {
    pub(crate) map: SecretMap,
    pub(crate) name: &'a str,
    /// The text as it came.
    pub(crate) text: &'a str,
    pub(crate) sealable: Sealable,
    /// The envelope that the stored object has for this name.
    pub(crate) stored: Option<Envelope>,
}

impl Entry<'_> {
    /// The refusal of an envelope that is not this entry's.
    pub(crate) fn foreign(&self) -> Refusal {
        Refusal::ForeignEnvelope {
            map: self.map.field(),
            entry: self.name.to_owned(),
        }
    }

    /// The refusal of a value that the operator brings in.
    pub(crate) fn of_operator(&self) -> Refusal {
        Refusal::OperatorsValue {
            map: self.map.field(),
            entry: self.name.to_owned(),
        }
    }
}

/// The two maps whose values are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecretMap {
    BinaryData,
    Data,
}

/// What an entry's text is.
pub(crate) enum Sealable {
    /// An envelope that is not the stored one.
    Envelope(Envelope),
    /// A plain value.
    Plain(Plaintext),
    /// The stored text, byte for byte.
    Stored,
}

impl SecretMap {
    pub(crate) const ALL: [Self; 2] = [Self::BinaryData, Self::Data];

    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::BinaryData => "binaryData",
            Self::Data => "data",
        }
    }
}

/// Reads the secret entries of a manifest, each beside its stored envelope.
pub(crate) fn read_entries<'a>(
    stored: Option<&'a Value>,
    incoming: &'a Value,
) -> Result<Vec<Entry<'a>>, Refusal> {
    let mut entries = Vec::new();
    for map in SecretMap::ALL {
        for (name, value) in incoming
            .get(map.field())
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            entries.push(read_entry(stored, map, name, value)?);
        }
    }
    Ok(entries)
}

fn read_entry<'a>(
    stored: Option<&'a Value>,
    map: SecretMap,
    name: &'a str,
    value: &'a Value,
) -> Result<Entry<'a>, Refusal> {
    let text = value.as_str().ok_or_else(|| Refusal::NotAString {
        map: map.field(),
        entry: name.to_owned(),
    })?;
    let sealable = if stored_text(stored, map, name) == Some(text) {
        Sealable::Stored
    } else {
        classify(map, name, text)?
    };
    let stored = SecretMap::ALL
        .into_iter()
        .find_map(|map| stored_text(stored, map, name))
        .and_then(|text| text.parse().ok());
    Ok(Entry {
        map,
        name,
        text,
        sealable,
        stored,
    })
}

fn stored_text<'a>(stored: Option<&'a Value>, map: SecretMap, name: &str) -> Option<&'a str> {
    stored?.get(map.field())?.get(name)?.as_str()
}

fn classify(map: SecretMap, name: &str, text: &str) -> Result<Sealable, Refusal> {
    if text.starts_with("git1:") {
        return Err(Refusal::SealedForGit {
            map: map.field(),
            entry: name.to_owned(),
        });
    }
    if text.starts_with("sv1:") {
        let envelope = text.parse().map_err(|_| Refusal::ForeignEnvelope {
            map: map.field(),
            entry: name.to_owned(),
        })?;
        return Ok(Sealable::Envelope(envelope));
    }
    plain(map, name, text).map(Sealable::Plain)
}

fn plain(map: SecretMap, name: &str, text: &str) -> Result<Plaintext, Refusal> {
    let too_large = || Refusal::EntryTooLarge {
        entry: name.to_owned(),
    };
    // Before decoding: what cannot fit is not even allocated.
    if text.len() > MAX_VALUE.div_ceil(3) * 4 {
        return Err(too_large());
    }
    let value = match map {
        SecretMap::BinaryData => {
            BASE64_STANDARD
                .decode(text)
                .map_err(|_| Refusal::BinaryDataNotBase64 {
                    entry: name.to_owned(),
                })?
        }
        SecretMap::Data => text.as_bytes().to_vec(),
    };
    if value.len() > MAX_VALUE {
        return Err(too_large());
    }
    Ok(Plaintext::from(value))
}
