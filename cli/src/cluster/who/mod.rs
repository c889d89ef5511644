//! `who`: which pods hold a vault, which workloads ask for it, which service accounts could, and which
//! people could reach it anyway.

mod accounts;

mod people;

mod workloads;

use std::{collections::BTreeSet, process::ExitCode};

use anyhow::bail;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use secretvault_vault::{EntryKind, EntryName, VaultRef};
use serde::Serialize;

use super::{
    WhoArgs,
    answer::{Answer, Fate, Line, Verdict},
    answered,
    asked::Asker,
    client::{Blind, Cluster},
    sight::{Seen, SeenVault, Sight},
};
use crate::{
    command::{DocumentFormat, TableFormat},
    nearest::nearest,
    session::Session,
    show::{
        mask::one_line,
        output::{document, print},
        table::{Row, shown},
    },
};

/// Tells who has a vault, or one of its entries, and who could get it.
pub fn who(session: &Session, arguments: &WhoArgs) -> ExitCode {
    answered(tell(session, arguments))
}

async fn tell(session: &Session, arguments: &WhoArgs) -> anyhow::Result<bool> {
    let (name, entry) = match arguments.what.split_once('/') {
        None => (arguments.what.as_str(), None),
        Some((name, entry)) => (name, Some(entry)),
    };
    let wanted = session.vault(name)?;
    let cluster = Cluster::connect(arguments.cluster.context.as_deref()).await?;
    let mut blind = Vec::new();
    let mut sight = match Sight::of_everything(&cluster).await {
        Ok(sight) => sight,
        Err(reason) => {
            blind.push(reason);
            Sight::default()
        }
    };
    sight.look_at(&cluster, [&wanted]).await;
    let vault = existing(&sight, &wanted, entry)?;
    let entry: Option<EntryName> = entry.map(str::parse).transpose()?;
    if let Some(entry) = &entry
        && !vault.vault.entries.contains_key(entry)
    {
        let known = vault.vault.entries.keys().map(EntryName::as_str);
        let meant = nearest(entry.as_str(), known);
        let hint = meant.map_or_else(String::new, |it| format!(": did you mean {it}?"));
        bail!("vault {wanted} has no entry {entry}{hint}");
    }
    let target = Target { wanted, entry };
    let found = Found::look(&cluster, sight, &target, blind, &arguments.system).await;
    found.print(session.now, arguments.output)?;
    Ok(true)
}

/// The vault, if it is there.
fn existing<'a>(
    sight: &'a Sight,
    wanted: &VaultRef,
    entry: Option<&str>,
) -> anyhow::Result<&'a SeenVault> {
    match sight.at(wanted) {
        Seen::Vault(seen) => Ok(seen),
        Seen::Blind(blind) => bail!("{blind} in namespace {}", wanted.namespace),
        Seen::Unreadable(why) => bail!("vault {wanted} cannot be read: {why}"),
        Seen::Missing => {
            let other = entry.map(|name| VaultRef::new(wanted.name.clone(), name));
            let other = other.filter(|other| sight.vault(other).is_some());
            if let Some(other) = other {
                bail!(
                    "there is no vault {wanted}: for vault {other}, type `secretvault who -n {} {}`",
                    other.namespace,
                    other.name
                );
            }
            let known: Vec<String> = sight.names().map(ToString::to_string).collect();
            let known = known.iter().map(String::as_str);
            let meant = nearest(&wanted.to_string(), known);
            let hint = meant.map_or_else(String::new, |it| format!(": did you mean {it}?"));
            bail!("there is no vault {wanted}{hint}")
        }
    }
}

/// What is asked about.
struct Target {
    wanted: VaultRef,
    entry: Option<EntryName>,
}

impl Target {
    /// Whether this is about a line of an answer.
    fn is(&self, line: &Line) -> bool {
        let entry = self.entry.as_ref();
        line.vault == self.wanted.to_string()
            && entry.is_none_or(|entry| line.entry == entry.as_str())
    }

