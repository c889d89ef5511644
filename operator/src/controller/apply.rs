//! Writes by server-side apply, as one field manager.

use kube::{
    Api, Resource,
    api::{Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// How the operator's controllers sign what they write. Nobody else writes those fields, so a
/// conflict means that somebody meddled, and is overruled.
pub(super) fn parameters() -> PatchParams {
    PatchParams::apply(FIELD_MANAGER).force()
}

/// Writes the status of an object that exists, and returns it as it is now; none: it is gone.
///
/// # Errors
/// Fails when the API server refuses.
pub(super) async fn status<K, S>(
    api: &Api<K>,
    object: &K,
    status: &S,
) -> Result<Option<K>, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    S: Serialize,
{
    let name = object.meta().name.as_deref().unwrap_or_default();
    let patch = Patch::Apply(status_patch(object, status));
    match api.patch_status(name, &parameters(), &patch).await {
        Err(kube::Error::Api(answer)) if answer.code == NOT_FOUND => Ok(None),
        written => written.map(Some),
    }
}

/// The uid makes the API server refuse the status of an object that was deleted and made anew.
fn status_patch<K: Resource<DynamicType = ()>>(object: &K, status: &impl Serialize) -> Value {
    let meta = object.meta();
    json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid},
        "status": status,
    })
}

/// The field manager of everything that the controllers write.
pub(super) const FIELD_MANAGER: &str = "secretvault-operator";
const NOT_FOUND: u16 = 404;

#[cfg(test)]
mod tests {
    use secretvault_crds::{KeyProvider, KeyProviderSpec};

    use super::*;

    #[test]
    fn a_status_patch_holds_nothing_but_the_status() {
        let mut object = KeyProvider::new("default", KeyProviderSpec::default());
        object.metadata.uid = Some("u".into());
        object.metadata.labels = Some([("a".into(), "b".into())].into());
        let patch = status_patch(&object, &json!({"vaults": 1}));
        let expected = json!({
            "apiVersion": "secretvault.dev/v1alpha1",
            "kind": "KeyProvider",
            "metadata": {"name": "default", "namespace": null, "uid": "u"},
            "status": {"vaults": 1},
        });
        assert_eq!(patch, expected);
    }
}
