//! What a volume must hold: selection, access, merge and deletion in one decision.
//!
//! # The first publish
//! Everything asked for must be there and be allowed, or the pod does not start and learns why:
//! a vault of the pod's own namespace that is missing is [`Refusal::NotFound`]; one of another
//! namespace that is missing or allows this pod nothing is [`Refusal::Forbidden`], with the same
//! words for both. An item must be found in at least one vault. Only `optional` softens this: for
//! an item or a vault that has it, and for all vaults if every item has it. An optional vault that
//! is not there makes no item optional: a pod must not start without its password because another
//! vault is missing. Only if no vault at all is there, and none has to be, the volume is empty.
//!
//! # Later
//! A volume that holds files already is never refused for what is gone or withdrawn: the rest must
//! be kept up to date. What became of each held file is decided by
//! access first (a withdrawn right always removes), then by `onDelete`.
//!
//! # Merge
//! By path, which is below the vault's prefix if the request gives it one, whoever else chose the
//! rest of it: a later vault's file replaces those of earlier vaults that clash with it. Two files
//! clash if they have one path or one would need the other to be a directory (`a` and `a/b`).
//! Clashing files of one vault are refused.
//!
//! # Effort
//! What the pod may have of each vault is decided once, before all else; what follows looks it up. If
//! that would take more than [`MAX_EFFORT`](crate::effort::MAX_EFFORT), the plan is refused, whether the
//! volume holds files or not.

mod held;
mod notice;
mod refusal;
mod select;
mod source;

use crate::{
    access::Subject,
    layout::Layout,
    names::{EntryName, FileMode, FilePath, OnDelete, VaultRef},
    request::Request,
    vault::{EntryKind, FileAttributes, Vault},
};

pub(crate) use source::Source;

pub use held::withdrawn;
pub use notice::Notice;
pub use refusal::Refusal;

/// What a volume holds already; empty at the first publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The vaults that the last grant named.
    pub vaults: Vec<HeldVault>,
    /// The files.
    pub files: Vec<HeldFile>,
}

/// A vault as the last grant named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldVault {
    /// Namespace and name.
    pub reference: VaultRef,
    /// The vault's uid at that time.
    pub uid: String,
    /// Its generation at that time.
    pub generation: i64,
    /// Its `onDelete` at that time: what holds when the vault itself is gone.
    pub on_delete: OnDelete,
}

/// A file of the volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldFile {
    /// Index into [`Held::vaults`]. A file with an index that is not there goes.
    pub vault: usize,
    /// The entry it was made of.
    pub entry: EntryName,
    /// Where it is.
    pub path: FilePath,
}

/// What a volume must hold from now on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The vaults that exist and allow the pod something, in the request's order: those whose
    /// uid and generation the pod may know.
    pub vaults: Vec<VaultRef>,
    /// The files, ordered by path.
    pub files: Vec<PlannedFile>,
    /// Held files that stay as they are. Every other held path that is not in `files` goes.
    pub retained: Vec<FilePath>,
    /// Optional vaults that the volume does without: missing, or not for this pod.
    pub lacking: Vec<VaultRef>,
    /// Vaults of the pod's own namespace that are missing: optional ones, and at a later look those
    /// that went. Of another namespace nobody is told that a vault appears.
    pub awaited: Vec<VaultRef>,
    /// What the pod's owner should know.
    pub notices: Vec<Notice>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedFile {
    /// Where.
    pub path: FilePath,
    /// The owning user.
    pub uid: u32,
    /// The owning group.
    pub gid: u32,
    /// True if nobody said this gid: a pod's fsGroup then takes its place.
    pub gid_is_default: bool,
    /// The permission bits.
    pub mode: FileMode,
    /// The vault it comes from.
    pub vault: VaultRef,
    /// The entry it is made of.
    pub entry: EntryName,
    /// Whether a key is needed to open it.
    pub kind: EntryKind,
}

/// A file that another vault's file replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overridden {
    /// Where the replaced file would have been.
    pub path: FilePath,
    /// The vault it would have come from.
    pub vault: VaultRef,
    /// The entry.
    pub entry: EntryName,
    /// The later vault.
    pub by: VaultRef,
}

