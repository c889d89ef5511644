//! How tasks end.

use anyhow::bail;
use tokio::task::{JoinError, JoinSet};

/// Waits for the end of every task.
///
/// # Errors
/// One of them panicked or was cancelled. The others have ended as they should.
pub(super) async fn drained(mut tasks: JoinSet<&'static str>) -> anyhow::Result<()> {
    let mut broken = None;
    while let Some(ended) = tasks.join_next().await {
        if ended.is_err() {
            broken = Some(told(Some(ended)));
        }
    }
    match broken {
        Some(how) => bail!("a task did not end as it should: {how}"),
        None => Ok(()),
    }
}

/// Which task ended, and how.
pub(super) fn told(ended: Option<Result<&'static str, JoinError>>) -> String {
    match ended {
        Some(Ok(name)) => name.to_owned(),
        Some(Err(error)) if error.is_panic() => "it panicked".to_owned(),
        Some(Err(_)) | None => "it was cancelled".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;

    async fn ends(after: u64) -> &'static str {
        sleep(Duration::from_secs(after)).await;
        "a task"
    }

    async fn panics(after: u64) -> &'static str {
        sleep(Duration::from_secs(after)).await;
        panic!("a test")
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_told_when_the_others_have_ended() {
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        tasks.spawn(panics(1));
        tasks.spawn(ends(10));
        let error = drained(tasks).await.unwrap_err().to_string();
        assert_eq!(error, "a task did not end as it should: it panicked");
        assert!(begun.elapsed() >= Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_that_end_as_they_should_are_no_error() {
        let mut tasks = JoinSet::new();
        tasks.spawn(ends(1));
        tasks.spawn(ends(2));
        assert!(drained(tasks).await.is_ok());
    }
}
