//! What the Secret of the authority holds.
//!
//! | key | what |
//! |---|---|
//! | `tls.crt`, `tls.key` | the authority that signs |
//! | `next.crt`, `next.key` | the one that will sign next, while a rotation is under way |
//! | `ca-bundle.crt` | every certificate that is trusted: both of these, and old ones until they end |

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use zeroize::Zeroizing;

use super::{
    authority::{Authority, CertificateError, Validity},
    rotation::{Plan, Seen},
};

/// The authority of the cluster, as stored.
#[derive(Debug)]
pub struct Stored {
    signing: Authority,
    next: Option<Authority>,
    trusted: Vec<CertificateDer<'static>>,
}

impl Stored {
    /// A first authority, which is all that is trusted.
    ///
    /// # Errors
    /// Fails when no authority can be made.
    pub fn create(now: Timestamp) -> Result<Self, CertificateError> {
        Self::trusting(&[], Authority::create(now)?, None)
    }

    /// Reads the contents of the Secret. The bundle that results trusts the authorities that sign
    /// or will sign, whatever the stored one says, and each once.
    ///
    /// # Errors
    /// Fails when a part is missing or malformed, or a key is not its certificate's.
    pub fn parse(contents: &BTreeMap<String, ByteString>) -> Result<Self, Unreadable> {
        let signing = authority(contents, CERTIFICATE, KEY)?.ok_or(Unreadable(CERTIFICATE))?;
        let next = authority(contents, NEXT_CERTIFICATE, NEXT_KEY)?;
        let stored = trusted(contents);
        Self::trusting(&stored, signing, next).map_err(|_| Unreadable(BUNDLE))
    }

    /// Replaces an authority that cannot be read. What its bundle trusted stays trusted until it
    /// ends, so that replicas that still serve under it are believed.
    ///
    /// # Errors
    /// Fails when no authority can be made.
    pub fn replace(
        contents: &BTreeMap<String, ByteString>,
        now: Timestamp,
    ) -> Result<Self, CertificateError> {
        let alive: Vec<_> = trusted(contents)
            .into_iter()
            .filter(|old| !ended(old, now))
            .collect();
        Self::trusting(&alive, Authority::create(now)?, None)
    }

    /// Does what a plan says.
    ///
    /// # Errors
    /// Fails when no authority can be made.
    pub fn advance(self, plan: Plan, now: Timestamp) -> Result<Self, CertificateError> {
        match (plan, self.next) {
            (Plan::Forget, next) => {
                let alive: Vec<_> = self
                    .trusted
                    .into_iter()
                    .filter(|old| !ended(old, now))
                    .collect();
                Self::trusting(&alive, self.signing, next)
            }
            (Plan::Promote, Some(next)) => Self::trusting(&self.trusted, next, None),
            (Plan::Renew, _) => Self::trusting(&self.trusted, Authority::create(now)?, None),
            (Plan::Stage, None) => {
                Self::trusting(&self.trusted, self.signing, Some(Authority::create(now)?))
            }
            (Plan::Keep | Plan::Promote | Plan::Stage, next) => {
                Self::trusting(&self.trusted, self.signing, next)
            }
        }
    }

    /// The authority that signs.
    pub fn signing(&self) -> &Authority {
        &self.signing
    }

    /// The authority that will sign next, while a rotation is under way.
    pub fn next(&self) -> Option<&Authority> {
        self.next.as_ref()
    }

    /// Every certificate that is trusted.
    pub fn trusted(&self) -> &[CertificateDer<'static>] {
        &self.trusted
    }

    /// What a plan is made from.
    pub fn seen(&self) -> Seen {
        Seen {
            signing: self.signing.validity(),
            next: self.next.as_ref().map(Authority::validity),
            trusted: self
                .trusted
                .iter()
                .filter_map(|one| Validity::of(one).ok())
                .collect(),
        }
    }

    /// Every certificate that is trusted, as PEM.
    pub fn bundle(&self) -> String {
        self.trusted.iter().map(pem_of).collect()
    }

    /// The contents for the Secret.
    pub fn contents(&self) -> BTreeMap<String, ByteString> {
        let mut contents = BTreeMap::from([
            (BUNDLE.to_owned(), ByteString(self.bundle().into_bytes())),
            (
                CERTIFICATE.to_owned(),
                ByteString(pem_of(self.signing.certificate()).into()),
            ),
            (
                KEY.to_owned(),
                ByteString(self.signing.key_pem().as_bytes().to_vec()),
            ),
        ]);
        if let Some(next) = &self.next {
            let key = next.key_pem().as_bytes().to_vec();
            contents.insert(
                NEXT_CERTIFICATE.into(),
                ByteString(pem_of(next.certificate()).into()),
            );
            contents.insert(NEXT_KEY.into(), ByteString(key));
        }
        contents
    }

