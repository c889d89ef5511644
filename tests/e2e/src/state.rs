use std::env;
use std::fmt;
use std::path::PathBuf;

/// Where the cluster keeps its state on the host's disk.
pub const STATE: State = State(());

/// The directory of the cluster that `tests/cluster/enter` has entered: a machine may have several.
#[derive(Clone, Copy, Debug)]
pub struct State(());

impl State {
    /// The directory.
    #[must_use]
    pub fn path(self) -> PathBuf {
        self.to_string().into()
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cluster = env::var("SECRETVAULT_CLUSTER");
        let cluster = cluster.as_deref().unwrap_or("cluster");
        write!(f, "/var/lib/secretvault-{cluster}")
    }
}
