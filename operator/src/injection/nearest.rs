//! "Did you mean …?"

use secretvault_vault::names::MAX_NAME_LEN;

/// `, did you mean NAME?` with the known name that is most like a given one, or nothing. To compare two
/// takes time in the order of both lengths, and whoever writes a pod chooses them.
pub(super) fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let is_a_name = |text: &str| text.len() <= MAX_NAME_LEN;
    let close = known
        .into_iter()
        .filter(|name| is_a_name(given) && is_a_name(name))
        .take(MOST)
        .map(|name| (strsim::jaro_winkler(given, name), name));
    let best = close.max_by(|(one, _), (other, _)| one.total_cmp(other));
    let best = best.filter(|(likeness, _)| *likeness > LIKE);
    best.map_or_else(String::new, |(_, name)| format!(", did you mean {name}?"))
}

/// The bound that clap uses for its own suggestions.
const LIKE: f64 = 0.7;
/// How many names are looked at.
const MOST: usize = 1000;

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

    #[test]
    fn what_is_too_long_for_a_name_is_compared_with_nothing() {
        let [name, longer] = [MAX_NAME_LEN, MAX_NAME_LEN + 1].map(|length| "x".repeat(length));
        assert!(did_you_mean(&name, [name.as_str()]).contains(&name));
        assert_eq!(did_you_mean(&longer, [name.as_str()]), "");
        assert_eq!(did_you_mean(&name, [longer.as_str()]), "");
    }
}
