//! What is done to a log by hand, and what is said of it.

use secretvault_audit::{Expectation, Verifier};

use super::log::{Replica, expectation, found, key, verify, verify_with};

/// Ten lines and a checkpoint: 0 to 10.
fn log() -> Vec<String> {
    Replica::new("a").signed(10)
}

#[test]
fn a_whole_log_is_in_order() {
    let report = verify(&log());
    assert_eq!(found(&report), [""; 0]);
    let chain = &report.chains[0];
    assert_eq!(chain.chain.as_str(), "a.0000000000000001");
    assert_eq!((chain.first, chain.last, chain.lines), (0, 10, 11));
    assert_eq!(chain.signed, Some(10));
}

#[test]
fn a_removed_line_is_missing() {
    let mut lines = log();
    lines.remove(4);
    assert_eq!(
        found(&verify(&lines)),
        ["a.0000000000000001: line 4 is missing"]
    );
    lines.drain(4..6);
    let expected = "a.0000000000000001: lines 4 to 6 are missing";
    assert_eq!(found(&verify(&lines)), [expected]);
}

#[test]
fn a_changed_line_is_not_the_one_that_the_next_is_chained_to() {
    let mut lines = log();
    lines[4] = lines[4].replace("\"lost\":4", "\"lost\":5");
    let expected =
        "a.0000000000000001: line 4 was changed: line 5 is not chained to it as it is now";
    assert_eq!(found(&verify(&lines)), [expected]);
}

#[test]
fn the_last_line_before_a_checkpoint_cannot_be_changed_either() {
    let mut lines = log();
    lines[9] = lines[9].replace("\"lost\":9", "\"lost\":8");
    let expected =
        "a.0000000000000001: line 9 was changed: line 10 is not chained to it as it is now";
    assert_eq!(found(&verify(&lines)), [expected]);
}

#[test]
fn moved_lines_are_out_of_order() {
    let mut lines = log();
    lines.swap(4, 5);
    let behind = |seq| {
        format!("a.0000000000000001: line {seq} stands behind a line that was written after it")
    };
    assert_eq!(found(&verify(&lines)), [behind(4)]);
    let mut lines = log();
    let moved = lines.remove(2);
    lines.insert(7, moved);
    assert_eq!(found(&verify(&lines)), [behind(2)]);
}

#[test]
fn a_repeated_line_is_there_twice() {
    let mut lines = log();
    lines.push(lines[3].clone());
    let found = found(&verify(&lines));
    assert!(
        found.contains(&"a.0000000000000001: there are two lines 3".to_owned()),
        "{found:?}"
    );
}

#[test]
fn a_line_that_was_cut_is_damaged_and_missing() {
    let mut lines = log();
    lines[4].truncate(60);
    let expected = [
        "log:5: the line was cut or changed: it cannot be read",
        "a.0000000000000001: line 4 is missing",
    ];
    assert_eq!(found(&verify(&lines)), expected);
}

#[test]
fn a_line_of_another_version_or_with_another_members_twice_is_damaged() {
    for (from, to) in [
        ("\"seq\":4", "\"seq\":-4"),
        ("\"seq\":4", "\"seq\":4,\"seq\":4"),
        (
            "\"time\":\"1970-01-01T00:00:00Z\"",
            "\"time\":\"1970-01-01T00:00:00.0Z\"",
        ),
        ("\"audit\":\"gap\"", "\"audit\":\"checkpoint\""),
        ("\"audit\":\"gap\"", "\"audit\":\"gap\",\"signature\":\"\""),
        ("a.0", "a\\n.0"),
    ] {
        let mut lines = log();
        let changed = lines[4].replace(from, to);
        assert_ne!(changed, lines[4], "{from}");
        lines[4] = changed;
        let found = found(&verify(&lines));
        assert_eq!(
            found[0], "log:5: the line was cut or changed: it cannot be read",
            "{to}"
        );
    }
}

#[test]
fn without_its_first_lines_a_chain_has_no_beginning_unless_the_log_is_rotated() {
    let lines = &log()[3..];
    let expected = "a.0000000000000001: the beginning is missing: lines 0 to 2";
    assert_eq!(found(&verify(lines)), [expected]);
    let rotated = Expectation {
        rotated: true,
        ..expectation()
    };
    assert_eq!(found(&verify_with(lines, rotated)), [""; 0]);
}

