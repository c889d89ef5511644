//! What the lines are about.
//!
//! The types are closed: they hold names, numbers, and the program's own words, and there is nowhere
//! to put a value, a token, an envelope or a key.

use serde::Serialize;

use crate::{FilePath, KeyId, Name, Word, Words};

/// What one line is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "audit", rename_all = "lowercase")]
pub enum Record {
    /// A vault was to be created or changed.
    Admission(Admission),
    /// All lines before this one are signed.
    Checkpoint(Signature),
    /// A vault was to be deleted.
    Deletion(Deletion),
    /// Lines could not be written.
    Gap(Gap),
    /// A pod's annotations were refused.
    Injection(Injection),
    /// Something became of a provider's keys.
    Key(KeyEvent),
    /// One volume of one pod.
    Release(Release),
    /// A whole request of somebody who is no agent, refused before any volume was looked at.
    Request(Request),
    /// A vault's data key was wrapped anew, or replaced, by the operator itself.
    Rotation(Rotation),
    /// A replica began its log.
    Start(Start),
}

/// How a decision ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// No.
    Denial,
    /// Yes.
    Grant,
}

/// A vault that was to be created or changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Admission {
    /// How it ended.
    pub verdict: Verdict,
    /// Why.
    pub reason: Word,
    /// Who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Name>,
    /// What they asked for.
    pub operation: Operation,
    /// Whether they only asked what would become of it.
    pub dry_run: bool,
    /// The UID of the API server's question: it may ask twice about one request.
    pub request: Name,
    /// The vault; its generation is the one before.
    pub vault: Vault,
    /// What of it changes.
    #[serde(flatten)]
    pub change: Change,
    /// The words of the denial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Words>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// A new vault.
    Create,
    /// That there is no vault any more.
    Delete,
    /// Another vault in the place of the one that is there.
    Update,
}

/// What of a vault changes. Of a denied request: what would, where a value that came plain counts as
/// another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Entries that come.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub created: Vec<Name>,
    /// Entries with another value, or another rule for their file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<Name>,
    /// Entries that go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<Name>,
    /// Other fields that change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Name>,
    /// What becomes of the data key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_key: Option<Turn>,
    /// The key that wraps the data key afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<Name>,
}

/// What becomes of a data key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Turn {
    /// Another provider's key wraps a new one.
    Migrate,
    /// There is a first one.
    New,
    /// There is another one, and every value is sealed anew.
    Rekey,
    /// The same one is wrapped by another key.
    Rewrap,
}

/// A vault, by name and UID.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Vault {
    /// Its namespace.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// Its UID; none for one that is to be created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<Name>,
    /// Its generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// The key that wraps its data key; none where nothing was sealed or nothing sealed was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<Name>,
    /// The entries that the line is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<Name>,
}

/// A vault that was to be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Deletion {
    /// How it ended.
    pub verdict: Verdict,
    /// Why.
    pub reason: Word,
    /// Who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Name>,
    /// Whether they only asked what would become of it.
    pub dry_run: bool,
    /// The UID of the API server's question.
    pub request: Name,
    /// The vault, with all its entries.
    pub vault: Vault,
    /// The words of the denial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Words>,
}

/// Lines that could not be written, since the line before this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// How many.
    pub lost: u64,
}

/// A pod that was refused for its annotations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Injection {
    /// How it ended.
    pub verdict: Verdict,
    /// Why.
    pub reason: Word,
    /// Who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Name>,
    /// Whether they only asked what would become of it.
    pub dry_run: bool,
    /// The UID of the API server's question.
    pub request: Name,
    /// The pod's namespace.
    pub namespace: Name,
    /// Its name, or the beginning of the name that it is to get.
    pub name: Name,
    /// The words of the denial.
    pub message: Words,
}

/// Something that became of a provider's keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyEvent {
    /// The provider.
    pub provider: Name,
    /// What happened: as the Events about the provider say it.
    pub event: Word,
    /// The key that wraps new data keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<Name>,
    /// In words.
    pub message: Words,
}

/// One volume of one pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// How it ended.
    pub verdict: Verdict,
    /// Why.
    pub reason: Word,
    /// The node of the agent that asked, as its token says.
    pub node: Name,
    /// The pod.
    pub pod: Pod,
    /// The vaults that the grant is made of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vaults: Vec<Vault>,
    /// The words of the denial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Words>,
    /// What the grant leaves out, because a later vault has something in its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overridden: Vec<Override>,
    /// The paths of held files that go, because the pod may not have them any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub withdrawn: Vec<FilePath>,
}

/// The pod that a verdict is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// Its namespace.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// Its UID.
    pub uid: Name,
    /// Its service account.
    pub service_account: Name,
    /// False: these are the agent's words, no token has proved them.
    pub proven: bool,
}

/// A file that another vault's file replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Override {
    /// Where it would be.
    pub path: FilePath,
    /// The vault that the file is not of, as `namespace/name`.
    pub vault: Name,
    /// Its entry.
    pub entry: Name,
    /// The vault that it is of.
    pub by: Name,
}

/// A request of somebody who is no agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// How it ended.
    pub verdict: Verdict,
    /// Why.
    pub reason: Word,
    /// The words of the denial.
    pub message: Words,
}

/// What the operator itself did about a vault's data key. Admission's line about the same vault says
/// which key wraps it afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rotation {
    /// Whether it is done.
    pub verdict: Verdict,
    /// Why not, in a word; or that it is done.
    pub reason: Word,
    /// What.
    pub data_key: Turn,
    /// The vault as it was before.
    pub vault: Vault,
}

/// Signs all lines before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Signature {
    /// Which key signed.
    pub signed_by: KeyId,
    /// The signature, in base64.
    pub signature: String,
}

/// The beginning of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    /// The replica.
    pub replica: Name,
    /// The program's version.
    pub version: Word,
    /// What becomes of a verdict that cannot be recorded.
    pub on_failure: Word,
}
