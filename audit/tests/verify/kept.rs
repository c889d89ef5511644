//! Checkpoints that are kept elsewhere.

use jiff::Timestamp;
use secretvault_audit::{Checkpoint, Expectation, checkpoints};

use super::log::{Replica, expectation, found, keeping, verify_with};

/// Ten lines and a checkpoint, five lines and a checkpoint: 0 to 10, and 11 to 16.
fn log() -> Vec<String> {
    let mut replica = Replica::new("a");
    let mut lines = replica.signed(10);
    replica.wait(60);
    lines.extend(replica.signed(5));
    lines
}

#[test]
fn a_whole_log_is_the_one_of_its_checkpoints() {
    let lines = log();
    for kept in [&lines[10], &lines[16]] {
        assert_eq!(found(&verify_with(&lines, keeping(kept))), [""; 0]);
    }
}

#[test]
fn an_end_that_is_cut_is_found_by_a_checkpoint_that_was_kept() {
    let lines = log();
    for left in [16, 14, 11] {
        let cut = &lines[..left];
        assert_eq!(found(&verify_with(cut, expectation())), [""; 0]);
        let expected = format!(
            "a.0000000000000001: the end is missing: the last line is {}, and a checkpoint of line \
             16 was kept",
            left - 1
        );
        assert_eq!(found(&verify_with(cut, keeping(&lines[16]))), [expected]);
    }
}

#[test]
fn a_chain_that_is_not_there_at_all_is_found_unless_it_is_too_old_to_be_asked_for() {
    let others = Replica::new("b").signed(3);
    let kept = &log()[16];
    let expected = "a.0000000000000001: the whole chain is missing: a checkpoint of its line 16 was \
                    kept";
    assert_eq!(found(&verify_with(&others, keeping(kept))), [expected]);
    let since = |second| Expectation {
        since: Some(Timestamp::from_second(second).unwrap()),
        ..keeping(kept)
    };
    assert_eq!(found(&verify_with(&others, since(60))), [expected]);
    assert_eq!(found(&verify_with(&others, since(61))), [""; 0]);
}

/// Also by somebody who has the key, if the checkpoint was copied before.
#[test]
fn a_log_that_was_written_anew_with_the_key_contradicts_the_checkpoint() {
    let mut thief = Replica::new("a");
    thief.wait(1);
    let mut forged = thief.signed(10);
    forged.extend(thief.signed(20));
    assert_eq!(found(&verify_with(&forged, expectation())), [""; 0]);
    let expected = "a.0000000000000001: the lines before line 16 are not those that the kept \
                    checkpoint signs";
    assert_eq!(
        found(&verify_with(&forged, keeping(&log()[16]))),
        [expected]
    );
}

#[test]
fn a_kept_checkpoint_that_the_key_did_not_sign_is_none() {
    let mut other = Replica::new("a").with_key(8);
    let kept = other.signed(10).remove(10);
    let lines = Replica::new("a").signed(10);
    let expected =
        "a.0000000000000001: the checkpoint of line 10 that was kept is not signed by the key";
    let found = found(&verify_with(&lines, keeping(&kept)));
    assert!(found.contains(&expected.to_owned()), "{found:?}");
}

#[test]
fn a_rotated_log_is_held_to_the_checkpoints_of_what_is_left() {
    let lines = log();
    let rotated = |kept: &str| Expectation {
        rotated: true,
        ..keeping(kept)
    };
    // The first one is of lines that are gone.
    for kept in [&lines[10], &lines[16]] {
        assert_eq!(found(&verify_with(&lines[11..], rotated(kept))), [""; 0]);
    }
    let found = found(&verify_with(&lines[11..16], rotated(&lines[16])));
    assert!(found[0].contains("the end is missing"), "{found:?}");
}

#[test]
fn checkpoints_are_read_as_lines_and_from_the_config_map() {
    let lines = log();
    let expected: Vec<Checkpoint> = [10, 16]
        .map(|line: usize| Checkpoint::parse(lines[line].as_bytes()).unwrap())
        .to_vec();
    let text = format!("{}\n\n{}\n", lines[10], lines[16]);
    assert_eq!(checkpoints(&text).unwrap(), expected);
    let quoted = |line: &String| line.replace('"', "\\\"");
    let map = format!(
        "{{\"kind\":\"ConfigMap\",\"data\":{{\"a.1\":\"{}\",\"a.2\":\"{}\",\"public.pem\":\"x\"}}}}",
        quoted(&lines[10]),
        quoted(&lines[16])
    );
    assert_eq!(checkpoints(&map).unwrap(), expected);
    for none in [
        "",
        "{}",
        "{\"data\":{}}",
        "{\"data\":{\"a\":\"x\"}}",
        &lines[3],
    ] {
        assert!(checkpoints(none).is_err(), "{none}");
    }
}
