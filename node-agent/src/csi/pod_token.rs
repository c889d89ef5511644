//! The token that kubelet minted for the pod, taken from where this cluster's kubelets put it.

use std::{collections::HashMap, fmt};

use jiff::Timestamp;
use secretvault_delivery::POD_AUDIENCE;
use serde::Deserialize;
use zeroize::Zeroizing;

/// A pod's token for our audience. Wiped on drop; `Debug` hides it.
pub struct PodToken {
    text: Zeroizing<String>,
    expires: Option<Timestamp>,
}

impl PodToken {
    /// Wraps a token. `expires` is kubelet's word for it; the operator has the last.
    pub fn new(text: Zeroizing<String>, expires: Option<Timestamp>) -> Self {
        Self { text, expires }
    }

    /// The token itself.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// When kubelet said that it ends.
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// Whether it is of use no more.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }
}

impl fmt::Debug for PodToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PodToken(..)")
    }
}

/// Where kubelet puts tokens: `CSIDriver.spec.serviceAccountTokenInSecrets`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenPlace {
    /// In the request's secrets, which a pod's author cannot write.
    Secrets,
    /// In the volume context: clusters before 1.35. kubelet overwrites what an author wrote there.
    VolumeContext,
}

impl TokenPlace {
    /// Takes the token from its place, and only from there.
    ///
    /// # Errors
    /// There is none for us there; or one lies where only the pod's author can have put it.
    pub(super) fn take(
        self,
        secrets: &HashMap<String, String>,
        context: &HashMap<String, String>,
    ) -> Result<PodToken, TokenError> {
        let tokens = match self {
            Self::Secrets if context.contains_key(TOKENS_KEY) => {
                return Err(TokenError::InVolumeContext);
            }
            Self::Secrets => secrets.get(TOKENS_KEY),
            Self::VolumeContext => context.get(TOKENS_KEY),
        };
        parse(tokens.ok_or(TokenError::Missing)?)
    }
}

/// Why there is no token to work with. Nothing here quotes what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// A token lies in the volume context although this cluster puts it elsewhere.
    #[error(
        "a service-account token came as a volume attribute, where a pod's author can forge it: \
         remove {TOKENS_KEY} from volumeAttributes (on a cluster before 1.35, set the node \
         agent's tokens-in-secrets to false)"
    )]
    InVolumeContext,
    /// kubelet sent none.
    #[error(
        "kubelet sent no service-account token: CSIDriver must have a tokenRequests entry for \
         the audience {POD_AUDIENCE}, and the node agent's tokens-in-secrets must be what \
         CSIDriver.serviceAccountTokenInSecrets says"
    )]
    Missing,
    /// It cannot be read.
    #[error("kubelet's service-account tokens are not the JSON that was agreed")]
    Unreadable,
    /// It has tokens, but not for us.
    #[error("kubelet sent no token for the audience {POD_AUDIENCE}: see CSIDriver.tokenRequests")]
    WrongAudience,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    token: Zeroizing<String>,
    expiration_timestamp: Option<Timestamp>,
}

fn parse(tokens: &str) -> Result<PodToken, TokenError> {
    let mut by_audience: HashMap<String, Token> =
        serde_json::from_str(tokens).map_err(|_| TokenError::Unreadable)?;
    let token = by_audience
        .remove(POD_AUDIENCE)
        .ok_or(TokenError::WrongAudience)?;
    if token.token.is_empty() {
        return Err(TokenError::WrongAudience);
    }
    Ok(PodToken::new(token.token, token.expiration_timestamp))
}

/// The key under which kubelet passes tokens, in either place.
pub(super) const TOKENS_KEY: &str = "csi.storage.k8s.io/serviceAccount.tokens";

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(json: &str) -> HashMap<String, String> {
        HashMap::from([(TOKENS_KEY.to_owned(), json.to_owned())])
    }

    fn good() -> HashMap<String, String> {
        tokens(
            r#"{"other":{"token":"no","expirationTimestamp":"2026-11-22T06:00:00Z"},
               "csi.secretvault.dev":{"token":"yes","expirationTimestamp":"2026-11-22T06:00:00Z"}}"#,
        )
    }

    #[test]
    fn the_token_for_our_audience_is_taken_with_its_end() {
        let token = TokenPlace::Secrets.take(&good(), &HashMap::new()).unwrap();
        assert_eq!(token.expose(), "yes");
        let end: Timestamp = "2026-11-22T06:00:00Z".parse().unwrap();
        assert!(token.has_expired(end));
        assert!(!token.has_expired(end - jiff::SignedDuration::from_secs(1)));
    }

    #[test]
    fn a_token_in_the_other_place_is_never_believed() {
        let nothing = HashMap::new();
        for (secrets, context) in [(&good(), &good()), (&nothing, &good())] {
            let error = TokenPlace::Secrets.take(secrets, context).unwrap_err();
            assert_eq!(error, TokenError::InVolumeContext);
        }
        let error = TokenPlace::VolumeContext
            .take(&good(), &nothing)
            .unwrap_err();
        assert_eq!(error, TokenError::Missing);
        assert_eq!(
            TokenPlace::VolumeContext
                .take(&nothing, &good())
                .unwrap()
                .expose(),
            "yes"
        );
    }

    #[test]
    fn tokens_that_are_none_for_us_are_refused() {
        for (json, error) in [
            ("", TokenError::Unreadable),
            ("[]", TokenError::Unreadable),
            (r#"{"csi.secretvault.dev":{}}"#, TokenError::Unreadable),
            ("{}", TokenError::WrongAudience),
            (r#"{"":{"token":"x"}}"#, TokenError::WrongAudience),
            (
                r#"{"csi.secretvault.dev":{"token":""}}"#,
                TokenError::WrongAudience,
            ),
        ] {
            let found = TokenPlace::Secrets.take(&tokens(json), &HashMap::new());
            assert_eq!(found.unwrap_err(), error, "{json}");
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let token = PodToken::new(Zeroizing::new("hunter2".to_owned()), None);
        assert_eq!(format!("{token:?}"), "PodToken(..)");
    }
}
