//! A value as it was sent: until admission sealed it, plaintext.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::limits::MAX_VALUE_TEXT;

/// The text of a value in `data` or `binaryData`. At admission it may be **plaintext**; afterwards
/// it is an envelope.
///
/// Wiped on drop, and `Debug` shows nothing of it. `Serialize`, because sealed objects are written
/// back, and `Clone`, because informers share objects: neither is for plaintext.
#[derive(Clone, Default, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SecretText(String);

impl SecretText {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for SecretText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Takes text only, and never names what it got instead: serde's own message for a wrong type
/// would hold the value.
impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOnly)
    }
}

struct TextOnly;

impl serde::de::Visitor<'_> for TextOnly {
    type Value = SecretText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text: quote the value")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<SecretText, E> {
        Ok(SecretText(text.to_owned()))
    }

    fn visit_string<E: serde::de::Error>(self, text: String) -> Result<SecretText, E> {
        Ok(SecretText(text))
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<SecretText, E> {
        Err(not_text("a boolean"))
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<SecretText, E> {
        Err(not_text("a number"))
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<SecretText, E> {
        Err(not_text("a number"))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<SecretText, E> {
        Err(not_text("a number"))
    }
}

fn not_text<E: serde::de::Error>(kind: &'static str) -> E {
    E::custom(format_args!(
        "a value is {kind} where text is needed: quote it"
    ))
}

/// Text, to which the schema gives no type. No `pattern`, `format` or `enum`: their errors would
/// hold the value. And no `type`: at server-side apply, and for its own log at every other write,
/// the API server converts the object by the type before it asks admission, and says
/// "expected string, got 4711" to the requester, its log and its audit log at level Metadata. The
/// only schema without a type that rules can look at is `x-kubernetes-int-or-string`. Admission
/// refuses what is no text, and without admission so does the rule for sealed values.
impl JsonSchema for SecretText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecretText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-int-or-string": true, "maxLength": MAX_VALUE_TEXT })
    }
}
