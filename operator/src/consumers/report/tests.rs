//! What a replica writes, and what the leader does not believe.

use secretvault_vault::VaultRef;

use super::*;

fn consumer(vault: &str, pod: &str, restart: bool) -> Consumer {
    Consumer {
        vault: VaultRef::new("shop", vault),
        vault_uid: format!("uid-{vault}"),
        pod_namespace: "shop".to_owned(),
        pod: pod.to_owned(),
        pod_uid: format!("uid-{pod}"),
        node: "node-a".to_owned(),
        env: false,
        restart,
        overridden: Vec::new(),
    }
}

fn held(generation: i64, since: i64) -> Holding {
    Holding { generation, since }
}

fn counted(report: &Report) -> u32 {
    let sections = report.vaults.values();
    sections
        .map(|it| it.pods.len() as u32 + it.more.iter().map(|more| more.count).sum::<u32>())
        .sum()
}

#[test]
fn a_report_names_pods_and_says_what_matters_of_them() {
    let consumers = BTreeMap::from([
        (consumer("app", "web-0", true), held(7, 3)),
        (consumer("app", "web-1", false), held(7, 3)),
    ]);
    insta::assert_snapshot!(Report::text(&consumers, 1000), @r#"{"version":1,"vaults":{"uid-app":{"pods":[["shop","web-0","node-a",7,3,2,"uid-web-0",[]],["shop","web-1","node-a",7,0,0,"",[]]]}}}"#);
}

#[test]
fn what_is_written_is_read() {
    let consumers = BTreeMap::from([
        (consumer("app", "web-0", true), held(7, 3)),
        (consumer("db", "web-0", false), held(1, 1)),
    ]);
    let text = Report::text(&consumers, 1000);
    assert_eq!(Report::parse(&text).unwrap().to_json(), text);
}

#[test]
fn a_vault_that_is_awaited_has_no_consumers() {
    let mut awaited = consumer("app", "web-0", true);
    awaited.vault_uid = String::new();
    let text = Report::text(&BTreeMap::from([(awaited, held(0, 0))]), 1000);
    assert_eq!(text, r#"{"version":1,"vaults":{}}"#);
}

#[test]
fn the_oldest_are_named_and_all_are_counted() {
    let pods = (0..500).map(|n| {
        let generation = if n == 321 { 6 } else { 7 };
        (
            consumer("app", &format!("web-{n}"), false),
            held(generation, 1),
        )
    });
    let text = Report::text(&pods.collect(), 300 * 1024);
    let report = Report::parse(&text).unwrap();
    let section = &report.vaults["uid-app"];
    assert_eq!(section.pods.len(), 100);
    let oldest = &section.pods[0];
    assert_eq!((oldest.name.as_str(), oldest.generation), ("web-321", 6));
    let unnamed = Unnamed {
        generation: 7,
        since: 0,
        flags: 0,
        count: 400,
    };
    assert_eq!(section.more, [unnamed]);
}

#[test]
fn who_asks_for_a_restart_is_named_beyond_what_a_status_shows() {
    let pods = (0..500).map(|n| (consumer("app", &format!("web-{n}"), true), held(7, 1)));
    let report = Report::parse(&Report::text(&pods.collect(), 300 * 1024)).unwrap();
    assert_eq!(report.vaults["uid-app"].pods.len(), 500);
}

#[test]
fn names_go_before_counts_and_counts_before_vaults() {
    let pods = |vaults: usize| -> BTreeMap<Consumer, Holding> {
        let pods = (0..vaults).flat_map(|vault| {
            (0..10).map(move |n| {
                let pod = consumer(&format!("app-{vault}"), &format!("web-{n}"), true);
                (pod, held(7, 1))
            })
        });
        pods.collect()
    };
    for (vaults, budget, named, omitted) in [
        (10, 10_000, true, false),
        (10, 600, false, false),
        (100, 600, false, true),
    ] {
        let text = Report::text(&pods(vaults), budget);
        assert!(text.len() <= budget, "{vaults}: {}", text.len());
        let report = Report::parse(&text).unwrap();
        let names = report.vaults.values().any(|it| !it.pods.is_empty());
        assert_eq!(
            (names, report.omitted > 0),
            (named, omitted),
            "{vaults} {budget}"
        );
        let left_out = report.omitted as u32 * 10;
        assert_eq!(counted(&report) + left_out, vaults as u32 * 10);
    }
}

#[test]
fn what_no_replica_writes_is_refused() {
    let row = |row: &str| format!(r#"{{"version":1,"vaults":{{"u":{{"pods":[{row}]}}}}}}"#);
    for paths in ["[]", r#"["db/password"]"#] {
        let good = row(&format!(r#"["shop","web","a",1,1,3,"u",{paths}]"#));
        assert!(Report::parse(&good).is_ok());
    }
    let more = |row: &str| format!(r#"{{"version":1,"vaults":{{"u":{{"more":[{row}]}}}}}}"#);
    assert!(Report::parse(&more("[1,1,3,5]")).is_ok());
    let cases = [
        String::new(),
        "[]".into(),
        r#"{"version":1}"#.into(),
        r#"{"version":1,"vaults":{},"other":1}"#.into(),
        r#"{"version":1,"vaults":{"u":{"other":[]}}}"#.into(),
        r#"{"version":1,"vaults":{"U/":{}}}"#.into(),
        r#"{"version":1,"vaults":{"":{}}}"#.into(),
        row(r#"["shop","web","a",1,1,4,"u",[]]"#),
        row(r#"["shop","web","a",-1,1,3,"u",[]]"#),
        row(r#"["shop","web","a",1,1,3,"u",["../x"]]"#),
        row(r#"["shop","web","a",1,1,3,"u",["a","b","c","d","e","f","g","h","i"]]"#),
        row(r#"["shop","web","a",1,-1,3,"u",[]]"#),
        row(r#"["shop","web/x","a",1,1,3,"u",[]]"#),
        row(r#"["","web","a",1,1,3,"u",[]]"#),
        row(r#"["shop","web","a b",1,1,3,"u",[]]"#),
        row(r#"["shop","web","a",1,1,3,"U",[]]"#),
        row(r#"["shop","web","a",1,1,3]"#),
        row(r#"["shop","web","a",1,1,3,"u",[],"v"]"#),
        row(&format!(
            r#"["shop","{}","a",1,1,3,"u",[]]"#,
            "x".repeat(254)
        )),
        more("[1,1,3,-5]"),
        more("[-1,1,3,5]"),
        more("[1,-1,3,5]"),
        more("[1,1,4,5]"),
    ];
    for text in cases {
        assert_eq!(
            Report::parse(&text).unwrap_err(),
            ReportError::Malformed,
            "{text}"
        );
    }
    let newer = r#"{"version":2,"vaults":{}}"#;
    assert_eq!(Report::parse(newer).unwrap_err(), ReportError::Version);
    let long = format!("{}{}", " ".repeat(MAX_TEXT), r#"{"version":1,"vaults":{}}"#);
    assert_eq!(Report::parse(&long).unwrap_err(), ReportError::TooLong);
}
