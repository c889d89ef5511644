//! What sealing a manifest costs, beside AES-256-GCM over the same bytes and nothing else:
//! `tests/benchmarks` appends what this prints to its report.
//!
//! Each envelope has a key of its own (HKDF-SHA256 of the data key) and a salt from the operating
//! system, and a manifest is read, compared and scrubbed: that is the difference.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use secretvault_crds::DataKey;
use secretvault_envelope::{DataKeyPayload, Dek, DekId, Plaintext, VaultBinding};
use secretvault_seal::{
    Change, KeyProvider, KeyProviders, Manifest, NoRandomness, Wish, WrappedKey, examine,
};
use serde_json::{Value, json};

fn main() {
    say(&format!("\n## Sealing alone\n\n{WORDS}\n"));
    say("| entries | raw AES-256-GCM | seal | seal ÷ raw | an apply that changes nothing |");
    say("| --- | --- | --- | --- | --- |");
    for entries in [1, 10, 500] {
        let incoming = manifest(entries);
        let mut stored = incoming.clone();
        for change in sealed(None, &incoming) {
            let _ = change.make(&mut stored, &mut BTreeMap::new());
        }
        let raw = median(|| encrypt(entries));
        let seal = median(|| sealed(None, &incoming));
        let same = median(|| sealed(Some(&stored), &incoming));
        let ratio = seal.as_secs_f64() / raw.as_secs_f64();
        say(&format!(
            "| {entries} | {} | {} | {ratio:.1} | {} |",
            shown(raw),
            shown(seal),
            shown(same)
        ));
    }
}

/// What the webhook does between the review and its answer, with a key provider that costs nothing.
#[expect(clippy::expect_used, reason = "the manifests are our own")]
fn sealed(stored: Option<&Value>, incoming: &Value) -> Vec<Change> {
    let annotations = BTreeMap::new();
    let of = |spec| Manifest {
        namespace: "shop",
        name: "app",
        annotations: &annotations,
        spec,
    };
    let wish = Wish {
        provider: "default",
        by_operator: false,
        now: Timestamp::UNIX_EPOCH,
    };
    let examined = examine(stored.map(of), of(incoming), &wish).expect("a manifest");
    let key = at_once(examined.key(&InText)).expect("a key");
    examined.seal(key.as_ref()).expect("sealed values")
}

fn encrypt(entries: usize) -> usize {
    let cipher = Aes256Gcm::new(&Key::<Aes256Gcm>::from([7; 32]));
    let encrypted = (0..entries).map(|entry| {
        let mut text = value(entry).into_bytes();
        let nonce = Nonce::from([3; 12]);
        let tag = cipher.encrypt_inout_detached(&nonce, b"", text.as_mut_slice().into());
        let _ = black_box(tag);
        text.len()
    });
    encrypted.sum()
}

fn manifest(entries: usize) -> Value {
    let data: BTreeMap<String, String> = (0..entries)
        .map(|entry| (format!("entry/{entry}"), value(entry)))
        .collect();
    json!({ "data": data })
}

/// Of the length of a usual password or token.
fn value(entry: usize) -> String {
    format!("{entry:032}")
}

fn median<T>(work: impl Fn() -> T) -> Duration {
    let begun = Instant::now();
    let mut times = Vec::new();
    while times.len() < LEAST || begun.elapsed() < LASTS {
        let begun = Instant::now();
        let _ = black_box(work());
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    times[times.len() / 2]
}

fn shown(time: Duration) -> String {
    format!("{:.1} µs", time.as_secs_f64() * 1e6)
}

/// A key provider that hides nothing.
struct InText;

impl KeyProviders for InText {
    type Provider = Self;

    async fn find(&self, _: &str) -> Result<Self, NoRandomness> {
        Ok(Self)
    }
}

impl KeyProvider for InText {
    type Error = NoRandomness;

    fn scope(&self) -> &'static str {
        "benchmark"
    }

    async fn wrap(
        &self,
        vault: &VaultBinding<'_>,
        id: DekId,
        dek: &Dek,
    ) -> Result<WrappedKey, NoRandomness> {
        Ok(WrappedKey {
            key_id: "k".to_owned(),
            wrapped: BASE64_STANDARD.encode(DataKeyPayload::encode(vault, id, dek).expose()),
        })
    }

    async fn unwrap(
        &self,
        vault: &VaultBinding<'_>,
        data_key: &DataKey,
    ) -> Result<Option<Dek>, NoRandomness> {
        let payload = BASE64_STANDARD.decode(&data_key.wrapped).ok();
        let opened = payload
            .zip(data_key.id.parse().ok())
            .map(|(payload, id)| DataKeyPayload::decode(&Plaintext::from(payload), vault, id).ok());
        Ok(opened.flatten())
    }
}

/// What a future comes to that waits for nothing.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => unreachable!("a provider in memory answers at once"),
    }
}

#[expect(clippy::print_stdout, reason = "this is a program for a terminal")]
fn say(text: &str) {
    println!("{text}");
}

const WORDS: &str = "Entries of 32 bytes, in the release build, with no API server and no key provider. Each envelope has a key and a salt of its own, and the manifest is read \
and compared: that is what it takes beyond raw encryption with one key. Medians.";

/// The fewest measurements, and for how long there are more.
const LEAST: usize = 30;
const LASTS: Duration = Duration::from_secs(2);
