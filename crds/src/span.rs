//! A length of time as people write it: "30d".

use std::{borrow::Cow, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A length of time: a whole number of seconds, minutes, hours or days, such as "90s", "15m", "12h"
/// or "30d". It keeps the spelling that it came with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    text: String,
    duration: Duration,
}

impl Span {
    /// How long it is.
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl std::str::FromStr for Span {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        let unit = text.chars().next_back().ok_or(InvalidSpan)?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86400,
            _ => return Err(InvalidSpan),
        };
        let number = &text[..text.len() - 1];
        let canonical = !number.starts_with('0') && number.bytes().all(|it| it.is_ascii_digit());
        if !canonical || !(1..=MAX_DIGITS).contains(&number.len()) {
            return Err(InvalidSpan);
        }
        let number: u64 = number.parse().map_err(|_| InvalidSpan)?;
        Ok(Self {
            text: text.to_owned(),
            duration: Duration::from_secs(number * seconds),
        })
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": MAX_DIGITS + 1,
            "pattern": format!("^[1-9][0-9]{{0,{}}}[smhd]$", MAX_DIGITS - 1),
        })
    }
}

/// The text is no length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a length of time is a number of seconds, minutes, hours or days: 90s, 15m, 12h, 30d")]
pub struct InvalidSpan;

const MAX_DIGITS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_numbers_with_a_unit() {
        for (text, seconds) in [
            ("90s", 90),
            ("15m", 900),
            ("12h", 43200),
            ("30d", 2_592_000),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.duration(), Duration::from_secs(seconds));
            assert_eq!(serde_json::to_value(&span).unwrap(), text);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "", "s", "0s", "01h", "1", "1w", "-1h", "+1h", "1.5h", "100000s", "1 h", "1é",
        ] {
            assert_eq!(text.parse::<Span>(), Err(InvalidSpan), "{text:?}");
        }
    }
}