    /// Whether the entry, or one of the vault, is readable in the object.
    fn is_public(&self, sight: &Sight) -> bool {
        let entries = sight.vault(&self.wanted).map(|seen| &seen.vault.entries);
        let mut entries = entries.into_iter().flatten();
        entries.any(|(entry, kind)| {
            *kind == EntryKind::Public && self.entry.as_ref().is_none_or(|it| it == entry)
        })
    }

    /// What an asker gets of it. None: it does not ask for it.
    fn share(&self, asker: &Asker, sight: &Sight) -> Option<Share> {
        let mut share = None;
        for volume in &asker.volumes {
            let asks = asker.request(volume).is_ok_and(|request| {
                let mut vaults = request.vaults.iter();
                vaults.any(|it| it.reference == self.wanted)
            });
            if asks {
                let next = Share::of(self, &Answer::about(asker, volume, sight));
                share = next.into_iter().chain(share).max();
            }
        }
        share
    }
}

/// What somebody gets of the vault or the entry, by how much it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Share {
    /// Something that decides could not be seen.
    Unknown(String),
    /// No entry of it: no rule allows one, or a later vault has a file in its place.
    Nothing(String),
    /// The pod would not start.
    Denied(String),
    /// Files.
    Files(usize),
}

impl Share {
    /// None: no item asks for it.
    fn of(target: &Target, answer: &Answer) -> Option<Self> {
        let why = || answer.reason.clone().unwrap_or_default();
        let lines = answer.entries.iter().filter(|line| target.is(line));
        let lines: Vec<&Line> = lines.filter(|it| it.result != Fate::NotAsked).collect();
        let released = lines.iter().filter(|it| it.result == Fate::Released);
        let released = released.count();
        match (answer.verdict, lines.first()) {
            (Verdict::Unknown, _) => Some(Self::Unknown(why())),
            (Verdict::Denied, _) => Some(Self::Denied(why())),
            (Verdict::Released, None) => None,
            (Verdict::Released, Some(first)) if released == 0 => {
                Some(Self::Nothing(first.why.clone()))
            }
            (Verdict::Released, Some(_)) => Some(Self::Files(released)),
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Denied(why) => format!("denied: {why}"),
            Self::Files(1) => "1 file".to_owned(),
            Self::Files(count) => format!("{count} files"),
            Self::Nothing(why) => format!("no file: {why}"),
            Self::Unknown(why) => format!("unknown: {why}"),
        }
    }
}

/// Everybody that was found.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    vault: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<String>,
    pods: Vec<Holder>,
    workloads: Vec<workloads::Workload>,
    service_accounts: Vec<accounts::Account>,
    people: Vec<people::Person>,
    not_seen: Vec<String>,
}

/// A pod that asks for it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Holder {
    pod: String,
    service_account: String,
    node: Option<String>,
    /// Whether an agent holds files of the vault for it, as the operator found.
    holds: bool,
    gets: String,
    /// Whether it has files of what is asked about, or will have them in a moment.
    #[serde(skip)]
    has: bool,
}

impl Found {
    async fn look(
        cluster: &Cluster,
        mut sight: Sight,
        target: &Target,
        mut blind: Vec<Blind>,
        system: &str,
    ) -> Self {
        let namespace = &target.wanted.namespace;
        let pods = cluster.wherever::<Pod>(namespace, &mut blind).await;
        let pods = pods.into_iter().map(Asker::of_pod);
        let pods: Vec<Asker> = pods.filter(|it| !it.volumes.is_empty()).collect();
        let workloads = workloads::list(cluster, namespace, &mut blind).await;
        let accounts = accounts::list(cluster, namespace, &mut blind).await;
        let askers = pods.iter().chain(workloads.iter().map(|it| &it.asker));
        let askers: Vec<&Asker> = askers.collect();
        sight.look_for(cluster, &askers).await;
        let namespaces = askers.iter().map(|asker| asker.namespace.clone());
        let namespaces = namespaces.chain(accounts.iter().map(|it| it.0.clone()));
        sight.look_at_labels(cluster, &namespaces.collect()).await;
        let mut found = Self {
            vault: target.wanted.to_string(),
            entry: target.entry.as_ref().map(ToString::to_string),
            pods: holders(&pods, &sight, target),
            workloads: workloads::referencing(workloads, &sight, target),
            service_accounts: accounts::that_could(&accounts, &sight, target),
            people: Vec::new(),
            not_seen: Vec::new(),
        };
        let places = found.places(target, target.is_public(&sight), system);
        found.people = people::find(cluster, &places, &mut blind).await;
        found.not_seen = blind.iter().map(ToString::to_string).collect();
        found.not_seen.extend(too_many(&sight, target));
        found
    }

