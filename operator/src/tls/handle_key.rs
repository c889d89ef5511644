//! What authenticates the handles of the release protocol: keys that every replica has, because
//! every replica has the authority's.
//!
//! A handle key is HKDF-SHA256 of the authority's private key as PEM, without salt, with the info
//! `secretvault watch handle v1`: it tells nothing of the authority's key, and nothing more has to
//! be stored or handed around.
//!
//! # Guarantees
//! * Handles that a replica makes are good for one that has not noticed a rotation yet, or already
//!   has: the next authority's key counts before it signs, and the last one's after.
//! * An authority that was replaced out of turn takes its key with it: whoever deletes the Secret,
//!   because others have read it, makes the old handles worth nothing.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hkdf::Hkdf;
use hkdf::hmac::{Hmac, KeyInit, Mac};
use rustls_pki_types::CertificateDer;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::authority::Authority;
use super::stored::Stored;

/// The handle keys of this moment. Cheap to clone; all clones are the same. None at first.
#[derive(Clone, Default)]
pub struct HandleKeys(Arc<ArcSwap<Keys>>);

/// The first one is for new handles, all of them for old ones.
type Keys = Vec<Arc<Known>>;

struct Known {
    authority: CertificateDer<'static>,
    key: HandleKey,
}

impl HandleKeys {
    /// Takes over what is stored now. For one caller: the keeper of the certificate.
    pub(super) fn follow(&self, stored: &Stored) {
        let before = self.0.load();
        let now = [Some(stored.signing()), stored.next()];
        let known = |authority: &Authority| {
            let mut before = before.iter();
            let known = before.find(|known| known.authority == *authority.certificate());
            known.cloned().unwrap_or_else(|| Arc::new(authority.into()))
        };
        let mut keys: Keys = now.into_iter().flatten().map(known).collect();
        let in_turn = |known: &Arc<Known>| known.authority == *stored.signing().certificate();
        if before.iter().any(in_turn) {
            let now: Vec<_> = keys.iter().map(|known| known.authority.clone()).collect();
            let last = before.iter().filter(|last| !now.contains(&last.authority));
            keys.extend(last.cloned());
        }
        keys.truncate(COUNTING);
        self.0.store(Arc::new(keys));
    }

    /// Authenticates a message. None: no authority has been read yet.
    pub fn tag(&self, message: &[u8]) -> Option<[u8; TAG_LEN]> {
        let keys = self.0.load();
        keys.first().map(|known| known.key.tag(message))
    }

    /// Whether one of the keys that count made this tag of this message.
    pub fn verify(&self, message: &[u8], tag: &[u8; TAG_LEN]) -> bool {
        let keys = self.0.load();
        keys.iter().any(|known| known.key.verify(message, tag))
    }
}

/// One handle key. Wiped on drop; no `Debug`, `Clone` or `Serialize`.
struct HandleKey(Zeroizing<[u8; 32]>);

impl HandleKey {
    #[expect(
        clippy::expect_used,
        reason = "HKDF-SHA256 gives as many as 8160 bytes"
    )]
    fn derive(private_key: &str) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, private_key.as_bytes())
            .expand(INFO, key.as_mut_slice())
            .expect("32 bytes are not too many");
        Self(key)
    }

    fn tag(&self, message: &[u8]) -> [u8; TAG_LEN] {
        self.mac(message).finalize().into_bytes().into()
    }

    /// Takes the same time wherever a tag is wrong.
    fn verify(&self, message: &[u8], tag: &[u8; TAG_LEN]) -> bool {
        self.mac(message).verify_slice(tag).is_ok()
    }

    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    fn mac(&self, message: &[u8]) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(self.0.as_slice());
        mac.expect("a key of 32 bytes").chain_update(message)
    }
}

impl From<&Authority> for Known {
    fn from(authority: &Authority) -> Self {
        Self {
            authority: authority.certificate().clone(),
            key: HandleKey::derive(&authority.key_pem()),
        }
    }
}

impl fmt::Debug for HandleKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandleKeys(..)")
    }
}

