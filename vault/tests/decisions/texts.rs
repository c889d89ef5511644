//! Texts made of names, and of what is known of the consumer.

use secretvault_vault::{FilePath, PlaceholderError, VariableError, resolve, variables};

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
