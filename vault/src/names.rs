//! Names, checked once: entries, files, modes, vault references.
//!
//! An entry's name is its path in the volume unless something else is said, so entry names and
//! file paths obey one rule:
//!
//! * segments of `[A-Za-z0-9._-]`, joined by `/`: nothing that a shell, a URL or a log would have
//!   to quote, and no absolute path;
//! * no segment is `.` or starts with `..`: neither a way out of the volume nor kubelet's own
//!   `..data` links;
//! * at most [`MAX_NAME_LEN`] characters: what an object's name may have, and below every file
//!   system's limit for one segment (255);
//! * not `kubernetes.io` nor below it: in `/run/secrets` that is where the container runtime puts
//!   the pod's service-account token.

use std::{borrow::Borrow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest entry name or file path, in characters.
pub const MAX_NAME_LEN: usize = 253;

/// The largest user or group id. One more is `(uid_t) -1`, which system calls take for "unchanged".
pub const MAX_OWNER_ID: u32 = u32::MAX - 1;

/// The first segment that belongs to the container runtime.
pub const RESERVED_SEGMENT: &str = "kubernetes.io";

/// The name of an entry of a vault, such as `db/password`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EntryName(String);

impl EntryName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where an entry lands, relative to the volume's root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FilePath(String);

impl FilePath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This path in a directory of the volume.
    ///
    /// # Errors
    /// Together they are longer than a path may be.
    pub fn below(&self, directory: &Self) -> Result<Self, NameError> {
        // Through the same door as every other path: two good parts need not make a good whole.
        Self::try_from(format!("{directory}/{self}"))
    }

    /// The directories that this file makes necessary, outermost first: `a`, `a/b` for `a/b/c`.
    pub fn directories(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(end, _)| &self.0[..end])
    }
}

/// Every entry name is a valid path: where the entry lands when nothing else is said.
impl From<&EntryName> for FilePath {
    fn from(entry: &EntryName) -> Self {
        Self(entry.0.clone())
    }
}

/// And every path could be the name of an entry.
impl From<&FilePath> for EntryName {
    fn from(path: &FilePath) -> Self {
        Self(path.0.clone())
    }
}

/// A file's permission bits, at most `0777`: no setuid, setgid or sticky bit.
///
/// Written as a string, because an unquoted `0400` is two different numbers in YAML 1.1 and 1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileMode(u32);

impl FileMode {
    /// `0444`: what a file has when nobody says anything.
    pub const DEFAULT: Self = Self(0o444);

    /// The bits as a number.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

/// A vault, named with its namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VaultRef {
    /// The vault's namespace.
    pub namespace: String,
    /// The vault's name.
    pub name: String,
}

impl VaultRef {
    /// Names a vault. Both parts are taken as they are: they come from an object or were checked.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// Reads `name` or `namespace/name`.
    ///
    /// # Errors
    /// When either part is not a name that Kubernetes would give to such an object.
    pub fn parse(default_namespace: &str, text: &str) -> Result<Self, VaultRefError> {
        let (namespace, name) = text.split_once('/').unwrap_or((default_namespace, text));
        if !is_dns_label(namespace) {
            return Err(VaultRefError::Namespace { text: shown(text) });
        }
        if !is_dns_subdomain(name) {
            return Err(VaultRefError::Name { text: shown(text) });
        }
        Ok(Self::new(namespace, name))
    }
}

/// What becomes of files in live mounts when their entry, or their whole vault, is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDelete {
    /// The files go.
    Remove,
    /// The files stay as long as the pod lives, as with a native Secret.
    #[default]
    Retain,
}

/// Why a text is not an entry name or a file path.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// A character outside the alphabet.
    #[error(
        "{name:?} holds {character:?}: use letters, digits, '.', '_', '-', and '/' between segments"
    )]
    Character {
        /// The offending name, shortened.
        name: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// A segment `.`, or one that starts with `..`.
    #[error("{name:?} has a segment that is '.' or starts with '..': rename it")]
    DotSegment {
        /// The offending name, shortened.
        name: String,
    },
    /// Nothing at all.
    #[error("an empty name: give at least one character")]
    Empty,
    /// A slash at the start, at the end, or twice in a row.
    #[error("{name:?} has an empty segment: no '/' at the start, at the end, or twice in a row")]
    EmptySegment {
        /// The offending name, shortened.
        name: String,
    },
    /// `kubernetes.io` or below.
    #[error(
        "{name:?} is reserved: below 'kubernetes.io' lies the pod's service-account token; \
         use another first segment"
    )]
    Reserved {
        /// The offending name, shortened.
        name: String,
    },
    /// More than [`MAX_NAME_LEN`] characters.
    #[error("{name:?} has {length} characters: at most {MAX_NAME_LEN} are allowed")]
    TooLong {
        /// The offending name, shortened.
        name: String,
        /// Its length.
        length: usize,
    },
}

