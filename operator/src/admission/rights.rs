use std::time::Duration;

use k8s_openapi::api::authentication::v1::UserInfo;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use secretvault_crds::api::{GROUP, VERB_MANAGE, VERB_RESTORE, VERSION};
use secretvault_seal::{NoEditor, Rights};
use secretvault_vault::Editor;

use super::answer::Denied;

/// Bounds the question: the webhook itself has ten seconds.
const DEADLINE: Duration = Duration::from_secs(3);

/// Who asks for what: the requester of the reviewed request, and the vault.
pub(crate) struct Requester<'a> {
    pub(crate) user: &'a UserInfo,
    pub(crate) namespace: &'a str,
    pub(crate) vault: &'a str,
}

impl Requester<'_> {
    /// The requester as the vault's editors know him.
    pub(crate) fn editor(&self) -> Editor {
        Editor {
            user: self.user.username.clone().unwrap_or_default(),
            groups: self.user.groups.clone().unwrap_or_default(),
        }
    }

    /// What the requester is told if he lacks `manage`, where the vault's editors do not let him.
    pub(crate) fn no_editor(&self, missing: NoEditor) -> Denied {
        Denied::NoEditor {
            missing,
            namespace: self.namespace.to_owned(),
        }
    }

    fn forbidden(&self, verb: &'static str, what: &'static str) -> Denied {
        Denied::Forbidden {
            verb,
            what,
            namespace: self.namespace.to_owned(),
        }
    }
}

/// Checks, as the requester, the rights that the manifest needs beyond create and update. `no_editor`
/// is what else only `manage` allows.
pub(crate) async fn check(
    client: &Client,
    requester: &Requester<'_>,
    rights: Rights,
    no_editor: Option<NoEditor>,
) -> Result<(), Denied> {
    let who_may = "changing spec.access or spec.editors of an existing vault";
    let manage = rights
        .manage
        .then(|| requester.forbidden(VERB_MANAGE, who_may))
        .or_else(|| Some(requester.no_editor(no_editor?)));
    let foreign = "bringing in an envelope or data key that is not the stored one";
    let restore = rights
        .restore
        .then(|| requester.forbidden(VERB_RESTORE, foreign));
    // At once, for the sake of the webhook's deadline.
    let (manage, restore) = tokio::join!(
        unless_allowed(client, requester, VERB_MANAGE, manage),
        unless_allowed(client, requester, VERB_RESTORE, restore),
    );
    manage.and(restore)
}

/// Answers with `denied`, if there is such an answer and the requester lacks the verb.
pub(crate) async fn unless_allowed(
    client: &Client,
    requester: &Requester<'_>,
    verb: &'static str,
    denied: Option<Denied>,
) -> Result<(), Denied> {
    match denied {
        Some(denied) if !allowed(client, requester, verb).await? => Err(denied),
        Some(_) | None => Ok(()),
    }
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
