use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How long a test waits for what must happen. Not a promise of speed: the machine may be slow.
pub const PATIENCE: Duration = Duration::from_secs(300);

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
    let mut pause = SHORTEST;
    loop {
        match look() {
            Ok(found) => return found,
            Err(error) if Instant::now() > deadline => panic!("{what}: {error:?}"),
            Err(_) => std::thread::sleep(pause),
        }
        pause = pause.mul_f32(1.25).min(LONGEST);
    }
}

/// Between two looks. Each costs a process and a question to the API server, so whoever waits long
/// looks seldom: with twelve tests that look five times a second, looking is all that two cores do.
const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(1);
