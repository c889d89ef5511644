//! The text form of what Transit encrypts: `vault:vN:BASE64`.

use std::num::NonZeroU32;

/// The version of a Transit key. Text, as `spec.dataKey.keyId` has it: `vN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub(super) NonZeroU32);

impl Version {
    /// The version that a wrapped key's text names, if it is such a text in its one spelling.
    pub(super) fn of_wrapped(text: &str) -> Option<Self> {
        let (version, sealed) = text.strip_prefix("vault:")?.split_once(':')?;
        let base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
        let sane = !sealed.is_empty() && text.len() <= MAX_WRAPPED && sealed.bytes().all(base64);
        sane.then(|| Self::parse(version)).flatten()
    }

    /// Reads `vN`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('v')?;
        let canonical = !digits.starts_with('0') && digits.bytes().all(|it| it.is_ascii_digit());
        canonical.then(|| digits.parse().ok().map(Self)).flatten()
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "v{}", self.0)
    }
}

/// What `spec.dataKey.wrapped` may have.
const MAX_WRAPPED: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Option<String> {
        Version::of_wrapped(text).map(|version| version.to_string())
    }

    #[test]
    fn the_version_is_read_from_the_text() {
        assert_eq!(version("vault:v3:QUJD").as_deref(), Some("v3"));
        assert_eq!(
            version("vault:v4294967295:QQ==").as_deref(),
            Some("v4294967295")
        );
    }

    #[test]
    fn other_texts_are_none() {
        let long = format!("vault:v1:{}", "A".repeat(MAX_WRAPPED));
        for text in [
            "",
            "vault:",
            "vault:v1",
            "vault:v1:",
            "vault:v0:QQ==",
            "vault:v01:QQ==",
            "vault:v+1:QQ==",
            "vault:v:QQ==",
            "vault:1:QQ==",
            "vault:v4294967296:QQ==",
            "Vault:v1:QQ==",
            "vault:v1:Q Q",
            "vault:v1:QQ==\n",
            "sv1:abc",
            &long,
        ] {
            assert_eq!(version(text), None, "{text:?}");
        }
    }
}
