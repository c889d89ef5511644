//! What is said on a stream: the difference between what the volumes hold and what this stream was
//! told of it.

use std::collections::BTreeMap;

use secretvault_delivery::v1::{Subscription, WatchRequest};

use super::Handle;

/// What is said of one handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// The generation that is held; 0: none, the vault is awaited.
    pub generation: i64,
    /// The generation that was held when the pod started.
    pub since: i64,
}

/// All that should be said.
pub type Words = BTreeMap<Handle, Word>;

/// What one stream was told.
#[derive(Debug, Default)]
pub(super) struct Told(Words);

impl Word {
    /// One word for two volumes of a pod that share a handle: whatever is wrong with either must
    /// be noticed.
    pub fn oldest(self, other: Self) -> Self {
        Self {
            generation: self.generation.min(other.generation),
            since: self.since.min(other.since),
        }
    }
}

impl Told {
    /// The next request, which the caller is to send. `None`: all has been said.
    pub(super) fn next(&mut self, words: &Words) -> Option<WatchRequest> {
        let gone = self.0.keys().filter(|handle| !words.contains_key(*handle));
        let gone: Vec<Handle> = gone.take(MOST).cloned().collect();
        for handle in &gone {
            self.0.remove(handle);
        }
        let news = words
            .iter()
            .filter(|(handle, word)| self.0.get(*handle) != Some(*word));
        let news: Vec<(Handle, Word)> = news
            .take(MOST - gone.len())
            .map(|(handle, word)| (handle.clone(), *word))
            .collect();
        let request = WatchRequest {
            subscriptions: news.iter().map(subscription).collect(),
            dropped: gone.iter().map(Handle::to_bytes).collect(),
        };
        self.0.extend(news);
        let is_empty = request.subscriptions.is_empty() && request.dropped.is_empty();
        (!is_empty).then_some(request)
    }
}

fn subscription((handle, word): &(Handle, Word)) -> Subscription {
    Subscription {
        handle: handle.to_bytes(),
        generation: word.generation,
        since: word.since,
    }
}

/// In one request.
const MOST: usize = secretvault_delivery::MAX_WATCH_HANDLES;

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(name: &str) -> Handle {
        Handle::given(name.as_bytes()).unwrap()
    }

    fn words(said: &[(&str, i64)]) -> Words {
        let word = |generation| Word {
            generation,
            since: 1,
        };
        said.iter()
            .map(|(name, generation)| (handle(name), word(*generation)))
            .collect()
    }

    /// What a stream hears of a change, as `name@generation` and `-name`.
    fn difference(before: &[(&str, i64)], after: &[(&str, i64)]) -> Vec<String> {
        let mut told = Told(words(before));
        let request = told.next(&words(after)).unwrap_or_default();
        assert_eq!(told.next(&words(after)), None, "it is said once");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let said = request
            .subscriptions
            .iter()
            .map(|one| format!("{}@{}", text(&one.handle), one.generation));
        let dropped = request
            .dropped
            .iter()
            .map(|handle| format!("-{}", text(handle)));
        said.chain(dropped).collect()
    }

    #[test]
    fn a_stream_hears_the_difference() {
        type Words = &'static [(&'static str, i64)];
        let table: [(Words, Words, &[&str]); 7] = [
            (&[], &[], &[]),
            (&[], &[("a", 1), ("b", 0)], &["a@1", "b@0"]),
            (&[("a", 1)], &[("a", 1)], &[]),
            (&[("a", 1)], &[("a", 2)], &["a@2"]),
            (&[("a", 2)], &[("a", 1)], &["a@1"]),
            (&[("a", 1), ("b", 1)], &[("b", 1)], &["-a"]),
            (&[("a", 1)], &[("b", 1)], &["b@1", "-a"]),
        ];
        for (before, after, said) in table {
            assert_eq!(difference(before, after), said, "{before:?} {after:?}");
        }
    }

    #[test]
    fn a_later_since_alone_is_said_too() {
        let mut told = Told(words(&[("a", 3)]));
        let mut after = words(&[("a", 3)]);
        after.get_mut(&handle("a")).unwrap().since = 3;
        assert_eq!(told.next(&after).unwrap().subscriptions[0].since, 3);
    }

    #[test]
    fn no_request_is_longer_than_the_protocol_allows_and_nothing_is_left_out() {
        let named = |range: std::ops::Range<usize>| -> Words {
            let names = range.map(|i| format!("{i:05}"));
            let word = Word {
                generation: 1,
                since: 1,
            };
            names.map(|name| (handle(&name), word)).collect()
        };
        let mut told = Told(named(0..1500));
        let wanted = named(1000..4000);
        let (mut said, mut dropped) = (0, 0);
        while let Some(request) = told.next(&wanted) {
            assert!(request.subscriptions.len() + request.dropped.len() <= MOST);
            said += request.subscriptions.len();
            dropped += request.dropped.len();
        }
        assert_eq!((said, dropped), (2500, 1000));
        assert_eq!(told.0, wanted);
    }

    #[test]
    fn the_oldest_of_two_words_counts() {
        let word = |generation, since| Word { generation, since };
        assert_eq!(word(3, 2).oldest(word(4, 1)), word(3, 1));
    }
}
