//! What is added to a pod: JSON-patch operations that only ever add.

use json_patch::{
    AddOperation, PatchOperation,
    jsonptr::{PointerBuf, Token},
};
use serde::Serialize;
use serde_json::{Value, json};

/// Operations, in the order in which they are to be made.
#[derive(Debug, Default)]
pub(super) struct Patch(Vec<PatchOperation>);

impl Patch {
    /// Sets a field, whether or not it is there.
    pub(super) fn set(&mut self, path: &[impl AsRef<str>], value: Value) {
        let path = PointerBuf::from_tokens(path.iter().map(|it| Token::new(it.as_ref())));
        self.0
            .push(PatchOperation::Add(AddOperation { path, value }));
    }

    /// Adds to the end of a list of which so many are there. A list of none may not be there at all.
    pub(super) fn append(
        &mut self,
        list: &[impl AsRef<str>],
        there: usize,
        items: &[impl Serialize],
    ) {
        self.add(list, there, items.iter(), "-");
    }

    /// Adds to the start of a list likewise.
    pub(super) fn prepend(
        &mut self,
        list: &[impl AsRef<str>],
        there: usize,
        items: &[impl Serialize],
    ) {
        if there == 0 {
            self.append(list, there, items);
        } else {
            self.add(list, there, items.iter().rev(), "0");
        }
    }

    fn add<'a, T: Serialize + 'a>(
        &mut self,
        list: &[impl AsRef<str>],
        there: usize,
        items: impl ExactSizeIterator<Item = &'a T>,
        at: &str,
    ) {
        if items.len() == 0 {
            return;
        }
        if there == 0 {
            let items: Vec<Value> = items.map(|item| json!(item)).collect();
            return self.set(list, Value::Array(items));
        }
        let path: Vec<&str> = list.iter().map(AsRef::as_ref).chain([at]).collect();
        items.for_each(|item| self.set(&path, json!(item)));
    }

    /// Forgets all but the first operations.
    pub(super) fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }

    /// How many operations there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The operations.
    pub(super) fn into_operations(self) -> Vec<PatchOperation> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patched(patch: Patch, mut value: Value) -> Value {
        json_patch::patch(&mut value, &patch.into_operations()).unwrap();
        value
    }

    #[test]
    fn lists_grow_at_their_ends_whether_they_are_there_or_not() {
        let mut patch = Patch::default();
        patch.append(&["a"], 1, &[2, 3]);
        patch.prepend(&["a"], 1, &[-1, 0]);
        patch.append(&["b"], 0, &[1, 2]);
        patch.prepend(&["c"], 0, &[1, 2]);
        patch.append(&["d"], 0, &[0; 0]);
        patch.set(&["e"], json!("x/~y"));
        let expected = json!({"a": [-1, 0, 1, 2, 3], "b": [1, 2], "c": [1, 2], "e": "x/~y"});
        assert_eq!(patched(patch, json!({"a": [1], "c": []})), expected);
    }
}
