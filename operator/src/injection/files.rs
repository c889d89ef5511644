//! Which files a pod's volume will have, as far as it can be told before the pod exists.
//!
//! The same plan as at the volume's publish, for the pod as it is declared. Only advice comes of it:
//! what the pod may have is decided when it asks, by what it is then.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::Pod;
use secretvault_vault::{
    FilePath, Held, ItemPattern, PlaceholderError, Plan, PodFacts, Request, Subject, VaultRef,
    needs_namespace_labels, plan, resolve_items,
};

use super::{annotations::Annotations, nearest::did_you_mean, refusal::Refusal};
use crate::{
    vaults::{Seen, SeenVault, Vaults},
    words,
};

/// What a pod asks for, read.
pub(super) struct Wanted {
    request: Request,
    subject: Subject,
    /// Whether everything that the items speak of is known.
    complete: bool,
}

/// What is known where a pod is to be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known<'a> {
    /// The vaults, if this replica knows which there are.
    pub(crate) vaults: Option<&'a Vaults>,
    /// The labels of the pod's namespace, if they could be read.
    pub(crate) namespace_labels: Option<&'a BTreeMap<String, String>>,
}

/// Which files there will be.
pub(super) enum Files {
    /// A vault or an entry is not there, or not for this pod: it will wait.
    Awaited(secretvault_vault::Refusal),
    /// It depends on the pod's name or node, which it does not have yet.
    Nameless,
    /// These.
    Planned(Plan),
    /// This replica cannot tell.
    Unseen,
}

impl Wanted {
    /// Reads what the annotations of a pod in `namespace` ask for.
    ///
    /// # Errors
    /// `vaults` or `items` mean nothing.
    pub(super) fn parse(asked: &Annotations, pod: &Pod, namespace: &str) -> Result<Self, Refusal> {
        let subject = subject(pod, namespace);
        let (items, complete) = items(asked.attribute("items"), pod, &subject)?;
        let request = Request::parse(namespace, asked.attribute("vaults"), &items, asked.defaults)?;
        Ok(Self {
            request,
            subject,
            complete,
        })
    }

    /// The files, by what is known. Without vaults nobody can tell, nor without the labels of the
    /// namespace if a rule looks at them.
    pub(super) fn files(&self, known: Known<'_>) -> Files {
        if !self.complete {
            return Files::Nameless;
        }
        let Some(snapshot) = known.vaults.and_then(|vaults| self.snapshot(vaults)) else {
            return Files::Unseen;
        };
        let mut subject = self.subject.clone();
        match known.namespace_labels {
            None if self.needs_namespace_labels(&snapshot) => return Files::Unseen,
            None => {}
            Some(labels) => subject.namespace_labels.clone_from(labels),
        }
        let seen = |vault: &VaultRef| snapshot.get(vault).map(|seen| &seen.vault);
        match plan(&self.request, &subject, seen, &Held::default()) {
            Ok(plan) => Files::Planned(plan),
            Err(refusal) => Files::Awaited(refusal),
        }
    }

    /// Whether the files may depend on the labels of the pod's namespace.
    pub(super) fn looks_at_namespace(&self, vaults: &Vaults) -> bool {
        let snapshot = self.snapshot(vaults);
        snapshot.is_some_and(|snapshot| self.needs_namespace_labels(&snapshot))
    }

    fn needs_namespace_labels(&self, snapshot: &Snapshot) -> bool {
        let vaults = self.request.vaults.iter().map(|vault| &vault.reference);
        let seen = |vault: &VaultRef| snapshot.get(vault).map(|seen| &seen.vault);
        needs_namespace_labels(&self.subject.namespace, vaults, seen)
    }

    /// The vaults as of now; none if one is there that this version cannot read.
    fn snapshot(&self, vaults: &Vaults) -> Option<Snapshot> {
        let mut snapshot = BTreeMap::new();
        for wanted in &self.request.vaults {
            match vaults.seen(&wanted.reference) {
                None => {}
                Some(Seen::Readable(seen)) => {
                    snapshot.insert(wanted.reference.clone(), seen);
                }
                Some(Seen::Unreadable { .. }) => return None,
            }
        }
        Some(snapshot)
    }

