//! "Did you mean …?"

/// `, did you mean NAME?` with the known name that is most like a given one, or nothing.
pub(super) fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let close = known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(given, name), name));
    let best = close.max_by(|(one, _), (other, _)| one.total_cmp(other));
    let best = best.filter(|(likeness, _)| *likeness > LIKE);
    best.map_or_else(String::new, |(_, name)| format!(", did you mean {name}?"))
}

/// The bound that clap uses for its own suggestions.
const LIKE: f64 = 0.7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_like_it_is_suggested_and_nothing_else() {
        let known = ["vaults", "items"];
        assert_eq!(did_you_mean("vault", known), ", did you mean vaults?");
        assert_eq!(did_you_mean("zzz", known), "");
        assert_eq!(did_you_mean("x", []), "");
    }
}
