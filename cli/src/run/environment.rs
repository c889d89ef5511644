//! The variables that lead a command to its secrets: `DB_PASSWORD_FILE=/run/secrets/db/password`,
//! and with `--env` also `DB_PASSWORD` with the value itself.

use std::{collections::BTreeMap, ffi::OsString, os::unix::ffi::OsStringExt, process::Command};

use secretvault_vault::{FilePath, VariableError, variables, variables::FILE_SUFFIX};
use secretvault_volume::Contents;
use thiserror::Error;

use super::directory::SECRETS;

/// Why files cannot be variables.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum EnvironmentError {
    /// One file's value and another one's path.
    #[error(
        "the value of file {value} and the path of file {path} would both be the variable {name}: give one of them another path, or leave --env out"
    )]
    Collision {
        /// The variable.
        name: String,
        /// The file whose value it would be.
        value: FilePath,
        /// The file whose path it would be.
        path: FilePath,
    },
    /// A value that ends early.
    #[error(
        "file {0} holds a zero byte, which no variable can: read it from its file, and leave --env out or choose other --items"
    )]
    ZeroByte(FilePath),
    /// Files that have no variable.
    #[error(transparent)]
    Variable(#[from] VariableError),
}

/// Gives a command the variables of its files, in place of those of the same name.
///
/// # Errors
/// Two variables with one name, or a value that cannot be one.
pub(super) fn set(
    command: &mut Command,
    contents: &Contents,
    values: bool,
) -> Result<(), EnvironmentError> {
    let paths = contents.files().map(|(path, _)| path);
    let plan = plan(paths, values)?;
    for (path, file) in contents.files() {
        if let Some(name) = plan.values.get(path) {
            let value = file.content.expose();
            if value.contains(&0) {
                return Err(EnvironmentError::ZeroByte(path.clone()));
            }
            command.env(name, OsString::from_vec(value.to_vec()));
        }
    }
    for (name, path) in plan.paths {
        command.env(name, format!("{SECRETS}/{path}"));
    }
    Ok(())
}

/// Which variables there are to be.
#[derive(Debug, PartialEq, Eq)]
struct Variables<'a> {
    /// Variables that hold a file's path.
    paths: BTreeMap<String, &'a FilePath>,
    /// Files whose value a variable holds, and its name.
    values: BTreeMap<&'a FilePath, String>,
}

fn plan<'a>(
    paths: impl IntoIterator<Item = &'a FilePath>,
    values: bool,
) -> Result<Variables<'a>, EnvironmentError> {
    let names = variables(paths)?;
    let mut plan = Variables {
        paths: BTreeMap::new(),
        values: BTreeMap::new(),
    };
    for (name, path) in &names {
        plan.paths.insert(format!("{name}{FILE_SUFFIX}"), *path);
    }
    if values {
        for (name, path) in names {
            if let Some(other) = plan.paths.get(&name) {
                return Err(EnvironmentError::Collision {
                    name,
                    value: path.clone(),
                    path: (*other).clone(),
                });
            }
            plan.values.insert(path, name);
        }
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use secretvault_envelope::Plaintext;
    use secretvault_vault::FileMode;
    use secretvault_volume::File;

    use super::*;

    fn contents(files: &[(&str, &[u8])]) -> Contents {
        let files = files.iter().map(|(path, content)| {
            let file = File {
                uid: 0,
                gid: 0,
                mode: FileMode::DEFAULT,
                content: Arc::new(Plaintext::from(*content)),
            };
            (path.parse().unwrap(), file)
        });
        Contents::new(files.collect::<Vec<_>>()).unwrap()
    }

    fn variables_of(
        files: &[(&str, &[u8])],
        values: bool,
    ) -> Result<Vec<String>, EnvironmentError> {
        let mut command = Command::new("true");
        set(&mut command, &contents(files), values)?;
        let variables = command.get_envs();
        Ok(variables
            .map(|(name, value)| {
                format!("{}={}", name.display(), value.unwrap_or_default().display())
            })
            .collect())
    }

    #[test]
    fn a_file_has_a_variable_with_its_path_and_on_demand_one_with_its_value() {
        let files: &[(&str, &[u8])] = &[("db/password", b"hunter2")];
        let path = "DB_PASSWORD_FILE=/run/secrets/db/password";
        assert_eq!(variables_of(files, false).unwrap(), [path]);
        assert_eq!(
            variables_of(files, true).unwrap(),
            ["DB_PASSWORD=hunter2", path]
        );
    }

    #[test]
    fn a_value_and_a_path_in_one_variable_are_refused_only_where_values_are_asked_for() {
        let files: &[(&str, &[u8])] = &[("db", b"x"), ("db-file", b"y")];
        assert_eq!(variables_of(files, false).unwrap().len(), 2);
        let error = variables_of(files, true).unwrap_err();
        assert!(error.to_string().contains("variable DB_FILE"), "{error}");
    }

    #[test]
    fn a_value_with_a_zero_byte_is_refused_by_its_file_and_never_shown() {
        let files: &[(&str, &[u8])] = &[("key.bin", b"hunter2\0x")];
        assert_eq!(variables_of(files, false).unwrap().len(), 1);
        let error = variables_of(files, true).unwrap_err().to_string();
        assert!(
            error.contains("key.bin") && !error.contains("hunter2"),
            "{error}"
        );
    }

    #[test]
    fn a_value_that_is_no_text_stays_byte_for_byte() {
        let mut command = Command::new("true");
        set(&mut command, &contents(&[("key", b"\xff\xfe")]), true).unwrap();
        let mut variables = command.get_envs();
        let found = variables
            .find(|(name, _)| *name == "KEY")
            .unwrap()
            .1
            .unwrap();
        assert_eq!(found.as_encoded_bytes(), b"\xff\xfe");
    }
}
