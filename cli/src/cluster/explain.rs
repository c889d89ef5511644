//! `explain`: which files a pod gets, and why; or why it does not start.

use std::{collections::BTreeSet, fs::File, io, path::Path, process::ExitCode};

use anyhow::{Context, bail};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use secretvault_vault::names;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    ExplainArgs,
    answer::{Answer, Fate, Line, Verdict},
    answered,
    asked::Asker,
    client::Cluster,
    code,
    sight::Sight,
};
use crate::{
    command::{DocumentFormat, TableFormat},
    files,
    session::Session,
    show::{
        mask::one_line,
        output::{document, print},
        table::{Row, shown},
    },
    yaml,
};

/// Explains what a pod gets, and answers whether it would start.
pub fn explain(session: &Session, arguments: &ExplainArgs) -> ExitCode {
    match &arguments.vaults {
        Some(vaults) => code(offline(session, arguments, vaults)),
        None => answered(online(session, arguments)),
    }
}

fn offline(session: &Session, arguments: &ExplainArgs, vaults: &Path) -> anyhow::Result<bool> {
    let askers = askers(Path::new(&arguments.pod), &session.namespace)?;
    let sight = Sight::of_files(session, vaults)?;
    report(session, &askers, &sight, arguments.output)
}

async fn online(session: &Session, arguments: &ExplainArgs) -> anyhow::Result<bool> {
    let (namespace, name) = match arguments.pod.split_once('/') {
        Some((namespace, name)) => (namespace, name),
        None => (session.namespace.as_str(), arguments.pod.as_str()),
    };
    if !names::is_dns_label(namespace) || !names::is_dns_subdomain(name) {
        bail!(
            "{:?} is no pod: write [NAMESPACE/]NAME, or give --vaults with a manifest",
            arguments.pod
        );
    }
    let cluster = Cluster::connect(arguments.cluster.context.as_deref()).await?;
    let pods = Api::<Pod>::namespaced(cluster.client(), namespace);
    let Some(pod) = cluster.one(pods, name).await? else {
        bail!("there is no pod {namespace}/{name}");
    };
    let asker = Asker::of_pod(pod);
    let mut sight = Sight::default();
    sight.look_for(&cluster, &[&asker]).await;
    let namespaces = BTreeSet::from([asker.namespace.clone()]);
    sight.look_at_labels(&cluster, &namespaces).await;
    report(session, &[asker], &sight, arguments.output)
}

/// The pods and workloads of a manifest.
fn askers(path: &Path, namespace: &str) -> anyhow::Result<Vec<Asker>> {
    let place = || path.display().to_string();
    let text = if path == Path::new("-") {
        files::read(io::stdin(), MAX_FILE)
    } else {
        File::open(path).and_then(|file| files::read(file, MAX_FILE))
    };
    let documents = yaml::read_documents(&text.with_context(place)?);
    let documents = documents.map_err(|error| anyhow::anyhow!("{}, {error}", place()))?;
    let mut askers = Vec::new();
    for document in documents {
        let asker = asker(&document.value, namespace);
        askers.extend(asker.with_context(place)?);
    }
    if askers.is_empty() {
        bail!("{} holds no pod, and nothing that makes pods", place());
    }
    Ok(askers)
}

/// The pod that an object is, or makes. None: it makes none.
fn asker(object: &Value, namespace: &str) -> anyhow::Result<Option<Asker>> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let template = match kind {
        "CronJob" => &object["spec"]["jobTemplate"]["spec"]["template"],
        _ => &object["spec"]["template"],
    };
    let mut asker = if kind == "Pod" {
        Asker::of_manifest(read::<Pod>(object)?)
    } else if template.is_object() {
        let owner: ObjectMeta = read(&object["metadata"])?;
        let template: PodTemplateSpec = read(template)?;
        Asker::of_template(kind, &owner, template)
    } else {
        return Ok(None);
    };
    if asker.namespace.is_empty() {
        namespace.clone_into(&mut asker.namespace);
    }
    Ok(Some(asker))
}

/// Without the parser's message: it may quote a variable's value.
fn read<T: DeserializeOwned>(object: &Value) -> anyhow::Result<T> {
    T::deserialize(object).map_err(|_| anyhow::anyhow!("a field of the pod has a wrong type"))
}

