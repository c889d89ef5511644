//! What was decided about one volume, and what is to be said of it: in the audit log, and to the
//! pod's owner.

use secretvault_audit as audit;
use secretvault_vault::FilePath;
use secretvault_vault::plan::Notice;

use super::audited;
use super::denied::Denying;
use super::grant::Granted;
use super::identity::PodIdentity;
use super::told;
use crate::events::News;

/// The verdict, and the pod it is about as far as that was proved.
pub(super) struct Decision {
    pub(super) pod: audit::Pod,
    pub(super) verdict: Result<Granted, Denying>,
    /// What a grant left out, because a later vault has something in its place.
    pub(super) overridden: Vec<audit::Override>,
    /// Held files that go because the pod may not have them any more.
    pub(super) withdrawn: Vec<audit::FilePath>,
    /// What the pod's owner is to be told, once the verdict is recorded.
    pub(super) news: Option<(PodIdentity, News)>,
}

impl Decision {
    /// Of a pod that is proved.
    pub(super) fn about(identity: PodIdentity, ruling: Ruling) -> Self {
        let news = told::news(ruling.first, &ruling.notices, &ruling.withdrawn());
        let mut decision = Self::of(audited::proven(&identity), ruling);
        decision.news = news.map(|news| (identity, news));
        decision
    }

    /// Of a pod as far as it is known.
    pub(super) fn of(pod: audit::Pod, ruling: Ruling) -> Self {
        Self {
            pod,
            overridden: ruling.overridden(),
            withdrawn: ruling
                .withdrawn()
                .iter()
                .map(|it| it.as_str().into())
                .collect(),
            news: None,
            verdict: ruling.verdict,
        }
    }
}

/// The verdict, and what is to be said of it.
pub(super) struct Ruling {
    pub(super) verdict: Result<Granted, Denying>,
    /// Of a grant.
    pub(super) notices: Vec<Notice>,
    /// Nobody was told of the notices yet.
    pub(super) first: bool,
}

impl Ruling {
    fn overridden(&self) -> Vec<audit::Override> {
        let overridden = self.notices.iter().filter_map(Notice::overridden);
        overridden.map(audited::overridden).collect()
    }

    fn withdrawn(&self) -> Vec<String> {
        let paths: Vec<&FilePath> = match &self.verdict {
            Ok(_) => self.notices.iter().filter_map(Notice::withdrawn).collect(),
            Err(denying) => denying.withdrawn.iter().collect(),
        };
        paths.into_iter().map(ToString::to_string).collect()
    }
}

impl From<Denying> for Ruling {
    fn from(denying: Denying) -> Self {
        Self {
            verdict: Err(denying),
            notices: Vec::new(),
            first: false,
        }
    }
}
