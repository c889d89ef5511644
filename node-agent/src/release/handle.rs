//! What stands for one vault in one volume: given with a grant, and opaque to us.

use std::{fmt, sync::Arc};

/// A handle, as the operator made and authenticated it. It gives nobody a right: the operator asks
/// itself again what a pod may have.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(Arc<[u8]>);

impl Handle {
    /// Takes a handle from an answer. `None`: an operator from before there were any sends none.
    pub fn given(bytes: &[u8]) -> Option<Self> {
        (!bytes.is_empty()).then(|| Self(bytes.into()))
    }

    /// As it goes back to the operator.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_vec()
    }
}

impl AsRef<[u8]> for Handle {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_handle_is_none() {
        assert_eq!(Handle::given(b""), None);
        assert_eq!(Handle::given(b"h").unwrap().to_bytes(), b"h");
    }
}