    fn trusting(
        stored: &[CertificateDer<'static>],
        signing: Authority,
        next: Option<Authority>,
    ) -> Result<Self, CertificateError> {
        let mut trusted: Vec<CertificateDer<'static>> = Vec::with_capacity(stored.len() + 2);
        let own = [
            Some(signing.certificate()),
            next.as_ref().map(Authority::certificate),
        ];
        for certificate in stored.iter().chain(own.into_iter().flatten()) {
            Validity::of(certificate)?;
            if !trusted.contains(certificate) {
                trusted.push(certificate.clone());
            }
        }
        Ok(Self {
            signing,
            next,
            trusted,
        })
    }
}

/// Why the Secret of the authority cannot be used: the part that is missing or malformed.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0} is missing, malformed or does not fit")]
pub struct Unreadable(&'static str);

fn authority(
    contents: &BTreeMap<String, ByteString>,
    certificate: &'static str,
    key: &'static str,
) -> Result<Option<Authority>, Unreadable> {
    let (found, found_key) = match (contents.get(certificate), contents.get(key)) {
        (None, None) => return Ok(None),
        (Some(found), Some(found_key)) => (found, found_key),
        (None, Some(_)) => return Err(Unreadable(certificate)),
        (Some(_), None) => return Err(Unreadable(key)),
    };
    let text = String::from_utf8(found_key.0.clone()).map_err(|_| Unreadable(key))?;
    let text = Zeroizing::new(text);
    Authority::from_pem(&found.0, &text)
        .map(Some)
        .map_err(|_| Unreadable(certificate))
}

/// The certificates of the stored bundle that can be read.
fn trusted(contents: &BTreeMap<String, ByteString>) -> Vec<CertificateDer<'static>> {
    let Some(bundle) = contents.get(BUNDLE) else {
        return Vec::new();
    };
    CertificateDer::pem_slice_iter(&bundle.0)
        .filter_map(Result::ok)
        .filter(|certificate| Validity::of(certificate).is_ok())
        .collect()
}

fn ended(certificate: &CertificateDer<'_>, now: Timestamp) -> bool {
    Validity::of(certificate).is_ok_and(|validity| validity.ended(now))
}

/// A certificate as PEM, lines of 64 characters.
pub(super) fn pem_of(certificate: &CertificateDer<'_>) -> String {
    let encoded = STANDARD.encode(certificate);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

/// Where the bundle of all trusted certificates is.
pub const BUNDLE: &str = "ca-bundle.crt";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const NEXT_CERTIFICATE: &str = "next.crt";
const NEXT_KEY: &str = "next.key";

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T05:00:00Z".parse().unwrap()
    }

    #[test]
    fn what_is_stored_reads_back_to_the_same_contents() {
        let made = Stored::create(now())
            .unwrap()
            .advance(Plan::Stage, now())
            .unwrap();
        let read = Stored::parse(&made.contents()).unwrap();
        assert_eq!(read.contents(), made.contents());
    }

    #[test]
    fn staging_trusts_the_next_authority_before_it_signs() {
        let first = Stored::create(now()).unwrap();
        let signing = first.signing().certificate().clone();
        let staged = first.advance(Plan::Stage, now()).unwrap();
        assert_eq!(staged.signing().certificate(), &signing);
        assert_eq!(staged.trusted.len(), 2);
        let promoted = staged.advance(Plan::Promote, now()).unwrap();
        assert_ne!(promoted.signing().certificate(), &signing);
        assert!(
            promoted.trusted.contains(&signing),
            "the old one stays trusted"
        );
        assert!(promoted.next.is_none());
    }

    #[test]
    fn a_bundle_that_lost_the_signing_authority_is_repaired() {
        let made = Stored::create(now()).unwrap();
        let mut contents = made.contents();
        contents.remove(BUNDLE);
        assert_eq!(
            Stored::parse(&contents).unwrap().contents(),
            made.contents()
        );
    }

    #[test]
    fn each_missing_or_foreign_part_is_unreadable() {
        let made = Stored::create(now()).unwrap();
        let other = Stored::create(now()).unwrap().contents();
        for (broken, part) in [(CERTIFICATE, CERTIFICATE), (KEY, KEY)] {
            let mut contents = made.contents();
            contents.remove(broken);
            assert_eq!(Stored::parse(&contents).unwrap_err(), Unreadable(part));
        }
        let mut contents = made.contents();
        contents.insert(KEY.into(), other[KEY].clone());
        assert_eq!(
            Stored::parse(&contents).unwrap_err(),
            Unreadable(CERTIFICATE)
        );
        assert_eq!(
            Stored::parse(&BTreeMap::new()).unwrap_err(),
            Unreadable(CERTIFICATE)
        );
    }

    #[test]
    fn a_replaced_authority_still_trusts_what_lives() {
        let made = Stored::create(now()).unwrap();
        let mut contents = made.contents();
        contents.remove(KEY);
        let replaced = Stored::replace(&contents, now()).unwrap();
        assert!(replaced.trusted.contains(made.signing().certificate()));
        let later = made.signing().validity().not_after + jiff::SignedDuration::from_secs(1);
        assert_eq!(Stored::replace(&contents, later).unwrap().trusted.len(), 1);
    }
}
