//! Changes that the operator told of: the volumes that show them are asked for together, by one
//! request, each with the newest token of its own pod.
//!
//! # Guarantees
//! * A volume that somebody works on is not waited for by the others.
//! * Events that come while a volume is refreshed bring one more refresh, and not more.
//! * What fails, or brings nothing, is tried again some times; then the republish is the safety net.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelValue;
use secretvault_delivery::v1::WatchEvent;
use secretvault_volume::Change;
use tokio::{task::spawn_blocking, time::Instant};
use tracing::{Span, info_span};

use super::{
    PublishError, Publisher, Reason,
    follow_up::follow_up,
    hold,
    pending::Wish,
    refresh::{Concluded, Owned},
    renewal::renew,
};
use crate::{
    release::{Answer, Holdings, Listener, ReleaseError, question},
    state::Record,
    volume::TargetPath,
};

/// What became of a volume that was to be refreshed because of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Pushed {
    /// What was to come was there: a republish, or an earlier request, has brought it.
    Current,
    /// The pod's token has ended: the republish brings another one.
    Expired,
    /// The volume was taken away.
    Gone,
    /// The volume stays as it is, because there was no good answer.
    Kept,
    /// Nothing of what the volume shows is another.
    Unchanged,
    /// A new generation.
    Updated,
}

/// A volume that is asked for.
struct Asked {
    volume: Owned,
    wish: Wish,
    record: Record,
    span: Span,
}

impl Listener for Publisher {
    fn connected(&self, stands: bool) {
        self.metrics.watching(stands);
    }

    fn changed(&self, event: &WatchEvent) {
        self.metrics.changes_heard(event.changed.len());
        let now = Instant::now();
        for (target, changed) in self.holdings.concerned(event) {
            self.pending.add(target, Wish::heard(changed, now));
        }
    }
}

impl Publisher {
    /// What the volumes hold, to be told to the operator.
    pub fn holdings(&self) -> &Holdings {
        &self.holdings
    }

    /// Has every volume that is known refreshed.
    pub fn refresh_all(&self) {
        let now = Instant::now();
        for target in self.slots.targets() {
            self.pending.add(target, Wish::at_start(now));
        }
    }

    /// Refreshes the volumes that are to be, whenever there are some. Never returns.
    pub async fn push(self: &Arc<Self>) {
        loop {
            self.pending.ready().await;
            let Some(turn) = self.turns.to_refresh_several().await else {
                return;
            };
            let bytes = |target: &TargetPath| self.expected_bytes(target);
            let batch = self.pending.take(Instant::now(), bytes);
            let this = Arc::clone(self);
            self.tasks.spawn(async move {
                this.refresh_several(batch).await;
                drop(turn);
            });
        }
    }

    async fn refresh_several(self: &Arc<Self>, batch: Vec<(TargetPath, Wish)>) {
        let mut asked = Vec::with_capacity(batch.len());
        for (target, wish) in batch {
            if let Some(one) = self.claim(target, wish) {
                asked.extend(self.saved(one).await);
            }
        }
        if asked.is_empty() {
            return;
        }
        let questions: Vec<_> = asked
            .iter()
            .map(|one| question(&one.record.request, &one.record.held, &one.wish.changed))
            .collect();
        let answers = self.operator.release(&questions, hold::REFRESH).await;
        drop(questions);
        match answers {
            Ok(answers) => self.renew_several(asked, answers).await,
            Err(ReleaseError::TooLarge) => self.one_by_one(asked),
            Err(error) => self.fail_several(asked, &error.into()),
        }
    }

    /// Takes a volume, if it is to be asked for, and is free.
    fn claim(self: &Arc<Self>, target: TargetPath, wish: Wish) -> Option<Asked> {
        let slot = self.slot(&target);
        let Some(mut volume) = Owned::try_lock(&target, &slot) else {
            self.pending.add(target.clone(), wish.when_freed());
            let this = Arc::clone(self);
            self.tasks.spawn(async move {
                drop(slot.work.lock().await);
                this.pending.free(&target, Instant::now());
            });
            return None;
        };
        let pushed = match &volume.work.record {
            None => Pushed::Gone,
            Some(record) if wish.has_come(&record.held) => Pushed::Current,
            Some(record) if record.request.token.has_expired(jiff::Timestamp::now()) => {
                // However soon the republish comes, it must ask.
                volume.work.refreshed = None;
                Pushed::Expired
            }
            Some(record) => {
                return Some(Asked {
                    record: record.clone(),
                    span: info_span!("refresh", volume = %target),
                    volume,
                    wish,
                });
            }
        };
        self.metrics.pushed(pushed);
        None
    }

    /// The newest token must outlive us whatever the operator says.
    async fn saved(&self, mut asked: Asked) -> Option<Asked> {
        match self.save(&mut asked.volume).await {
            Ok(()) => Some(asked),
            Err(error) => {
                self.fail_several(vec![asked], &error);
                None
            }
        }
    }

    async fn renew_several(self: &Arc<Self>, asked: Vec<Asked>, answers: Vec<Answer>) {
        let this = Arc::clone(self);
        let work = move || {
            for (one, answer) in asked.into_iter().zip(answers) {
                this.renew_one(one, answer);
            }
        };
        // A panic has been told by its hook, and leaves the volumes to the republish.
        let _ = spawn_blocking(work).await;
    }

    /// Blocks.
    fn renew_one(&self, mut asked: Asked, answer: Answer) {
        let _entered = asked.span.clone().entered();
        asked.volume.slot.answered(answer.bytes);
        let renewed = renew(&self.shelf, &asked.record, answer.verdict);
        let Concluded { change, failed } = self.conclude(&mut asked.volume, renewed);
        let pushed = match change {
            None => Pushed::Kept,
            Some(Change::Unchanged) => Pushed::Unchanged,
            Some(Change::Swapped) => Pushed::Updated,
        };
        self.metrics.pushed(pushed);
        if let (Pushed::Updated, Some(heard)) = (pushed, asked.wish.heard) {
            self.metrics.swapped_after(heard.elapsed());
        }
        self.perhaps_again(asked, failed);
    }

    fn fail_several(&self, asked: Vec<Asked>, error: &PublishError) {
        for mut one in asked {
            let failed = one.span.in_scope(|| self.fail(&mut one.volume, error));
            self.metrics.pushed(Pushed::Kept);
            self.perhaps_again(one, Some(failed));
        }
    }

    fn one_by_one(&self, asked: Vec<Asked>) {
        let now = Instant::now();
        for one in asked {
            let target = one.volume.target.clone();
            self.pending.add(target, one.wish.by_itself(now));
        }
    }

    fn perhaps_again(&self, asked: Asked, failed: Option<Reason>) {
        let Asked { volume, wish, .. } = asked;
        let record = volume.work.record.as_ref();
        let came = record.is_none_or(|record| wish.is_fulfilled(&record.held));
        let chance = getrandom::u32().unwrap_or_default();
        if let Some(pause) = follow_up(failed, came, wish.tries, chance) {
            let due = Instant::now() + pause;
            self.pending.add(volume.target.clone(), wish.again_at(due));
        }
    }

    /// How large an answer will be. Of a volume for which none has come yet only its room is known,
    /// which is several times what small values take; an answer that is too large all the same is
    /// asked for in parts.
    fn expected_bytes(&self, target: &TargetPath) -> usize {
        let reserved = || usize::try_from(self.shelf.reserved(target) / 8).unwrap_or(usize::MAX);
        self.slots.answer_bytes(target).unwrap_or_else(reserved)
    }
}
