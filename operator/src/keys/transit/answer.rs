//! What the server's refusals mean.
//!
//! A server's texts are never passed on: they may name what only its own administrators should
//! see. The known ones are recognised; of the others the status is told.

use rustify::errors::ClientError as RestError;
use vaultrs::error::ClientError;

use crate::keys::KeyFault;
use crate::keys::metrics::CallOutcome;

/// What went wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The server's certificate is not accepted: why.
    BadCertificate(&'static str),
    /// The ciphertext is not one that this key made.
    Ciphertext,
    /// The engine has no such key.
    KeyNotFound,
    /// The key is there, and marked as deleted.
    KeySoftDeleted,
    /// The answer is none of Transit's.
    Malformed,
    /// The server has no such namespace.
    NoNamespace,
    /// Nothing is mounted at that path.
    NoRoute,
    /// The token's policy does not allow it.
    PolicyDenied,
    /// The server is sealed, or not set up.
    Sealed,
    /// No answer: why.
    Silent(&'static str),
    /// An answer that says no more than its status.
    Status(u16),
    /// The token is none, or one no longer.
    TokenRejected,
    /// The ciphertext's version is one that the key does not have yet, or no longer.
    VersionTooNew,
    /// The ciphertext's version is below the key's `min_decryption_version`.
    VersionTooOld,
}

impl Refused {
    /// Reads an error of the client.
    pub(super) fn of(error: &ClientError) -> Self {
        if let ClientError::APIError { code, errors } = error {
            return Self::answered(*code, errors);
        }
        let ClientError::RestClientError { source } = error else {
            return Self::Malformed;
        };
        if let RestError::ServerResponseError { code, .. } = source {
            return Self::answered(*code, &[]);
        }
        if let RestError::RequestError { source, .. } = source {
            return unsent(source.as_ref());
        }
        if matches!(source, RestError::ResponseError { .. }) {
            return Self::Silent("the connection broke");
        }
        Self::Malformed
    }

    /// Whether the server took the token, and refused what was asked for with it.
    pub(super) fn accepts_the_token(self) -> bool {
        match self {
            Self::Ciphertext
            | Self::KeyNotFound
            | Self::KeySoftDeleted
            | Self::NoRoute
            | Self::PolicyDenied
            | Self::VersionTooNew
            | Self::VersionTooOld => true,
            // Some of these come from something before the server, or before it looks at a token.
            Self::BadCertificate(_)
            | Self::Malformed
            | Self::NoNamespace
            | Self::Sealed
            | Self::Silent(_)
            | Self::Status(_)
            | Self::TokenRejected => false,
        }
    }

    fn answered(code: u16, errors: &[String]) -> Self {
        let says = |text: &str| errors.iter().any(|error| error.contains(text));
        match code {
            400 if says("encryption key not found") => Self::KeyNotFound,
            400 if says("soft-deleted key") => Self::KeySoftDeleted,
            400 if says("disallowed by policy (too old)") => Self::VersionTooOld,
            400 if says("version is too new") => Self::VersionTooNew,
            400 if says("message authentication failed") || says("invalid ciphertext") => {
                Self::Ciphertext
            }
            // A policy's refusal is a list of one; that of a token is the bare words, or names it.
            403 if says("error occurred") && !says("invalid token") => Self::PolicyDenied,
            403 => Self::TokenRejected,
            404 if says("namespace not found") => Self::NoNamespace,
            404 if says("no handler for route") => Self::NoRoute,
            503 if says("sealed") => Self::Sealed,
            _ => Self::Status(code),
        }
    }
}

/// Of a renewal, which concerns no key.
impl<T> From<&Result<T, Refused>> for CallOutcome {
    fn from(answer: &Result<T, Refused>) -> Self {
        let refused = match answer {
            Ok(_) => return Self::Ok,
            Err(refused) => refused,
        };
        Self::Fault(match refused {
            Refused::BadCertificate(_) => KeyFault::BadCertificate,
            Refused::NoNamespace | Refused::NoRoute => KeyFault::WrongMount,
            Refused::PolicyDenied => KeyFault::PermissionDenied,
            Refused::Sealed => KeyFault::Sealed,
            Refused::Silent(_) | Refused::Status(429 | 502 | 503 | 504) => KeyFault::Unreachable,
            Refused::TokenRejected => KeyFault::TokenRejected,
            Refused::Ciphertext
            | Refused::KeyNotFound
            | Refused::KeySoftDeleted
            | Refused::Malformed
            | Refused::Status(_)
            | Refused::VersionTooNew
            | Refused::VersionTooOld => KeyFault::ServerError,
        })
    }
}

/// Why no answer came: the certificate, or the network.
fn unsent(error: &(dyn std::error::Error + 'static)) -> Refused {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = tls_error(error) {
            return match certificate(found) {
                Some(why) => Refused::BadCertificate(why),
                None => Refused::Silent("TLS failed"),
            };
        }
        cause = error.source();
    }
    Refused::Silent("it cannot be reached")
}

