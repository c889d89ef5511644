//! Vaults, pods and requests that read as prose.

use std::collections::BTreeMap;

use secretvault_vault::{
    AccessRule, EntryKind, EntryName, FileAttributes, FileRule, Held, HeldFile, HeldVault,
    LabelSelector, NamespaceRule, OnDelete, Plan, Refusal, Request, Subject, Vault, VaultRef, plan,
};

pub(crate) fn entry(name: &str) -> EntryName {
    name.parse().unwrap()
}

pub(crate) fn mode(text: &str) -> FileAttributes {
    FileAttributes {
        mode: Some(text.parse().unwrap()),
        ..FileAttributes::default()
    }
}

pub(crate) fn owner(uid: u32, gid: u32) -> FileAttributes {
    FileAttributes {
        uid: Some(uid),
        gid: Some(gid),
        mode: None,
    }
}

/// A vault `namespace/name` with these secret entries.
pub(crate) fn vault(reference: &str, entries: &[&str]) -> Vault {
    let (namespace, name) = reference.split_once('/').unwrap();
    Vault {
        reference: VaultRef::new(namespace, name),
        uid: format!("uid-of-{name}"),
        generation: 1,
        entries: entries
            .iter()
            .map(|name| (entry(name), EntryKind::Secret))
            .collect(),
        file_defaults: FileAttributes::default(),
        files: Vec::new(),
        access: None,
        on_delete: OnDelete::Retain,
    }
}

pub(crate) trait VaultWords {
    fn with_rule(self, rule: AccessRule) -> Self;
    fn landing(self, entry: &str, path: &str) -> Self;
    fn with_attributes(self, entry: &str, attributes: FileAttributes) -> Self;
    fn removing(self) -> Self;
    fn without(self, entry: &str) -> Self;
    fn recreated(self) -> Self;
}

impl VaultWords for Vault {
    fn with_rule(mut self, rule: AccessRule) -> Self {
        self.access.get_or_insert_default().push(rule);
        self
    }

    fn landing(mut self, name: &str, path: &str) -> Self {
        self.files.push(FileRule {
            entry: entry(name),
            path: Some(path.parse().unwrap()),
            attributes: FileAttributes::default(),
        });
        self
    }

    fn with_attributes(mut self, name: &str, attributes: FileAttributes) -> Self {
        self.files.push(FileRule {
            entry: entry(name),
            path: None,
            attributes,
        });
        self
    }

    fn removing(mut self) -> Self {
        self.on_delete = OnDelete::Remove;
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.entries.remove(&entry(name));
        self.generation += 1;
        self
    }

    fn recreated(mut self) -> Self {
        self.uid.push_str("-anew");
        self
    }
}

/// A rule without conditions: every pod of the vault's own namespace.
pub(crate) fn anyone() -> AccessRule {
    AccessRule::default()
}

pub(crate) trait RuleWords {
    fn accounts(self, patterns: &[&str]) -> Self;
    fn from(self, namespaces: &[&str]) -> Self;
    fn where_labelled(self, key: &str, value: &str) -> Self;
    fn labelled(self, key: &str, value: &str) -> Self;
    fn to(self, patterns: &[&str]) -> Self;
}

impl RuleWords for AccessRule {
    fn accounts(mut self, patterns: &[&str]) -> Self {
        self.service_accounts = Some(patterns.iter().map(|p| p.parse().unwrap()).collect());
        self
    }

    fn from(mut self, namespaces: &[&str]) -> Self {
        let names = namespaces.iter().map(ToString::to_string).collect();
        self.namespaces.get_or_insert_default().names = Some(names);
        self
    }

    fn where_labelled(mut self, key: &str, value: &str) -> Self {
        let namespaces: &mut NamespaceRule = self.namespaces.get_or_insert_default();
        namespaces.selector = Some(label(key, value));
        self
    }

    fn labelled(mut self, key: &str, value: &str) -> Self {
        self.pod_selector = Some(label(key, value));
        self
    }

    fn to(mut self, patterns: &[&str]) -> Self {
        self.entries = Some(patterns.iter().map(|p| p.parse().unwrap()).collect());
        self
    }
}

/// The selector of one label.
pub(crate) fn label(key: &str, value: &str) -> LabelSelector {
    LabelSelector {
        match_labels: BTreeMap::from([(key.to_owned(), value.to_owned())]),
        match_expressions: Vec::new(),
    }
}

/// The pod `shop/web`, labelled `app=web`, in a namespace labelled `team=shop`.
pub(crate) fn web() -> Subject {
    pod("shop", "web")
}

pub(crate) fn pod(namespace: &str, service_account: &str) -> Subject {
    Subject {
        namespace: namespace.to_owned(),
        namespace_labels: BTreeMap::from([("team".to_owned(), namespace.to_owned())]),
        service_account: service_account.to_owned(),
        labels: BTreeMap::from([("app".to_owned(), service_account.to_owned())]),
    }
}

/// What a pod of `shop` asks for.
pub(crate) fn ask(vaults: &str, items: &str) -> Request {
    Request::parse("shop", vaults, items, FileAttributes::default()).unwrap()
}

/// The first publish for `shop/web`.
pub(crate) fn publish(request: &Request, vaults: &[Vault]) -> Result<Plan, Refusal> {
    publish_for(&web(), request, vaults)
}

pub(crate) fn publish_for(
    subject: &Subject,
    request: &Request,
    vaults: &[Vault],
) -> Result<Plan, Refusal> {
    decide(subject, request, vaults, &Held::default())
}

pub(crate) fn decide(
    subject: &Subject,
    request: &Request,
    vaults: &[Vault],
    held: &Held,
) -> Result<Plan, Refusal> {
    plan(
        request,
        subject,
        |reference| vaults.iter().find(|v| v.reference == *reference),
        held,
    )
}

/// What a volume holds after a plan was carried out.
pub(crate) fn holding(plan: &Plan, vaults: &[Vault]) -> Held {
    let mut held = Held::default();
    for vault in vaults {
        let index = held.vaults.len();
        held.vaults.push(HeldVault {
            reference: vault.reference.clone(),
            uid: vault.uid.clone(),
            generation: vault.generation,
            on_delete: vault.on_delete,
        });
        let files = plan
            .files
            .iter()
            .filter(|file| file.vault == vault.reference);
        held.files.extend(files.map(|file| HeldFile {
            vault: index,
            entry: file.entry.clone(),
            path: file.path.clone(),
        }));
    }
    held
}

/// A plan's files as `path<-vault:entry`.
pub(crate) fn files(plan: &Plan) -> Vec<String> {
    let file = |f: &secretvault_vault::PlannedFile| format!("{}<-{}:{}", f.path, f.vault, f.entry);
    plan.files.iter().map(file).collect()
}

/// What a plan tells the pod's owner.
pub(crate) fn notices(plan: &Plan) -> Vec<String> {
    plan.notices.iter().map(ToString::to_string).collect()
}

pub(crate) fn retained(plan: &Plan) -> Vec<&str> {
    plan.retained
        .iter()
        .map(secretvault_vault::FilePath::as_str)
        .collect()
}