    /// Where somebody must get in to reach the vault.
    fn places(&self, target: &Target, public: bool, system: &str) -> people::Places {
        let namespace = |name: &str| name.split('/').next().unwrap_or_default().to_owned();
        let holds = self.pods.iter().filter(|it| it.has);
        let could = self.service_accounts.iter();
        people::Places {
            vault: target.wanted.clone(),
            public,
            system: system.to_owned(),
            holding: holds.map(|it| namespace(&it.pod)).collect(),
            asking: could.map(|it| namespace(&it.account)).collect(),
        }
    }

    fn print(&self, now: Timestamp, format: TableFormat) -> anyhow::Result<()> {
        match format {
            TableFormat::Json => print(document(self, DocumentFormat::Json)?),
            TableFormat::Yaml => print(document(self, DocumentFormat::Yaml)?),
            TableFormat::Table => print(self.text(now)),
        }
    }

    fn text(&self, now: Timestamp) -> String {
        let mut text = section("Pods that ask for it", &self.pods, now);
        let title = "Workloads that ask for it, running or not";
        text += &section(title, &self.workloads, now);
        let title = "Service accounts that could have it";
        text += &section(title, &self.service_accounts, now);
        let title = "People who could reach it anyway, as RBAC says";
        let (parts, people): (Vec<_>, Vec<_>) = self
            .people
            .iter()
            .partition(|it| it.is_of_the_control_plane);
        text += &section(title, &people, now);
        text += &people::beyond(parts.len());
        for what in &self.not_seen {
            text += &format!("not seen: {}\n", one_line(what, usize::MAX));
        }
        text
    }
}

fn section<R: Row>(title: &str, rows: &[R], now: Timestamp) -> String {
    if rows.is_empty() {
        return format!("{title}: none\n\n");
    }
    format!("{title}:\n{}\n", shown(rows, now))
}

/// The pods that ask, and those that have files of the vault whatever they ask for now.
fn holders(pods: &[Asker], sight: &Sight, target: &Target) -> Vec<Holder> {
    let vault = sight.vault(&target.wanted);
    let consumers = vault.map(|vault| &vault.consumers[..]).unwrap_or_default();
    let holding: BTreeSet<&str> = consumers.iter().map(|it| it.pod.as_str()).collect();
    let mut holders = Vec::new();
    for asker in pods {
        let pod = format!("{}/{}", asker.namespace, asker.name);
        if let Some(share) = target.share(asker, sight) {
            holders.push(Holder {
                service_account: asker.account.clone(),
                node: asker.node.clone(),
                holds: holding.contains(pod.as_str()),
                has: holding.contains(pod.as_str()) || matches!(share, Share::Files(_)),
                gets: share.words(),
                pod,
            });
        }
    }
    holders.sort_by(|one, other| (!one.holds, &one.pod).cmp(&(!other.holds, &other.pod)));
    holders
}

/// A status names a bounded number of consumers.
fn too_many(sight: &Sight, target: &Target) -> Option<String> {
    let vault = sight.vault(&target.wanted)?;
    let (named, all) = (vault.consumers.len(), vault.consumer_count);
    (named < all).then(|| {
        format!("which pods hold the vault: its status names {named} of {all}; see the audit log")
    })
}

impl Row for Holder {
    const HEADER: &'static [&'static str] = &["POD", "SERVICEACCOUNT", "NODE", "HOLDS", "GETS"];

    fn cells(&self, _: Timestamp) -> Vec<String> {
        vec![
            self.pod.clone(),
            self.service_account.clone(),
            self.node.clone().unwrap_or_else(|| "-".to_owned()),
            if self.holds { "yes" } else { "no" }.to_owned(),
            one_line(&self.gets, WIDTH),
        ]
    }
}

/// Of a reason, in a table.
const WIDTH: usize = 100;
