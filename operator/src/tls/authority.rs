//! A certificate authority: a self-signed certificate and the key that signs serving certificates.

use std::{fmt, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
};
use rustls::{crypto::aws_lc_rs, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::{Zeroize, Zeroizing};

/// A certificate authority. Its key is in no `Debug`, and is wiped on drop.
///
/// # Caveats
///
/// What the cryptographic library made of the key for signing is its own to wipe.
pub struct Authority {
    certificate: CertificateDer<'static>,
    key: KeyPair,
    validity: Validity,
}

impl Authority {
    /// Makes a new authority, valid from an hour before `now` for a year.
    ///
    /// # Errors
    /// Fails when the system has no randomness, or `now` is beyond what a certificate can say.
    pub fn create(now: Timestamp) -> Result<Self, CertificateError> {
        let validity = Validity::starting(now, AUTHORITY_LIFE);
        let key = KeyPair::generate()?;
        let mut parameters = validity.parameters(&format!("secretvault-ca {now:.0}"), &[])?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = parameters.self_signed(&key)?.der().clone();
        Ok(Self {
            certificate,
            key,
            validity,
        })
    }

    /// Reads an authority back.
    ///
    /// # Errors
    /// Fails when either text is not what it should be, the certificate may not sign others, or
    /// the key is another one's.
    pub fn from_pem(certificate: &[u8], key: &str) -> Result<Self, CertificateError> {
        let certificate = CertificateDer::from_pem_slice(certificate)
            .map_err(|_| CertificateError::MalformedCertificate)?;
        let key = KeyPair::from_pem(key).map_err(|_| CertificateError::MalformedKey)?;
        let (_, parsed) = X509Certificate::from_der(&certificate)
            .map_err(|_| CertificateError::MalformedCertificate)?;
        if !parsed.is_ca() {
            return Err(CertificateError::NotAnAuthority);
        }
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(CertificateError::ForeignKey);
        }
        let validity = Validity::of(&certificate)?;
        Ok(Self {
            certificate,
            key,
            validity,
        })
    }

    /// Issues a serving certificate with a new key, for these DNS names and no longer than the
    /// authority itself is valid.
    ///
    /// # Errors
    /// Fails when a name is no DNS name, or the system has no randomness.
    pub fn issue(
        &self,
        names: &[String],
        now: Timestamp,
    ) -> Result<(Arc<CertifiedKey>, Validity), CertificateError> {
        let validity = Validity::starting(now, SERVING_LIFE).within(self.validity);
        let mut key = KeyPair::generate()?;
        let mut parameters = validity.parameters("secretvault-operator", names)?;
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.use_authority_key_identifier_extension = true;
        let issuer = Issuer::from_ca_cert_der(&self.certificate, &self.key)?;
        let certificate = parameters.signed_by(&key, &issuer)?.der().clone();
        let certified = certified(certificate, &key);
        key.zeroize();
        Ok((certified?, validity))
    }

    /// The certificate, which is public.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// When the authority's signatures count.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The signing key as PEM, for the Secret it is kept in.
    pub fn key_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.key.serialize_pem())
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

/// What rustls signs handshakes with.
fn certified(
    certificate: CertificateDer<'static>,
    key: &KeyPair,
) -> Result<Arc<CertifiedKey>, CertificateError> {
    let encoded = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialized_der()));
    let signer =
        aws_lc_rs::sign::any_ecdsa_type(&encoded).map_err(|_| CertificateError::MalformedKey)?;
    Ok(Arc::new(CertifiedKey::new(vec![certificate], signer)))
}

/// From when until when a certificate counts, both included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Validity {
    /// The first moment.
    pub not_before: Timestamp,
    /// The last moment.
    pub not_after: Timestamp,
}

impl Validity {
    /// A life that begins now, backdated for clocks that are behind.
    pub fn starting(now: Timestamp, life: SignedDuration) -> Self {
        let second = |at: Timestamp| Timestamp::from_second(at.as_second()).unwrap_or(at);
        let not_before = now.saturating_sub(BACKDATED).unwrap_or(Timestamp::MIN);
        let not_after = now.saturating_add(life).unwrap_or(Timestamp::MAX);
        Self {
            not_before: second(not_before),
            not_after: second(not_after),
        }
    }

