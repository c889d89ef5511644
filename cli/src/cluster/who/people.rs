//! People, and machines that act for them, who could reach a vault's values without being allowed a
//! single entry: whoever may run a command in a pod that has them, or make such a pod, or change who
//! is allowed what.
//!
//! RBAC is read, rather than asked by SubjectAccessReview: a review answers about somebody whom one
//! names, and the question here is who there is. What is found can be confirmed by reviews
//! (`kubectl auth can-i --as`). What other authorizers of the API server allow cannot be seen.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use kube::ResourceExt;
use secretvault_vault::VaultRef;
use serde::Serialize;

use super::WIDTH;
use crate::{
    cluster::client::{Blind, Cluster},
    show::{mask::one_line, table::Row},
};

/// Where somebody must get in.
pub(super) struct Places {
    /// The vault.
    pub(super) vault: VaultRef,
    /// Whether some of what is asked about is readable in the vault itself.
    pub(super) public: bool,
    /// Where SecretVault is installed.
    pub(super) system: String,
    /// Namespaces of pods that hold it.
    pub(super) holding: BTreeSet<String>,
    /// Namespaces of service accounts that could have it.
    pub(super) asking: BTreeSet<String>,
}

/// Somebody who could reach it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Person {
    subject: String,
    can: BTreeSet<String>,
    through: BTreeSet<String>,
    /// A part of Kubernetes itself.
    pub(super) is_of_the_control_plane: bool,
}

/// What is said below the table.
pub(super) fn beyond(parts: usize) -> String {
    format!(
        "and {parts} parts of the control plane (-o json names them), the group system:masters, \
         whoever is root on a node of such a pod,\nand whoever another authorizer than RBAC lets: \
         that cannot be seen from here\n"
    )
}

/// Finds them.
pub(super) async fn find(
    cluster: &Cluster,
    places: &Places,
    blind: &mut Vec<Blind>,
) -> Vec<Person> {
    let (grants, hidden) = Grants::read(cluster).await;
    blind.extend(hidden);
    let mut people: BTreeMap<String, Person> = BTreeMap::new();
    for binding in &grants.bindings {
        let Some(rules) = grants.rules.get(&binding.role) else {
            continue;
        };
        let powers: Vec<String> = WAYS
            .iter()
            .flat_map(|way| way.in_reach(rules, binding.namespace.as_deref(), places))
            .collect();
        if powers.is_empty() {
            continue;
        }
        for subject in &binding.subjects {
            let name = named(subject, binding.namespace.as_deref());
            let person = people.entry(name.clone()).or_insert_with(|| Person {
                is_of_the_control_plane: is_of_the_control_plane(subject),
                subject: name,
                can: BTreeSet::new(),
                through: BTreeSet::new(),
            });
            person.can.extend(powers.iter().cloned());
            person.through.insert(binding.name.clone());
        }
    }
    people.into_values().collect()
}

/// A way to a value, past access rules.
struct Way {
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
    place: Place,
}

/// Where a right must hold to be a way.
#[derive(Clone, Copy)]
enum Place {
    /// In a namespace with a service account that could have it.
    Asking,
    /// Anywhere: it is no right of a namespace, or leads to every one.
    Cluster,
    /// In a namespace with a pod that holds it.
    Holding,
    /// In the vault's namespace, if what is asked about is readable there.
    Public,
    /// Where the keyring is, if it is in a Secret.
    System,
    /// In the vault's namespace.
    Vault,
}

impl Way {
    /// What the rules let their subject do of it, in words.
    fn in_reach(&self, rules: &[PolicyRule], bound: Option<&str>, places: &Places) -> Vec<String> {
        let verbs: Vec<&str> = self
            .verbs
            .iter()
            .copied()
            .filter(|verb| rules.iter().any(|rule| self.grants(rule, verb)))
            .collect();
        let Some(verb) = verbs.first() else {
            return Vec::new();
        };
        let own = BTreeSet::from([places.vault.namespace.clone()]);
        let system = BTreeSet::from([places.system.clone()]);
        let nowhere = BTreeSet::new();
        let namespaces = match self.place {
            Place::Asking => &places.asking,
            Place::Cluster if bound.is_none() => {
                return vec![format!("{verb} {}", self.resource)];
            }
            Place::Cluster => return Vec::new(),
            Place::Holding => &places.holding,
            Place::Public if !places.public => &nowhere,
            Place::Public => &own,
            Place::System => &system,
            Place::Vault => &own,
        };
        let reached = namespaces
            .iter()
            .filter(|namespace| bound.is_none_or(|bound| bound == namespace.as_str()));
        reached
            .map(|namespace| format!("{verb} {} in {namespace}", self.resource))
            .collect()
    }

    /// A rule for single names counts: one of them may be the one.
    fn grants(&self, rule: &PolicyRule, verb: &str) -> bool {
        let has = |list: &[String], one: &str| list.iter().any(|it| it == one || it == "*");
        let resources = rule.resources.as_deref().unwrap_or_default();
        let subresource = self
            .resource
            .split_once('/')
            .map(|(_, sub)| format!("*/{sub}"));
        has(rule.api_groups.as_deref().unwrap_or_default(), self.group)
            && has(&rule.verbs, verb)
            && (has(resources, self.resource)
                || subresource.is_some_and(|sub| resources.contains(&sub)))
    }
}

const WRITE: &[&str] = &["create", "update", "patch"];

