//! The volume attribute `items`.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{Item, ItemPattern, MAX_GLOBS, MAX_ITEMS, MAX_TEXT, RequestError};
use crate::{
    names::{FileMode, FilePath, MAX_OWNER_ID, shown},
    vault::FileAttributes,
    yaml,
};

pub(super) fn parse(text: &str) -> Result<Vec<Item>, RequestError> {
    if text.len() > MAX_TEXT {
        return Err(RequestError::TooLong { attribute: "items" });
    }
    let text = text.trim();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let items = if yaml::is_list(text) {
        parse_yaml(text)?
    } else {
        parse_commas(text)?
    };
    if items.len() > MAX_ITEMS {
        return Err(RequestError::TooManyItems { count: items.len() });
    }
    let globs = items
        .iter()
        .filter(|item| matches!(item.pattern, ItemPattern::Glob(_)))
        .count();
    if globs > MAX_GLOBS {
        return Err(RequestError::TooManyGlobs { count: globs });
    }
    let mut seen = BTreeSet::new();
    for item in &items {
        if !seen.insert((item.pattern.as_str(), item.path.as_ref())) {
            return Err(RequestError::DuplicateItem {
                item: shown(item.pattern.as_str()),
            });
        }
    }
    Ok(items)
}

fn parse_commas(text: &str) -> Result<Vec<Item>, RequestError> {
    text.split(',')
        .map(|part| parse_short_item(part.trim()))
        .collect()
}

/// `entry`, `glob`, or `entry=path`.
fn parse_short_item(text: &str) -> Result<Item, RequestError> {
    if text.is_empty() {
        return Err(RequestError::EmptyItem);
    }
    let (pattern, path) = match text.split_once('=') {
        None => (text, None),
        Some((pattern, path)) => (pattern.trim_end(), Some(path.trim_start())),
    };
    Ok(Item {
        pattern: ItemPattern::parse(pattern)?,
        path: parse_path(pattern, path)?,
        attributes: FileAttributes::default(),
        optional: false,
    })
}

fn parse_yaml(text: &str) -> Result<Vec<Item>, RequestError> {
    let items: Vec<LongItem> = yaml::parse(text).map_err(RequestError::Yaml)?;
    if items.is_empty() {
        return Err(RequestError::EmptyList);
    }
    items.into_iter().map(Item::try_from).collect()
}

/// An item as it stands in a YAML list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LongItem {
    entry: String,
    path: Option<String>,
    uid: Option<i64>,
    gid: Option<i64>,
    mode: Option<ModeText>,
    #[serde(default)]
    optional: bool,
}

/// A mode, if it is text: an unquoted one is another number in YAML 1.1 than in 1.2.
#[derive(Deserialize)]
#[serde(untagged)]
enum ModeText {
    Number(f64),
    Text(String),
}

impl TryFrom<LongItem> for Item {
    type Error = RequestError;

    fn try_from(item: LongItem) -> Result<Self, RequestError> {
        let name = || shown(&item.entry);
        let owner = |field, id: Option<i64>| match id {
            None => Ok(None),
            Some(value) => u32::try_from(value)
                .ok()
                .filter(|id| *id <= MAX_OWNER_ID)
                .map(Some)
                .ok_or_else(|| RequestError::Owner {
                    item: name(),
                    field,
                    value,
                }),
        };
        let mode = match &item.mode {
            None => None,
            Some(ModeText::Number(number)) => {
                let number = number.to_string();
                return Err(RequestError::ModeNotQuoted {
                    item: name(),
                    number,
                });
            }
            Some(ModeText::Text(text)) => {
                Some(
                    text.parse::<FileMode>()
                        .map_err(|reason| RequestError::Mode {
                            item: name(),
                            reason,
                        })?,
                )
            }
        };
        Ok(Self {
            pattern: ItemPattern::parse(&item.entry)?,
            path: parse_path(&item.entry, item.path.as_deref())?,
            attributes: FileAttributes {
                uid: owner("uid", item.uid)?,
                gid: owner("gid", item.gid)?,
                mode,
            },
            optional: item.optional,
        })
    }
}

impl ItemPattern {
    fn parse(text: &str) -> Result<Self, RequestError> {
        if text.contains('*') {
            text.parse().map(Self::Glob).map_err(RequestError::Pattern)
        } else {
            text.parse().map(Self::Entry).map_err(RequestError::Entry)
        }
    }
}

fn parse_path(pattern: &str, path: Option<&str>) -> Result<Option<FilePath>, RequestError> {
    let Some(path) = path else { return Ok(None) };
    if pattern.contains('*') {
        return Err(RequestError::GlobWithPath {
            item: shown(pattern),
        });
    }
    path.parse().map(Some).map_err(RequestError::Path)
}
