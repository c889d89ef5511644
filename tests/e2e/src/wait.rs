use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How long a test waits for what must happen. Not a promise of speed: the machine may be slow.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Waits until `look` answers `Ok`, and panics with its last error if it never does.
pub fn eventually<T, E: Debug>(what: &str, look: impl FnMut() -> Result<T, E>) -> T {
    eventually_within(PATIENCE, what, look)
}

/// The same with another patience.
#[expect(clippy::panic, reason = "this is how a test fails")]
pub fn eventually_within<T, E: Debug>(
    patience: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        match look() {
            Ok(found) => return found,
            Err(error) if Instant::now() > deadline => panic!("{what}: {error:?}"),
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}
