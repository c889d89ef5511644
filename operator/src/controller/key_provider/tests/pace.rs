//! Rounds have pauses between them, however much is told.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::*;
use crate::audit::memory;
use crate::keys::fake::ApiServer;

/// An API server with one provider, which changes without end.
fn restless() -> ApiServer {
    let api = ApiServer::new();
    let keyring = Keyring::generate(Timestamp::now()).unwrap();
    let keyring = BASE64_STANDARD.encode(keyring.to_json().as_bytes());
    api.set(
        KEYRING,
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ring"},
            "data": {"keyring": keyring},
        }),
    );
    let provider = json!({
        "metadata": {"name": "default", "uid": "u", "resourceVersion": "2"},
        "spec": {"local": {"keyring": {"secret": {"name": "ring"}}}},
    });
    api.set(
        PROVIDERS,
        json!({
            "apiVersion": "secretvault.dev/v1alpha1", "kind": "KeyProviderList",
            "metadata": {"resourceVersion": "1"}, "items": [provider],
        }),
    );
    api.tell(PROVIDERS, json!({"type": "MODIFIED", "object": provider}));
    api
}

/// However slow the machine is, so many rounds take so long.
#[tokio::test]
async fn changes_without_end_are_looked_at_with_pauses() {
    let (api, log) = (restless(), memory::Memory::default());
    let begun = Instant::now();
    let running = tokio::spawn(controller_of(api.client(), log.audit()).run());
    for _ in 0..3000 {
        if api.asked(KEYRING).len() >= 6 {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    running.abort();
    let (elapsed, rounds) = (begun.elapsed(), api.asked(KEYRING).len());
    assert!(rounds >= 6, "{rounds}");
    assert!(elapsed >= Duration::from_millis(1250), "{elapsed:?}");
}

const KEYRING: &str = "/api/v1/namespaces/secretvault/secrets/ring";
const PROVIDERS: &str = "/apis/secretvault.dev/v1alpha1/keyproviders";
