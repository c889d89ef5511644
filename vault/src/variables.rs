//! Names of environment variables for a volume's files: `db/password` is `DB_PASSWORD`, and
//! `DB_PASSWORD_FILE` where the variable holds the file's path (the `_FILE` convention of images).
//!
//! Letters become upper case, everything that is neither letter nor digit becomes `_`, and a name
//! that would start with a digit gets a `_` in front. Two files with one name are refused, and so
//! are names that change how a program runs.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::names::FilePath;

/// What the name of a variable that holds a path ends with.
pub const FILE_SUFFIX: &str = "_FILE";

/// Why a volume's files cannot all have a variable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VariableError {
    /// Two files would have one variable.
    #[error("files {} and {} would both be the variable {name}: give one of them another path", paths[0], paths[1])]
    Collision {
        /// The variable's name.
        name: String,
        /// The files.
        paths: [FilePath; 2],
    },
    /// A variable that the loader or the shell acts upon.
    #[error(
        "file {path} would be the variable {name}, which changes how programs run: give it another path"
    )]
    Reserved {
        /// The variable's name.
        name: String,
        /// The file.
        path: FilePath,
    },
}

/// The variable of each file, by name.
///
/// # Errors
/// Two files would have one variable, or a file one that changes how programs run.
pub fn variables<'a>(
    paths: impl IntoIterator<Item = &'a FilePath>,
) -> Result<BTreeMap<String, &'a FilePath>, VariableError> {
    let mut variables = BTreeMap::new();
    for path in paths {
        let name = variable(path);
        if is_reserved(&name) {
            let path = path.clone();
            return Err(VariableError::Reserved { name, path });
        }
        if let Some(other) = variables.insert(name.clone(), path) {
            let paths = [other.clone(), path.clone()];
            return Err(VariableError::Collision { name, paths });
        }
    }
    Ok(variables)
}

fn variable(path: &FilePath) -> String {
    let plain = path.as_str().bytes().map(|byte| {
        if byte.is_ascii_alphanumeric() {
            char::from(byte.to_ascii_uppercase())
        } else {
            '_'
        }
    });
    let name: String = plain.collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        format!("_{name}")
    } else {
        name
    }
}

/// What the dynamic loader, the shell and the languages' run times read before the program does.
fn is_reserved(name: &str) -> bool {
    let prefixes = ["LD_", "DYLD_", "BASH_FUNC_"];
    RESERVED.contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix))
}

const RESERVED: [&str; 16] = [
    "BASH_ENV",
    "CDPATH",
    "ENV",
    "GCONV_PATH",
    "HOME",
    "IFS",
    "JAVA_TOOL_OPTIONS",
    "NODE_OPTIONS",
    "PATH",
    "PERL5LIB",
    "PERL5OPT",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "RUBYOPT",
    "SHELL",
    "SHELLOPTS",
];
