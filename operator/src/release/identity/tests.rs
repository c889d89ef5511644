use super::*;
use k8s_openapi::api::authentication::v1::UserInfo;

/// A review as the API server answers it for a pod-bound token.
pub(crate) fn review(audience: &str, user: &str) -> TokenReviewStatus {
    let extra = [
        ("authentication.kubernetes.io/credential-id", "JTI=1"),
        ("authentication.kubernetes.io/node-name", "node-a"),
        ("authentication.kubernetes.io/node-uid", "node-uid"),
        ("authentication.kubernetes.io/pod-name", "web-0"),
        ("authentication.kubernetes.io/pod-uid", "pod-uid"),
    ];
    let extra = extra.map(|(key, value)| (key.to_owned(), vec![value.to_owned()]));
    TokenReviewStatus {
        audiences: Some(vec![audience.to_owned()]),
        authenticated: Some(true),
        error: None,
        user: Some(UserInfo {
            extra: Some(extra.into()),
            groups: Some(vec!["system:serviceaccounts".to_owned()]),
            uid: Some("account-uid".to_owned()),
            username: Some(user.to_owned()),
        }),
    }
}

fn pod_review() -> TokenReviewStatus {
    review(
        secretvault_delivery::POD_AUDIENCE,
        "system:serviceaccount:shop:web",
    )
}

fn agent_review() -> TokenReviewStatus {
    review(secretvault_delivery::AGENT_AUDIENCE, AGENT)
}

fn pod_reference() -> PodReference {
    PodReference {
        namespace: "shop".to_owned(),
        name: "web-0".to_owned(),
        uid: "pod-uid".to_owned(),
        service_account: "web".to_owned(),
    }
}

fn set_claim(status: &mut TokenReviewStatus, claim: Claim, values: Option<&[&str]>) {
    let extra = status.user.as_mut().unwrap().extra.as_mut().unwrap();
    match values {
        None => extra.remove(claim.key()),
        Some(values) => extra.insert(
            claim.key().to_owned(),
            values.iter().map(|value| (*value).to_owned()).collect(),
        ),
    };
}

fn set_user(status: &mut TokenReviewStatus, name: Option<&str>) {
    status.user.as_mut().unwrap().username = name.map(str::to_owned);
}

const AGENT: &str = "system:serviceaccount:secretvault:secretvault-node-agent";

#[test]
fn a_pods_token_names_the_pod_and_its_node() {
    let pod = PodIdentity::accept(&pod_review()).unwrap();
    assert_eq!(
        pod,
        PodIdentity {
            namespace: "shop".to_owned(),
            name: "web-0".to_owned(),
            uid: "pod-uid".to_owned(),
            service_account: "web".to_owned(),
            node: "node-a".to_owned(),
        }
    );
    assert_eq!(pod.is_named_by(&pod_reference()), Ok(()));
    assert_eq!(
        pod.on_node_of(&AgentIdentity {
            node: "node-a".to_owned()
        }),
        Ok(())
    );
}

#[test]
fn an_agents_token_names_its_node() {
    let agent = AgentIdentity::accept(&agent_review(), AGENT);
    assert_eq!(
        agent,
        Ok(AgentIdentity {
            node: "node-a".to_owned()
        })
    );
    assert_eq!(
        service_account_user("secretvault", "secretvault-node-agent"),
        AGENT
    );
}

type Change = fn(&mut TokenReviewStatus);

/// Each change makes the token of the control above unacceptable, as a pod's and as an agent's.
fn assert_refused(expected: IdentityError, changes: &[Change]) {
    for (index, change) in changes.iter().enumerate() {
        let (mut pod, mut agent) = (pod_review(), agent_review());
        change(&mut pod);
        change(&mut agent);
        assert_eq!(
            PodIdentity::accept(&pod),
            Err(expected),
            "pod, change {index}"
        );
        let agent = AgentIdentity::accept(&agent, AGENT);
        assert_eq!(agent, Err(expected), "agent, change {index}");
    }
}

#[test]
fn a_token_that_is_not_valid_is_refused() {
    let changes: [Change; 2] = [
        |r| r.authenticated = None,
        |r| r.authenticated = Some(false),
    ];
    assert_refused(IdentityError::NotAuthenticated, &changes);
}