#[test]
fn an_end_that_is_cut_is_not_found_by_the_log_alone() {
    let mut replica = Replica::new("a");
    let mut lines = replica.signed(10);
    lines.extend(replica.lines(5));
    let report = verify(&lines);
    assert_eq!(found(&report), [""; 0]);
    assert_eq!(
        report.chains[0].signed,
        Some(10),
        "what follows is chained only"
    );
    assert_eq!(found(&verify(&lines[..13])), [""; 0]);
}

#[test]
fn a_chain_that_somebody_made_who_has_no_key_is_not_signed() {
    let forged = Replica::new("a").lines(10);
    let expected =
        "a.0000000000000001: lines 0 to 9 have no signature, which they should have by now";
    assert_eq!(found(&verify(&forged)), [expected]);
    let other = Replica::new("a").with_key(8).signed(10);
    let unknown = format!(
        "a.0000000000000001: checkpoints are signed by key {}, which was not given",
        key(8).id()
    );
    let unsigned =
        "a.0000000000000001: lines 0 to 10 have no signature, which they should have by now";
    assert_eq!(found(&verify(&other)), [unknown.as_str(), unsigned]);
}

#[test]
fn a_chain_that_was_computed_anew_does_not_fit_its_checkpoint() {
    let mut forger = Replica::new("a");
    let mut lines = forger.lines(9);
    let honest = log();
    // One line less before the checkpoint, with the checkpoint's number and its signature.
    let signature = honest[10].split_once("\"signedBy\"").unwrap().1;
    let own = forger.checkpoint();
    let (head, _) = own.split_once("\"signedBy\"").unwrap();
    lines.push(format!("{head}\"signedBy\"{signature}"));
    let expected = [
        "a.0000000000000001: line 9: the signature is not the key's",
        "a.0000000000000001: lines 0 to 9 have no signature, which they should have by now",
    ];
    assert_eq!(found(&verify(&lines)), expected);
}

#[test]
fn many_lines_or_much_time_after_the_last_signature_are_found() {
    let mut replica = Replica::new("a");
    let mut lines = replica.signed(10);
    lines.extend(replica.lines(2001));
    let expected =
        "a.0000000000000001: lines 11 to 2011 have no signature, which they should have by now";
    assert_eq!(found(&verify(&lines)), [expected]);
    let mut replica = Replica::new("a");
    let mut lines = replica.signed(10);
    replica.wait(601);
    lines.extend(replica.lines(1));
    let expected =
        "a.0000000000000001: lines 11 to 11 have no signature, which they should have by now";
    assert_eq!(found(&verify(&lines)), [expected]);
}

#[test]
fn without_keys_no_signature_is_asked_for() {
    let report = verify_with(&Replica::new("a").lines(10), Expectation::default());
    assert_eq!(found(&report), [""; 0]);
    assert_eq!(report.chains[0].signed, None);
}

#[test]
fn chains_are_interleaved_among_lines_that_are_none_of_ours() {
    let [a, b] = ["a", "b"].map(|name| Replica::new(name).signed(3));
    let mut lines = vec!["{\"level\":\"INFO\",\"message\":\"starting\"}".to_owned()];
    for (a, b) in a.iter().zip(&b) {
        lines.push(format!("[pod/secretvault-operator-0/operator] {a}"));
        lines.push(String::new());
        lines.push(format!("2026-11-27T09:00:00.000000000Z stdout F {b}"));
        lines.push("\u{0}\u{ff}".to_owned());
    }
    let report = verify(&lines);
    assert_eq!(found(&report), [""; 0]);
    assert_eq!((report.chains.len(), report.foreign), (2, 9));
    // The same without one line of one of them.
    lines.remove(5);
    assert_eq!(
        found(&verify(&lines)),
        ["a.0000000000000001: line 1 is missing"]
    );
}

#[test]
fn files_may_come_in_any_order() {
    let lines = log();
    let mut verifier = Verifier::new(expectation());
    for part in [8..11, 0..3, 3..8] {
        verifier
            .read("log", lines[part].join("\n").as_bytes())
            .unwrap();
    }
    assert_eq!(found(&verifier.finish()), [""; 0]);
}

#[test]
fn a_line_without_an_end_takes_no_memory() {
    let mut lines = log();
    lines.insert(3, "x".repeat(9 * 1024 * 1024));
    assert_eq!(found(&verify(&lines)), [""; 0]);
}