#[cfg(test)]
impl HandleKeys {
    /// The keys of a new authority, and of nothing else.
    pub(crate) fn generate() -> Self {
        let stored = Stored::create(jiff::Timestamp::UNIX_EPOCH).unwrap();
        let keys = Self::default();
        keys.follow(&stored);
        keys
    }
}

/// What a tag has: all of SHA-256.
pub const TAG_LEN: usize = 32;

const INFO: &[u8] = b"secretvault watch handle v1";

/// The one that signs, the next, the last.
const COUNTING: usize = 3;

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::super::rotation::Plan;
    use super::*;

    const MESSAGE: &[u8] = b"message";

    fn now() -> Timestamp {
        "2026-11-22T05:00:00Z".parse().unwrap()
    }

    fn keys_of(stored: &Stored) -> HandleKeys {
        let keys = HandleKeys::default();
        keys.follow(stored);
        keys
    }

    fn read_back(stored: &Stored) -> Stored {
        Stored::parse(&stored.contents()).unwrap()
    }

    /// Computed by another implementation: replicas of different versions must agree.
    #[test]
    fn the_derivation_is_frozen() {
        let key =
            HandleKey::derive("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
        let tag = key.tag(MESSAGE);
        let hex: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "9c60fc58976a0b0fdad51a39e9fd1984f5032ebb504b355d51dc53837812a10c"
        );
    }

    #[test]
    fn every_replica_has_the_same_key() {
        let made = Stored::create(now()).unwrap();
        let (here, there) = (keys_of(&made), keys_of(&read_back(&made)));
        assert!(there.verify(MESSAGE, &here.tag(MESSAGE).unwrap()));
        assert_eq!(here.tag(MESSAGE), there.tag(MESSAGE));
    }

    #[test]
    fn a_tag_is_of_one_message_under_one_key() {
        let keys = HandleKeys::generate();
        let mut tag = keys.tag(MESSAGE).unwrap();
        assert!(!keys.verify(b"massage", &tag));
        assert!(!HandleKeys::generate().verify(MESSAGE, &tag));
        tag[31] ^= 1;
        assert!(!keys.verify(MESSAGE, &tag));
    }

    #[test]
    fn without_an_authority_there_is_no_tag_and_none_is_good() {
        let keys = HandleKeys::default();
        assert_eq!(keys.tag(MESSAGE), None);
        assert!(!keys.verify(MESSAGE, &[0; TAG_LEN]));
    }

    #[test]
    fn a_rotation_makes_no_handle_worthless_for_those_who_notice_it_late_or_early() {
        let staged = Stored::create(now()).unwrap().advance(Plan::Stage, now());
        let staged = staged.unwrap();
        let (early, late) = (keys_of(&staged), keys_of(&staged));
        let old = late.tag(MESSAGE).unwrap();
        let promoted = read_back(&staged).advance(Plan::Promote, now()).unwrap();
        early.follow(&promoted);
        let new = early.tag(MESSAGE).unwrap();
        assert_ne!(new, old);
        assert!(early.verify(MESSAGE, &old), "the last one's");
        assert!(late.verify(MESSAGE, &new), "the next one's");
        early.follow(&read_back(&promoted));
        assert!(early.verify(MESSAGE, &old), "looking again changes nothing");
    }

    #[test]
    fn keys_do_not_pile_up() {
        let keys = HandleKeys::default();
        let mut stored = Stored::create(now()).unwrap();
        keys.follow(&stored);
        let first = keys.tag(MESSAGE).unwrap();
        for _ in 0..3 {
            for plan in [Plan::Stage, Plan::Promote] {
                stored = stored.advance(plan, now()).unwrap();
                keys.follow(&stored);
            }
        }
        assert_eq!(keys.0.load().len(), COUNTING);
        assert!(!keys.verify(MESSAGE, &first));
    }

    #[test]
    fn an_authority_that_was_replaced_out_of_turn_takes_its_key_with_it() {
        let stored = Stored::create(now()).unwrap();
        let keys = keys_of(&stored);
        let old = keys.tag(MESSAGE).unwrap();
        let later = now() + SignedDuration::from_hours(1);
        keys.follow(&Stored::replace(&stored.contents(), later).unwrap());
        assert!(!keys.verify(MESSAGE, &old));
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", HandleKeys::generate()), "HandleKeys(..)");
    }
}
