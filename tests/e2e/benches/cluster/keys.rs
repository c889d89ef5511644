//! Keys: what sealing adds to an apply, how fast vaults are rewrapped, and what many vaults take.

use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use secretvault_e2e::{Namespace, kubectl, kubectl_with};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::report::Report;
use crate::times::{Millis, Times};
use crate::{Failure, cost};

pub(crate) async fn measure(client: &Client, report: &mut Report) -> Result<(), Failure> {
    creates(client, report).await?;
    rewraps(client, report).await?;
    memory(client, report).await
}

/// A vault and a Secret of the same ten entries, created in turns; and a vault that has them as public
/// ones, of which nothing is sealed.
async fn creates(client: &Client, report: &mut Report) -> Result<(), Failure> {
    report.section(
        "Create of ten entries",
        "Vault and native Secret take turns. Goal: at most 1.3 × the Secret at p50, 1.5 × at p99. The public vault differs from the first by the sealing alone.",
    );
    let namespace = Namespace::create("bench-creates");
    let vaults = vaults(client, namespace.name());
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace.name());
    let params = PostParams::default();
    let (mut sealed, mut public, mut native) =
        (Times::default(), Times::default(), Times::default());
    for number in 0..CREATES {
        let (name, open) = (format!("app-{number}"), format!("open-{number}"));
        let vault = serde_json::from_value(vault(&name, DEFAULT))?;
        let begun = Instant::now();
        vaults.create(&params, &vault).await?;
        sealed.add(begun.elapsed());
        let secret = serde_json::from_value(secret(&name))?;
        let begun = Instant::now();
        secrets.create(&params, &secret).await?;
        native.add(begun.elapsed());
        let vault = serde_json::from_value(public_vault(&open))?;
        let begun = Instant::now();
        vaults.create(&params, &vault).await?;
        public.add(begun.elapsed());
    }
    report.table(&[
        "create of",
        "creates",
        "p50",
        "p99",
        "p50 ÷ Secret",
        "p99 ÷ Secret",
    ]);
    for (what, times) in [
        ("SecretVault", &sealed),
        ("SecretVault, public entries", &public),
        ("native Secret", &native),
    ] {
        let ratio = |hundredths| {
            let of = |times: &Times| times.percentile(hundredths).as_secs_f64();
            format!("{:.2}", of(times) / of(&native))
        };
        report.row(&[
            what.to_owned(),
            times.count().to_string(),
            Millis(times.percentile(50)).to_string(),
            Millis(times.percentile(99)).to_string(),
            ratio(50),
            ratio(99),
        ]);
    }
    Ok(())
}

/// Many vaults are patched by us, and then rewrapped by the operator.
async fn rewraps(client: &Client, report: &mut Report) -> Result<(), Failure> {
    report.section(
        "Rewrap",
        "All vaults of a provider after its keyring got a new key, against as many merge patches of one annotation-free field on the same API server, as many at once. Goal: at least 0.8 × the rate of the patches.",
    );
    let provider = Provider::make("bench-rewrap")?;
    let namespace = Namespace::create("bench-rewraps");
    make(client, &namespace, REWRAPS, &provider.0).await?;
    let patched = patches(client, &namespace, REWRAPS).await?;
    let rewrapped = provider.rotate().await?;
    let rate = |taken: Duration| {
        f64::from(u32::try_from(REWRAPS).unwrap_or(u32::MAX)) / taken.as_secs_f64()
    };
    report.table(&["what", "vaults", "took", "per second", "rate ÷ patches"]);
    for (what, taken) in [("patches", patched), ("rewrap", rewrapped)] {
        report.row(&[
            what.to_owned(),
            REWRAPS.to_string(),
            format!("{:.1} s", taken.as_secs_f64()),
            format!("{:.0}", rate(taken)),
            format!("{:.2}", rate(taken) / rate(patched)),
        ]);
    }
    Ok(())
}

/// Memory with many vaults.
async fn memory(client: &Client, report: &mut Report) -> Result<(), Failure> {
    report.section(
        &format!("{VAULTS} vaults"),
        "Ten entries each. Goal: the operator's resident memory at most 200 MiB.",
    );
    let namespace = Namespace::create("bench-vaults");
    make(client, &namespace, VAULTS, DEFAULT).await?;
    // Their statuses are written meanwhile.
    sleep(STATUSES).await;
    cost::memory(report, &format!("{VAULTS} vaults"))
}

/// A key provider of our own, with its keyring.
struct Provider(String);

