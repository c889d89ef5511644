use std::thread::{self, Builder};

/// Runs the parts of a test side by side, each in a thread of its name, and fails if one of them does.
#[expect(clippy::expect_used, reason = "without these a test cannot run")]
pub fn side_by_side(parts: &[(&str, &(dyn Fn() + Sync))]) {
    let failed: Vec<&str> = thread::scope(|scope| {
        let started = parts.iter().map(|(name, part)| {
            let thread = Builder::new().name((*name).to_owned());
            let thread = thread.spawn_scoped(scope, part).expect("a thread starts");
            (*name, thread)
        });
        let started: Vec<_> = started.collect();
        let ended = started.into_iter().map(|(name, part)| (name, part.join()));
        ended
            .filter(|(_, end)| end.is_err())
            .map(|(name, _)| name)
            .collect()
    });
    assert!(failed.is_empty(), "failed: {failed:?}");
}