    /// Whether a file that is not there may still come, and the pod's author knows it.
    fn may_come(&self, plan: &Plan, path: &FilePath) -> bool {
        let optional = self.request.items.iter().filter(|item| item.optional);
        let mut paths = optional.filter_map(|item| match (&item.path, &item.pattern) {
            (Some(path), _) => Some(path.clone()),
            (None, ItemPattern::Entry(entry)) => Some(FilePath::from(entry)),
            (None, ItemPattern::Glob(_)) => None,
        });
        !plan.lacking.is_empty() || paths.any(|optional| optional == *path)
    }
}

type Snapshot = BTreeMap<VaultRef, Arc<SeenVault>>;

impl Files {
    /// Checks what the variables lead to, and gives the files that they are made of.
    ///
    /// # Errors
    /// A variable would lead nowhere, or one is asked for of each file and the files are not known.
    pub(super) fn for_variables(
        &self,
        asked: &Annotations,
        wanted: &Wanted,
    ) -> Result<Vec<&FilePath>, Refusal> {
        match self {
            Self::Planned(plan) => {
                check_paths(plan, asked, wanted)?;
                Ok(plan.files.iter().map(|file| &file.path).collect())
            }
            Self::Awaited(refusal) if asked.file_env => Err(Refusal::FilesAwaited(refusal.clone())),
            Self::Nameless if asked.file_env => Err(Refusal::FilesNameless),
            Self::Unseen if asked.file_env => Err(Refusal::Unseen),
            Self::Awaited(_) | Self::Nameless | Self::Unseen => Ok(Vec::new()),
        }
    }
}

fn check_paths(plan: &Plan, asked: &Annotations, wanted: &Wanted) -> Result<(), Refusal> {
    let paths = || plan.files.iter().map(|file| file.path.as_str());
    let leads_nowhere = |path: &FilePath| {
        !paths().any(|there| there == path.as_str()) && !wanted.may_come(plan, path)
    };
    let mut variables = asked.env_file.iter();
    let Some((variable, path)) = variables.find(|(_, path)| leads_nowhere(path)) else {
        return Ok(());
    };
    Err(Refusal::NoSuchFile {
        variable: variable.to_string(),
        path: path.clone(),
        hint: did_you_mean(path.as_str(), paths()),
        there: if plan.files.is_empty() {
            "the volume will be empty".to_owned()
        } else {
            format!("there will be {}", words::listed(paths()))
        },
    })
}

/// The items with the pod's own values, and whether all of these are known. What is not known yet is
/// anything, so that all else can be read.
fn items(text: &str, pod: &Pod, subject: &Subject) -> Result<(String, bool), PlaceholderError> {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let facts = PodFacts {
        namespace: &subject.namespace,
        name: pod.metadata.name.as_deref().filter(|it| !it.is_empty()),
        service_account: &subject.service_account,
        node: node.filter(|it| !it.is_empty()),
        labels: &subject.labels,
    };
    match resolve_items(text, &facts) {
        Err(PlaceholderError::NotYet { .. }) => {
            let any = PodFacts {
                name: facts.name.or(Some(ANY)),
                node: facts.node.or(Some(ANY)),
                ..facts
            };
            Ok((resolve_items(text, &any)?, false))
        }
        resolved => Ok((resolved?, true)),
    }
}

/// The pod as access rules will see it, if nothing changes before it asks.
fn subject(pod: &Pod, namespace: &str) -> Subject {
    let account = pod.spec.as_ref();
    let account = account.and_then(|spec| spec.service_account_name.as_deref());
    Subject {
        namespace: namespace.to_owned(),
        service_account: account
            .filter(|name| !name.is_empty())
            .unwrap_or("default")
            .to_owned(),
        labels: pod.metadata.labels.clone().unwrap_or_default(),
        ..Subject::default()
    }
}

/// Stands for a name that is not known yet.
const ANY: &str = "x";
