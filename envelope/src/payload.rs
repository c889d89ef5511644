//! What a key provider wraps: a data key that says whose it is.

use zeroize::Zeroizing;

use crate::binding::push_prefixed;
use crate::dek::DEK_ID_LEN;
use crate::key::ROOT_KEY_LEN;
use crate::{Dek, DekId, OpenError, Plaintext, VaultBinding};

/// The data key payload: the plaintext of `spec.dataKey.wrapped`.
#[derive(Clone, Copy, Debug)]
pub struct DataKeyPayload;

impl DataKeyPayload {
    /// Encodes a vault's data key, for a provider to wrap.
    pub fn encode(vault: &VaultBinding<'_>, id: DekId, dek: &Dek) -> Plaintext {
        let prefix = prefix(vault, id);
        let mut payload = Zeroizing::new(Vec::with_capacity(prefix.len() + ROOT_KEY_LEN));
        payload.extend_from_slice(&prefix);
        payload.extend_from_slice(dek.root().expose());
        Plaintext::from(payload)
    }

    /// Decodes what a provider unwrapped, if it is this vault's data key of this id.
    ///
    /// # Errors
    /// It is another vault's, another id's, or no payload.
    pub fn decode(
        payload: &Plaintext,
        vault: &VaultBinding<'_>,
        id: DekId,
    ) -> Result<Dek, OpenError> {
        let key = payload
            .expose()
            .strip_prefix(prefix(vault, id).as_slice())
            .ok_or(OpenError)?;
        key.try_into().map(Dek::from_bytes).map_err(|_| OpenError)
    }
}

/// Returns all of a payload but its data key. Nothing of it is secret.
fn prefix(vault: &VaultBinding<'_>, id: DekId) -> Vec<u8> {
    let names: usize = vault.parts().iter().map(|part| 4 + part.len()).sum();
    let mut prefix = Vec::with_capacity(MAGIC.len() + 1 + names + DEK_ID_LEN);
    prefix.extend_from_slice(MAGIC);
    prefix.push(VERSION);
    for part in vault.parts() {
        push_prefixed(&mut prefix, part);
    }
    prefix.extend_from_slice(id.as_bytes());
    prefix
}

const MAGIC: &[u8] = b"SVDK";
const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_laid_out_as_specified() {
        let expected = [
            b"SVDK\x01\0\0\0\x05scope\0\0\0\x04shop\0\0\0\x03app".as_slice(),
            &[9; 16],
            &[7; 32],
        ];
        assert_eq!(encode().expose(), expected.concat());
    }

    #[test]
    fn a_payload_gives_its_data_key_back() {
        assert_eq!(
            DataKeyPayload::decode(&encode(), &vault(), id()).unwrap(),
            dek()
        );
    }

    #[test]
    fn another_vaults_data_key_is_refused() {
        let others = [
            VaultBinding::new("other", "shop", "app"),
            VaultBinding::new("scope", "batch", "app"),
            VaultBinding::new("scope", "shop", "web"),
            VaultBinding::new("scope", "shopapp", ""),
        ];
        for other in others {
            assert_eq!(
                DataKeyPayload::decode(&encode(), &other, id()).unwrap_err(),
                OpenError
            );
        }
    }

    #[test]
    fn a_data_key_of_another_id_is_refused() {
        let other = DekId::from_bytes([8; 16]);
        assert_eq!(
            DataKeyPayload::decode(&encode(), &vault(), other).unwrap_err(),
            OpenError
        );
    }

    #[test]
    fn a_payload_cut_anywhere_or_longer_is_refused() {
        let whole = encode();
        for end in 0..whole.expose().len() {
            let cut = Plaintext::from(&whole.expose()[..end]);
            assert_eq!(
                DataKeyPayload::decode(&cut, &vault(), id()).unwrap_err(),
                OpenError
            );
        }
        let longer = Plaintext::from([whole.expose(), &[0]].concat());
        assert_eq!(
            DataKeyPayload::decode(&longer, &vault(), id()).unwrap_err(),
            OpenError
        );
    }

    fn encode() -> Plaintext {
        DataKeyPayload::encode(&vault(), id(), &dek())
    }

    fn vault() -> VaultBinding<'static> {
        VaultBinding::new("scope", "shop", "app")
    }

    fn id() -> DekId {
        DekId::from_bytes([9; 16])
    }

    fn dek() -> Dek {
        Dek::from_bytes(&[7; 32])
    }
}
