use std::time::Duration;

use k8s_openapi::api::authentication::v1::UserInfo;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use secretvault_crds::api::{GROUP, VERB_MANAGE, VERB_RESTORE, VERSION};
use secretvault_seal::Rights;

use super::answer::Denied;

/// Bounds the question: the webhook itself has ten seconds.
const DEADLINE: Duration = Duration::from_secs(3);

/// Who asks for what: the requester of the reviewed request, and the vault.
pub(crate) struct Requester<'a> {
    pub(crate) user: &'a UserInfo,
    pub(crate) namespace: &'a str,
    pub(crate) vault: &'a str,
}

/// Checks, as the requester, the rights that the manifest needs beyond create and update.
pub(crate) async fn check(
    client: &Client,
    requester: &Requester<'_>,
    rights: Rights,
) -> Result<(), Denied> {
    let needed = [
        (
            rights.manage,
            VERB_MANAGE,
            "changing spec.access of an existing vault",
        ),
        (
            rights.restore,
            VERB_RESTORE,
            "bringing in an envelope or data key that is not the stored one",
        ),
    ];
    let needed = needed.into_iter().filter(|(needed, ..)| *needed);
    // At once, for the sake of the webhook's deadline.
    let answers =
        needed.map(
            async |(_, verb, what)| match allowed(client, requester, verb).await? {
                true => Ok(()),
                false => Err(Denied::Forbidden {
                    verb,
                    what,
                    namespace: requester.namespace.to_owned(),
                }),
            },
        );
    let answers = futures::future::join_all(answers).await;
    answers.into_iter().collect()
}

async fn allowed(
    client: &Client,
    requester: &Requester<'_>,
    verb: &'static str,
) -> Result<bool, Denied> {
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let question = question(requester, verb);
    let params = PostParams::default();
    let answer = tokio::time::timeout(DEADLINE, reviews.create(&params, &question)).await;
    let answer = answer
        .ok()
        .and_then(Result::ok)
        .ok_or(Denied::CannotAsk { verb })?;
    Ok(answer
        .status
        .is_some_and(|status| status.allowed && status.denied != Some(true)))
}

fn question(requester: &Requester<'_>, verb: &str) -> SubjectAccessReview {
    let user = requester.user;
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: user.username.clone(),
            groups: user.groups.clone(),
            uid: user.uid.clone(),
            extra: user.extra.clone(),
            resource_attributes: Some(ResourceAttributes {
                group: Some(GROUP.to_owned()),
                version: Some(VERSION.to_owned()),
                resource: Some("secretvaults".to_owned()),
                namespace: Some(requester.namespace.to_owned()),
                name: Some(requester.vault.to_owned()),
                verb: Some(verb.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    }
}
