//! The faults in words: what is wrong, where, and the remedy.

use super::answer::Refused;
use super::place::{Place, Way};
use super::text::Version;
use crate::keys::{KeyFault, ProviderFault};

impl Place {
    /// The fault behind a refusal that concerns the key as a whole, or the server. `action` is what
    /// was asked for, and `usable_before` whether the key once was.
    pub(super) fn fault(
        &self,
        refused: Refused,
        action: &'static str,
        usable_before: bool,
    ) -> ProviderFault {
        match refused {
            Refused::BadCertificate(why) => self.bad_certificate(why),
            Refused::KeyNotFound if usable_before => self.key_deleted(),
            Refused::KeyNotFound => self.key_missing(),
            Refused::KeySoftDeleted => self.key_soft_deleted(),
            Refused::NoNamespace => self.no_namespace(),
            Refused::NoRoute => self.no_engine(),
            Refused::PolicyDenied | Refused::TokenRejected => self.permission_denied(action),
            Refused::Sealed => ProviderFault::new(
                KeyFault::Sealed,
                format!(
                    "the server at {} is sealed, or not initialised: unseal it",
                    self.address
                ),
            ),
            Refused::Silent(why) => self.unreachable(why),
            Refused::Status(code @ (429 | 502 | 503 | 504)) => {
                self.unreachable(&format!("status {code}"))
            }
            Refused::Status(code) => ProviderFault::new(
                KeyFault::ServerError,
                format!(
                    "the server at {} answered {action} with status {code}: see its log",
                    self.address
                ),
            ),
            Refused::Ciphertext
            | Refused::Malformed
            | Refused::VersionTooNew
            | Refused::VersionTooOld => ProviderFault::new(
                KeyFault::ServerError,
                format!(
                    "the server at {} gave an answer to {action} that is none of Transit's: see \
                     that a Transit engine is mounted at {}",
                    self.address, self.mount
                ),
            ),
        }
    }

    /// The fault where logging in is refused.
    pub(super) fn login_fault(&self, refused: Refused, way: &Way) -> ProviderFault {
        let why = match refused {
            Refused::BadCertificate(_)
            | Refused::Sealed
            | Refused::Silent(_)
            | Refused::Status(429 | 502 | 503 | 504)
            | Refused::NoNamespace => return self.fault(refused, "a login", false),
            Refused::NoRoute => "nothing is mounted there",
            Refused::PolicyDenied | Refused::TokenRejected => {
                "it accepts no such login, or has no such mount"
            }
            Refused::Malformed => "its answer is none of a login's",
            Refused::Ciphertext
            | Refused::KeyNotFound
            | Refused::KeySoftDeleted
            | Refused::Status(_)
            | Refused::VersionTooNew
            | Refused::VersionTooOld => "see its log",
        };
        let what = if let Refused::Status(code) = refused {
            format!("status {code}: {why}")
        } else {
            why.to_owned()
        };
        ProviderFault::new(
            KeyFault::LoginFailed,
            format!(
                "the server at {} refuses the operator's login {} ({what}): correct \
                 spec.vaultTransit.auth, or the role on the server",
                self.address,
                way.told()
            ),
        )
    }

    /// The fault where a given token is accepted no longer.
    pub(super) fn token_fault(&self, source: &str) -> ProviderFault {
        ProviderFault::new(
            KeyFault::TokenRejected,
            format!(
                "the server at {} does not accept the token in {source}: it has expired, was \
                 revoked, or is none: put a new one there",
                self.address
            ),
        )
    }

    /// The fault of one data key that is too old for the server.
    pub(super) fn too_old(&self, version: Version) -> ProviderFault {
        let Self {
            address,
            mount,
            key,
            ..
        } = self;
        ProviderFault::new(
            KeyFault::VersionTooOld,
            format!(
                "version {version} of the Transit key {key} at {address} (mount {mount}) is below \
                 its min_decryption_version: lower that until every vault is rewrapped"
            ),
        )
    }

    /// The fault where no answer comes.
    pub(super) fn unreachable(&self, why: &str) -> ProviderFault {
        ProviderFault::new(
            KeyFault::Unreachable,
            format!(
                "the server at {} does not answer ({why}): see that it runs, and that the \
                 operator's pods can reach it",
                self.address
            ),
        )
    }

    fn key_deleted(&self) -> ProviderFault {
        let Self {
            address,
            mount,
            key,
            ..
        } = self;
        ProviderFault::new(
            KeyFault::KeyDeleted,
            format!(
                "the Transit engine {mount} at {address} no longer has the key {key}, which was \
                 usable before: restore it from a backup of the server; nothing else opens what \
                 it wrapped"
            ),
        )
    }

    fn key_missing(&self) -> ProviderFault {
        let Self {
            address,
            mount,
            key,
            ..
        } = self;
        ProviderFault::new(
            KeyFault::KeyMissing,
            format!(
                "the Transit engine {mount} at {address} has no key {key}: create it there, or \
                 name another in spec.vaultTransit.key"
            ),
        )
    }

    fn key_soft_deleted(&self) -> ProviderFault {
        let Self {
            address,
            mount,
            key,
            ..
        } = self;
        ProviderFault::new(
            KeyFault::KeyDeleted,
            format!(
                "the key {key} of the Transit engine {mount} at {address} is soft-deleted: restore \
                 it there (keys/{key}/soft-delete-restore)"
            ),
        )
    }

    fn no_engine(&self) -> ProviderFault {
        ProviderFault::new(
            KeyFault::WrongMount,
            format!(
                "the server at {} has no Transit engine at {}: mount one there, or correct \
                 spec.vaultTransit.mount",
                self.address, self.mount
            ),
        )
    }

    fn no_namespace(&self) -> ProviderFault {
        ProviderFault::new(
            KeyFault::WrongMount,
            format!(
                "the server at {} has no namespace {}: correct spec.vaultTransit.namespace",
                self.address,
                self.namespace.as_deref().unwrap_or("root")
            ),
        )
    }

    fn bad_certificate(&self, why: &str) -> ProviderFault {
        ProviderFault::new(
            KeyFault::BadCertificate,
            format!(
                "the certificate of the server at {} {why}: put the certificate that signs it \
                 into spec.vaultTransit.caBundle, or correct the address",
                self.address
            ),
        )
    }

    fn permission_denied(&self, action: &'static str) -> ProviderFault {
        let Self {
            address,
            mount,
            key,
            ..
        } = self;
        ProviderFault::new(
            KeyFault::PermissionDenied,
            format!(
                "the server at {address} does not permit {action} with the key {key} at {mount}: \
                 the operator's policy needs update on {mount}/encrypt/{key}, \
                 {mount}/decrypt/{key} and {mount}/rewrap/{key}; or correct spec.vaultTransit.key \
                 and mount"
            ),
        )
    }
}
