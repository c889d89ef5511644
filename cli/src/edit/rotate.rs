//! New keys: for the keyring, and for each vault.
//!
//! What is interrupted loses nothing: the keyring holds the new key before anything is wrapped with
//! it, keeps the old ones, and each vault is rewritten whole. The next rotate finishes the work.

use std::{
    collections::BTreeSet,
    io::{self, Write},
};

use anyhow::{Context, bail};
use jiff::Timestamp;
use secretvault_envelope::VaultBinding;
use secretvault_keyring::{KeyId, Keyring};
use secretvault_seal::KeyProvider;
use serde_json::json;

use super::say;
use crate::{
    keys::{self, Kept, Keys},
    object::Object,
    opened::{OpenError, OpenVault},
    sealing,
    session::Session,
    store::Stored,
};

/// Makes a new key and wraps every vault with it; with `data_keys`, seals every value anew under a
/// new data key too; with `retire`, takes out the keys that nothing uses any more.
///
/// # Errors
/// A vault cannot be opened: it stays as it is, and no key is retired.
pub fn rotate(session: &Session, data_keys: bool, retire: bool) -> anyhow::Result<()> {
    let path = &session.keyring_path()?;
    if retire && !session.names_keyring() {
        bail!(
            "--retire takes keys out of {}, which other stores may use: give --keyring too, if it is this store's alone",
            path.display()
        );
    }
    let store = session.store()?;
    let writing = store.lock()?;
    let Kept { keyring, lock } = keys::keep(path, true)?;
    let keyring = next_keyring(keyring, &store.list()?, session, retire)?;
    keys::save(path, &keyring)?;
    println(&format!("key {} wraps from now on", keyring.primary_id()));
    let keys = Keys::new(keyring);
    for stored in store.list()? {
        let object = stored.object;
        if object.spec.get("dataKey").is_none() {
            continue;
        }
        let vault = object.reference();
        let rewrapped = if data_keys {
            sealing::reseal(&object, &keys, session.now).map_err(Into::into)
        } else {
            rewrap(&object, &keys, session.now)
        };
        writing.write(&rewrapped.with_context(|| format!("vault {vault} stays as it is"))?)?;
        say(
            &vault,
            if data_keys {
                "sealed anew"
            } else {
                "rewrapped"
            },
        );
    }
    if retire {
        let mut keyring = keys::load(path)?;
        retire_unused(&mut keyring, &store.list()?);
        keys::save(path, &keyring)?;
    }
    drop((writing, lock));
    session.changed(&store, None);
    Ok(())
}

/// The keyring with a new key. Every vault must open before: a rotation that cannot end would only
/// fill the keyring, one key for each try.
fn next_keyring(
    keyring: Keyring,
    vaults: &[Stored],
    session: &Session,
    retire: bool,
) -> anyhow::Result<Keyring> {
    let text = keyring.to_json();
    let keys = Keys::new(keyring);
    for stored in vaults {
        OpenVault::open(&stored.object, &keys).context("nothing was changed")?;
    }
    let mut keyring = Keyring::parse(&text)?;
    if retire {
        retire_unused(&mut keyring, vaults);
    }
    keyring.rotate(session.now)?;
    Ok(keyring)
}

fn retire_unused(keyring: &mut Keyring, vaults: &[Stored]) {
    for id in keyring.retire(&in_use(vaults)) {
        println(&format!("key {id} retired"));
    }
}

/// Says what is done. It is, whether or not somebody listens.
fn println(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// The same data key, wrapped with the primary key.
fn rewrap(object: &Object, keys: &Keys, now: Timestamp) -> anyhow::Result<Object> {
    let spec = object.typed()?;
    let data_key = spec.data_key.context("there is no data key")?;
    let vault = object.reference();
    let binding = VaultBinding::new(keys.scope(), &vault.namespace, &vault.name);
    let dek = keys.open(&binding, &data_key)?;
    let dek = dek.ok_or_else(|| OpenError::DataKey(vault.clone()))?;
    let wrapped = keys.wrap_now(&binding, data_key.id.parse()?, &dek)?;
    let mut rewrapped = object.clone();
    rewrapped.spec["dataKey"]["keyId"] = json!(wrapped.key_id);
    rewrapped.spec["dataKey"]["wrapped"] = json!(wrapped.wrapped);
    Ok(sealing::with_status(rewrapped, object, now)?)
}

fn in_use(vaults: &[Stored]) -> BTreeSet<KeyId> {
    let ids = vaults.iter().filter_map(|stored| {
        let id = stored.object.spec.get("dataKey")?.get("keyId")?.as_str()?;
        id.parse().ok()
    });
    ids.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::PlaceArgs;

    #[test]
    fn no_key_is_retired_from_a_keyring_that_other_stores_may_use() {
        let session = Session::new(PlaceArgs {
            store: Some("elsewhere".into()),
            keyring: None,
            namespace: "default".to_owned(),
        });
        let refused = rotate(&session, false, true).unwrap_err().to_string();
        assert!(refused.contains("give --keyring too"), "{refused}");
        // The control: without --retire it gets as far as the store, which is not there.
        let error = rotate(&session, false, false).unwrap_err().to_string();
        assert!(error.contains("there is no store"), "{error}");
    }
}
