//! What an envelope belongs to. Names are not secret.

/// A vault as key material knows it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct VaultBinding<'a> {
    /// The key provider's realm: a keyring's id, or the scope of a Transit provider.
    pub scope: &'a str,
    /// The vault's namespace.
    pub namespace: &'a str,
    /// The vault's name.
    pub vault: &'a str,
}

impl<'a> VaultBinding<'a> {
    /// Names a vault.
    pub fn new(scope: &'a str, namespace: &'a str, vault: &'a str) -> Self {
        Self {
            scope,
            namespace,
            vault,
        }
    }

    /// Names one entry of the vault.
    pub fn entry(self, entry: &'a str) -> Binding<'a> {
        Binding::new(self.scope, self.namespace, self.vault, entry)
    }

    pub(crate) fn parts(&self) -> [&'a str; 3] {
        [self.scope, self.namespace, self.vault]
    }
}

/// The one place where an envelope opens.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Binding<'a> {
    /// The key provider's realm.
    pub scope: &'a str,
    /// The vault's namespace.
    pub namespace: &'a str,
    /// The vault's name.
    pub vault: &'a str,
    /// The entry's name.
    pub entry: &'a str,
}

impl<'a> Binding<'a> {
    /// Names an entry of a vault.
    pub fn new(scope: &'a str, namespace: &'a str, vault: &'a str, entry: &'a str) -> Self {
        Self {
            scope,
            namespace,
            vault,
            entry,
        }
    }

    /// Returns the context of the entry's envelopes: HKDF's info and the associated data.
    pub(crate) fn context(&self) -> Vec<u8> {
        context(
            ENVELOPE_LABEL,
            &[self.scope, self.namespace, self.vault, self.entry],
        )
    }
}

/// Returns a salted box's context: a label that is this use's own, and `lp(part)` of each part.
pub fn context(label: &str, parts: &[&str]) -> Vec<u8> {
    let mut context = label.as_bytes().to_vec();
    for part in parts {
        push_prefixed(&mut context, part);
    }
    context
}

/// Appends `lp(part)`.
pub(crate) fn push_prefixed(bytes: &mut Vec<u8>, part: &str) {
    bytes.extend_from_slice(&length_prefix(part.len()));
    bytes.extend_from_slice(part.as_bytes());
}

/// Returns `u32(length)`. Saturates, so that it has no panic: nothing that long gets here.
pub(crate) fn length_prefix(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

const ENVELOPE_LABEL: &str = "secretvault/envelope/v1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_the_label_and_each_part_with_its_length() {
        let context = Binding::new("s", "shop", "", "db/pass").context();
        assert_eq!(
            context,
            b"secretvault/envelope/v1\0\0\0\x01s\0\0\0\x04shop\0\0\0\0\0\0\0\x07db/pass"
        );
    }

    #[test]
    fn a_letter_that_moves_to_the_next_part_makes_another_context() {
        let here = Binding::new("s", "a", "bc", "d").context();
        let there = Binding::new("s", "ab", "c", "d").context();
        assert_ne!(here, there);
    }
}