/// Why a text or a number is not a file mode.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("mode {text:?} is not three octal digits, such as \"0400\" or \"444\"")]
pub struct ModeError {
    text: String,
}

/// Why a text names no vault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VaultRefError {
    /// The part after the slash, or the only one.
    #[error(
        "{text:?} names no vault: write [namespace/]name; a name has at most 253 of 'a-z', '0-9', \
         '-' and '.'"
    )]
    Name {
        /// The offending text, shortened.
        text: String,
    },
    /// The part before the slash.
    #[error(
        "{text:?} names no namespace: write [namespace/]name; a namespace has at most 63 of 'a-z', \
         '0-9' and '-'"
    )]
    Namespace {
        /// The offending text, shortened.
        text: String,
    },
}

/// Tells whether a text is a DNS label as Kubernetes has them (RFC 1123): namespaces.
pub fn is_dns_label(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes.len() <= 63
        && bytes.iter().all(|c| inner(*c))
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Tells whether a text is a DNS subdomain as Kubernetes has them (RFC 1123): names of objects.
pub fn is_dns_subdomain(text: &str) -> bool {
    let segment = |segment: &str| {
        let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        !segment.is_empty()
            && segment.bytes().all(inner)
            && !segment.starts_with('-')
            && !segment.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(segment)
}

/// Tells whether a text is the key of a label as Kubernetes has them: a name, perhaps after a DNS
/// subdomain and a slash.
pub fn is_label_key(text: &str) -> bool {
    let (prefix, name) = match text.split_once('/') {
        None => (None, text),
        Some((prefix, name)) => (Some(prefix), name),
    };
    prefix.is_none_or(is_dns_subdomain) && !name.is_empty() && is_label_value(name)
}

/// Tells whether a text is the value of a label as Kubernetes has them. An empty one is.
pub fn is_label_value(text: &str) -> bool {
    let outer = |c: u8| c.is_ascii_alphanumeric();
    let inner = |c: u8| outer(c) || b"-_.".contains(&c);
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.iter().all(|c| inner(*c))
        && bytes.first().is_none_or(|c| outer(*c))
        && bytes.last().is_none_or(|c| outer(*c))
}

/// The one rule of the module's documentation.
fn check(text: &str) -> Result<(), NameError> {
    let name = || shown(text);
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > MAX_NAME_LEN {
        return Err(NameError::TooLong {
            name: name(),
            length: text.chars().count(),
        });
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if let Some(character) = text.chars().find(|c| !allowed(*c)) {
        return Err(NameError::Character {
            name: name(),
            character,
        });
    }
    for segment in text.split('/') {
        if segment.is_empty() {
            return Err(NameError::EmptySegment { name: name() });
        }
        if segment == "." || segment.starts_with("..") {
            return Err(NameError::DotSegment { name: name() });
        }
    }
    if text.split('/').next() == Some(RESERVED_SEGMENT) {
        return Err(NameError::Reserved { name: name() });
    }
    Ok(())
}

/// A text as an error may show it: long ones are cut, so that no message grows with its input.
pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

const SHOWN_CHARS: usize = 80;

macro_rules! checked_text {
    ($($name:ident),*) => {$(
        impl TryFrom<&str> for $name {
            type Error = NameError;

            fn try_from(text: &str) -> Result<Self, NameError> {
                check(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                check(&text)?;
                Ok(Self(text))
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::try_from(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
checked_text!(EntryName, FilePath);

impl FromStr for FileMode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, ModeError> {
        let digits = match text.len() {
            4 => text.strip_prefix('0'),
            3 => Some(text),
            _ => None,
        };
        digits
            .filter(|digits| digits.bytes().all(|c| (b'0'..=b'7').contains(&c)))
            .and_then(|digits| u32::from_str_radix(digits, 8).ok())
            .map(Self)
            .ok_or_else(|| ModeError { text: shown(text) })
    }
}

impl TryFrom<u32> for FileMode {
    type Error = ModeError;

    fn try_from(bits: u32) -> Result<Self, ModeError> {
        if bits > 0o777 {
            return Err(ModeError {
                text: format!("{bits:04o}"),
            });
        }
        Ok(Self(bits))
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl fmt::Display for VaultRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
