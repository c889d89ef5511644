//! Texts made of names, and of what is known of the consumer.

use std::collections::BTreeMap;

use secretvault_vault::{
    FilePath, PlaceholderError, PodFacts, VariableError, request::MAX_TEXT, resolve, resolve_items,
    variables,
};

fn paths(texts: &[&str]) -> Vec<FilePath> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn names(texts: &[&str]) -> Vec<String> {
    variables(&paths(texts)).unwrap().into_keys().collect()
}

#[test]
fn a_file_s_variable_is_its_path_in_capitals() {
    assert_eq!(names(&["db/password"]), ["DB_PASSWORD"]);
    assert_eq!(names(&["a.b-c_d/E"]), ["A_B_C_D_E"]);
    assert_eq!(names(&["2fa"]), ["_2FA"]);
    assert_eq!(names(&[]), [""; 0]);
}

#[test]
fn two_files_of_one_variable_are_refused_by_name() {
    let error = variables(&paths(&["db/password", "db_password"])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "files db/password and db_password would both be the variable DB_PASSWORD: give one of \
         them another path"
    );
    assert!(variables(&paths(&["db/password", "db/passwords"])).is_ok());
}

#[test]
fn variables_that_change_how_programs_run_are_refused() {
    for path in [
        "path",
        "ld/preload",
        "LD_LIBRARY_PATH",
        "bash.env",
        "node-options",
    ] {
        let error = variables(&paths(&[path])).unwrap_err();
        assert!(matches!(error, VariableError::Reserved { .. }), "{path}");
    }
    for path in ["paths", "old/preload", "home-town"] {
        assert!(variables(&paths(&[path])).is_ok(), "{path}");
    }
}

#[test]
fn placeholders_are_filled_in() {
    let values = [("user.name", "ada"), ("pod.name", "web-0")];
    for (text, expected) in [
        ("users/${user.name}/token", "users/ada/token"),
        ("${pod.name}${user.name}", "web-0ada"),
        ("$user.name $ {x} }", "$user.name $ {x} }"),
        ("", ""),
    ] {
        assert_eq!(resolve(text, &values).as_deref(), Ok(expected));
    }
}

#[test]
fn what_is_not_known_is_refused_and_told() {
    let error = resolve("a/${user.nam}", &[("user.name", "ada")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "items: there is no ${user.nam} here: there is ${user.name}"
    );
    let error = resolve("a/${user.name", &[("user.name", "ada")]).unwrap_err();
    assert_eq!(error, PlaceholderError::Unclosed);
}

#[test]
fn a_value_is_a_part_of_one_segment_and_chooses_nothing_else() {
    for value in [
        "", "a/b", "*", "a*", "..", "a..b", "${x}", "a b", "ä", "a,b", "a=b",
    ] {
        let refused = resolve("users/${user.name}", &[("user.name", value)]);
        let is_refused = matches!(refused, Err(PlaceholderError::NoSegment { .. }));
        assert!(is_refused, "{value:?}: {refused:?}");
    }
    for value in ["a", "a.b", "a-b_c.9"] {
        assert!(resolve("users/${user.name}", &[("user.name", value)]).is_ok());
    }
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn facts(labels: &BTreeMap<String, String>) -> PodFacts<'_> {
    PodFacts {
        namespace: "shop",
        name: Some("web-0"),
        service_account: "web",
        node: Some("node-a.example"),
        labels,
    }
}

fn resolved(text: &str, pairs: &[(&str, &str)]) -> Result<String, PlaceholderError> {
    resolve_items(text, &facts(&labels(pairs)))
}

#[test]
fn a_pod_s_placeholders_are_filled_in() {
    let pairs = [("team", "blue"), ("example.com/tier", "db-1")];
    for (text, expected) in [
        ("users/${pod.serviceAccountName}/token", "users/web/token"),
        ("${pod.namespace}/${pod.name}", "shop/web-0"),
        ("${node.name}", "node-a.example"),
        ("teams/${pod.labels['team']}/**", "teams/blue/**"),
        ("${pod.labels['example.com/tier']}=x", "db-1=x"),
        (
            "[{entry: a/${pod.labels['team']}, path: b}]",
            "[{entry: a/blue, path: b}]",
        ),
        ("a,b", "a,b"),
    ] {
        assert_eq!(resolved(text, &pairs).as_deref(), Ok(expected));
    }
}

#[test]
fn a_label_that_the_pod_does_not_have_is_named() {
    let error = resolved("${pod.labels['team']}", &[("tea", "x")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "items: the pod has no label \"team\": give it one, or correct ${pod.labels['team']}"
    );
}

#[test]
fn what_is_no_placeholder_of_a_pod_is_told_what_there_is() {
    for name in [
        "pod.uid",
        "pod.labels[team]",
        "pod.labels[\"team\"]",
        "pod.labels['team'",
        "pod.labels.team",
        " pod.name",
        "",
    ] {
        let error = resolved(&format!("${{{name}}}"), &[("team", "blue")]).unwrap_err();
        assert!(matches!(error, PlaceholderError::Unknown { .. }), "{error}");
        assert!(
            error.to_string().ends_with("${pod.labels['KEY']}"),
            "{error}"
        );
    }
}

#[test]
fn what_a_pod_gets_later_is_not_known_yet() {
    let labels = BTreeMap::new();
    let template = PodFacts {
        name: None,
        node: None,
        ..facts(&labels)
    };
    for name in ["pod.name", "node.name"] {
        let error = resolve_items(&format!("a/${{{name}}}"), &template).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("items: ${{{name}}} is not known yet")
        );
        assert!(matches!(error, PlaceholderError::NotYet { .. }));
    }
    assert!(resolve_items("${pod.serviceAccountName}", &template).is_ok());
}

#[test]
fn a_label_chooses_a_part_of_one_segment_and_nothing_else() {
    for value in ["", "..", "a..b", "a/b", "*", "a*", "a,b", "${pod.name}"] {
        let error = resolved("a/${pod.labels['x']}/b", &[("x", value)]).unwrap_err();
        assert!(
            matches!(error, PlaceholderError::NoSegment { .. }),
            "{error}"
        );
    }
    assert!(resolved("a/${pod.labels['x']}/b", &[("x", "a.b_c-d")]).is_ok());
}

#[test]
fn values_do_not_make_a_text_of_any_length() {
    let long = "x".repeat(253);
    let text = "${pod.labels['x']}".repeat(MAX_TEXT / 253);
    assert!(resolved(&text, &[("x", &long)]).unwrap().len() <= MAX_TEXT);
    let text = "${pod.labels['x']}".repeat(1_000_000);
    let error = resolved(&text, &[("x", &long)]).unwrap_err();
    assert_eq!(error, PlaceholderError::TooLong);
}

#[test]
fn no_message_of_a_placeholder_grows_with_its_input() {
    let long = "x".repeat(60_000);
    for text in [
        format!("${{{long}}}"),
        format!("${{pod.labels['{long}']}}"),
        "${pod.labels['x']}".to_owned(),
    ] {
        let error = resolved(&text, &[("x", &"/".repeat(60_000))]).unwrap_err();
        assert!(error.to_string().chars().count() < 500, "{error}");
    }
}
