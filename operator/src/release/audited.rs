//! What the audit log says of a release.

use secretvault_audit::{Override, OwnWords, Pod};
use secretvault_delivery::v1::PodReference;
use secretvault_vault::Overridden;

use super::denied::Denied;
use super::identity::{IdentityError, PodIdentity};

/// A pod, as its token proves it.
pub(super) fn proven(pod: &PodIdentity) -> Pod {
    Pod {
        namespace: pod.namespace.as_str().into(),
        name: pod.name.as_str().into(),
        uid: pod.uid.as_str().into(),
        service_account: pod.service_account.as_str().into(),
        proven: true,
    }
}

/// A pod, as an agent claims it.
pub(super) fn claimed(pod: &PodReference) -> Pod {
    Pod {
        namespace: pod.namespace.as_str().into(),
        name: pod.name.as_str().into(),
        uid: pod.uid.as_str().into(),
        service_account: pod.service_account.as_str().into(),
        proven: false,
    }
}

/// A file that another vault's file replaced.
pub(super) fn overridden(overridden: &Overridden) -> Override {
    Override {
        path: overridden.path.as_str().into(),
        vault: overridden.vault.to_string().as_str().into(),
        entry: overridden.entry.as_str().into(),
        by: overridden.by.to_string().as_str().into(),
    }
}

impl OwnWords for Denied {}
impl OwnWords for IdentityError {}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use secretvault_audit::{Chain, ChainId, Entry, Record, Release, Vault, Verdict};

    use super::super::metrics::VerdictOutcome;
    use super::*;

    fn release(pod: Pod) -> Release {
        Release {
            verdict: Verdict::Grant,
            reason: VerdictOutcome::Granted.word(),
            node: "node-a".into(),
            pod,
            vaults: vec![Vault {
                namespace: "shop".into(),
                name: "app".into(),
                uid: Some("vault-uid".into()),
                generation: Some(3),
                key_id: Some("9d3f5a1c7b2e4860".into()),
                entries: vec!["db/password".into()],
            }],
            message: None,
            overridden: Vec::new(),
            withdrawn: Vec::new(),
        }
    }

    fn line(pod: Pod) -> String {
        let entry = Entry::new(Timestamp::UNIX_EPOCH, &Record::Release(release(pod)));
        let chain = Chain::begin(ChainId::new("o", 1).unwrap());
        String::from_utf8(chain.line(&entry)).unwrap()
    }

    fn claim(name: &str) -> PodReference {
        PodReference {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            uid: "pod-uid".to_owned(),
            service_account: "web".to_owned(),
        }
    }

    #[test]
    fn a_grant_is_one_line_of_names() {
        let line = line(claimed(&claim("web-0")));
        let (_, record) = line.split_once("\"time\"").unwrap();
        insta::assert_snapshot!(record, @r#":"1970-01-01T00:00:00Z","audit":"release","verdict":"grant","reason":"Granted","node":"node-a","pod":{"namespace":"shop","name":"web-0","uid":"pod-uid","serviceAccount":"web","proven":false},"vaults":[{"namespace":"shop","name":"app","uid":"vault-uid","generation":3,"keyId":"9d3f5a1c7b2e4860","entries":["db/password"]}]}"#);
    }

    #[test]
    fn what_an_agent_claims_is_cut_and_marked() {
        let long = line(claimed(&claim(&"x".repeat(10_000))));
        assert!(long.contains(&format!("\"{}\"", "x".repeat(253))), "{long}");
        assert!(long.contains("\"proven\":false"), "{long}");
    }

    #[test]
    fn a_claim_cannot_start_a_line_of_its_own() {
        let line = line(claimed(&claim("x\n{\"v\":1,\"chain\":\"")));
        assert!(!line.contains('\n'), "{line}");
        assert_eq!(line.matches("{\"v\":1,\"chain\":\"").count(), 1);
    }
}
