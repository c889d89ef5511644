//! Handles: what stands for one vault in one pod, from the grant that gave it to the agent that
//! watches with it.
//!
//! ```text
//! handle  = version ‖ field × 9 ‖ tag
//! version = 0x01
//! field   = length, 2 bytes, most significant first ‖ as many bytes
//! fields  = node, pod's namespace, pod's name, pod's UID,
//!           vault's namespace, vault's name, vault's UID (empty: it is awaited), flags,
//!           overridden paths, each after the first behind a line feed
//! flags   = one byte: 1 the pod's environment is made of the vault, 2 it is restarted on changes
//! tag     = HMAC-SHA256 under the handle key, of all before it
//! ```
//!
//! There is one handle for what it says: what is read writes the same bytes again.
//!
//! # Guarantees
//! * Nothing in a handle is looked at before its tag is found good.
//! * A handle says nothing to its agent that the grant did not say.

use secretvault_vault::VaultRef;

use super::metrics::Rejected;
use crate::consumers::Consumer;
use crate::tls::{HandleKeys, TAG_LEN};

/// Makes the handle of a consumer. Empty: there is no key yet, or a name is none of Kubernetes'.
pub(in crate::release) fn write(consumer: &Consumer, keys: &HandleKeys) -> Vec<u8> {
    let Some(mut handle) = body(consumer) else {
        return Vec::new();
    };
    let Some(tag) = keys.tag(&handle) else {
        return Vec::new();
    };
    handle.extend_from_slice(&tag);
    handle
}

/// Reads a handle that an agent on `node` names.
///
/// # Errors
/// It is not one that an operator of this cluster made, under a key that still counts, for that
/// node.
pub(super) fn read(handle: &[u8], keys: &HandleKeys, node: &str) -> Result<Consumer, Rejected> {
    if handle.len() > MAX_HANDLE {
        return Err(Rejected::NotOurs);
    }
    let (body, tag) = handle
        .split_last_chunk::<TAG_LEN>()
        .ok_or(Rejected::NotOurs)?;
    if !keys.verify(body, tag) {
        return Err(Rejected::NotOurs);
    }
    let consumer = parse(body).ok_or(Rejected::NotOurs)?;
    if consumer.node != node {
        return Err(Rejected::OtherNode);
    }
    Ok(consumer)
}

fn body(consumer: &Consumer) -> Option<Vec<u8>> {
    let env = if consumer.env { ENV } else { 0 };
    let restart = if consumer.restart { RESTART } else { 0 };
    let overridden = consumer.overridden.join(SEPARATOR);
    let fields: [&[u8]; 9] = [
        consumer.node.as_bytes(),
        consumer.pod_namespace.as_bytes(),
        consumer.pod.as_bytes(),
        consumer.pod_uid.as_bytes(),
        consumer.vault.namespace.as_bytes(),
        consumer.vault.name.as_bytes(),
        consumer.vault_uid.as_bytes(),
        &[env | restart],
        overridden.as_bytes(),
    ];
    let mut body = vec![VERSION];
    for field in fields {
        body.extend_from_slice(&u16::try_from(field.len()).ok()?.to_be_bytes());
        body.extend_from_slice(field);
    }
    (body.len() + TAG_LEN <= MAX_HANDLE).then_some(body)
}

fn parse(body: &[u8]) -> Option<Consumer> {
    let (&VERSION, rest) = body.split_first()? else {
        return None;
    };
    let mut fields = Fields(rest);
    let mut consumer = Consumer {
        node: fields.text()?,
        pod_namespace: fields.text()?,
        pod: fields.text()?,
        pod_uid: fields.text()?,
        vault: VaultRef::new(fields.text()?, fields.text()?),
        vault_uid: fields.text()?,
        env: false,
        restart: false,
        overridden: Vec::new(),
    };
    let &[flags] = fields.next()? else {
        return None;
    };
    let overridden = fields.text()?;
    if flags & !(ENV | RESTART) != 0 || !fields.0.is_empty() {
        return None;
    }
    if !overridden.is_empty() {
        let paths = overridden.split(SEPARATOR).map(str::to_owned);
        consumer.overridden = paths.collect();
    }
    consumer.env = flags & ENV != 0;
    consumer.restart = flags & RESTART != 0;
    Some(consumer)
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<2>()?;
        let (field, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        self.0 = rest;
        Some(field)
    }

    fn text(&mut self) -> Option<String> {
        str::from_utf8(self.next()?).ok().map(str::to_owned)
    }
}

