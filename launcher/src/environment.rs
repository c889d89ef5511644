//! A variable for each file.

use std::{collections::BTreeMap, ffi::OsString};

use secretvault_vault::{FilePath, VariableError, variables};
use thiserror::Error;

use crate::files::{Files, Value};

/// A variable and what it is to hold.
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: OsString,
}

/// Why files cannot be variables.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum EnvironmentError {
    #[error(
        "file {path} would be the variable {name}, which the pod's env or the image sets already: take it away there, or give the file another path"
    )]
    AlreadySet { name: String, path: FilePath },
    #[error(transparent)]
    Variable(#[from] VariableError),
    #[error(
        "file {0} holds a zero byte, which no variable can: read it from its file, and leave it out of the variables with secretvault.dev/items"
    )]
    ZeroByte(FilePath),
}

/// The variables of files. Each holds the file's bytes as they are, a last line break too: what
/// `envFrom` does with a Secret.
///
/// # Errors
/// A file has no variable of its own, or its variable could not hold it.
pub(crate) fn variables_of(
    files: Files,
    is_set: impl Fn(&str) -> bool,
) -> Result<Vec<Variable>, EnvironmentError> {
    // Two files of one name never come here: a directory has each name once.
    let paths: Vec<FilePath> = files.iter().map(|(path, _)| path.clone()).collect();
    let names = variables(&paths)?;
    if let Some((name, path)) = names.iter().find(|(name, _)| is_set(name)) {
        return Err(EnvironmentError::AlreadySet {
            name: name.clone(),
            path: (*path).clone(),
        });
    }
    let mut files: BTreeMap<FilePath, Value> = files.into_iter().collect();
    let mut found = Vec::with_capacity(names.len());
    for (name, path) in names {
        if let Some(value) = files.remove(path) {
            if value.has_zero_byte() {
                return Err(EnvironmentError::ZeroByte(path.clone()));
            }
            let value = value.into_variable();
            found.push(Variable { name, value });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn of(
        files: &[(&str, &[u8])],
        set: &[&str],
    ) -> Result<Vec<(String, Vec<u8>)>, EnvironmentError> {
        let files = files.iter().map(|(path, value)| {
            let path: FilePath = path.parse().unwrap();
            (path, Value::from(*value))
        });
        let variables = variables_of(files.collect(), |name| set.contains(&name))?;
        let plain = variables
            .into_iter()
            .map(|it| (it.name, it.value.into_encoded_bytes()));
        Ok(plain.collect())
    }

    fn refusal(files: &[(&str, &[u8])], set: &[&str]) -> String {
        of(files, set).unwrap_err().to_string()
    }

    #[test]
    fn each_file_is_a_variable_whose_name_is_its_path() {
        let files: &[(&str, &[u8])] = &[("db/password", b"hunter2"), ("smtp.token", b"t-1")];
        let expected = [
            ("DB_PASSWORD".to_owned(), b"hunter2".to_vec()),
            ("SMTP_TOKEN".to_owned(), b"t-1".to_vec()),
        ];
        assert_eq!(of(files, &[]).unwrap(), expected);
    }

    #[test]
    fn a_value_stays_byte_for_byte() {
        for value in [&b""[..], b"x\n", b"x\r\n\n", b" x ", b"a=b", b"\xff\xfe"] {
            let found = of(&[("key", value)], &[]).unwrap();
            assert_eq!(found, [("KEY".to_owned(), value.to_vec())]);
        }
    }

    #[test]
    fn a_value_with_a_zero_byte_is_refused_by_its_file() {
        for value in [&b"\0"[..], b"x\0", b"\0x", b"hunter2\0x"] {
            let error = refusal(&[("a", b"x"), ("key.bin", value)], &[]);
            assert!(
                error.contains("file key.bin") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }

    #[test]
    fn two_files_with_one_variable_are_refused_by_both() {
        let error = refusal(
            &[("db/password", b"hunter2"), ("db-password", b"hunter2")],
            &[],
        );
        assert!(
            error.contains("db/password") && error.contains("db-password"),
            "{error}"
        );
    }

    #[test]
    fn a_variable_that_changes_how_programs_run_is_refused() {
        for path in [
            "path",
            "ld/preload",
            "LD_LIBRARY_PATH",
            "bash-env",
            "node.options",
        ] {
            let error = refusal(&[(path, b"hunter2")], &[]);
            assert!(error.contains(&format!("file {path} ")), "{error}");
        }
    }

    #[test]
    fn a_variable_that_is_set_already_is_refused_and_named() {
        let files: &[(&str, &[u8])] = &[("db/password", b"hunter2"), ("token", b"x")];
        let error = refusal(files, &["TOKEN"]);
        assert!(
            error.contains("variable TOKEN") && error.contains("file token"),
            "{error}"
        );
        assert!(of(files, &["OTHER"]).is_ok());
    }

    proptest! {
        #[test]
        fn whatever_the_files_are_each_has_a_variable_that_a_shell_can_name_or_all_are_refused(
            files in prop::collection::btree_map("[A-Za-z0-9._-]{1,4}(/[A-Za-z0-9._-]{1,3}){0,2}", prop::collection::vec(any::<u8>(), 0..5), 0..6)
        ) {
            let files: Vec<(FilePath, Vec<u8>)> = files
                .into_iter()
                .filter_map(|(path, value)| Some((path.parse().ok()?, value)))
                .collect();
            let given = files.iter().map(|(path, value)| (path.clone(), Value::from(value.as_slice())));
            if let Ok(variables) = variables_of(given.collect(), |_| false) {
                let names: BTreeSet<&str> = variables.iter().map(|it| it.name.as_str()).collect();
                prop_assert_eq!(names.len(), files.len());
                for name in names {
                    prop_assert!(name.bytes().all(|it| it.is_ascii_uppercase() || it.is_ascii_digit() || it == b'_'), "{}", name);
                    prop_assert!(!name.starts_with(|it: char| it.is_ascii_digit()), "{}", name);
                }
                let mut held: Vec<Vec<u8>> = variables.into_iter().map(|it| it.value.into_encoded_bytes()).collect();
                let mut values: Vec<Vec<u8>> = files.into_iter().map(|(_, value)| value).collect();
                held.sort();
                values.sort();
                prop_assert_eq!(held, values);
            }
        }
    }
}
