//! Asynchronous code of the cluster's side, where nothing has to be waited for.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

/// Runs a future that asks nobody: with a keyring in memory every answer is there at once.
#[expect(
    clippy::expect_used,
    reason = "the futures given to it wait for nothing but `Keys`, which is always ready"
)]
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
    .expect("a keyring in memory answers at once")
}
