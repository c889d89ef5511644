use std::time::Duration;

use tokio::sync::{Notify, watch};

/// How long somebody waits for another round. The webhook itself has ten seconds.
const PATIENCE: Duration = Duration::from_secs(3);

/// The rounds in which all providers are read, so that one can be asked for and awaited.
#[derive(Default)]
pub(super) struct Rounds {
    wanted: Notify,
    count: watch::Sender<Count>,
}

#[derive(Clone, Copy, Default)]
struct Count {
    started: u64,
    ended: u64,
}

impl Rounds {
    /// Asks for a round and waits until one that began after the question has ended, or for as long
    /// as patience lasts.
    pub(super) async fn another(&self) {
        let mut count = self.count.subscribe();
        let next = count.borrow().started + 1;
        self.wanted.notify_one();
        let _ = tokio::time::timeout(PATIENCE, count.wait_for(|count| count.ended >= next)).await;
    }

    /// Resolves when somebody asks for a round.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    pub(super) fn begin(&self) {
        self.count.send_modify(|count| count.started += 1);
    }

    pub(super) fn end(&self) {
        self.count.send_modify(|count| count.ended = count.started);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_round_that_began_before_the_question_is_no_answer() {
        let rounds = Arc::new(Rounds::default());
        rounds.begin();
        let asker = tokio::spawn({
            let rounds = Arc::clone(&rounds);
            async move { rounds.another().await }
        });
        rounds.wanted().await;
        rounds.end();
        tokio::task::yield_now().await;
        assert!(!asker.is_finished());
        rounds.begin();
        rounds.end();
        asker.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_when_no_round_comes() {
        let begun = Instant::now();
        Rounds::default().another().await;
        assert_eq!(begun.elapsed().as_secs(), PATIENCE.as_secs());
    }
}