/// Decides what a volume must hold.
///
/// `seen` names the vaults as they are now. Existence is only ever told of what the subject may
/// have.
///
/// # Errors
/// A [`Refusal`], whose text is the message of the pod's Event.
pub fn plan<'v>(
    request: &Request,
    subject: &Subject,
    seen: impl Fn(&VaultRef) -> Option<&'v Vault>,
    held: &Held,
) -> Result<Plan, Refusal> {
    let sources = source::sources(request, subject, seen, held)?;
    let selected = select::select(request, subject, &sources, !held.vaults.is_empty())?;
    let mut plan = Plan {
        vaults: selected.vaults,
        lacking: selected.lacking,
        awaited: selected.awaited,
        notices: selected.notices,
        ..Plan::default()
    };
    let mut layout = Layout::new();
    for choice in selected.choices {
        place(choice, request.defaults, &mut layout, &mut plan)?;
    }
    let (retained, notices) = held::retain(subject, &sources, held, &layout);
    plan.retained = retained;
    plan.notices.extend(notices);
    plan.files = layout.into_files().map(|(_, file)| file).collect();
    Ok(plan)
}

/// Whether one vault of a request is there and allows the pod something: what the plan asks of it.
pub(crate) fn usable(
    request: &Request,
    subject: &Subject,
    source: &Source<'_>,
) -> Result<(), Refusal> {
    select::usable(source, subject, request.items.is_empty()).map(drop)
}

/// The files that one vault brings into the volume, before the merge.
pub(crate) fn brought(request: &Request, source: &Source<'_>) -> Result<Vec<PlannedFile>, Refusal> {
    let Some(allowed) = &source.vault else {
        return Ok(Vec::new());
    };
    let chosen = select::chosen(source.wanted, allowed, &request.items)?;
    let files = chosen.into_iter();
    Ok(files
        .map(|choice| choice.into_file(request.defaults))
        .collect())
}

/// Whether a request's items ask for an entry, if a vault has it.
pub(crate) fn asks_for(request: &Request, entry: &EntryName) -> bool {
    select::asks_for(&request.items, entry)
}

/// One entry that was selected, before the merge.
struct Choice<'a> {
    vault: &'a Vault,
    entry: &'a EntryName,
    kind: EntryKind,
    path: FilePath,
    attributes: FileAttributes,
}

impl Choice<'_> {
    fn into_file(self, request_defaults: FileAttributes) -> PlannedFile {
        let of_entry = self
            .vault
            .file_rule(self.entry)
            .map(|rule| rule.attributes)
            .unwrap_or_default();
        let attributes = self
            .attributes
            .or(of_entry)
            .or(request_defaults)
            .or(self.vault.file_defaults);
        PlannedFile {
            path: self.path,
            uid: attributes.uid.unwrap_or(0),
            gid: attributes.gid.unwrap_or(0),
            gid_is_default: attributes.gid.is_none(),
            mode: attributes.mode.unwrap_or(FileMode::DEFAULT),
            vault: self.vault.reference.clone(),
            entry: self.entry.clone(),
            kind: self.kind,
        }
    }
}

/// Puts a file into the layout, in place of those of earlier vaults that clash with it.
fn place(
    choice: Choice<'_>,
    request_defaults: FileAttributes,
    layout: &mut Layout<PlannedFile>,
    plan: &mut Plan,
) -> Result<(), Refusal> {
    let file = choice.into_file(request_defaults);
    for path in layout.clashes(&file.path) {
        let Some(other) = layout.remove(&path) else {
            continue;
        };
        if other.vault == file.vault {
            return Err(Refusal::PathCollision {
                vault: file.vault,
                path: file.path,
                entries: [other.entry, file.entry],
            });
        }
        plan.notices.push(Notice::Overridden(Overridden {
            path,
            vault: other.vault,
            entry: other.entry,
            by: file.vault.clone(),
        }));
    }
    layout.insert(file.path.clone(), file);
    Ok(())
}