const VERSION: u8 = 1;
const ENV: u8 = 1;
const RESTART: u8 = 2;

/// No path has one.
const SEPARATOR: &str = "\n";

/// The longest names that Kubernetes allows take some 1,000 bytes, and paths half of that. More is
/// not worth a look.
const MAX_HANDLE: usize = 1536;

#[cfg(test)]
pub(in crate::release) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The vault `shop/app` with the UID `uid-app`, in the pod `shop/web-0` on `node-a`.
    pub(in crate::release) fn consumer() -> Consumer {
        Consumer {
            vault: VaultRef::new("shop", "app"),
            vault_uid: "uid-app".to_owned(),
            pod_namespace: "shop".to_owned(),
            pod: "web-0".to_owned(),
            pod_uid: "pod-uid".to_owned(),
            node: "node-a".to_owned(),
            env: false,
            restart: true,
            overridden: vec!["db/password".to_owned(), "token".to_owned()],
        }
    }

    fn consumers() -> impl Strategy<Value = Consumer> {
        named("[a-z0-9.\u{e9}-]{0,40}")
    }

    fn named(text: &'static str) -> impl Strategy<Value = Consumer> {
        let text = || text;
        let pod = (text(), text(), text(), text());
        let vault = (text(), text(), text());
        let paths = prop::collection::vec("[a-z/]{1,10}", 0..3);
        let rest = (any::<(bool, bool)>(), paths);
        (pod, vault, rest).prop_map(|(pod, vault, ((env, restart), overridden))| Consumer {
            node: pod.0,
            pod_namespace: pod.1,
            pod: pod.2,
            pod_uid: pod.3,
            vault: VaultRef::new(vault.0, vault.1),
            vault_uid: vault.2,
            env,
            restart,
            overridden,
        })
    }

    /// Where the flags of [`consumer`]'s handle are.
    const FLAGS_AT: usize = 55;

    fn signed(body: &[u8], keys: &HandleKeys) -> Vec<u8> {
        [body, &keys.tag(body).unwrap()].concat()
    }

    /// Agents keep handles, and replicas of two versions serve them.
    #[test]
    fn the_format_is_frozen() {
        let expected = b"\x01\x00\x06node-a\x00\x04shop\x00\x05web-0\x00\x07pod-uid\
            \x00\x04shop\x00\x03app\x00\x07uid-app\x00\x01\x02\
            \x00\x11db/password\ntoken";
        assert_eq!(body(&consumer()).unwrap(), expected);
    }

    #[test]
    fn a_handle_is_of_one_node() {
        let keys = HandleKeys::generate();
        let handle = write(&consumer(), &keys);
        assert_eq!(read(&handle, &keys, "node-a"), Ok(consumer()));
        for node in ["node-b", "", "node-a "] {
            assert_eq!(read(&handle, &keys, node), Err(Rejected::OtherNode));
        }
    }

    #[test]
    fn a_handle_of_another_cluster_is_not_ours() {
        let handle = write(&consumer(), &HandleKeys::generate());
        let ours = HandleKeys::generate();
        assert_eq!(read(&handle, &ours, "node-a"), Err(Rejected::NotOurs));
    }

    #[test]
    fn without_a_key_there_is_no_handle() {
        assert!(write(&consumer(), &HandleKeys::default()).is_empty());
        assert!(read(&[], &HandleKeys::generate(), "node-a").is_err());
    }

    #[test]
    fn names_beyond_kubernetes_make_no_handle_and_the_longest_do() {
        let keys = HandleKeys::generate();
        let longest = |length: usize| {
            let mut consumer = consumer();
            for text in [
                &mut consumer.node,
                &mut consumer.pod,
                &mut consumer.vault.name,
            ] {
                *text = "n".repeat(253);
            }
            consumer.pod_namespace = "n".repeat(63);
            consumer.vault.namespace = "n".repeat(63);
            consumer.pod_uid = "n".repeat(length);
            consumer
        };
        let handle = write(&longest(36), &keys);
        let node = "n".repeat(253);
        assert_eq!(read(&handle, &keys, &node), Ok(longest(36)));
        assert!(write(&longest(1000), &keys).is_empty());
        assert!(write(&longest(100_000), &keys).is_empty());
    }

    /// Even with the right key, only what this module writes is read.
    #[test]
    fn what_is_signed_but_not_canonical_is_not_ours() {
        let keys = HandleKeys::generate();
        let good = body(&consumer()).unwrap();
        assert!(read(&signed(&good, &keys), &keys, "node-a").is_ok());
        let changed = |change: fn(&mut Vec<u8>)| {
            let mut body = good.clone();
            change(&mut body);
            body
        };
        let cases = [
            ("another version", changed(|body| body[0] = 2)),
            ("an unknown flag", changed(|body| body[FLAGS_AT] = 4)),
            ("more than the fields", changed(|body| body.push(0))),
            ("no paths", changed(|body| body.truncate(FLAGS_AT + 1))),
            ("no flags", changed(|body| body.truncate(FLAGS_AT - 2))),
            ("two bytes of flags", {
                let mut body = changed(|body| body.truncate(FLAGS_AT - 2));
                body.extend_from_slice(&[0, 2, 0, 0, 0, 0]);
                body
            }),
            ("no text", changed(|body| body[3] = 0xff)),
            ("a length beyond the end", changed(|body| body[1] = 0xff)),
            ("nothing", Vec::new()),
        ];
        for (name, body) in cases {
            let read = read(&signed(&body, &keys), &keys, "node-a");
            assert_eq!(read, Err(Rejected::NotOurs), "{name}");
        }
    }

    #[test]
    fn a_name_that_no_node_can_have_is_not_ours() {
        let keys = HandleKeys::generate();
        let node = "n".repeat(MAX_HANDLE);
        let length = u16::try_from(node.len()).unwrap().to_be_bytes();
        let rest = &body(&consumer()).unwrap()[1 + 2 + "node-a".len()..];
        let long = [&[VERSION], &length[..], node.as_bytes(), rest].concat();
        assert!(parse(&long).is_some(), "the control");
        assert_eq!(
            read(&signed(&long, &keys), &keys, &node),
            Err(Rejected::NotOurs)
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(consumer in consumers()) {
            let keys = HandleKeys::generate();
            let handle = write(&consumer, &keys);
            prop_assert_eq!(read(&handle, &keys, &consumer.node), Ok(consumer));
        }

        #[test]
        fn a_changed_cut_or_longer_handle_is_not_ours(
            consumer in consumers(),
            at in any::<prop::sample::Index>(),
            flip in 1..=u8::MAX,
            more in prop::collection::vec(any::<u8>(), 1..40),
        ) {
            let keys = HandleKeys::generate();
            let handle = write(&consumer, &keys);
            let at = at.index(handle.len());
            let mut changed = handle.clone();
            changed[at] ^= flip;
            for forged in [&changed[..], &handle[..at], &[&handle[..], &more].concat()] {
                prop_assert_eq!(read(forged, &keys, &consumer.node), Err(Rejected::NotOurs));
            }
        }

        #[test]
        fn what_parses_writes_the_same_bytes_again(bytes in prop::collection::vec(0_u8..4, 0..40)) {
            let bytes = [&[VERSION][..], &bytes].concat();
            if let Some(consumer) = parse(&bytes) {
                prop_assert_eq!(body(&consumer).unwrap(), bytes);
            }
        }

        #[test]
        fn two_consumers_have_two_handles(one in named("a{0,1}"), other in named("a{0,1}")) {
            prop_assert_eq!(one == other, body(&one) == body(&other));
        }
    }
}
