//! The one message that holds a token: hidden from `Debug`, wiped on drop.

use std::fmt;

use zeroize::Zeroize;

use super::v1::NodePublishVolumeRequest;

impl fmt::Debug for NodePublishVolumeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodePublishVolumeRequest")
            .field("volume_id", &self.volume_id)
            .field("target_path", &self.target_path)
            .finish_non_exhaustive()
    }
}

impl Drop for NodePublishVolumeRequest {
    fn drop(&mut self) {
        let values = self
            .secrets
            .values_mut()
            .chain(self.volume_context.values_mut());
        values.for_each(Zeroize::zeroize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_neither_secrets_nor_context() {
        let mut request = NodePublishVolumeRequest::default();
        for map in ["secrets", "context"] {
            let hunter = (map.to_owned(), "hunter2".to_owned());
            request.secrets.extend([hunter.clone()]);
            request.volume_context.extend([hunter]);
        }
        assert!(!format!("{request:?}").contains("hunter2"));
    }
}
