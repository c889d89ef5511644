//! A document with the place of each of its fields.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;
use serde_saphyr::Spanned;

/// A node, and where it stands.
pub(super) type Tree = Spanned<Node>;

/// A node of a document.
pub(super) enum Node {
    Leaf(Value),
    List(Vec<Tree>),
    Map(BTreeMap<String, Tree>),
}

/// What a node says, without where it stands.
pub(super) fn plain(node: &Node) -> Value {
    match node {
        Node::Leaf(value) => value.clone(),
        Node::List(items) => items.iter().map(|item| plain(&item.value)).collect(),
        Node::Map(fields) => {
            let fields = fields.iter();
            let fields = fields.map(|(name, field)| (name.clone(), plain(&field.value)));
            Value::Object(fields.collect())
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyNode)
    }
}

struct AnyNode;

impl<'de> Visitor<'de> for AnyNode {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Leaf(text.into()))
    }

    fn visit_string<E>(self, text: String) -> Result<Node, E> {
        Ok(Node::Leaf(text.into()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Node, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((name, field)) = fields.next_entry::<String, Tree>()? {
            if map.insert(name, field).is_some() {
                return Err(A::Error::custom("a name stands twice"));
            }
        }
        Ok(Node::Map(map))
    }
}

/// One step from a field into it.
pub(super) enum Step {
    Index(usize),
    Name(String),
}

/// `spec.data[db/password]` is a name in brackets, `spec.files[2]` a number.
pub(super) fn steps(field: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = field;
    while !rest.is_empty() {
        let (step, after) = match rest.strip_prefix('[') {
            Some(inside) => {
                let (inside, after) = inside.split_once(']').unwrap_or((inside, ""));
                let index = inside.parse().map(Step::Index);
                (
                    index.unwrap_or_else(|_| Step::Name(inside.to_owned())),
                    after,
                )
            }
            None => {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                (Step::Name(rest[..end].to_owned()), &rest[end..])
            }
        };
        steps.push(step);
        rest = after.strip_prefix('.').unwrap_or(after);
    }
    steps
}
