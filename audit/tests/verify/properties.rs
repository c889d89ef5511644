//! Whatever is done to whatever log.

use proptest::prelude::*;
use secretvault_audit::{Checkpoint, Expectation};

use super::log::{Replica, expectation, found, verify, verify_with};

/// A log of some replicas: each line with the chain that it is of, none for foreign ones. Each chain
/// ends with a checkpoint.
fn logs() -> impl Strategy<Value = Vec<(Option<usize>, String)>> {
    let steps = prop::collection::vec((0..4_usize, 0..8_u8), 1..60);
    steps.prop_map(|steps| {
        let mut replicas = ["a", "b", "c"].map(Replica::new);
        let mut log = Vec::new();
        let mut began = [false; 3];
        for (chain, what) in steps {
            let Some(replica) = replicas.get_mut(chain) else {
                log.push((None, format!("{{\"level\":\"INFO\",\"what\":{what}}}")));
                continue;
            };
            began[chain] = true;
            let line = match what {
                0 => replica.checkpoint(),
                _ => replica.lines(1).remove(0),
            };
            log.push((Some(chain), line));
        }
        for (chain, replica) in replicas.iter_mut().enumerate() {
            if began[chain] {
                log.push((Some(chain), replica.checkpoint()));
            }
        }
        log
    })
}

fn lines(log: &[(Option<usize>, String)]) -> Vec<&str> {
    log.iter().map(|(_, line)| line.as_str()).collect()
}

/// The positions of the lines of one chain.
fn places(log: &[(Option<usize>, String)], chain: usize) -> Vec<usize> {
    let of_chain =
        |(place, (of, _)): (usize, &(Option<usize>, _))| (*of == Some(chain)).then_some(place);
    log.iter().enumerate().filter_map(of_chain).collect()
}

/// The last checkpoint of each chain, kept elsewhere.
fn kept(log: &[(Option<usize>, String)]) -> Expectation {
    let last = (0..3).filter_map(|chain| places(log, chain).pop());
    let last = last.map(|place| Checkpoint::parse(log[place].1.as_bytes()).unwrap());
    Expectation {
        checkpoints: last.collect(),
        ..expectation()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_log_that_nobody_touched_is_in_order(log in logs()) {
        prop_assert_eq!(found(&verify(&lines(&log))), [""; 0]);
        prop_assert_eq!(found(&verify_with(&lines(&log), kept(&log))), [""; 0]);
    }

    #[test]
    fn a_removed_line_is_found(log in logs(), at in any::<prop::sample::Index>()) {
        let at = at.index(log.len());
        let Some(chain) = log[at].0 else { return Ok(()) };
        let mut cut = log.clone();
        cut.remove(at);
        let is_last = places(&log, chain).pop() == Some(at);
        let alone = verify(&lines(&cut));
        // By the log alone, a lost end cannot be seen; but that its lines are not signed, if none is.
        prop_assert!(is_last || !alone.findings.is_empty());
        let report = verify_with(&lines(&cut), kept(&log));
        prop_assert!(!report.findings.is_empty(), "line {at}");
    }

    #[test]
    fn a_cut_end_is_found_with_a_kept_checkpoint(log in logs(), at in any::<prop::sample::Index>()) {
        let ours: Vec<usize> = (0..log.len()).filter(|place| log[*place].0.is_some()).collect();
        prop_assume!(!ours.is_empty());
        let at = ours[at.index(ours.len())];
        let report = verify_with(&lines(&log[..at]), kept(&log));
        prop_assert!(!report.findings.is_empty());
    }

    #[test]
    fn a_changed_byte_is_found(
        log in logs(),
        at in any::<prop::sample::Index>(),
        byte in any::<prop::sample::Index>(),
        with in 0x20_u8..0x7f,
    ) {
        let at = at.index(log.len());
        let Some(chain) = log[at].0 else { return Ok(()) };
        let mut changed = log.clone();
        let mut bytes = log[at].1.clone().into_bytes();
        let byte = byte.index(bytes.len());
        prop_assume!(bytes[byte] != with);
        bytes[byte] = with;
        changed[at].1 = String::from_utf8(bytes).unwrap();
        if places(&log, chain).pop() != Some(at) {
            prop_assert!(!verify(&lines(&changed)).findings.is_empty());
        }
        let report = verify_with(&lines(&changed), kept(&log));
        prop_assert!(!report.findings.is_empty(), "{} is {}", log[at].1, changed[at].1);
    }

    #[test]
    fn a_line_that_is_cut_anywhere_is_found(
        log in logs(),
        at in any::<prop::sample::Index>(),
        left in any::<prop::sample::Index>(),
    ) {
        let at = at.index(log.len());
        if log[at].0.is_none() { return Ok(()) }
        let mut cut = log.clone();
        let left = left.index(log[at].1.len());
        cut[at].1.truncate(left);
        let report = verify_with(&lines(&cut), kept(&log));
        prop_assert!(!report.findings.is_empty());
    }

    #[test]
    fn two_lines_of_a_chain_that_change_places_are_found(
        log in logs(),
        chain in 0..3_usize,
        one in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
    ) {
        let places = places(&log, chain);
        prop_assume!(!places.is_empty());
        let (one, other) = (places[one.index(places.len())], places[other.index(places.len())]);
        prop_assume!(one != other);
        let mut swapped = log.clone();
        swapped.swap(one, other);
        prop_assert!(!verify(&lines(&swapped)).findings.is_empty());
    }

    #[test]
    fn an_inserted_line_is_found(
        log in logs(),
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
    ) {
        let from = from.index(log.len());
        if log[from].0.is_none() { return Ok(()) }
        let mut more = log.clone();
        more.insert(to.index(log.len() + 1), log[from].clone());
        prop_assert!(!verify(&lines(&more)).findings.is_empty());
    }
}
