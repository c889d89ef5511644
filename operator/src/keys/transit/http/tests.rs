//! A server in memory, in whatever way it answers.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use http::StatusCode;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::keys::transit::answer::Refused;

fn place(address: &str) -> Place {
    Place {
        address: address.to_owned(),
        mount: "transit".to_owned(),
        key: "key".to_owned(),
        namespace: None,
    }
}

fn bundle() -> String {
    let authority = rcgen::generate_simple_self_signed(["bao".to_owned()]).unwrap();
    BASE64_STANDARD.encode(authority.cert.pem())
}

fn connector(address: &str) -> Result<Connector, ProviderFault> {
    Connector::new(&place(address), Some(&bundle()))
}

#[test]
fn only_a_plain_https_address_is_taken() {
    assert!(connector("https://bao.vault.svc:8200").is_ok());
    for address in [
        "http://bao:8200",
        "https://",
        "https://token@bao:8200",
        "https://user:secret@bao:8200",
        "https://bao:8200/path",
        "bao:8200",
        "",
    ] {
        let fault = connector(address).err().unwrap();
        assert_eq!(fault.reason, KeyFault::Unsupported, "{address}");
        assert!(!fault.message.contains("secret@"), "{fault}");
    }
}

/// What becomes of a request, if the server answers all of them so.
async fn asked(status: u16, answer: impl Fn() -> Body + Clone + Send + Sync + 'static) -> Answer {
    let status = StatusCode::from_u16(status).unwrap();
    let router = Router::new().fallback(move || ready((status, answer())));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let trusted = certificates(&bundle()).unwrap();
    let http = reqwest::ClientBuilder::new().tls_backend_rustls();
    let http = http.tls_certs_only(trusted).no_proxy();
    let connector = Connector {
        http: http.build().unwrap(),
        address: Url::parse(&address).unwrap(),
        namespace: None,
    };
    let answer = connector.client("").encrypt(&place(&address), "QQ==").await;
    serving.abort();
    answer.map_err(|error| Refused::of(&error))
}

type Answer = Result<String, Refused>;

/// An answer of this length.
fn data(length: usize) -> Body {
    let answer = json!({
        "request_id": "r", "lease_id": "", "lease_duration": 0, "renewable": false,
        "data": {"ciphertext": "vault:v1:QQ=="},
        "warnings": null, "wrap_info": null, "auth": null,
    });
    let mut answer = answer.to_string();
    answer.push_str(&" ".repeat(length - answer.len()));
    Body::from(answer)
}

#[tokio::test]
async fn an_answer_is_taken_at_the_limit_and_is_none_beyond() {
    let taken = asked(200, || data(MAX_ANSWER)).await;
    assert_eq!(taken.as_deref(), Ok("vault:v1:QQ=="));
    let beyond = asked(200, || data(MAX_ANSWER + 1)).await;
    assert_eq!(beyond, Err(Refused::Malformed));
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let given = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&given);
    let endless = move || {
        let given = Arc::clone(&counted);
        let chunks = std::iter::repeat_with(move || {
            given.fetch_add(CHUNK.len(), Ordering::Relaxed);
            Ok::<Bytes, Infallible>(Bytes::from_static(CHUNK))
        });
        Body::from_stream(futures::stream::iter(chunks.take(MANY)))
    };
    assert_eq!(asked(200, endless).await, Err(Refused::Malformed));
    // What is on its way may fill the buffers of the connection.
    let given = given.load(Ordering::Relaxed);
    assert!(given < MANY * CHUNK.len() / 2, "{given}");
}

#[tokio::test]
async fn an_error_is_told_by_its_words_or_by_its_status() {
    let sealed = || Body::from(r#"{"errors": ["Vault is sealed"]}"#);
    assert_eq!(asked(503, sealed).await, Err(Refused::Sealed));
    let html = || Body::from("<html>");
    assert_eq!(asked(503, html).await, Err(Refused::Status(503)));
    let long = || data(MAX_ANSWER + 1);
    assert_eq!(asked(502, long).await, Err(Refused::Status(502)));
}

const CHUNK: &[u8] = &[b'x'; 64 * 1024];
const MANY: usize = 1024;
