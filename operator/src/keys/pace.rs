//! How soon one round follows another. Each reads everything, so one is enough for all that changed
//! before it: many changes at once must not be as many rounds.
//!
//! # Guarantees
//! * After a rest, the first hint is followed at once.
//! * Hints that come sooner are followed together, by one round when the pause ends. None is lost.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The pace of the rounds that hints ask for.
#[derive(Default)]
pub(crate) struct Pace {
    /// When another round may begin. None: none has begun yet.
    rested: Option<Instant>,
}

impl Pace {
    /// Notes that a round begins.
    pub(crate) fn begun(&mut self) {
        self.rested = Some(Instant::now() + PAUSE);
    }

    /// Resolves when another round may begin. Whoever takes the hints only then has all of them.
    pub(crate) async fn rest(&self) {
        if let Some(rested) = self.rested {
            sleep_until(rested).await;
        }
    }
}

/// From the beginning of a round to that of the next one, at least. With a round that takes long, a
/// change is seen within a second all the same.
const PAUSE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use futures::channel::mpsc;

    use super::*;

    /// When rounds begin if hints come at these times: both in milliseconds, rounds in tens.
    async fn rounds_after(hints: &[u64]) -> Vec<u128> {
        let begun = Instant::now();
        let (sender, receiver) = mpsc::unbounded();
        let mut receiver = receiver.ready_chunks(64);
        let hinting = async move {
            for at in hints {
                sleep_until(begun + Duration::from_millis(*at)).await;
                sender.unbounded_send(()).unwrap();
            }
        };
        let following = async {
            let (mut pace, mut rounds) = (Pace::default(), Vec::new());
            loop {
                pace.rest().await;
                if receiver.next().await.is_none() {
                    return rounds;
                }
                pace.begun();
                rounds.push(begun.elapsed().as_millis() / 10 * 10);
            }
        };
        tokio::join!(hinting, following).1
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_hint_after_a_rest_is_followed_at_once() {
        assert_eq!(rounds_after(&[100, 1000]).await, [100, 1000]);
    }

    #[tokio::test(start_paused = true)]
    async fn hints_that_come_soon_are_one_round_and_the_last_is_not_lost() {
        assert_eq!(rounds_after(&[0, 50, 100, 200]).await, [0, 250]);
        assert_eq!(rounds_after(&[0, 240, 260]).await, [0, 250, 500]);
    }

    #[tokio::test(start_paused = true)]
    async fn hints_without_end_are_four_rounds_a_second() {
        let hints: Vec<u64> = (0..100).map(|number| 10 * number).collect();
        assert_eq!(rounds_after(&hints).await, [0, 250, 500, 750, 1000]);
    }
}
