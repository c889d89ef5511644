//! How entries land: owner, group, mode, path.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    limits::{MAX_ENTRY_NAME, MAX_OWNER_ID},
    rules,
};

/// What a file has when nobody says more about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileDefaults {
    /// The user that owns the files, as a number. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>", range(min = 0, max = MAX_OWNER_ID))]
    pub uid: Option<u32>,
    /// The group of the files, as a number. Default: the pod's fsGroup, or else 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>", range(min = 0, max = MAX_OWNER_ID))]
    pub gid: Option<u32>,
    /// The permission bits of the files, as octal digits in a string, such as "0400".
    /// Default: "0444".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 4), regex(pattern = "^0?[0-7]{3}$"))]
    pub mode: Option<String>,
}

/// How one entry lands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = rules::file()))]
#[serde(rename_all = "camelCase")]
pub struct FileRule {
    /// The entry, one of the vault's own.
    #[schemars(length(min = 1, max = MAX_ENTRY_NAME))]
    pub entry: String,
    /// Where the entry's file is, relative to the volume. Default: the entry's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_ENTRY_NAME))]
    pub path: Option<String>,
    /// The user that owns the file, as a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>", range(min = 0, max = MAX_OWNER_ID))]
    pub uid: Option<u32>,
    /// The group of the file, as a number. Goes before a pod's fsGroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>", range(min = 0, max = MAX_OWNER_ID))]
    pub gid: Option<u32>,
    /// The permission bits of the file, as octal digits in a string, such as "0400".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 4), regex(pattern = "^0?[0-7]{3}$"))]
    pub mode: Option<String>,
}
