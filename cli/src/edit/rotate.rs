//! New keys: for the keyring, and for each vault.
//!
//! What is interrupted loses nothing: the keyring holds the new key before anything is wrapped with
//! it, keeps the old ones, and each vault is rewritten whole. The next rotate finishes the work.

use std::{
    collections::BTreeSet,
    io::{self, Write},
};

use anyhow::Context;
use secretvault_envelope::{Dek, DekId, Envelope, VaultBinding};
use secretvault_keyring::KeyId;
use secretvault_seal::KeyProvider;
use serde_json::{Value, json};

use super::say;
use crate::{
    keys::{self, Keys},
    object::Object,
    opened::{OpenError, OpenVault},
    sealing,
    session::Session,
};

/// Makes a new key and wraps every vault with it; with `data_keys`, seals every value anew under a
/// new data key too; with `retire`, takes out the keys that nothing uses any more.
///
/// # Errors
/// A vault cannot be opened: it stays as it is, and no key is retired.
pub fn rotate(session: &Session, data_keys: bool, retire: bool) -> anyhow::Result<()> {
    let store = session.store()?;
    let writing = store.lock()?;
    let path = &session.keyring_path()?;
    let mut keyring = keys::load(path)?;
    keyring.rotate(session.now)?;
    keys::save(path, &keyring)?;
    writeln!(
        io::stdout(),
        "key {} wraps from now on",
        keyring.primary_id()
    )?;
    let keys = Keys::new(keyring);
    for stored in store.list()? {
        let object = stored.object;
        let vault = object.reference();
        if object.spec.get("dataKey").is_none() {
            continue;
        }
        let rewrapped = if data_keys {
            reseal(&object, &keys)
        } else {
            rewrap(&object, &keys)
        };
        let rewrapped = rewrapped.with_context(|| format!("vault {vault} stays as it is"))?;
        writing.write(&sealing::with_status(rewrapped, &object, session.now)?)?;
        say(
            &vault,
            if data_keys {
                "sealed anew"
            } else {
                "rewrapped"
            },
        )?;
    }
    if retire {
        let used = in_use(&store.list()?);
        let mut keyring = keys::load(path)?;
        for id in keyring.retire(&used) {
            writeln!(io::stdout(), "key {id} retired")?;
        }
        keys::save(path, &keyring)?;
    }
    drop(writing);
    session.changed(&store, None);
    Ok(())
}

/// The same data key, wrapped with the primary key.
fn rewrap(object: &Object, keys: &Keys) -> anyhow::Result<Object> {
    let spec = object.typed()?;
    let data_key = spec.data_key.context("there is no data key")?;
    let vault = object.reference();
    let binding = VaultBinding::new(keys.scope(), &vault.namespace, &vault.name);
    let dek = keys.open(&binding, &data_key)?;
    let dek = dek.ok_or_else(|| OpenError::DataKey(vault.clone()))?;
    let wrapped = keys.wrap_now(&binding, data_key.id.parse()?, &dek)?;
    let mut object = object.clone();
    object.spec["dataKey"]["keyId"] = json!(wrapped.key_id);
    object.spec["dataKey"]["wrapped"] = json!(wrapped.wrapped);
    Ok(object)
}

/// Every value under a new data key.
fn reseal(object: &Object, keys: &Keys) -> anyhow::Result<Object> {
    let open = OpenVault::open(object, keys)?;
    let vault = object.reference();
    let binding = VaultBinding::new(keys.scope(), &vault.namespace, &vault.name);
    let (dek, id) = (Dek::generate()?, DekId::generate()?);
    let mut resealed = object.clone();
    for map in ["data", "binaryData"] {
        let entries = resealed.spec.get_mut(map).and_then(Value::as_object_mut);
        for (entry, text) in entries.into_iter().flatten() {
            let value = open.value(entry)?.context("an entry is gone")?;
            let envelope = Envelope::seal(&dek, &binding.entry(entry), &value)?;
            *text = envelope.to_string().into();
        }
    }
    let wrapped = keys.wrap_now(&binding, id, &dek)?;
    let key = &mut resealed.spec["dataKey"];
    let rekey = key["rekey"].as_u64().unwrap_or_default() + 1;
    key["id"] = json!(id.to_string());
    key["keyId"] = json!(wrapped.key_id);
    key["wrapped"] = json!(wrapped.wrapped);
    key["rekey"] = json!(rekey);
    Ok(resealed)
}

fn in_use(vaults: &[crate::store::Stored]) -> BTreeSet<KeyId> {
    let ids = vaults.iter().filter_map(|stored| {
        let id = stored.object.spec.get("dataKey")?.get("keyId")?.as_str()?;
        id.parse().ok()
    });
    ids.collect()
}