#[test]
fn a_token_for_anything_but_exactly_our_audience_is_refused() {
    let changes: [Change; 4] = [
        |r| r.audiences = None,
        |r| r.audiences = Some(vec![]),
        |r| r.audiences = Some(vec!["https://kubernetes.default.svc".to_owned()]),
        |r| r.audiences.as_mut().unwrap().push("vault".to_owned()),
    ];
    assert_refused(IdentityError::OtherAudience, &changes);
}

#[test]
fn a_token_of_no_service_account_is_refused() {
    let changes: [Change; 5] = [
        |r| r.user = None,
        |r| set_user(r, None),
        |r| set_user(r, Some("system:node:node-a")),
        |r| set_user(r, Some("system:serviceaccount:shop:")),
        |r| set_user(r, Some("system:serviceaccount:shop:web:x")),
    ];
    assert_refused(IdentityError::NotAServiceAccount, &changes);
}

#[test]
fn a_token_that_is_bound_to_a_node_only_is_refused() {
    let changes: [Change; 3] = [
        |r| {
            set_claim(r, Claim::PodName, None);
            set_claim(r, Claim::PodUid, None);
        },
        |r| set_claim(r, Claim::PodName, None),
        |r| r.user.as_mut().unwrap().extra = None,
    ];
    assert_refused(IdentityError::Claim(Claim::PodName), &changes);
}

#[test]
fn a_claim_that_is_not_there_exactly_once_is_refused() {
    let uid: [Change; 3] = [
        |r| set_claim(r, Claim::PodUid, None),
        |r| set_claim(r, Claim::PodUid, Some(&[""])),
        |r| set_claim(r, Claim::PodUid, Some(&[])),
    ];
    assert_refused(IdentityError::Claim(Claim::PodUid), &uid);
    let node: [Change; 2] = [
        |r| set_claim(r, Claim::NodeName, None),
        |r| set_claim(r, Claim::NodeName, Some(&["node-a", "node-b"])),
    ];
    assert_refused(IdentityError::Claim(Claim::NodeName), &node);
}

#[test]
fn neither_token_passes_for_the_other() {
    let error = PodIdentity::accept(&agent_review()).unwrap_err();
    assert_eq!(error, IdentityError::OtherAudience);
    let error = AgentIdentity::accept(&pod_review(), AGENT).unwrap_err();
    assert_eq!(error, IdentityError::OtherAudience);
}

#[test]
fn only_the_agents_own_account_is_an_agent() {
    let others = [
        "system:serviceaccount:shop:secretvault-node-agent",
        "system:serviceaccount:secretvault:secretvault-node-agent2",
        "system:serviceaccount:secretvault:secretvault-operator",
    ];
    for other in others {
        let status = review(secretvault_delivery::AGENT_AUDIENCE, other);
        let error = AgentIdentity::accept(&status, AGENT).unwrap_err();
        assert_eq!(error, IdentityError::NotTheAgent, "{other}");
    }
}

#[test]
fn a_pod_on_another_node_is_refused() {
    let pod = PodIdentity::accept(&pod_review()).unwrap();
    let error = pod
        .on_node_of(&AgentIdentity {
            node: "node-b".to_owned(),
        })
        .unwrap_err();
    assert_eq!(error, IdentityError::OtherNode);
}

#[test]
fn a_pod_that_the_agent_names_differently_is_refused() {
    type Change = fn(&mut PodReference);
    let cases: [(Change, PodField); 5] = [
        (|p| p.namespace = "batch".to_owned(), PodField::Namespace),
        (|p| p.name = "web-1".to_owned(), PodField::Name),
        (|p| p.uid = "other".to_owned(), PodField::Uid),
        (
            |p| p.service_account = "default".to_owned(),
            PodField::ServiceAccount,
        ),
        (|p| *p = PodReference::default(), PodField::Namespace),
    ];
    let pod = PodIdentity::accept(&pod_review()).unwrap();
    for (change, field) in cases {
        let mut claimed = pod_reference();
        change(&mut claimed);
        assert_eq!(
            pod.is_named_by(&claimed),
            Err(IdentityError::OtherPod(field))
        );
    }
}
