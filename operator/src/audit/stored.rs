//! Where the key and the checkpoints are kept.
//!
//! | object of the operator's namespace | key | what |
//! |---|---|---|
//! | Secret `secretvault-audit` | `seed` | the private key of all replicas: 32 bytes |
//! | | `public.pem` | the public key |
//! | ConfigMap `secretvault-audit-checkpoints` | a chain's name | the chain's last checkpoint |
//! | | a key's id, `.pem` | the public key that it is signed with |
//!
//! # Guarantees
//! * A key is made only where no Secret is, and never written over: of two replicas at the same time
//!   one makes it, and the other reads what it made.
//! * A replica writes its own chain's checkpoint, and takes away only those of the oldest chains, when
//!   there are more than [`MOST_CHAINS`].
//! * Each key has a field manager of its own, so that nothing is left of a chain that is taken away:
//!   the API server remembers a manager for as long as it has a field.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use secretvault_audit::{ChainId, Checkpoint, NotAKey, PublicKey, Seed, SigningKey};
use serde_json::{Map, Value, json};
use tracing::info;

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyError {
    #[error("Secret {SECRET} cannot be read or written")]
    Api(#[from] kube::Error),
    #[error("no key can be made")]
    Made(#[source] NotAKey),
    /// Somebody has to look: with another key, nobody could tell a thief's log from ours.
    #[error(
        "Secret {SECRET} holds no key ({SEED}): restore it, or delete it to have another one made"
    )]
    Unreadable,
}

/// The key, which is made if there is none.
pub(super) async fn signing_key(secrets: &Api<Secret>) -> Result<SigningKey, KeyError> {
    if let Some(secret) = secrets.get_opt(SECRET).await? {
        return read(&secret);
    }
    let seed = Seed::generate().map_err(KeyError::Made)?;
    let key = SigningKey::from_seed(&seed).map_err(KeyError::Made)?;
    match secrets
        .create(&PostParams::default(), &secret(&seed, key.public()))
        .await
    {
        Ok(_) => {
            info!(secret = SECRET, key = %key.id(), "made the key of the audit log");
            Ok(key)
        }
        Err(kube::Error::Api(answer)) if answer.code == CONFLICT => {
            read(&secrets.get(SECRET).await?)
        }
        Err(error) => Err(error.into()),
    }
}

fn read(secret: &Secret) -> Result<SigningKey, KeyError> {
    let seed = secret.data.as_ref().and_then(|data| data.get(SEED));
    let seed = seed.and_then(|seed| Seed::try_from(seed.0.as_slice()).ok());
    let key = seed.and_then(|seed| SigningKey::from_seed(&seed).ok());
    key.ok_or(KeyError::Unreadable)
}

fn secret(seed: &Seed, public: &PublicKey) -> Secret {
    let labels = BTreeMap::from([(
        "app.kubernetes.io/managed-by".to_owned(),
        "secretvault-operator".to_owned(),
    )]);
    Secret {
        metadata: ObjectMeta {
            name: Some(SECRET.to_owned()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([
            (SEED.to_owned(), ByteString(seed.expose().to_vec())),
            (PUBLIC.to_owned(), ByteString(public.to_pem().into_bytes())),
        ])),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}

/// Keeps the last checkpoint of a chain.
///
/// # Errors
/// The API server refuses.
pub(super) async fn publish(
    config_maps: &Api<ConfigMap>,
    chain: &ChainId,
    checkpoint: &str,
    public: &PublicKey,
) -> Result<(), kube::Error> {
    let (pem, text) = (format!("{}.pem", public.id()), public.to_pem());
    let mut kept = apply(config_maps, chain.as_str(), checkpoint).await?;
    if kept.get(&pem) != Some(&text) {
        kept = apply(config_maps, &pem, &text).await?;
    }
    let old = surplus(&kept, chain);
    if old.is_empty() {
        return Ok(());
    }
    let gone: Map<String, Value> = old.into_iter().map(|key| (key, Value::Null)).collect();
    let patch = Patch::Merge(json!({"data": gone}));
    let parameters = PatchParams::default();
    let gone = config_maps.patch(CONFIG_MAP, &parameters, &patch).await;
    gone.map(drop)
}

/// Writes one key, and answers with all that there are then.
async fn apply(
    config_maps: &Api<ConfigMap>,
    key: &str,
    text: &str,
) -> Result<BTreeMap<String, String>, kube::Error> {
    let patch = Patch::Apply(json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CONFIG_MAP},
        "data": {key: text},
    }));
    let parameters = PatchParams::apply(&manager(key)).force();
    let kept = config_maps.patch(CONFIG_MAP, &parameters, &patch).await?;
    Ok(kept.data.unwrap_or_default())
}

/// The chains that there are too many of, the oldest ones.
fn surplus(kept: &BTreeMap<String, String>, own: &ChainId) -> Vec<String> {
    let time = |line: &str| {
        let checkpoint = Checkpoint::parse(line.as_bytes());
        checkpoint.map_or(Timestamp::MIN, |it| it.time)
    };
    let chains = kept.iter().filter(|(name, _)| !name.ends_with(".pem"));
    let mut chains: Vec<_> = chains.map(|(name, line)| (time(line), name)).collect();
    chains.sort_unstable();
    let more = chains.len().saturating_sub(MOST_CHAINS);
    let oldest = chains.into_iter().take(more).map(|(_, name)| name);
    oldest
        .filter(|name| *name != own.as_str())
        .cloned()
        .collect()
}

/// The field manager of one key: the end of its name is what tells it apart.
fn manager(key: &str) -> String {
    let start = key.len().saturating_sub(MAX_MANAGER - MANAGER.len());
    format!("{MANAGER}{}", key.get(start..).unwrap_or(key))
}

/// Where the key is.
pub(super) const SECRET: &str = "secretvault-audit";
/// Where the last checkpoints are.
pub(super) const CONFIG_MAP: &str = "secretvault-audit-checkpoints";
/// Of how many chains the last checkpoint is kept: half a kilobyte each.
pub(super) const MOST_CHAINS: usize = 128;
const CONFLICT: u16 = 409;
const MANAGER: &str = "audit-";
/// What the API server accepts.
const MAX_MANAGER: usize = 128;
const PUBLIC: &str = "public.pem";
const SEED: &str = "seed";
