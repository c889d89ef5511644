//! Where the key and the checkpoints are kept.

use std::time::Duration;

use http::Method;
use kube::{Api, Client};
use secretvault_audit::PublicKey;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::super::stored::{CONFIG_MAP, KeyError, MOST_CHAINS, SECRET, publish, signing_key};
use super::*;
use crate::consumers::fake::FakeApi;

const SECRETS: &str = "/api/v1/namespaces/system/secrets";

struct Scene {
    server: FakeApi,
    memory: Memory,
    audit: Audit,
    keeper: Keeper,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Scene {
    fn begin(server: FakeApi) -> Self {
        let memory = Memory::default();
        let audit = memory.audit();
        let keeper = Keeper::new(&server.client(), "system", audit.clone());
        let stop = CancellationToken::new();
        let task = tokio::spawn(keeper.clone().run(stop.clone()));
        Self {
            server,
            memory,
            audit,
            keeper,
            stop,
            task,
        }
    }

    fn kept(&self) -> Value {
        let path = format!("/api/v1/namespaces/system/configmaps/{CONFIG_MAP}");
        self.server.stored(&path)["data"].clone()
    }

    /// The number of the checkpoint that is kept.
    fn kept_seq(&self) -> u64 {
        let kept = self.kept();
        let line = kept[self.audit.chain.as_str()].as_str().unwrap_or_default();
        Checkpoint::parse(line.as_bytes()).map_or(0, |kept| kept.seq)
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_made_and_each_checkpoint_is_kept_outside_of_the_log() {
    let scene = Scene::begin(FakeApi::default());
    sleep(Duration::from_secs(1)).await;
    let made = scene.server.asked(&Method::POST, SECRETS);
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].body["metadata"]["name"], SECRET);
    assert_eq!(scene.kept_seq(), 1, "at once");
    let kept = scene.kept();
    let pem = kept
        .as_object()
        .unwrap()
        .iter()
        .find(|(key, _)| key.ends_with(".pem"));
    let (id, pem) = pem.unwrap();
    let public = PublicKey::from_pem(pem.as_str().unwrap()).unwrap();
    assert_eq!(*id, format!("{}.pem", public.id()));
    scene.audit.must(record()).await.unwrap();
    sleep(Duration::from_secs(63)).await;
    assert_eq!(scene.kept_seq(), 3);
    // Nothing was written since.
    let written = scene.server.asked(&Method::PATCH, CONFIG_MAP).len();
    sleep(Duration::from_secs(600)).await;
    assert_eq!(
        scene.server.asked(&Method::PATCH, CONFIG_MAP).len(),
        written
    );
    let expectation = Expectation {
        keys: vec![public],
        ..Expectation::default()
    };
    assert_eq!(verified(&scene.memory, expectation).findings, []);
}

#[tokio::test(start_paused = true)]
async fn what_is_written_last_is_signed_and_kept_at_the_end() {
    let scene = Scene::begin(FakeApi::default());
    sleep(Duration::from_secs(1)).await;
    scene.stop.cancel();
    scene.task.await.unwrap();
    scene.audit.must(record()).await.unwrap();
    scene.keeper.finish().await;
    let kept = scene
        .server
        .asked(&Method::PATCH, CONFIG_MAP)
        .pop()
        .unwrap();
    let line = kept.body["data"][scene.audit.chain.as_str()]
        .as_str()
        .unwrap();
    assert_eq!(Checkpoint::parse(line.as_bytes()).unwrap().seq, 3);
}

#[tokio::test(start_paused = true)]
async fn without_an_api_server_lines_are_written_and_signed_later() {
    let server = FakeApi::default();
    server.refuse(Method::GET, SECRETS, 500);
    let scene = Scene::begin(server);
    sleep(Duration::from_secs(30)).await;
    scene.audit.must(record()).await.unwrap();
    assert_eq!(kinds(&scene.memory), ["start", "key"]);
    scene.server.refuse_nothing();
    scene.server.refuse(Method::PATCH, CONFIG_MAP, 500);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(kinds(&scene.memory), ["start", "key", "checkpoint"]);
    assert_eq!(scene.kept_seq(), 0);
    scene.server.refuse_nothing();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(scene.kept_seq(), 2);
}

fn secret(seed: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": SECRET}, "data": {"seed": seed},
    })
}

#[tokio::test]
async fn every_replica_signs_with_the_same_key_and_none_is_written_over() {
    use base64::Engine as _;
    let server = FakeApi::default();
    let api = || Api::namespaced(server.client(), "system");
    let seed = base64::prelude::BASE64_STANDARD.encode([7; 32]);
    server.object(&format!("{SECRETS}/{SECRET}"), secret(&seed));
    assert_eq!(signing_key(&api()).await.unwrap().id(), key().id());
    server.object(&format!("{SECRETS}/{SECRET}"), secret("AAAA"));
    let unreadable = signing_key(&api()).await.unwrap_err();
    assert!(matches!(unreadable, KeyError::Unreadable), "{unreadable}");
    assert!(server.asked(&Method::POST, SECRETS).is_empty());
}

#[tokio::test]
async fn the_checkpoints_of_the_oldest_chains_go_when_there_are_too_many() {
    let server = FakeApi::default();
    let client: Client = server.client();
    let config_maps = Api::namespaced(client, "system");
    let mut names = Vec::new();
    for run in 0..130 {
        let chain = ChainId::new("o", run).unwrap();
        let second = i64::try_from(run).unwrap();
        let line = secretvault_audit::Chain::begin(chain.clone())
            .checkpoint(&key(), Timestamp::from_second(second).unwrap());
        let line = String::from_utf8(line).unwrap();
        let public = key().public().clone();
        publish(&config_maps, &chain, &line, &public).await.unwrap();
        names.push(chain.to_string());
    }
    let path = format!("/api/v1/namespaces/system/configmaps/{CONFIG_MAP}");
    let kept = server.stored(&path)["data"].clone();
    let kept: Vec<String> = kept.as_object().unwrap().keys().cloned().collect();
    assert_eq!(kept.iter().filter(|name| name.ends_with(".pem")).count(), 1);
    let chains: Vec<_> = kept
        .into_iter()
        .filter(|name| !name.ends_with(".pem"))
        .collect();
    assert_eq!(chains, names[names.len() - MOST_CHAINS..]);
}

/// The API server remembers a manager for as long as it has a field.
#[tokio::test]
async fn the_key_of_all_chains_is_written_once_and_by_none_of_their_managers() {
    let server = FakeApi::default();
    let config_maps = Api::namespaced(server.client(), "system");
    for run in 0..3 {
        let chain = ChainId::new("o", run).unwrap();
        let public = key().public().clone();
        let line = "a checkpoint";
        publish(&config_maps, &chain, line, &public).await.unwrap();
    }
    let mut fields = Vec::new();
    for asked in server.asked(&Method::PATCH, CONFIG_MAP) {
        let data = asked.body["data"].as_object().unwrap();
        let (field, manager) = (data.keys().next().unwrap(), asked.query);
        assert_eq!(data.len(), 1, "{data:?}");
        assert!(
            manager.contains(&format!("fieldManager=audit-{field}")),
            "{manager}"
        );
        fields.push(field.clone());
    }
    let pem = fields.iter().filter(|field| field.ends_with(".pem"));
    assert_eq!((pem.count(), fields.len()), (1, 3 + 1));
}
