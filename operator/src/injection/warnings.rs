//! What a pod's author should know of a pod that is admitted.
//!
//! What concerns volumes that were written by hand too, such as `subPath`, is a policy of the API
//! server's own: see the chart.

use k8s_openapi::api::core::v1::{Container, Pod};
use secretvault_vault::{PlannedFile, Refusal};

use super::{
    PREFIX,
    annotations::{Annotations, OnChange},
    containers,
    files::Files,
};
use crate::words;

/// All of it, each a line for a terminal.
pub(super) fn all(pod: &Pod, asked: &Annotations, files: &Files) -> Vec<String> {
    let mut warnings = of_files(pod, files);
    if asked.env {
        warnings.extend(without_variables(pod));
    }
    if asked.on_change == OnChange::Restart && !is_rolled(pod) {
        warnings.push(format!(
            "{PREFIX}on-change: restart rolls Deployments, StatefulSets and DaemonSets; this pod has no such owner, and nothing will restart it"
        ));
    }
    warnings
}

fn of_files(pod: &Pod, files: &Files) -> Vec<String> {
    match files {
        Files::Planned(plan) => {
            let notices = plan.notices.iter().map(ToString::to_string);
            notices.chain(unreadable(pod, &plan.files)).collect()
        }
        Files::Awaited(refusal) => vec![waits(refusal)],
        Files::Nameless | Files::Unseen => Vec::new(),
    }
}

fn waits(refusal: &Refusal) -> String {
    format!("{refusal}; the pod waits until then")
}

/// What runs in a container beside its command gets the container's variables, not the launcher's.
fn without_variables(pod: &Pod) -> Vec<String> {
    let runs_more = |container: &Container| {
        let probes = [
            &container.liveness_probe,
            &container.readiness_probe,
            &container.startup_probe,
        ];
        let hooks = container.lifecycle.as_ref();
        let hooks = hooks.map(|it| [&it.post_start, &it.pre_stop]);
        let probe = probes
            .iter()
            .any(|it| it.as_ref().is_some_and(|it| it.exec.is_some()));
        let hook = hooks.is_some_and(|hooks| {
            hooks
                .iter()
                .any(|it| it.as_ref().is_some_and(|it| it.exec.is_some()))
        });
        probe || hook
    };
    let all = containers::all(pod).into_iter();
    all.filter(|place| runs_more(place.container))
        .map(|place| {
            format!(
                "container {} has probes or hooks with exec: these do not see the variables of {PREFIX}env",
                place.name()
            )
        })
        .collect()
}

/// Whether something owns the pod that is rolled by its template.
fn is_rolled(pod: &Pod) -> bool {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    owners.any(|it| ["ReplicaSet", "StatefulSet", "DaemonSet"].contains(&it.kind.as_str()))
}

/// Files that a container's user will not be able to read, where that is certain.
fn unreadable(pod: &Pod, files: &[PlannedFile]) -> Vec<String> {
    let all = containers::all(pod).into_iter();
    let told = all.filter_map(|place| {
        let user = User::of(pod, place.container)?;
        let closed = files.iter().filter(|file| !user.reads(file));
        let closed: Vec<&str> = closed.map(|file| file.path.as_str()).collect();
        (!closed.is_empty()).then(|| {
            format!(
                "container {} runs as user {} and cannot read {}: set {PREFIX}uid, gid or mode, or files in the vault",
                place.name(),
                user.uid,
                words::listed(closed)
            )
        })
    });
    told.collect()
}

/// Whom a container runs as.
struct User {
    uid: i64,
    /// Its groups, as far as the pod says them.
    groups: Vec<i64>,
    /// Whether the image may say of which group it is first.
    of_image: bool,
    /// What takes the place of a file's group that nobody said.
    fs_group: Option<i64>,
}

impl User {
    /// None if the image decides, or it is root, who reads all.
    fn of(pod: &Pod, container: &Container) -> Option<Self> {
        let pods = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.security_context.as_ref());
        let own = container.security_context.as_ref();
        let uid = own
            .and_then(|it| it.run_as_user)
            .or_else(|| pods.and_then(|it| it.run_as_user))
            .filter(|uid| *uid != 0)?;
        let group = own
            .and_then(|it| it.run_as_group)
            .or_else(|| pods.and_then(|it| it.run_as_group));
        let fs_group = pods.and_then(|it| it.fs_group);
        let supplemental = pods.and_then(|it| it.supplemental_groups.clone());
        let groups = supplemental.into_iter().flatten();
        Some(Self {
            uid,
            groups: groups.chain(group).chain(fs_group).collect(),
            of_image: group.is_none(),
            fs_group,
        })
    }

    /// Whether it reads a file, as far as that can be told.
    fn reads(&self, file: &PlannedFile) -> bool {
        let bits = file.mode.bits();
        let gid = match self.fs_group {
            Some(group) if file.gid_is_default => group,
            Some(_) | None => i64::from(file.gid),
        };
        if self.uid == i64::from(file.uid) {
            return bits & 0o400 != 0;
        }
        if self.groups.contains(&gid) {
            return bits & 0o040 != 0;
        }
        bits & 0o004 != 0 || (self.of_image && bits & 0o040 != 0)
    }
}
