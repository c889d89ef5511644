//! The process: what it may do, what it writes, what it keeps.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{FileExt, PermissionsExt},
    thread,
    time::Duration,
};

use aho_corasick::AhoCorasick;
use secretvault_delivery::v1::file::Content;

use crate::{
    node::{later, on_a_node},
    operator::grant,
};

#[test]
#[ignore = "needs root: make test"]
fn the_agent_keeps_three_capabilities_gains_none_and_filters_its_calls() {
    on_a_node(|node| {
        let status = fs::read_to_string(format!("/proc/{}/status", node.agent_id())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().to_owned()
        };
        // CHOWN is bit 0, DAC_OVERRIDE bit 1, SYS_ADMIN bit 21.
        for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
            assert_eq!(
                u64::from_str_radix(&field(set), 16).unwrap(),
                0x20_0003,
                "{set}"
            );
        }
        assert_eq!(field("CapInh:").trim_start_matches('0'), "");
        assert_eq!(
            (field("NoNewPrivs:").as_str(), field("Seccomp:").as_str()),
            ("1", "2")
        );
        let limits = fs::read_to_string(format!("/proc/{}/limits", node.agent_id())).unwrap();
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"))
            .unwrap();
        assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    });
}

#[test]
#[ignore = "needs root: make test"]
fn no_log_metric_or_readable_file_holds_a_value_or_a_token() {
    on_a_node(|node| {
        node.operator.grant(grant(1, &[("db", "canary-value")]));
        node.publish_as(node.request("canary-token")).unwrap();
        node.operator.grant(grant(2, &[("db", "canary-changed")]));
        later();
        node.publish_as(node.request("canary-token")).unwrap();
        node.operator
            .answer(|_| Err(tonic::Status::unavailable("down")));
        later();
        node.publish_as(node.request("canary-token")).unwrap();
        let metrics = node.get("/metrics").unwrap();
        for (what, text) in [("log", node.log()), ("metrics", metrics)] {
            assert!(!text.contains("canary"), "{what}: {text}");
            assert!(!text.contains("agent-token"), "{what}: {text}");
        }
        for record in node.records() {
            assert_eq!(
                fs::metadata(&record).unwrap().permissions().mode() & 0o777,
                0o600
            );
            assert!(
                fs::read_to_string(&record)
                    .unwrap()
                    .contains("canary-token"),
                "the control"
            );
        }
    });
}

#[test]
#[ignore = "needs root: make test"]
fn no_filter_brings_headers_into_the_log() {
    crate::node::on_a_node_with(&["--log=trace"], |node| {
        node.operator.grant(grant(1, &[("db", "canary-value")]));
        node.publish_as(node.request("canary-token")).unwrap();
        let log = node.log();
        assert!(log.contains("volume attached"));
        assert!(
            !log.contains("canary") && !log.contains("agent-token"),
            "{log}"
        );
    });
}

#[test]
#[ignore = "needs root: make test"]
fn the_agents_memory_keeps_neither_value_nor_key() {
    on_a_node(|node| {
        let (first, second) = ("canary-value-1-".repeat(9), "canary-value-2-".repeat(9));
        let grants = [grant(1, &[("db", &first)]), grant(2, &[("db", &second)])];
        for grant in &grants {
            node.operator.grant(grant.clone());
            node.publish_as(node.request("canary-token")).unwrap();
            later();
        }
        assert_eq!(node.read()["db"], second);
        // The connection's buffers live as long as the connection: seconds.
        thread::sleep(Duration::from_secs(7));
        let keys = grants.iter().map(|grant| {
            let Some(Content::Sealed(sealed)) = &grant.files[0].content else {
                panic!("sealed")
            };
            sealed.key.to_vec()
        });
        let values = [&b"canary-value-1-"[..], b"canary-value-2-"].map(<[u8]>::to_vec);
        // The control: it is remembered for the next question.
        let wanted: Vec<Vec<u8>> = [b"canary-token".to_vec()]
            .into_iter()
            .chain(values)
            .chain(keys)
            .collect();
        let scanner = AhoCorasick::new(&wanted).unwrap();
        let memory = memory(node.agent_id());
        let found: BTreeSet<usize> = scanner
            .find_overlapping_iter(&memory)
            .map(|found| found.pattern().as_usize())
            .collect();
        assert_eq!(found, [0].into());
    });
}

/// All that a process could write to.
fn memory(id: u32) -> Vec<u8> {
    let maps = fs::read_to_string(format!("/proc/{id}/maps")).unwrap();
    let memory = fs::File::open(format!("/proc/{id}/mem")).unwrap();
    let mut found = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (range, _) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        let mut region = vec![0; usize::try_from(number(end) - number(start)).unwrap()];
        if memory.read_exact_at(&mut region, number(start)).is_ok() {
            found.extend(region);
        }
    }
    found
}
