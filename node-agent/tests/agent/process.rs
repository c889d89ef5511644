//! The process: what it may do, what it writes, what it keeps.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::{
    node::{later, on_a_node},
    operator::grant,
};

#[test]
#[ignore = "needs root: make test"]
fn the_agent_keeps_three_capabilities_and_gains_none() {
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
        assert_eq!(field("NoNewPrivs:"), "1");
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
