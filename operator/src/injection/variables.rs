//! The variables that lead a container to its files.

use std::{borrow::Borrow, collections::BTreeMap, fmt};

use secretvault_vault::{
    FilePath, VariableError,
    variables::{FILE_SUFFIX, variables},
};
use thiserror::Error;

use super::annotations::Annotations;

/// The name of a variable that shells and programs can read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct VariableName(String);

/// Why a text names no variable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum VariableNameError {
    /// Not what programs can read.
    #[error("a variable's name has letters, digits and _, and does not start with a digit")]
    Characters,
    /// `NAME_FILE`, which would become `NAME_FILE_FILE`.
    #[error("leave {FILE_SUFFIX} out of the name: it is added")]
    Suffix,
}

impl VariableName {
    /// Reads the name of a variable without its `_FILE`.
    ///
    /// # Errors
    /// It is none, or ends with `_FILE`.
    pub(super) fn parse(text: &str) -> Result<Self, VariableNameError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let starts_right = |first: &u8| !first.is_ascii_digit();
        if !text.as_bytes().first().is_some_and(starts_right) || !text.bytes().all(allowed) {
            return Err(VariableNameError::Characters);
        }
        if text.ends_with(FILE_SUFFIX) {
            return Err(VariableNameError::Suffix);
        }
        Ok(Self(text.to_owned()))
    }
}

impl Borrow<str> for VariableName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VariableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What becomes of the environment of each container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Variables {
    /// Variables to set: name and text.
    pub(super) set: BTreeMap<String, String>,
    /// Variables that the launcher will set, each with its file.
    pub(super) launched: BTreeMap<String, FilePath>,
}

/// Why files cannot be variables.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum VariablesError {
    /// One file's content and another one's path.
    #[error(
        "the content of file {file} and the path of another would both be the variable {name}: give one of them another path"
    )]
    Collision {
        /// The variable.
        name: String,
        /// The file whose content it would be.
        file: FilePath,
    },
    /// Files that have no variable.
    #[error(transparent)]
    Files(#[from] VariableError),
}

impl Variables {
    /// The variables that are asked for, of these files. Without files: those that are known anyway.
    ///
    /// What `env-file` names itself is over what `file-env` makes of a file's name.
    ///
    /// # Errors
    /// Two files would have one variable, or a file one that changes how programs run.
    pub(super) fn of<'a>(
        asked: &Annotations,
        files: impl IntoIterator<Item = &'a FilePath>,
    ) -> Result<Self, VariablesError> {
        let path = |file: &FilePath| format!("{}/{file}", asked.mount_path);
        let named = asked.env_file.iter();
        let mut all = Self {
            set: named
                .map(|(name, file)| (format!("{name}{FILE_SUFFIX}"), path(file)))
                .collect(),
            launched: BTreeMap::new(),
        };
        if !asked.file_env && !asked.env {
            return Ok(all);
        }
        let by_name = variables(files)?;
        for (name, file) in by_name.iter().filter(|_| asked.file_env) {
            let name = format!("{name}{FILE_SUFFIX}");
            all.set.entry(name).or_insert_with(|| path(file));
        }
        for (name, file) in by_name.into_iter().filter(|_| asked.env) {
            let file = file.clone();
            if all.set.contains_key(&name) {
                return Err(VariablesError::Collision { name, file });
            }
            all.launched.insert(name, file);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&str, &str)]) -> Annotations {
        let vaults = [("vaults", "app")];
        let pairs = vaults.iter().chain(pairs);
        let pairs = pairs.map(|(name, text)| {
            let name = format!("{}{name}", super::super::PREFIX);
            (name, (*text).to_owned())
        });
        Annotations::parse(&pairs.collect()).unwrap()
    }

    fn files(paths: &[&str]) -> Vec<FilePath> {
        paths.iter().map(|path| path.parse().unwrap()).collect()
    }

    fn set(pairs: &[(&str, &str)], paths: &[&str]) -> Vec<String> {
        let variables = Variables::of(&asked(pairs), &files(paths)).unwrap();
        let set = variables.set.iter();
        set.map(|(name, text)| format!("{name}={text}")).collect()
    }

    #[test]
    fn a_named_file_has_its_path_in_a_variable_and_no_other_has() {
        let found = set(&[("env-file", "PW=db/password")], &["db/password", "x"]);
        assert_eq!(found, ["PW_FILE=/run/secrets/db/password"]);
    }

    #[test]
    fn every_file_can_have_one_below_the_mount_path() {
        let found = set(
            &[("file-env", "true"), ("mount-path", "/s")],
            &["db/pw", "1"],
        );
        assert_eq!(found, ["DB_PW_FILE=/s/db/pw", "_1_FILE=/s/1"]);
    }

    #[test]
    fn what_is_named_is_over_what_is_made_of_a_name() {
        let asked = [("file-env", "true"), ("env-file", "DB=other")];
        let found = set(&asked, &["db", "other"]);
        let expected = [
            "DB_FILE=/run/secrets/other",
            "OTHER_FILE=/run/secrets/other",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn files_that_cannot_have_variables_are_refused_only_where_they_would() {
        let clash = files(&["a-b", "a/b"]);
        assert!(Variables::of(&asked(&[]), &clash).is_ok());
        for annotation in ["file-env", "env"] {
            let error = Variables::of(&asked(&[(annotation, "true")]), &clash).unwrap_err();
            assert!(error.to_string().contains("variable A_B"), "{error}");
        }
    }

    #[test]
    fn a_content_and_a_path_in_one_variable_are_refused() {
        let asked = asked(&[("env", "true"), ("file-env", "true")]);
        let error = Variables::of(&asked, &files(&["db", "db-file"])).unwrap_err();
        assert!(error.to_string().contains("variable DB_FILE"), "{error}");
        assert!(Variables::of(&asked, &files(&["db", "db-name"])).is_ok());
    }
}
