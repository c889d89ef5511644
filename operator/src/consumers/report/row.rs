//! How pods are written: as lists, for the names of fields would be most of a report.

use serde::{Serialize, Serializer};

use super::{Named, Unnamed};

/// Namespace, name, node, generation, first generation, flags, UID, overridden paths.
pub(super) type NamedRow = (String, String, String, i64, i64, u8, String, Vec<String>);

/// Generation, first generation, flags, how many.
pub(super) type UnnamedRow = (i64, i64, u8, u32);

impl From<NamedRow> for Named {
    fn from(row: NamedRow) -> Self {
        let (namespace, name, node, generation, since, flags, uid, overridden) = row;
        Self {
            namespace,
            name,
            node,
            generation,
            since,
            flags,
            uid,
            overridden,
        }
    }
}

impl From<UnnamedRow> for Unnamed {
    fn from((generation, since, flags, count): UnnamedRow) -> Self {
        Self {
            generation,
            since,
            flags,
            count,
        }
    }
}

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self {
            namespace,
            name,
            node,
            generation,
            since,
            flags,
            uid,
            overridden,
        } = self;
        let row = (
            namespace, name, node, generation, since, flags, uid, overridden,
        );
        row.serialize(serializer)
    }
}

impl Serialize for Unnamed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let row = (self.generation, self.since, self.flags, self.count);
        row.serialize(serializer)
    }
}
