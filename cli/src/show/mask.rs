//! What of a value may be seen.

use secretvault_envelope::Plaintext;

/// What stands for a secret value. Of a long text the first and last two characters are shown, so
/// that its owner knows which one it is; of anything else nothing, not even its size.
pub(super) fn masked(value: &Plaintext) -> String {
    let Ok(text) = std::str::from_utf8(value.expose()) else {
        return BINARY.to_owned();
    };
    let second = text.char_indices().nth(2);
    let last = text.char_indices().nth_back(1);
    match (second, last) {
        (Some((start, _)), Some((end, _))) if text.chars().count() >= LONG => {
            let shown = |part: &str| one_line(part, usize::MAX);
            format!("{}{STARS}{}", shown(&text[..start]), shown(&text[end..]))
        }
        _ => STARS.to_owned(),
    }
}

/// A value that is no secret, on one line.
pub(super) fn plain(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) => one_line(text, WIDTH),
        Err(_) => BINARY.to_owned(),
    }
}

/// The start of a text that somebody else wrote: what would break the line, or steer the terminal,
/// is spelled out.
pub(crate) fn one_line(text: &str, width: usize) -> String {
    let mut line = String::new();
    let mut length: usize = 0;
    for character in text.chars() {
        let shown = match character {
            '"' | '\'' | '\\' => character.to_string(),
            _ => character.escape_debug().to_string(),
        };
        length = length.saturating_add(shown.chars().count());
        if length > width {
            line.push('…');
            break;
        }
        line.push_str(&shown);
    }
    line
}

/// How much of a text a table shows.
pub(super) const WIDTH: usize = 60;

/// From here on four characters tell little of a text.
const LONG: usize = 12;

const BINARY: &str = "(binary)";
const STARS: &str = "****";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_text_four_characters_are_shown_and_of_others_none() {
        for (value, expected) in [
            ("", "****"),
            ("a", "****"),
            ("hunter2", "****"),
            ("12345678901", "****"),
            ("123456789012", "12****12"),
            ("sk-live-1234-abxx", "sk****xx"),
            ("äöüäöüäöüäöü", "äö****öü"),
            ("-----BEGIN KEY-----\n", "--****-\\n"),
            ("\u{1b}[2J hello world\u{202e}", "\\u{1b}[****d\\u{202e}"),
        ] {
            assert_eq!(masked(&Plaintext::from(value.as_bytes())), expected);
        }
    }

    #[test]
    fn of_bytes_not_even_the_size_is_shown() {
        assert_eq!(masked(&Plaintext::from(vec![0xff])), "(binary)");
        assert_eq!(masked(&Plaintext::from(vec![0xff; 4000])), "(binary)");
    }

    #[test]
    fn what_is_no_secret_stands_on_one_line() {
        let long = "x".repeat(61);
        for (value, expected) in [
            ("", ""),
            ("it's \"C:\\x\"", "it's \"C:\\x\""),
            ("a\nb\t\u{1b}[31m", "a\\nb\\t\\u{1b}[31m"),
            (&long[..60], &long[..60]),
            (&long, &(long[..60].to_owned() + "…")),
        ] {
            assert_eq!(plain(value.as_bytes()), expected);
        }
        assert_eq!(plain(&[0xff, b'a']), "(binary)");
    }
}