    /// Reads the validity of a certificate.
    ///
    /// # Errors
    /// Fails when this is no certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let malformed = || CertificateError::MalformedCertificate;
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| malformed())?;
        let moment = |at: i64| Timestamp::from_second(at).map_err(|_| malformed());
        Ok(Self {
            not_before: moment(parsed.validity().not_before.timestamp())?,
            not_after: moment(parsed.validity().not_after.timestamp())?,
        })
    }

    /// The part of this life that lies within another.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        Self {
            not_before: self.not_before.max(other.not_before),
            not_after: self.not_after.min(other.not_after),
        }
    }

    /// Whether the moment lies in this life.
    pub fn covers(&self, now: Timestamp) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// Whether this life has ended.
    pub fn ended(&self, now: Timestamp) -> bool {
        now > self.not_after
    }

    /// When the certificate was made.
    pub fn made(&self) -> Timestamp {
        self.not_before
            .saturating_add(BACKDATED)
            .unwrap_or(Timestamp::MAX)
    }

    /// The moment from which a successor should be made: two thirds of this life.
    pub fn due(&self) -> Timestamp {
        let life = self.not_after.duration_since(self.not_before);
        self.not_before
            .saturating_add(life / 3 * 2)
            .unwrap_or(Timestamp::MAX)
    }

    fn parameters(
        &self,
        common_name: &str,
        names: &[String],
    ) -> Result<CertificateParams, CertificateError> {
        let moment = |at: Timestamp| {
            OffsetDateTime::from_unix_timestamp(at.as_second())
                .map_err(|_| CertificateError::Unrepresentable)
        };
        let mut parameters = CertificateParams::new(names)?;
        parameters.distinguished_name = DistinguishedName::new();
        parameters
            .distinguished_name
            .push(DnType::CommonName, common_name);
        parameters.not_before = moment(self.not_before)?;
        parameters.not_after = moment(self.not_after)?;
        Ok(parameters)
    }
}

/// Why a certificate could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The key is not the certificate's.
    #[error("the key does not belong to the certificate")]
    ForeignKey,
    /// No certificate could be made.
    #[error("the certificate could not be made")]
    Make(#[from] rcgen::Error),
    /// The text is no certificate.
    #[error("the certificate is malformed")]
    MalformedCertificate,
    /// The text is no key.
    #[error("the key is malformed")]
    MalformedKey,
    /// The certificate may not sign others.
    #[error("the certificate is not an authority's")]
    NotAnAuthority,
    /// The date is beyond what a certificate can say.
    #[error("a certificate cannot state this date")]
    Unrepresentable,
}

/// How long an authority lives. A year bounds what a stolen key is good for, and leaves four
/// months between the making of its successor and the end.
const AUTHORITY_LIFE: SignedDuration = SignedDuration::from_hours(365 * 24);
/// How far a certificate's beginning lies in the past: clocks of nodes differ.
const BACKDATED: SignedDuration = SignedDuration::from_hours(1);
/// How long a serving certificate lives.
const SERVING_LIFE: SignedDuration = SignedDuration::from_hours(7 * 24);

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T05:00:00.5Z".parse().unwrap()
    }

    fn pem(authority: &Authority) -> String {
        super::super::stored::pem_of(authority.certificate())
    }

    #[test]
    fn an_authority_reads_back_as_itself() {
        let made = Authority::create(now()).unwrap();
        let read = Authority::from_pem(pem(&made).as_bytes(), &made.key_pem()).unwrap();
        assert_eq!(read.certificate(), made.certificate());
        assert_eq!(read.validity(), made.validity());
    }

    #[test]
    fn another_authoritys_key_is_refused() {
        let (one, two) = (
            Authority::create(now()).unwrap(),
            Authority::create(now()).unwrap(),
        );
        let error = Authority::from_pem(pem(&one).as_bytes(), &two.key_pem()).unwrap_err();
        assert!(matches!(error, CertificateError::ForeignKey));
    }

    #[test]
    fn debug_shows_no_key() {
        let shown = format!("{:?}", Authority::create(now()).unwrap());
        insta::assert_snapshot!(shown, @"Authority { validity: Validity { not_before: 2026-11-22T04:00:00Z, not_after: 2027-11-22T05:00:00Z }, .. }");
    }

    #[test]
    fn a_serving_certificate_does_not_outlive_its_authority() {
        let authority = Authority::create(now()).unwrap();
        let late = authority.validity().not_after - SignedDuration::from_hours(2);
        let (_, validity) = authority.issue(&["a.example".into()], late).unwrap();
        assert_eq!(validity.not_after, authority.validity().not_after);
    }

    #[test]
    fn a_serving_certificate_is_backdated_and_due_at_two_thirds() {
        let authority = Authority::create(now() - SignedDuration::from_hours(48)).unwrap();
        let (_, validity) = authority.issue(&["a.example".into()], now()).unwrap();
        assert_eq!(validity.not_before.to_string(), "2026-11-22T04:00:00Z");
        assert_eq!(validity.not_after.to_string(), "2026-11-29T05:00:00Z");
        assert_eq!(validity.due().to_string(), "2026-11-26T20:40:00Z");
    }
}
