//! Nothing that is written down holds a token, a secret id or a key.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secretvault_envelope::DataKeyPayload;
use secretvault_operator::process;
use serde_json::json;

use crate::api::ApiServer;
use crate::bao::Bao;
use crate::proxy::Doing;
use crate::world::{self, Sealed, TransitWorld};

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn no_secret_is_logged_at_any_level() {
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(process::filter("trace").unwrap())
        .with_writer(move || writer.clone())
        .finish();
    // For all threads, so of the other tests too: a subscriber of this thread alone misses what
    // another one has met before.
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let bao = Bao::with_key().await;
    let (role_id, secret_id) = bao.app_role(json!({"token_ttl": "1h"})).await;
    let api = ApiServer::new();
    world::secret(&api, "approle", "secretId", &secret_id);
    let auth = json!({"appRole": {
        "roleId": role_id, "secretId": {"secret": {"name": "approle", "key": "secretId"}},
    }});
    let it = TransitWorld::by(bao, auth, api).await;
    let provider = it.world.usable("transit").await;
    let sealed = it.sealed("app").await;
    sealed.rewrapped(&provider).await.unwrap();
    let mut broken = sealed.data_key.clone();
    broken.wrapped = broken.wrapped.replace(":v1:", ":v1:AAAA");
    let refused = provider.unwrap(&sealed.binding(&provider), &broken).await;
    assert!(refused.is_err());
    it.proxy.set(Doing::Answer(
        400,
        json!({"errors": ["SECRET-DETAIL"]}).to_string(),
    ));
    let error = Sealed::try_by(&provider, "app").await.err().unwrap();
    let fault = it.world.providers.state("transit").unwrap().err().unwrap();

    let binding = sealed.binding(&provider);
    let id = sealed.data_key.id.parse().unwrap();
    let payload = DataKeyPayload::encode(&binding, id, &sealed.dek);
    let payload = BASE64_STANDARD.encode(payload.expose());
    let mut text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    assert!(
        text.contains("key provider is usable"),
        "something is logged"
    );
    text.push_str(&format!("{error} {error:?} {fault} {fault:?}"));
    // The dek is the payload's end; three bytes of alignment change how base64 writes it.
    for secret in [
        secret_id.as_str(),
        &payload,
        &payload[payload.len() - 24..],
        "SECRET-DETAIL",
        "s.",
    ] {
        let found = text
            .lines()
            .find(|line| line.contains(secret) && (secret != "s." || has_token(line)));
        assert!(found.is_none(), "{}", found.unwrap_or_default());
    }
}

/// Whether a line holds what looks like a token of the server.
fn has_token(line: &str) -> bool {
    line.split(|it: char| !it.is_ascii_alphanumeric() && it != '.')
        .any(|word| word.starts_with("s.") && word.len() >= 26)
}