/// The TLS layer's error, in however many errors of input and output it is wrapped.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(wrapper) = error.downcast_ref::<std::io::Error>() {
        return wrapper.get_ref().and_then(|inner| tls_error(inner));
    }
    error.downcast_ref::<rustls::Error>()
}

fn certificate(error: &rustls::Error) -> Option<&'static str> {
    use rustls::CertificateError as Bad;
    let rustls::Error::InvalidCertificate(error) = error else {
        return None;
    };
    let expired = matches!(error, Bad::Expired | Bad::ExpiredContext { .. });
    let early = matches!(error, Bad::NotValidYet | Bad::NotValidYetContext { .. });
    let misnamed = matches!(
        error,
        Bad::NotValidForName | Bad::NotValidForNameContext { .. }
    );
    Some(if expired {
        "has expired"
    } else if early {
        "is not valid yet"
    } else if misnamed {
        "is not made for the host of that address"
    } else if matches!(error, Bad::BadSignature | Bad::UnknownIssuer) {
        "is signed by none that the provider trusts"
    } else {
        "is not accepted"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(code: u16, text: &str) -> Refused {
        Refused::of(&ClientError::APIError {
            code,
            errors: vec![text.to_owned()],
        })
    }

    /// The texts are OpenBao's, or Vault's where that says another thing.
    #[test]
    fn what_servers_say_is_known() {
        let policy = "1 error occurred:\n\t* permission denied\n\n";
        let vault = "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n";
        let no_route = "no handler for route \"transit/encrypt/k\". route entry not found.";
        let cases = [
            (400, "encryption key not found", Refused::KeyNotFound),
            (
                400,
                "refusing to use soft-deleted key",
                Refused::KeySoftDeleted,
            ),
            (
                400,
                "ciphertext or signature version is disallowed by policy (too old)",
                Refused::VersionTooOld,
            ),
            (
                400,
                "invalid ciphertext: version is too new",
                Refused::VersionTooNew,
            ),
            (
                400,
                "cipher: message authentication failed",
                Refused::Ciphertext,
            ),
            (400, "invalid ciphertext length", Refused::Ciphertext),
            (403, policy, Refused::PolicyDenied),
            (403, "permission denied", Refused::TokenRejected),
            (403, vault, Refused::TokenRejected),
            (404, no_route, Refused::NoRoute),
            (404, "namespace not found", Refused::NoNamespace),
            (503, "Vault is sealed", Refused::Sealed),
            (500, "anything else", Refused::Status(500)),
            (400, "anything else", Refused::Status(400)),
        ];
        for (code, text, expected) in cases {
            assert_eq!(api(code, text), expected, "{code} {text}");
        }
    }

    #[test]
    fn only_who_looked_at_the_token_has_accepted_it() {
        assert!(Refused::PolicyDenied.accepts_the_token());
        assert!(Refused::KeyNotFound.accepts_the_token());
        assert!(!Refused::TokenRejected.accepts_the_token());
        assert!(!Refused::Status(502).accepts_the_token());
        assert!(!Refused::Silent("the connection broke").accepts_the_token());
    }

    #[test]
    fn a_status_without_a_text_is_told_as_such() {
        let source = RestError::ServerResponseError {
            code: 502,
            content: Some("<html>".to_owned()),
        };
        let refused = Refused::of(&ClientError::RestClientError { source });
        assert_eq!(refused, Refused::Status(502));
    }

    #[test]
    fn an_answer_that_is_none_is_malformed() {
        assert_eq!(
            Refused::of(&ClientError::ResponseDataEmptyError),
            Refused::Malformed
        );
        assert_eq!(
            Refused::of(&ClientError::ResponseEmptyError),
            Refused::Malformed
        );
    }

    fn certificate_error(error: rustls::CertificateError) -> Refused {
        let inner = rustls::Error::InvalidCertificate(error);
        unsent(&std::io::Error::new(std::io::ErrorKind::InvalidData, inner))
    }

    #[test]
    fn a_bad_certificate_is_told_from_a_silent_server() {
        let unknown = certificate_error(rustls::CertificateError::UnknownIssuer);
        assert_eq!(
            unknown,
            Refused::BadCertificate("is signed by none that the provider trusts")
        );
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(unsent(&refused), Refused::Silent("it cannot be reached"));
    }
}