/// Prints the answers. False: a volume would be denied.
fn report(
    session: &Session,
    askers: &[Asker],
    sight: &Sight,
    format: TableFormat,
) -> anyhow::Result<bool> {
    let answers: Vec<Explained> = askers.iter().map(|it| Explained::new(it, sight)).collect();
    match format {
        TableFormat::Table => {
            let texts = answers.iter().map(|it| it.text(session.now));
            print(texts.collect::<Vec<_>>().join("\n"))?;
        }
        TableFormat::Json => print(document(&answers, DocumentFormat::Json)?)?,
        TableFormat::Yaml => print(document(&answers, DocumentFormat::Yaml)?)?,
    }
    let mut volumes = answers.iter().flat_map(|it| &it.volumes);
    if let Some(unknown) = volumes.clone().find(|it| it.verdict == Verdict::Unknown) {
        let why = unknown.reason.as_deref().unwrap_or_default();
        bail!("volume {} cannot be explained: {why}", unknown.volume);
    }
    Ok(volumes.all(|it| it.verdict == Verdict::Released))
}

/// What becomes of one pod.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Explained {
    kind: String,
    namespace: String,
    name: String,
    service_account: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    volumes: Vec<Answer>,
}

impl Explained {
    fn new(asker: &Asker, sight: &Sight) -> Self {
        let volumes = asker.volumes.iter();
        Self {
            kind: asker.kind.clone(),
            namespace: asker.namespace.clone(),
            name: asker.name.clone(),
            service_account: asker.account.clone(),
            node: asker.node.clone(),
            volumes: volumes
                .map(|volume| Answer::about(asker, volume, sight))
                .collect(),
        }
    }

    fn text(&self, now: Timestamp) -> String {
        let node = self.node.as_deref();
        let node = node.map_or_else(String::new, |node| format!(" on {node}"));
        let mut text = format!(
            "{} {}/{} as service account {}{node}\n",
            self.kind, self.namespace, self.name, self.service_account
        );
        if self.volumes.is_empty() {
            text += "no volume of csi.secretvault.dev, and no annotation that asks for one\n";
        }
        for volume in &self.volumes {
            text.push('\n');
            text += &volume_text(volume, now);
        }
        text
    }
}

fn volume_text(answer: &Answer, now: Timestamp) -> String {
    let verdict = match answer.verdict {
        Verdict::Denied => "denied",
        Verdict::Released => "released",
        Verdict::Unknown => "unknown",
    };
    let why = answer.reason.as_deref();
    let why = why.map_or_else(String::new, |why| {
        format!(": {}", one_line(why, usize::MAX))
    });
    let mut text = format!("volume {}: {verdict}{why}\n", answer.volume);
    let (rest, lines): (Vec<&Line>, Vec<&Line>) = answer
        .entries
        .iter()
        .partition(|line| line.result == Fate::NotAsked);
    if !lines.is_empty() {
        text += &shown(&lines, now);
    }
    if !rest.is_empty() {
        text += &format!("{} more: no item asks for them\n", rest.len());
    }
    for notice in &answer.notices {
        text += &format!("note: {}\n", one_line(notice, usize::MAX));
    }
    text
}

impl Row for &Line {
    const HEADER: &'static [&'static str] =
        &["PATH", "ENTRY", "VAULT", "RESULT", "OWNER", "MODE", "WHY"];

    fn cells(&self, _: Timestamp) -> Vec<String> {
        let result = match self.result {
            Fate::NotAllowed => "not allowed",
            Fate::NotAsked => "not asked for",
            Fate::Overridden => "overridden",
            Fate::Released => "released",
            Fate::Withheld => "withheld",
        };
        let file = self.file.as_ref();
        let of_file = |text: &dyn Fn(&super::answer::File) -> String| {
            file.map_or_else(|| "-".to_owned(), text)
        };
        vec![
            of_file(&|file| file.path.clone()),
            self.entry.clone(),
            self.vault.clone(),
            result.to_owned(),
            of_file(&|file| format!("{}:{}", file.uid, file.gid)),
            of_file(&|file| file.mode.clone()),
            one_line(&self.why, WIDTH),
        ]
    }
}

/// Of the reason, in a table: a pod may be denied by a hundred rules.
const WIDTH: usize = 120;

/// Larger than any manifest.
const MAX_FILE: usize = 4 * 1024 * 1024;
