//! "Did you mean …?"

/// The known name that is most like a given one, if one is like it at all.
pub(crate) fn nearest<'a>(
    given: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let close = known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(given, name), name));
    let best = close.max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.filter(|(likeness, _)| *likeness > LIKE)
        .map(|(_, name)| name)
}

/// The bound that clap uses for its own suggestions.
const LIKE: f64 = 0.7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_like_it_is_found_and_nothing_else() {
        let known = ["db/password", "smtp/token"];
        assert_eq!(nearest("db/pasword", known), Some("db/password"));
        assert_eq!(nearest("zzz", known), None);
        assert_eq!(nearest("x", []), None);
    }
}
