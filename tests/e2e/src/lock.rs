use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Most tests run side by side. One that stops the operator or an agent runs alone, after all others
/// that have begun to wait: so that the many need not come to an end for each of the few.
static CLUSTER: Turns = Turns {
    tests: Mutex::new(Tests {
        waiting: 0,
        together: 0,
        alone: false,
    }),
    changed: Condvar::new(),
};

/// Held by a test that disturbs nobody.
pub fn together() -> Together {
    let mut tests = CLUSTER.lock();
    tests.waiting += 1;
    let mut tests = CLUSTER.wait_until(tests, |it| !it.alone && it.together < SIDE_BY_SIDE);
    tests.waiting -= 1;
    tests.together += 1;
    Together(())
}

/// Held by a test that stops or breaks a part of the system. It must mend it before it ends.
pub fn alone() -> Alone {
    let idle = |it: &Tests| !it.alone && it.together == 0 && it.waiting == 0;
    CLUSTER.wait_until(CLUSTER.lock(), idle).alone = true;
    Alone(())
}

/// A turn beside others.
#[derive(Debug)]
#[must_use]
pub struct Together(());

/// A turn alone.
#[derive(Debug)]
#[must_use]
pub struct Alone(());

impl Drop for Together {
    fn drop(&mut self) {
        CLUSTER.lock().together -= 1;
        CLUSTER.changed.notify_all();
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        CLUSTER.lock().alone = false;
        CLUSTER.changed.notify_all();
    }
}

struct Turns {
    tests: Mutex<Tests>,
    changed: Condvar,
}

struct Tests {
    /// That wait for a turn beside others.
    waiting: usize,
    /// That have one.
    together: usize,
    alone: bool,
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, Tests> {
        self.tests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until<'a>(
        &self,
        tests: MutexGuard<'a, Tests>,
        is_turn: impl Fn(&Tests) -> bool,
    ) -> MutexGuard<'a, Tests> {
        let waited = self.changed.wait_while(tests, |it| !is_turn(it));
        waited.unwrap_or_else(PoisonError::into_inner)
    }
}

/// They wait for kubelet most of the time, and need no processor for that.
const SIDE_BY_SIDE: usize = 12;