/// Each is enough by itself. The first verb that is allowed is named.
const WAYS: [Way; 21] = {
    const fn way(
        group: &'static str,
        resource: &'static str,
        verbs: &'static [&'static str],
        place: Place,
    ) -> Way {
        Way {
            group,
            resource,
            verbs,
            place,
        }
    }
    [
        // Into a pod that has it.
        way("", "pods/exec", &["create", "get"], Place::Holding),
        way("", "pods/attach", &["create", "get"], Place::Holding),
        way(
            "",
            "pods/ephemeralcontainers",
            &["update", "patch"],
            Place::Holding,
        ),
        way("", "nodes/proxy", &["create", "get"], Place::Cluster),
        // A pod of one's own that gets it.
        way("", "pods", &["create"], Place::Asking),
        way("", "replicationcontrollers", WRITE, Place::Asking),
        way("apps", "daemonsets", WRITE, Place::Asking),
        way("apps", "deployments", WRITE, Place::Asking),
        way("apps", "replicasets", WRITE, Place::Asking),
        way("apps", "statefulsets", WRITE, Place::Asking),
        way("batch", "cronjobs", WRITE, Place::Asking),
        way("batch", "jobs", WRITE, Place::Asking),
        // Nothing secret.
        way(
            "secretvault.dev",
            "secretvaults",
            &["get", "list", "watch"],
            Place::Public,
        ),
        // Other rules, or another key.
        way("secretvault.dev", "secretvaults", &["manage"], Place::Vault),
        way(
            "secretvault.dev",
            "keyproviders",
            &["update", "patch"],
            Place::Cluster,
        ),
        way("", "secrets", &["get", "list", "watch"], Place::System),
        // Somebody else's rights.
        way("", "users", &["impersonate"], Place::Cluster),
        way("", "groups", &["impersonate"], Place::Cluster),
        way(
            "rbac.authorization.k8s.io",
            "clusterroles",
            &["escalate", "bind"],
            Place::Cluster,
        ),
        way(
            "rbac.authorization.k8s.io",
            "roles",
            &["escalate", "bind"],
            Place::Holding,
        ),
        way(
            "rbac.authorization.k8s.io",
            "roles",
            &["escalate", "bind"],
            Place::Asking,
        ),
    ]
};

/// A role, by its namespace and name; no namespace: a ClusterRole.
type RoleName = (Option<String>, String);

/// What RBAC says.
#[derive(Default)]
struct Grants {
    rules: BTreeMap<RoleName, Vec<PolicyRule>>,
    bindings: Vec<Binding>,
}

struct Binding {
    name: String,
    /// None: everywhere.
    namespace: Option<String>,
    role: RoleName,
    subjects: Vec<Subject>,
}

impl Grants {
    async fn read(cluster: &Cluster) -> (Self, Vec<Blind>) {
        let (mut grants, mut blind) = (Self::default(), Vec::new());
        match cluster.everywhere::<ClusterRole>().await {
            Ok(roles) => grants.rules.extend(roles.into_iter().map(|role| {
                let name = (None, role.name_any());
                (name, role.rules.unwrap_or_default())
            })),
            Err(reason) => blind.push(reason),
        }
        match cluster.everywhere::<Role>().await {
            Ok(roles) => grants.rules.extend(roles.into_iter().map(|role| {
                let name = (role.namespace(), role.name_any());
                (name, role.rules.unwrap_or_default())
            })),
            Err(reason) => blind.push(reason),
        }
        match cluster.everywhere::<ClusterRoleBinding>().await {
            Ok(bindings) => grants.bindings.extend(bindings.into_iter().map(|it| {
                let name = format!("ClusterRoleBinding {}", it.name_any());
                Binding::new(name, None, &it.role_ref, it.subjects)
            })),
            Err(reason) => blind.push(reason),
        }
        match cluster.everywhere::<RoleBinding>().await {
            Ok(bindings) => grants.bindings.extend(bindings.into_iter().map(|it| {
                let namespace = it.namespace().unwrap_or_default();
                let name = format!("RoleBinding {namespace}/{}", it.name_any());
                Binding::new(name, Some(namespace), &it.role_ref, it.subjects)
            })),
            Err(reason) => blind.push(reason),
        }
        (grants, blind)
    }
}

impl Binding {
    fn new(
        name: String,
        namespace: Option<String>,
        role: &RoleRef,
        subjects: Option<Vec<Subject>>,
    ) -> Self {
        let of_role = namespace.clone().filter(|_| role.kind == "Role");
        Self {
            name,
            role: (of_role, role.name.clone()),
            namespace,
            subjects: subjects.unwrap_or_default(),
        }
    }
}

fn named(subject: &Subject, bound: Option<&str>) -> String {
    let name = &subject.name;
    match subject.kind.as_str() {
        "ServiceAccount" => {
            let namespace = subject.namespace.as_deref().or(bound).unwrap_or_default();
            format!("service account {namespace}/{name}")
        }
        "Group" => format!("group {name}"),
        _ => format!("user {name}"),
    }
}

/// What Kubernetes itself is made of. Groups such as system:authenticated are people, too.
fn is_of_the_control_plane(subject: &Subject) -> bool {
    match subject.kind.as_str() {
        "ServiceAccount" => subject.namespace.as_deref() == Some("kube-system"),
        "Group" => matches!(subject.name.as_str(), "system:masters" | "system:nodes"),
        _ => subject.name.starts_with("system:kube-") || subject.name.starts_with("system:node"),
    }
}

impl Row for &Person {
    const HEADER: &'static [&'static str] = &["WHO", "CAN", "THROUGH"];

    fn cells(&self, _: Timestamp) -> Vec<String> {
        let joined = |texts: &BTreeSet<String>| {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            one_line(&texts.join(", "), WIDTH)
        };
        vec![
            self.subject.clone(),
            joined(&self.can),
            joined(&self.through),
        ]
    }
}
