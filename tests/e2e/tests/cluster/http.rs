//! The HTTP calls of docs/access.md, made as it says: whoever comes from Rundeck's, Rancher's or runqy's
//! API finds the same here.

mod client;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secretvault_e2e::{Namespace, Vault, eventually, root};
use serde_json::{Value, json};

use self::client::{Client, Reply};

const PASSWORD: &str = "hunter2-http";
const BYTES: &[u8] = &[0, 1, 2, 0xff];

fn vault() -> Value {
    json!({
        "apiVersion": "secretvault.dev/v1alpha1",
        "kind": "SecretVault",
        "metadata": {"name": "app", "labels": {"team": "shop"}},
        "spec": {
            "description": "What the shop needs",
            "data": {"db/password": PASSWORD},
            "publicData": {"db/host": "db.shop.svc"},
            "publicBinaryData": {"tls/ca.der": BASE64_STANDARD.encode(BYTES)},
        },
    })
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap().iter();
    items
        .filter_map(|it| it["metadata"]["name"].as_str())
        .collect()
}

/// The status' entries, once it speaks of the stored spec.
fn entries(client: &Client) -> Vec<Value> {
    eventually("the status speaks of the stored spec", || {
        let vault = client.get("/app").with(200);
        let status = &vault["status"];
        if status["observedGeneration"] == vault["metadata"]["generation"] {
            Ok(status["entries"].as_array().cloned().unwrap_or_default())
        } else {
            Err(status.to_string())
        }
    })
}

#[test]
fn vaults_are_made_listed_and_deleted() {
    let namespace = Namespace::create("http");
    let client = Client::with_role(&namespace, "editor", "edit");
    assert_eq!(names(&client.get("").with(200)), [""; 0]);
    let made = client.post(&vault()).with(201);
    assert!(!made.to_string().contains(PASSWORD));
    let again = client.post(&vault()).with(409);
    assert_eq!(again["reason"], "AlreadyExists");
    assert_eq!(names(&client.get("").with(200)), ["app"]);
    assert_eq!(
        names(&client.get("?labelSelector=team=shop").with(200)),
        ["app"]
    );
    assert_eq!(
        names(&client.get("?labelSelector=team=other").with(200)),
        [""; 0]
    );
    let list = client.metadata("", "PartialObjectMetadataList").with(200);
    assert_eq!(names(&list), ["app"]);
    let one = client.metadata("/app", "PartialObjectMetadata").with(200);
    for metadata in [&list["items"][0], &one] {
        assert_eq!(metadata["metadata"]["labels"]["team"], "shop");
        assert_eq!(
            (&metadata["spec"], &metadata["status"]),
            (&Value::Null, &Value::Null)
        );
    }
    let _ = client.get("/other").with(404);
    let _ = client.delete("/app").with(200);
    let _ = client.get("/app").with(404);
    let _ = client.delete("/app").with(404);
}

