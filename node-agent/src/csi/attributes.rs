//! The volume's attributes, as its author wrote them. `vaults` and `items` are read by the
//! operator, which knows what they mean; the numbers are read here.

use std::collections::HashMap;

use secretvault_vault::{FileMode, names::MAX_OWNER_ID};
use serde::{Deserialize, Serialize};

/// What the author asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// `[namespace/]name`, separated by commas; later ones override earlier ones.
    pub vaults: String,
    /// Which entries; empty: all that the pod may have.
    pub items: String,
    /// Owner of files whose owner the vault does not settle.
    pub uid: Option<u32>,
    /// Likewise their group.
    pub gid: Option<u32>,
    /// Likewise their permission bits.
    pub mode: Option<u32>,
}

impl Attributes {
    /// Reads the attributes, and refuses what is none: a typo must not silently mean "all".
    ///
    /// # Errors
    /// Each names the attribute and says what to write.
    pub fn parse(context: &HashMap<String, String>) -> Result<Self, AttributesError> {
        let mut read = Self::default();
        for (name, text) in context {
            match name.as_str() {
                "vaults" => read.vaults.clone_from(text),
                "items" => read.items.clone_from(text),
                "uid" => read.uid = Some(owner("uid", text)?),
                "gid" => read.gid = Some(owner("gid", text)?),
                "mode" => read.mode = Some(mode(text)?),
                name if name.starts_with(KUBELET_PREFIX) => {}
                name => return Err(unknown(name)),
            }
        }
        if read.vaults.trim().is_empty() {
            return Err(AttributesError::NoVaults);
        }
        Ok(read)
    }
}

/// Why the attributes mean nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttributesError {
    /// A mode that is none.
    #[error("attribute mode: {0}")]
    Mode(String),
    /// No vault is named.
    #[error("attribute vaults is missing: write vaults: \"[namespace/]name, …\"")]
    NoVaults,
    /// An owner or group that is none.
    #[error("attribute {name}: {text:?} is not a number from 0 to {MAX_OWNER_ID}")]
    Owner {
        /// `uid` or `gid`.
        name: &'static str,
        /// What was written, shortened.
        text: String,
    },
    /// An attribute that does not exist.
    #[error("unknown attribute {name:?}{hint}: there are vaults, items, uid, gid and mode")]
    Unknown {
        /// Its name, shortened.
        name: String,
        /// `, did you mean …?`, or nothing.
        hint: String,
    },
}

fn owner(name: &'static str, text: &str) -> Result<u32, AttributesError> {
    let number = text
        .trim()
        .parse()
        .ok()
        .filter(|number| *number <= MAX_OWNER_ID);
    number.ok_or_else(|| AttributesError::Owner {
        name,
        text: shown(text),
    })
}

fn mode(text: &str) -> Result<u32, AttributesError> {
    let mode = text.trim().parse::<FileMode>();
    mode.map(FileMode::bits)
        .map_err(|error| AttributesError::Mode(error.to_string()))
}

fn unknown(name: &str) -> AttributesError {
    let near = KNOWN.iter().find(|known| is_near(name, known));
    AttributesError::Unknown {
        name: shown(name),
        hint: near
            .map(|known| format!(", did you mean {known}?"))
            .unwrap_or_default(),
    }
}

/// One name contains the other, or they differ by at most two edits.
fn is_near(written: &str, known: &str) -> bool {
    let written = written.to_ascii_lowercase();
    written.len() <= 32
        && !written.is_empty()
        && (written.contains(known)
            || known.contains(&written)
            || strsim::levenshtein(&written, known) <= 2)
}

/// A message must not grow with its input.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

/// kubelet's own keys, of which later versions may have more. An author's are overwritten or unused.
const KUBELET_PREFIX: &str = "csi.storage.k8s.io/";

const KNOWN: [&str; 5] = ["vaults", "items", "uid", "gid", "mode"];

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Attributes, AttributesError> {
        let pairs = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Attributes::parse(&pairs.collect())
    }

    fn message(pairs: &[(&str, &str)]) -> String {
        parse(pairs).unwrap_err().to_string()
    }

    #[test]
    fn all_attributes_are_read() {
        let read = parse(&[
            ("vaults", "shared, app"),
            ("items", "db/**"),
            ("uid", "999"),
            ("gid", "0"),
            ("mode", "0400"),
            ("csi.storage.k8s.io/pod.name", "web"),
        ]);
        let expected = Attributes {
            vaults: "shared, app".to_owned(),
            items: "db/**".to_owned(),
            uid: Some(999),
            gid: Some(0),
            mode: Some(0o400),
        };
        assert_eq!(read, Ok(expected));
    }

    #[test]
    fn a_typo_is_told_with_what_was_meant() {
        assert!(message(&[("vault", "app")]).contains("did you mean vaults?"));
        assert!(message(&[("vaults", "a"), ("defaultMode", "0400")]).contains("mean mode?"));
        assert!(message(&[("vaults", "a"), ("itms", "x")]).contains("did you mean items?"));
        let strange = message(&[("vaults", "a"), ("objects", "x")]);
        assert!(!strange.contains("did you mean"), "{strange}");
        assert!(strange.contains("there are vaults, items"), "{strange}");
    }

    #[test]
    fn vaults_must_be_named() {
        assert_eq!(parse(&[]), Err(AttributesError::NoVaults));
        assert_eq!(parse(&[("vaults", " ")]), Err(AttributesError::NoVaults));
    }

    #[test]
    fn numbers_are_numbers() {
        for text in ["", "-1", "root", "4294967295", "4294967296", "1.0"] {
            assert!(
                message(&[("vaults", "a"), ("uid", text)]).contains("attribute uid"),
                "{text}"
            );
        }
        for text in ["", "4755", "01777", "888", "256", "rw"] {
            let refused = parse(&[("vaults", "a"), ("mode", text)]);
            assert_eq!(refused.is_err(), text != "256", "{text}");
        }
    }

    #[test]
    fn no_message_grows_with_its_input() {
        let long = "x".repeat(100_000);
        assert!(message(&[(long.as_str(), "")]).len() < 300);
        assert!(message(&[("vaults", "a"), ("uid", &long)]).len() < 300);
        assert!(message(&[("vaults", "a"), ("mode", &long)]).len() < 600);
    }
}
