use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Most tests run side by side. One that stops the operator or an agent runs alone.
static CLUSTER: RwLock<()> = RwLock::new(());

/// Held by a test that disturbs nobody.
pub fn together() -> RwLockReadGuard<'static, ()> {
    CLUSTER.read().unwrap_or_else(PoisonError::into_inner)
}

/// Held by a test that stops or breaks a part of the system. It must mend it before it ends.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    CLUSTER.write().unwrap_or_else(PoisonError::into_inner)
}
