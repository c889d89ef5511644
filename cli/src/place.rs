//! Where the vaults and the keyring of this machine are: two places, so that a copy of the vaults is
//! no copy of the key.

use std::{
    env,
    path::{Path, PathBuf},
};

/// There is no home directory to put anything into.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither XDG_DATA_HOME nor HOME is set: give {0}")]
pub struct NoHome(&'static str);

/// The directory of vaults: what was given, or else a place in the XDG data directory.
///
/// # Errors
/// Nothing was given, and there is no home directory.
pub fn store(given: Option<&Path>) -> Result<PathBuf, NoHome> {
    or_default(given, "vaults", data_home()).ok_or(NoHome("--store DIR"))
}

/// The keyring's file, likewise.
///
/// # Errors
/// Nothing was given, and there is no home directory.
pub fn keyring(given: Option<&Path>) -> Result<PathBuf, NoHome> {
    or_default(given, "keyring", data_home()).ok_or(NoHome("--keyring FILE"))
}

fn or_default(given: Option<&Path>, name: &str, data_home: Option<PathBuf>) -> Option<PathBuf> {
    let default = || Some(data_home?.join("secretvault").join(name));
    given.map(Path::to_owned).or_else(default)
}

/// The XDG Base Directory Specification: a relative path counts as unset.
fn data_home() -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = PathBuf::from(env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_goes_before_the_data_directory() {
        let find = |given: Option<&str>, home: Option<&str>| {
            or_default(given.map(Path::new), "vaults", home.map(PathBuf::from))
        };
        assert_eq!(
            find(None, Some("/d")).unwrap(),
            Path::new("/d/secretvault/vaults")
        );
        assert_eq!(find(Some("s"), Some("/d")).unwrap(), Path::new("s"));
        assert_eq!(find(Some("s"), None).unwrap(), Path::new("s"));
        assert_eq!(find(None, None), None);
    }
}
