//! Texts for people, of a bounded length: what goes into conditions and events.

/// At most so many bytes of a text, with an ellipsis where something is cut.
pub(crate) fn shortened(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = text.floor_char_boundary(most.saturating_sub(ELLIPSIS.len()));
        text.truncate(end);
        text.push_str(ELLIPSIS);
    }
    text
}

/// Names in a row, and how many more there are than a reader wants.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let shown = names.get(..MOST_NAMES).unwrap_or(&names).join(", ");
    match names.len().checked_sub(MOST_NAMES) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}

const ELLIPSIS: &str = "…";
const MOST_NAMES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(shortened("äöü".into(), 6), "äöü");
        assert_eq!(shortened("äöüß".into(), 6), "ä…");
    }

    #[test]
    fn a_long_list_says_how_many_more() {
        let names: Vec<String> = (1..=10).map(|n| n.to_string()).collect();
        assert_eq!(
            listed(names.iter().map(String::as_str)),
            "1, 2, 3, 4, 5, 6, 7, 8 and 2 more"
        );
        assert_eq!(listed(["a", "b"]), "a, b");
    }
}