impl Provider {
    fn make(name: &str) -> Result<Self, Failure> {
        let object = json!({
            "apiVersion": "secretvault.dev/v1alpha1",
            "kind": "KeyProvider",
            "metadata": {"name": name},
            "spec": {"local": {"keyring": {"secret": {"name": name}}}},
        });
        let _ = kubectl_with(&["apply", "-f", "-"], &object.to_string()).expect_success();
        let provider = Self(name.to_owned());
        provider.wait("Ready")?;
        Ok(provider)
    }

    fn wait(&self, condition: &str) -> Result<(), Failure> {
        let (object, condition) = (
            format!("keyprovider/{}", self.0),
            format!("--for=condition={condition}"),
        );
        let waited = kubectl(&["wait", &object, &condition, "--timeout=5m"]);
        waited.into_result().map(drop).map_err(Failure::from)
    }

    /// Has the keyring get a new key, and waits until every vault is wrapped with it.
    async fn rotate(&self) -> Result<Duration, Failure> {
        let key = [
            "get",
            "keyprovider",
            &self.0,
            "-o",
            "jsonpath={.status.primaryKeyId}",
        ];
        let before = kubectl(&key).expect_success();
        // A key of this very second would count as rotated.
        sleep(Duration::from_secs(2)).await;
        let now = kubectl_with(
            &[
                "create",
                "--dry-run=server",
                "-o",
                "jsonpath={.metadata.creationTimestamp}",
                "-f",
                "-",
            ],
            NOBODY,
        );
        let patch = json!({"spec": {"local": {"rotatedSince": now.expect_success()}}});
        let patch = patch.to_string();
        let arguments = [
            "patch",
            "keyprovider",
            &self.0,
            "--type=merge",
            "-p",
            &patch,
        ];
        let begun = Instant::now();
        let _ = kubectl(&arguments).expect_success();
        while kubectl(&key).expect_success() == before {
            sleep(Duration::from_millis(100)).await;
        }
        self.wait("KeyCurrent")?;
        Ok(begun.elapsed())
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = kubectl(&["delete", "keyprovider", &self.0, "--wait=false"]);
    }
}

async fn make(
    client: &Client,
    namespace: &Namespace,
    count: usize,
    provider: &str,
) -> Result<(), Failure> {
    let vaults = vaults(client, namespace.name());
    stream::iter(0..count)
        .map(Ok::<_, Failure>)
        .try_for_each_concurrent(AT_ONCE, |number| {
            let vaults = vaults.clone();
            async move {
                let vault = serde_json::from_value(vault(&format!("app-{number}"), provider))?;
                vaults.create(&PostParams::default(), &vault).await?;
                Ok(())
            }
        })
        .await
}

/// Patches each vault once, and tells how long that took.
async fn patches(
    client: &Client,
    namespace: &Namespace,
    count: usize,
) -> Result<Duration, Failure> {
    let vaults = vaults(client, namespace.name());
    let patch = Patch::Merge(json!({"spec": {"description": "patched"}}));
    let begun = Instant::now();
    stream::iter(0..count)
        .map(Ok::<_, Failure>)
        .try_for_each_concurrent(AT_ONCE, |number| {
            let (vaults, patch) = (vaults.clone(), patch.clone());
            async move {
                let name = format!("app-{number}");
                vaults.patch(&name, &PatchParams::default(), &patch).await?;
                Ok(())
            }
        })
        .await?;
    Ok(begun.elapsed())
}

fn vaults(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("secretvault.dev", "v1alpha1", "SecretVault");
    let resource = ApiResource::from_gvk_with_plural(&kind, "secretvaults");
    Api::namespaced_with(client.clone(), namespace, &resource)
}

fn vault(name: &str, provider: &str) -> Value {
    json!({
        "apiVersion": "secretvault.dev/v1alpha1",
        "kind": "SecretVault",
        "metadata": {"name": name},
        "spec": {"keyProvider": provider, "data": entries()},
    })
}

fn public_vault(name: &str) -> Value {
    json!({
        "apiVersion": "secretvault.dev/v1alpha1",
        "kind": "SecretVault",
        "metadata": {"name": name},
        "spec": {"publicData": entries()},
    })
}

fn secret(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": entries()})
}

fn entries() -> Value {
    let entries = (0..10).map(|entry| (format!("entry-{entry}"), json!("a value of usual length")));
    Value::Object(entries.collect())
}

const DEFAULT: &str = "default";
const CREATES: usize = 200;
const REWRAPS: usize = 2000;
const VAULTS: usize = 10_000;
/// As many as the operator's controllers do.
const AT_ONCE: usize = 8;
const STATUSES: Duration = Duration::from_secs(60);
/// Not stored: only asked for the API server's clock.
const NOBODY: &str =
    r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"clock","namespace":"default"}}"#;