#[test]
fn entries_are_listed_with_their_metadata_and_without_values() {
    let namespace = Namespace::create("http");
    let client = Client::with_role(&namespace, "editor", "edit");
    let _ = client.post(&vault()).with(201);
    let entries = entries(&client);
    let of = |field: &str| {
        entries
            .iter()
            .map(|it| it[field].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(of("name"), ["db/host", "db/password", "tls/ca.der"]);
    assert_eq!(of("kind"), ["Public", "Secret", "Public"]);
    let [host, password, _] = &entries[..] else {
        panic!("{entries:?}");
    };
    assert!(
        host["changedAt"].is_string() && host["keyId"].is_null(),
        "{host}"
    );
    assert!(
        password["sealedAt"].is_string() && password["keyId"].is_string(),
        "{password}"
    );
}

#[test]
fn entries_are_created_updated_and_deleted_by_name() {
    let namespace = Namespace::create("http");
    let client = Client::with_role(&namespace, "editor", "edit");
    let _ = client.post(&vault()).with(201);
    let app = Vault::named("app");
    let merge = |map: &str, entry: &str, value: Value| {
        let patch = json!({"spec": {map: {entry: value}}});
        client.merge("/app", &patch).with(200)
    };
    // Create: text, bytes, public.
    let _ = merge("data", "smtp/token", json!("t-1-http"));
    let _ = merge("binaryData", "tls/key.der", json!("AAEC"));
    let public = merge("publicData", "smtp/host", json!("mail.example.com"));
    assert_eq!(
        public["spec"]["publicData"]["smtp/host"],
        "mail.example.com"
    );
    assert!(app.holds(&namespace, "smtp/token", "t-1-http"));
    // Create, and never replace.
    let add = |entry: &str| {
        let path = format!("/spec/data/{}", entry.replace('/', "~1"));
        client.patch(
            "/app",
            &json!([
                {"op": "test", "path": path, "value": null},
                {"op": "add", "path": path, "value": "only-if-absent"},
            ]),
        )
    };
    let refused = add("smtp/token");
    assert!(!refused.text.contains("sv1:"), "{}", refused.text);
    let _ = refused.with(422);
    assert!(app.holds(&namespace, "smtp/token", "t-1-http"));
    let _ = add("smtp/user").with(200);
    assert!(app.holds(&namespace, "smtp/user", "only-if-absent"));
    // Update.
    let _ = merge("data", "smtp/token", json!("t-2-http"));
    assert!(app.holds(&namespace, "smtp/token", "t-2-http"));
    // Update of what was read, and of nothing newer.
    let read = read_and_put(&client);
    assert_eq!(put(&client, &read).with(409)["reason"], "Conflict");
    assert!(app.holds(&namespace, "smtp/token", "t-3-http"));
    // Delete.
    let left = merge("data", "smtp/token", Value::Null);
    assert!(left["spec"]["data"].get("smtp/token").is_none());
    let names: Vec<Value> = entries(&client)
        .iter()
        .map(|it| it["name"].clone())
        .collect();
    let expected = [
        "db/host",
        "db/password",
        "smtp/host",
        "smtp/user",
        "tls/ca.der",
        "tls/key.der",
    ];
    assert_eq!(names, expected);
}

/// Puts a vault that was read, with another token in it.
fn put(client: &Client, read: &Value) -> Reply {
    let mut vault = read.clone();
    vault["spec"]["data"]["smtp/token"] = json!("t-3-http");
    client.put("/app", &vault)
}

/// Reads the vault and puts it, and returns what was read. If the operator writes a status between the two,
/// that is newer than what was read: then once more.
fn read_and_put(client: &Client) -> Value {
    eventually("nothing is written in between", || {
        let read = client.get("/app").with(200);
        let reply = put(client, &read);
        if reply.code == 409 {
            return Err(reply);
        }
        let _ = reply.with(200);
        Ok(read)
    })
}

#[test]
fn a_public_value_is_read_back_and_a_private_one_never() {
    let namespace = Namespace::create("http");
    let viewer = Client::with_role(&namespace, "viewer", "view");
    let admin = Client::with_role(&namespace, "admin", "admin");
    let _ = admin.post(&vault()).with(201);
    let _ = entries(&viewer);
    for client in [&viewer, &admin] {
        let spec = client.get("/app").with(200)["spec"].take();
        assert_eq!(spec["publicData"]["db/host"], "db.shop.svc");
        let bytes = spec["publicBinaryData"]["tls/ca.der"].as_str().unwrap();
        assert_eq!(BASE64_STANDARD.decode(bytes).unwrap(), BYTES);
        let envelope = spec["data"]["db/password"].as_str().unwrap();
        assert!(envelope.starts_with("sv1:"), "{envelope}");
        // No other call of the API gives it back either.
        for path in [
            "",
            "/app",
            "/app/status",
            "?watch=1&timeoutSeconds=1",
            "/app/scale",
        ] {
            let reply = client.get(path);
            let encoded = BASE64_STANDARD.encode(PASSWORD);
            for form in [PASSWORD, encoded.trim_end_matches('=')] {
                assert!(!reply.text.contains(form), "{path}: {}", reply.text);
            }
        }
    }
}

#[test]
fn who_may_not_is_told_what_is_missing() {
    let namespace = Namespace::create("http");
    let admin = Client::with_role(&namespace, "admin", "admin");
    let viewer = Client::with_role(&namespace, "viewer", "view");
    let editor = Client::with_role(&namespace, "editor", "edit");
    let mut guarded = vault();
    guarded["spec"]["editors"] = json!([
        {"serviceAccounts": ["editor"], "verbs": ["create", "update"], "entries": ["db/**"]},
    ]);
    let _ = admin.post(&guarded).with(201);
    let set = |entry: &str| json!({"spec": {"data": {entry: "new-http"}}});
    let remove = json!({"spec": {"data": {"db/password": null}}});
    let manage = json!({"spec": {"access": [{"serviceAccounts": ["*"]}]}});
    for (reply, code, says) in [
        (viewer.bearing("a.b.c").get("/app"), 401, "Unauthorized"),
        (viewer.get("/app"), 200, "sv1:"),
        (
            viewer.merge("/app", &set("db/password")),
            403,
            "cannot patch resource",
        ),
        (viewer.delete("/app"), 403, "cannot delete resource"),
        (editor.merge("/app", &set("db/password")), 200, "sv1:"),
        (editor.merge("/app", &set("db/new")), 200, "sv1:"),
        (
            editor.merge("/app", &set("smtp/token")),
            403,
            "does not let you create smtp/token",
        ),
        (
            editor.merge("/app", &remove),
            403,
            "does not let you delete db/password",
        ),
        (
            editor.merge("/app", &manage),
            403,
            "needs the verb \\\"manage\\\"",
        ),
        (
            editor.delete("/app"),
            403,
            "does not let you delete the vault",
        ),
        (admin.merge("/app", &manage), 200, "sv1:"),
        (admin.merge("/app", &set("smtp/token")), 200, "sv1:"),
        (admin.delete("/app"), 200, "Success"),
    ] {
        assert_eq!(reply.code, code, "{says}: {}", reply.text);
        assert!(reply.text.contains(says), "{says}: {}", reply.text);
        assert!(!reply.text.contains("new-http"), "{}", reply.text);
    }
}

/// The table says what is tested here.
#[test]
fn the_table_of_calls_is_in_the_docs() {
    let docs = std::fs::read_to_string(root().join("docs/access.md")).unwrap();
    for said in [
        "`/apis/secretvault.dev/v1alpha1/namespaces/NAMESPACE/secretvaults`",
        "`Accept: application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1`",
        "`application/merge-patch+json`",
        "`application/json-patch+json`",
        r#"{"op": "test", "path": "/spec/data/FILE", "value": null}"#,
    ] {
        assert!(docs.contains(said), "{said}");
    }
}
