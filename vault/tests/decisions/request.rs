use secretvault_vault::{
    FileAttributes, FilePath, ItemPattern, Request, RequestError, YamlError,
    names::MAX_OWNER_ID,
    request::{MAX_GLOBS, MAX_ITEMS, MAX_TEXT, MAX_VAULTS},
};

use crate::fixture::ask;

fn refuse(vaults: &str, items: &str) -> RequestError {
    Request::parse("shop", vaults, items, FileAttributes::default()).unwrap_err()
}

#[test]
fn vaults_are_a_comma_list_in_order() {
    let names = |text| {
        ask(text, "")
            .vaults
            .iter()
            .map(|vault| vault.reference.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("app"), ["shop/app"]);
    assert_eq!(
        names(" platform/shared ,app"),
        ["platform/shared", "shop/app"]
    );
}

#[test]
fn a_wrong_vaults_text_is_refused_with_its_name_and_a_remedy() {
    for (text, part) in [
        ("", "name at least one"),
        (" ", "name at least one"),
        ("a,", "\"\" names no vault"),
        ("A", "\"A\" names no vault"),
        ("a/b/c", "\"a/b/c\" names no vault"),
        ("X/b", "\"X/b\" names no namespace"),
        ("a,shop/a", "shop/a is listed twice"),
        ("${pod.namespace}", "only in items"),
        ("[]", "name at least one"),
        ("[a]", "line 1, column 2"),
        ("{vault: a}", "\"{vault: a}\" names no vault"),
        ("- vault: a\n  path: b", "line 2"),
        ("- prefix: a", "a list is needed of vault, prefix, optional"),
        ("[{vault: A}]", "\"A\" names no vault"),
        (
            "[{vault: a}, {vault: shop/a, prefix: x}]",
            "shop/a is listed twice",
        ),
        ("[{vault: a, optional: yes}]", "a list is needed"),
        ("- &x {vault: a}\n- *x", "a list is needed"),
        ("[{vault: a, prefix: ''}]", "shop/a: prefix an empty name"),
        (
            "[{vault: a, prefix: /x}]",
            "shop/a: prefix \"/x\" has an empty segment",
        ),
        (
            "[{vault: a, prefix: x/}]",
            "shop/a: prefix \"x/\" has an empty segment",
        ),
        (
            "[{vault: a, prefix: ../x}]",
            "shop/a: prefix \"../x\" has a segment",
        ),
        (
            "[{vault: a, prefix: x/..}]",
            "shop/a: prefix \"x/..\" has a segment",
        ),
        ("[{vault: a, prefix: kubernetes.io}]", "is reserved"),
        ("[{vault: a, prefix: 'x*'}]", "holds '*'"),
        ("[{vault: a, prefix: '${pod.name}'}]", "only in items"),
    ] {
        let message = refuse(text, "").to_string();
        assert!(
            message.starts_with("vaults: ") && message.contains(part),
            "{message}"
        );
    }
}

#[test]
fn vaults_are_a_yaml_list_in_block_or_flow_or_json() {
    let block = "- vault: platform/shared\n  prefix: shared/x\n  optional: true\n- vault: app\n";
    let flow = "[{vault: platform/shared, prefix: shared/x, optional: true}, {vault: app}]";
    let json =
        r#"[{"vault":"platform/shared","prefix":"shared/x","optional":true},{"vault":"app"}]"#;
    for text in [block, flow, json] {
        let vaults = ask(text, "").vaults;
        assert_eq!(vaults.len(), 2);
        assert_eq!(vaults[0].reference.to_string(), "platform/shared");
        assert_eq!(vaults[0].prefix.as_ref().unwrap().as_str(), "shared/x");
        assert_eq!(vaults[1].reference.to_string(), "shop/app");
        assert_eq!(vaults[1].prefix, None);
        assert!(vaults[0].optional && !vaults[1].optional);
    }
    assert_eq!(ask("[{vault: a}]", "").vaults, ask("a", "").vaults);
}

#[test]
fn vaults_are_bounded() {
    let list = |n: usize| {
        (0..n)
            .map(|i| format!("v{i}"))
            .collect::<Vec<_>>()
            .join(",")
    };
    assert_eq!(ask(&list(MAX_VAULTS), "").vaults.len(), MAX_VAULTS);
    assert_eq!(
        refuse(&list(MAX_VAULTS + 1), ""),
        RequestError::TooManyVaults {
            count: MAX_VAULTS + 1
        }
    );
    let yaml = |n: usize| {
        let lines: Vec<String> = (0..n).map(|i| format!("- vault: v{i}")).collect();
        lines.join("\n")
    };
    assert_eq!(ask(&yaml(MAX_VAULTS), "").vaults.len(), MAX_VAULTS);
    assert_eq!(
        refuse(&yaml(MAX_VAULTS + 1), ""),
        RequestError::TooManyVaults {
            count: MAX_VAULTS + 1
        }
    );
    assert_eq!(
        refuse(&"a".repeat(MAX_TEXT + 1), ""),
        RequestError::TooLong {
            attribute: "vaults"
        }
    );
}

#[test]
fn no_items_ask_for_everything() {
    for text in ["", "  \n "] {
        assert!(ask("app", text).items.is_empty());
    }
}

#[test]
fn items_are_a_comma_list_of_entries_globs_and_renamed_entries() {
    let request = ask("app", "db/password=db_password, smtp/** ,-x, a = b/c");
    let items: Vec<_> = request
        .items
        .iter()
        .map(|item| {
            (
                item.pattern.as_str(),
                item.path.as_ref().map(FilePath::as_str),
            )
        })
        .collect();
    let expected = [
        ("db/password", Some("db_password")),
        ("smtp/**", None),
        ("-x", None),
        ("a", Some("b/c")),
    ];
    assert_eq!(items, expected);
    assert!(matches!(request.items[1].pattern, ItemPattern::Glob(_)));
    assert!(
        request
            .items
            .iter()
            .all(|i| !i.optional && i.attributes == FileAttributes::default())
    );
}

#[test]
fn items_are_a_yaml_list_in_block_or_flow_or_json() {
    let block = "- entry: db/password\n  path: pw\n  uid: 999\n  gid: 0\n  mode: \"0400\"\n- {entry: 'smtp/*', optional: true}\n";
    let flow = "[{entry: db/password, path: pw, uid: 999, gid: 0, mode: '0400'}, {entry: smtp/*, optional: true}]";
    let json = r#"[{"entry":"db/password","path":"pw","uid":999,"gid":0,"mode":"0400"},{"entry":"smtp/*","optional":true}]"#;
    for text in [block, flow, json] {
        let items = ask("app", text).items;
        assert_eq!(items.len(), 2);
        assert_eq!(items[0].path.as_ref().unwrap().as_str(), "pw");
        let attributes = items[0].attributes;
        assert_eq!((attributes.uid, attributes.gid), (Some(999), Some(0)));
        assert_eq!(attributes.mode.unwrap().to_string(), "0400");
        assert!(!items[0].optional && items[1].optional);
    }
}

#[test]
fn a_wrong_items_text_is_refused_with_its_name_and_a_remedy() {
    for (text, part) in [
        ("a,,b", "nothing between two commas"),
        ("a,", "take one out"),
        ("a b", "\"a b\" holds ' '"),
        ("../x", "\"../x\" has a segment"),
        ("a=", "path an empty name"),
        ("a=/etc/passwd", "path \"/etc/passwd\" has an empty segment"),
        ("a=kubernetes.io/x", "path \"kubernetes.io/x\" is reserved"),
        ("a=b=c", "path \"b=c\" holds '='"),
        ("db/*=x", "\"db/*\" is a pattern"),
        ("a**", "'**' must be a whole segment"),
        ("a,a", "\"a\" is listed twice"),
        ("a=b,a=b", "\"a\" is listed twice"),
        ("[]", "an empty list"),
        ("[a]", "line 1, column 2"),
        ("- entry: a\n  file: b", "line 2"),
        ("- path: b", "line 1"),
        ("[{entry: a", "a list is needed"),
        ("- entry: a\n---\n- entry: b", "a list is needed"),
        ("- &x {entry: a}\n- *x", "a list is needed"),
        (
            "- {entry: a, uid: -1}",
            "uid -1 is not from 0 to 4294967294",
        ),
        (
            "- {entry: a, gid: 4294967295}",
            "gid 4294967295 is not from 0",
        ),
        ("- {entry: a, uid: root}", "a list is needed"),
        ("- {entry: a, mode: 0400}", "must be quoted"),
        ("- {entry: a, mode: 256}", "mode 256 must be quoted"),
        (
            "- {entry: a, mode: '4755'}",
            "mode \"4755\" is not three octal digits",
        ),
        ("- {entry: 'x/*', path: a}", "\"x/*\" is a pattern"),
        ("- {entry: a, optional: yes}", "a list is needed"),
    ] {
        let message = refuse("app", text).to_string();
        assert!(
            message.starts_with("items: ") && message.contains(part),
            "{text:?}: {message}"
        );
    }
}

#[test]
fn the_largest_owner_is_accepted() {
    let items = ask("app", "- {entry: a, uid: 4294967294, gid: 4294967294}").items;
    assert_eq!(items[0].attributes.uid, Some(MAX_OWNER_ID));
    assert_eq!(items[0].attributes.gid, Some(MAX_OWNER_ID));
}

#[test]
fn an_entry_may_be_asked_for_at_two_paths() {
    assert_eq!(ask("app", "a,a=b,a=c").items.len(), 3);
}

#[test]
fn a_yaml_error_says_where() {
    let error = refuse("app", "- entry: a\n- entry: b\n  modee: x\n");
    assert_eq!(error, RequestError::Yaml(YamlError { line: 3, column: 3 }));
}

#[test]
fn items_are_bounded() {
    let list = |n: usize, item: &str| {
        (0..n)
            .map(|i| item.replace('#', &i.to_string()))
            .collect::<Vec<_>>()
            .join(",")
    };
    assert_eq!(ask("app", &list(MAX_ITEMS, "e#")).items.len(), MAX_ITEMS);
    assert_eq!(
        refuse("app", &list(MAX_ITEMS + 1, "e#")),
        RequestError::TooManyItems {
            count: MAX_ITEMS + 1
        }
    );
    assert_eq!(ask("app", &list(MAX_GLOBS, "e#/*")).items.len(), MAX_GLOBS);
    assert_eq!(
        refuse("app", &list(MAX_GLOBS + 1, "e#/*")),
        RequestError::TooManyGlobs {
            count: MAX_GLOBS + 1
        }
    );
    assert_eq!(
        refuse("app", &format!("a{}", " ".repeat(MAX_TEXT))),
        RequestError::TooLong { attribute: "items" }
    );
}

#[test]
fn no_message_grows_with_its_input() {
    for items in [
        "x".repeat(60_000),
        format!("a={}", "?".repeat(60_000)),
        "*".repeat(60_000),
    ] {
        assert!(refuse("app", &items).to_string().chars().count() < 300);
    }
    let prefix = format!("[{{vault: a, prefix: {}}}]", "x".repeat(60_000));
    let yaml = format!("[{{vault: {}}}]", "X".repeat(60_000));
    for vaults in ["X".repeat(60_000), prefix, yaml] {
        assert!(refuse(&vaults, "").to_string().chars().count() < 300);
    }
}
