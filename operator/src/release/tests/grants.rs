//! What a grant holds, and what it must not.

use prost::Message;
use secretvault_delivery::v1::{self, File, file::Content};
use secretvault_envelope::{EntryKey, Envelope, VaultBinding};
use serde_json::json;

use crate::release::fixture::{Sealing, World, volume};

/// Opens a file as the agent does.
fn open(file: &File, scope: &str) -> Vec<u8> {
    let Some(Content::Sealed(sealed)) = &file.content else {
        panic!("{file:?} is not sealed")
    };
    let envelope: Envelope = sealed.envelope.parse().unwrap();
    let key = EntryKey::try_from(sealed.key.as_slice()).unwrap();
    let vault = VaultBinding::new(scope, "shop", "app");
    envelope
        .open(&key, &vault.entry(&file.entry))
        .unwrap()
        .expose()
        .to_vec()
}

fn public(file: &File) -> &[u8] {
    let Some(Content::Public(bytes)) = &file.content else {
        panic!("{file:?} is not public")
    };
    bytes
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

fn key_of(file: &File) -> &[u8] {
    let Some(Content::Sealed(sealed)) = &file.content else {
        panic!("{file:?} is not sealed")
    };
    &sealed.key
}

#[tokio::test(start_paused = true)]
async fn each_file_comes_with_the_key_that_opens_it() {
    let world = World::with(|keyring| {
        let vault = Sealing::new(keyring, "shop", "app")
            .secret("db/password", "hunter2")
            .secret("db/empty", "")
            .public("db/host", "db.shop.svc");
        [vault.object]
    })
    .await;
    let grant = world.grant(volume("app", "")).await;
    assert_eq!(grant.vaults.len(), 1);
    let vault = &grant.vaults[0];
    assert_eq!((vault.uid.as_str(), vault.generation), ("uid-app", 1));
    assert_eq!(vault.scope, world.keyring.id());
    let [empty, host, password] = grant.files.as_slice() else {
        panic!("{grant:?}")
    };
    assert_eq!(password.path, "db/password");
    assert_eq!((password.uid, password.gid, password.mode), (0, 0, 0o444));
    assert!(password.gid_is_default);
    assert_eq!(open(password, &vault.scope), b"hunter2");
    assert_eq!(open(empty, &vault.scope), b"");
    assert_eq!(public(host), b"db.shop.svc");
}

#[tokio::test(start_paused = true)]
async fn public_bytes_are_decoded() {
    let world = World::with(|keyring| {
        let mut vault = Sealing::new(keyring, "shop", "app");
        let binary = &mut vault.object.spec.public_binary_data;
        binary.insert("ca.der".to_owned(), "AAEC/w==".to_owned());
        [vault.object]
    })
    .await;
    let grant = world.grant(volume("app", "")).await;
    assert_eq!(public(&grant.files[0]), [0, 1, 2, 255]);
}

/// Of a vault with three sealed entries the pod may have one: the message holds nothing of the
/// others, and not the data key. The scanner is proved on what the message does hold.
#[tokio::test(start_paused = true)]
async fn a_message_holds_no_key_but_those_of_the_allowed_entries() {
    let mut forbidden = Vec::new();
    let world = World::with(|keyring| {
        let vault = Sealing::new(keyring, "shop", "app")
            .secret("db/password", "hunter2")
            .secret("db/admin", "hunter3")
            .secret("smtp/token", "hunter4")
            .access(&["shop"], &["db/password"]);
        forbidden.push(vault.dek_bytes.to_vec());
        for entry in ["db/admin", "smtp/token"] {
            let text = vault.object.spec.data[entry].expose().to_owned();
            let envelope: Envelope = text.parse().unwrap();
            let binding = VaultBinding::new(keyring.id(), "shop", "app");
            let key = vault.dek.entry_key(&binding.entry(entry), &envelope);
            forbidden.push(key.expose()[..32].to_vec());
            forbidden.push(text.into_bytes());
            forbidden.push(entry.as_bytes().to_vec());
        }
        [vault.object]
    })
    .await;
    let answer = world.ask(vec![volume("app", "")]).await.unwrap();
    let bytes = answer.encode_to_vec();
    for secret in &forbidden {
        assert!(!contains(&bytes, secret));
    }
    let Some(v1::verdict::Outcome::Grant(grant)) = &answer.verdicts[0].outcome else {
        panic!()
    };
    assert_eq!(grant.files.len(), 1);
    assert!(
        contains(&bytes, &key_of(&grant.files[0])[..32]),
        "the scanner finds what is there"
    );
    for value in ["hunter2", "hunter3", "hunter4"] {
        assert!(!contains(&bytes, value.as_bytes()), "a value in plain text");
    }
}

#[tokio::test(start_paused = true)]
async fn a_released_key_opens_no_other_envelope() {
    let world = World::with(|keyring| {
        let vault = Sealing::new(keyring, "shop", "app")
            .secret("a", "1")
            .secret("b", "2");
        [vault.object]
    })
    .await;
    let grant = world.grant(volume("app", "")).await;
    let [a, b] = grant.files.as_slice() else {
        panic!("{grant:?}")
    };
    let Some(Content::Sealed(sealed)) = &a.content else {
        panic!()
    };
    let envelope: Envelope = sealed.envelope.parse().unwrap();
    let vault = VaultBinding::new(world.keyring.id(), "shop", "app");
    let right = EntryKey::try_from(key_of(a)).unwrap();
    assert!(envelope.open(&right, &vault.entry("a")).is_ok());
    let wrong = EntryKey::try_from(key_of(b)).unwrap();
    assert!(envelope.open(&wrong, &vault.entry("a")).is_err());
}

#[tokio::test(start_paused = true)]
async fn attributes_of_the_volume_and_its_items_reach_the_file() {
    let world = World::with(|keyring| {
        [Sealing::new(keyring, "shop", "app")
            .secret("db/password", "x")
            .object]
    })
    .await;
    let mut asked = volume(
        "app",
        "[{entry: db/password, path: pw, uid: 999, mode: '0400'}]",
    );
    asked.defaults = Some(v1::FileDefaults {
        uid: Some(1),
        gid: Some(2),
        mode: Some(0o600),
    });
    let grant = world.grant(asked).await;
    let file = &grant.files[0];
    assert_eq!(
        (file.path.as_str(), file.uid, file.gid, file.mode),
        ("pw", 999, 2, 0o400)
    );
    assert!(!file.gid_is_default);
    assert_eq!(file.entry, "db/password");
}

#[tokio::test(start_paused = true)]
async fn a_later_vault_overrides_and_each_file_names_its_own() {
    let world = World::with(|keyring| {
        [
            Sealing::new(keyring, "shop", "app")
                .secret("a", "app's")
                .object,
            Sealing::new(keyring, "platform", "shared")
                .secret("a", "shared's")
                .secret("b", "shared's")
                .access(&["shop"], &["**"])
                .object,
        ]
    })
    .await;
    let grant = world.grant(volume("platform/shared, app", "")).await;
    let [a, b] = grant.files.as_slice() else {
        panic!("{grant:?}")
    };
    let name = |file: &File| grant.vaults[file.vault as usize].name.clone();
    assert_eq!((name(a), name(b)), ("app".to_owned(), "shared".to_owned()));
    assert_eq!(open(a, world.keyring.id()), b"app's");
    assert_eq!(grant.notices.len(), 1, "{:?}", grant.notices);
    let line = &world.log.lines(1)[0];
    let logged = |index: usize| {
        (
            &line["vaults"][index]["name"],
            &line["vaults"][index]["entries"],
        )
    };
    assert_eq!(logged(0), (&json!("shared"), &json!(["b"])));
    assert_eq!(logged(1), (&json!("app"), &json!(["a"])));
}

#[tokio::test(start_paused = true)]
async fn a_vaults_prefix_is_before_its_paths_and_an_optional_vault_may_be_missing() {
    let world = World::with(|keyring| {
        [
            Sealing::new(keyring, "shop", "app").secret("a", "1").object,
            Sealing::new(keyring, "shop", "base")
                .secret("a", "2")
                .object,
        ]
    })
    .await;
    let vaults = "[{vault: base, prefix: base}, {vault: gone, optional: true}, {vault: app}]";
    let grant = world.grant(volume(vaults, "")).await;
    let paths: Vec<&str> = grant.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["a", "base/a"]);
    assert_eq!(grant.awaited.len(), 1);
    assert!(
        grant.notices[0].starts_with("optional vault shop/gone"),
        "{grant:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_grant_is_one_audit_line_of_names() {
    let world = World::with(|keyring| {
        let vault = Sealing::new(keyring, "shop", "app")
            .secret("db/password", "hunter2")
            .public("db/host", "db.shop.svc");
        [vault.object]
    })
    .await;
    let grant = world
        .grant(volume("app", "db/password=one, db/password=two, db/host"))
        .await;
    assert_eq!(grant.files.len(), 3);
    let line = &world.log.lines(1)[0];
    assert_eq!(line["verdict"], "grant");
    assert_eq!(line["node"], "node-a");
    assert_eq!(line["pod"]["serviceAccount"], "web");
    assert_eq!(line["pod"]["proven"], true);
    let vault = &line["vaults"][0];
    assert_eq!(vault["uid"], "uid-app");
    assert_eq!(vault["generation"], 1);
    assert_eq!(vault["keyId"], world.keyring.primary_id().to_string());
    assert_eq!(vault["entries"], json!(["db/host", "db/password"]));
    let text = world.log.text();
    for secret in ["hunter2", "db.shop.svc", "sv1:", "t-pod", "t-agent"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
}

/// Otherwise one large entry at a thousand paths would be more than any message can carry.
#[tokio::test(start_paused = true)]
async fn an_entry_at_many_paths_is_in_the_message_once() {
    let value = "x".repeat(100_000);
    let world = World::with(|keyring| {
        let vault = Sealing::new(keyring, "shop", "app").secret("big", &value);
        [vault.public("host", "db").object]
    })
    .await;
    let items: Vec<String> = (10..50).map(|number| format!("big=p{number}")).collect();
    let items = format!("host=h1, host=h2, {}", items.join(", "));
    let answer = world.ask(vec![volume("app", &items)]).await.unwrap();
    // Base64 makes a third more of it.
    assert!(answer.encoded_len() < 140_000, "{}", answer.encoded_len());
    let Some(v1::verdict::Outcome::Grant(grant)) = &answer.verdicts[0].outcome else {
        panic!()
    };
    let [host, again, big, others @ ..] = grant.files.as_slice() else {
        panic!("{grant:?}")
    };
    assert_eq!(public(host), b"db");
    assert!(again.content == Some(Content::SameAs(0)), "{grant:?}");
    assert_eq!(open(big, &grant.vaults[0].scope), value.as_bytes());
    let same = |file: &File| file.content == Some(Content::SameAs(2)) && file.entry == "big";
    assert!(others.len() == 39 && others.iter().all(same), "{grant:?}");
    let line = &world.log.lines(1)[0];
    assert_eq!(line["vaults"][0]["entries"], json!(["big", "host"]));
}

#[tokio::test(start_paused = true)]
async fn each_volume_has_its_own_verdict_in_the_order_of_the_request() {
    let world =
        World::with(|keyring| [Sealing::new(keyring, "shop", "app").secret("a", "1").object]).await;
    let volumes = vec![volume("app", ""), volume("missing", ""), volume("app", "")];
    let answer = world.ask(volumes).await.unwrap();
    let granted: Vec<bool> = answer
        .verdicts
        .iter()
        .map(|verdict| matches!(verdict.outcome, Some(v1::verdict::Outcome::Grant(_))))
        .collect();
    assert_eq!(granted, [true, false, true]);
    assert_eq!(world.log.lines(3).len(), 3);
}
