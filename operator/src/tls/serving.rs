//! What this replica proves itself with: a certificate that is swapped while connections go on.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::CertificateDer;

use super::authority::{Authority, CertificateError, Validity};

/// The serving certificate of this replica: none at first, then always the newest.
#[derive(Default)]
pub struct ServingCertificate {
    current: ArcSwapOption<Issued>,
}

struct Issued {
    key: Arc<CertifiedKey>,
    validity: Validity,
    authority: CertificateDer<'static>,
}

impl ServingCertificate {
    /// Serves nothing yet: handshakes fail until a certificate is issued.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has a new certificate issued when there is none, when it is due, or when another authority
    /// signs by now. Says whether it did.
    ///
    /// # Errors
    /// Fails when no certificate can be made; the old one stays.
    pub fn renew(
        &self,
        authority: &Authority,
        names: &[String],
        now: Timestamp,
    ) -> Result<bool, CertificateError> {
        if self
            .current
            .load()
            .as_ref()
            .is_some_and(|issued| !issued.is_due(authority, now))
        {
            return Ok(false);
        }
        let (key, validity) = authority.issue(names, now)?;
        let authority = authority.certificate().clone();
        self.current.store(Some(Arc::new(Issued {
            key,
            validity,
            authority,
        })));
        Ok(true)
    }

    /// Whether clients will accept the certificate at this moment.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.current
            .load()
            .as_ref()
            .is_some_and(|issued| issued.validity.covers(now))
    }

    /// When the certificate ends.
    pub fn not_after(&self) -> Option<Timestamp> {
        self.current
            .load()
            .as_ref()
            .map(|issued| issued.validity.not_after)
    }
}

impl Issued {
    fn is_due(&self, authority: &Authority, now: Timestamp) -> bool {
        self.authority != *authority.certificate()
            || now >= self.validity.due()
            || now < self.validity.not_before
    }
}

impl fmt::Debug for ServingCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServingCertificate")
            .field("not_after", &self.not_after())
            .finish()
    }
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current
            .load()
            .as_ref()
            .map(|issued| Arc::clone(&issued.key))
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T05:00:00Z".parse().unwrap()
    }

    fn hours(hours: i64) -> SignedDuration {
        SignedDuration::from_hours(hours)
    }

    fn names() -> Vec<String> {
        vec!["operator.secretvault.svc".into()]
    }

    #[test]
    fn nothing_is_valid_before_the_first_certificate() {
        assert!(!ServingCertificate::new().is_valid(now()));
    }

    #[test]
    fn a_certificate_is_renewed_when_due_and_not_before() {
        let authority = Authority::create(now()).unwrap();
        let serving = ServingCertificate::new();
        assert!(serving.renew(&authority, &names(), now()).unwrap());
        assert!(
            !serving
                .renew(&authority, &names(), now() + hours(111))
                .unwrap()
        );
        assert!(
            serving
                .renew(&authority, &names(), now() + hours(112))
                .unwrap()
        );
    }

    #[test]
    fn a_certificate_is_renewed_when_another_authority_signs() {
        let serving = ServingCertificate::new();
        for _ in 0..2 {
            let authority = Authority::create(now()).unwrap();
            assert!(serving.renew(&authority, &names(), now()).unwrap());
        }
    }

    #[test]
    fn a_certificate_is_valid_only_in_its_life() {
        let serving = ServingCertificate::new();
        serving
            .renew(&Authority::create(now()).unwrap(), &names(), now())
            .unwrap();
        assert!(serving.is_valid(now()));
        assert!(serving.is_valid(now() - hours(1)));
        assert!(!serving.is_valid(now() - hours(2)));
        assert!(!serving.is_valid(now() + hours(7 * 24 + 1)));
    }

    #[test]
    fn a_clock_that_was_set_back_gets_a_certificate_that_counts() {
        let serving = ServingCertificate::new();
        let authority = Authority::create(now() - hours(1000)).unwrap();
        serving.renew(&authority, &names(), now()).unwrap();
        assert!(
            serving
                .renew(&authority, &names(), now() - hours(48))
                .unwrap()
        );
        assert!(serving.is_valid(now() - hours(48)));
    }
}
