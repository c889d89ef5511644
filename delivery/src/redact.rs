use std::fmt;

use zeroize::Zeroize;

use crate::v1::{File, Sealed, Volume, file::Content};

impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Volume")
            .field("pod", &self.pod)
            .field("vaults", &self.vaults)
            .field("items", &self.items)
            .finish_non_exhaustive()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        self.pod_token.zeroize();
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.content {
            Some(Content::Sealed(_)) => "sealed",
            Some(Content::Public(_)) => "public",
            Some(Content::SameAs(_)) => "same as another",
            None => "none",
        };
        f.debug_struct("File")
            .field("path", &self.path)
            .field("entry", &self.entry)
            .field("content", &kind)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(..)")
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_neither_token_nor_key_nor_value() {
        let mut volume = Volume::default();
        volume.pod_token = "hunter2".into();
        assert!(!format!("{volume:?}").contains("hunter2"));
        let sealed = Sealed {
            envelope: "sv1:hunter2".into(),
            key: b"hunter2".to_vec(),
        };
        assert_eq!(format!("{sealed:?}"), "Sealed(..)");
        let file = File {
            content: Some(Content::Sealed(sealed)),
            ..File::default()
        };
        assert!(!format!("{file:?}").contains("hunter2"));
        let file = File {
            content: Some(Content::Public(b"hunter2".to_vec())),
            ..File::default()
        };
        assert!(
            !format!("{file:?}").contains("[104"),
            "bytes are not printed either"
        );
    }
}
