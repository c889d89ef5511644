use super::*;

fn parse(pairs: &[(&str, &str)]) -> Result<Annotations, AnnotationError> {
    let pairs = pairs
        .iter()
        .map(|(name, text)| (format!("{PREFIX}{name}"), (*text).to_owned()));
    Annotations::parse(&pairs.collect())
}

/// The annotations of a vault, and one more.
fn with(name: &str, text: &str) -> Result<Annotations, AnnotationError> {
    parse(&[("vaults", "app"), (name, text)])
}

fn message(name: &str, text: &str) -> String {
    with(name, text).unwrap_err().to_string()
}

#[test]
fn everything_is_read() {
    let read = parse(&[
        ("vaults", "platform/shared, app"),
        ("mount-path", "/etc/app"),
        ("containers", "web, init"),
        ("items", "db/**"),
        ("uid", "999"),
        ("gid", "0"),
        ("mode", "0400"),
        ("env-file", "DB_PASSWORD=db_password, TOKEN = smtp/token"),
        ("file-env", "true"),
        ("env", "false"),
        ("on-change", "signal:HUP"),
        ("restarted-at", "2026-01-01T00:00:00Z"),
    ])
    .unwrap();
    assert_eq!(read.attribute("vaults"), "platform/shared, app");
    assert_eq!(read.attributes.len(), 5);
    assert_eq!(read.defaults.uid, Some(999));
    assert_eq!(read.mount_path.as_str(), "/etc/app");
    assert_eq!(Vec::from_iter(read.containers.unwrap()), ["init", "web"]);
    let variables: Vec<String> = read
        .env_file
        .iter()
        .map(|(name, path)| format!("{name}={path}"))
        .collect();
    assert_eq!(variables, ["DB_PASSWORD=db_password", "TOKEN=smtp/token"]);
    assert!(read.file_env && !read.env);
    assert_eq!(read.on_change, OnChange::Signal("HUP"));
}

#[test]
fn what_is_not_said_has_a_default() {
    let read = parse(&[("vaults", "app")]).unwrap();
    assert_eq!(read.mount_path.as_str(), "/run/secrets");
    assert_eq!(read.containers, None);
    assert_eq!(read.attribute("items"), "");
    assert_eq!(read.on_change, OnChange::None);
    assert!(!read.file_env && !read.env);
}

#[test]
fn an_unknown_annotation_is_refused_with_what_was_meant() {
    assert!(message("envfile", "A=a").contains("did you mean env-file?"));
    assert!(message("vault", "app").contains("did you mean vaults?"));
    let strange = message("zzz", "");
    assert!(!strange.contains("did you mean"), "{strange}");
    assert!(
        strange.contains("there are vaults, mount-path"),
        "{strange}"
    );
}

#[test]
fn annotations_of_others_are_none_of_ours() {
    let others = [("example.com/vaults", "x"), ("csi.secretvault.dev/x", "y")];
    let others = others.map(|(key, text)| (key.to_owned(), text.to_owned()));
    let read = Annotations::parse(&others.into()).unwrap();
    assert_eq!(read.attributes, BTreeMap::new());
}

#[test]
fn nothing_is_asked_for_without_a_vault() {
    for name in ["items", "env", "on-change", "uid"] {
        let restarted = ("restarted-at", "u@2");
        for pairs in [&[(name, "none")][..], &[(name, "none"), restarted]] {
            let error = parse(pairs).unwrap_err().to_string();
            let says = format!("{PREFIX}{name} is of no use");
            assert!(error.contains(&says), "{error}");
        }
    }
}

/// It stays in a template whose author takes all others out.
#[test]
fn a_restart_that_was_made_asks_for_nothing() {
    let read = parse(&[("restarted-at", "u@2")]).unwrap();
    assert_eq!(read, parse(&[]).unwrap());
    let misspelt = parse(&[("restarted-at", "u@2"), ("vault", "app")]);
    assert!(matches!(misspelt, Err(AnnotationError::Unknown { .. })));
}

/// What others act on is what the webhook reads, and nothing that it would refuse.
#[test]
fn a_restart_and_variables_are_asked_for_in_one_way() {
    let asked = |pairs: &[(&str, &str)]| {
        let all = pairs.iter();
        let all = all.map(|(name, text)| (format!("{PREFIX}{name}"), (*text).to_owned()));
        let all = all.collect();
        (ask_for_variables(&all), ask_for_restart(&all))
    };
    assert_eq!(asked(&[]), (false, false));
    for (env, on_change) in [
        ("true", "restart"),
        ("false", "none"),
        ("True", "Restart"),
        (" true", "restart "),
        ("yes", "signal:HUP"),
        ("", ""),
    ] {
        let read = |name: &str, text: &str| with(name, text).ok();
        let expected = (
            read("env", env).is_some_and(|it| it.env),
            read("on-change", on_change).is_some_and(|it| it.on_change == OnChange::Restart),
        );
        let pairs = [("env", env), ("on-change", on_change)];
        assert_eq!(asked(&pairs), expected, "{pairs:?}");
        assert_eq!(expected, (env == "true", on_change == "restart"));
    }
    let of_others = [("envy", "true"), ("on-changes", "restart")];
    assert_eq!(asked(&of_others), (false, false));
}

#[test]
fn what_is_malformed_is_refused_by_its_name_and_with_what_to_write() {
    for (name, text, remedy) in [
        ("mount-path", "run/secrets", "write an absolute path"),
        ("mount-path", "/", "use another one"),
        ("containers", "", "separated by commas"),
        ("containers", "web,", "separated by commas"),
        ("containers", "web, web", "each once"),
        ("uid", "root", "write a number"),
        ("uid", "-1", "write a number"),
        ("gid", "4294967295", "write a number"),
        ("mode", "4755", "three octal digits"),
        ("env-file", "", "write NAME=path"),
        ("env-file", "DB_PASSWORD", "write NAME=path"),
        ("env-file", "A=a,", "write NAME=path"),
        ("env-file", "A=a, A=b", "take one out"),
        ("env-file", "A=../etc", "rename it"),
        ("env-file", "1A=a", "letters, digits and _"),
        ("env-file", "A-B=a", "letters, digits and _"),
        ("env-file", "DB_FILE=db", "it is added"),
        ("file-env", "yes", "write \"true\" or \"false\""),
        ("env", "True", "write \"true\" or \"false\""),
        ("on-change", "reload", "write none, restart, or signal:NAME"),
        ("on-change", "signal:KILL", "HUP"),
        ("on-change", "signal:SIGHUP", "HUP"),
    ] {
        let message = message(name, text);
        assert!(message.contains(&format!("{PREFIX}{name}: ")), "{message}");
        assert!(message.contains(remedy), "{name}: {text}: {message}");
    }
}

#[test]
fn no_message_grows_with_its_input() {
    let long = "x".repeat(100_000);
    for name in [
        "env-file",
        "mode",
        "mount-path",
        "containers",
        "on-change",
        &long,
    ] {
        let length = with(name, &long).map_or_else(|it| it.to_string().len(), |_| 0);
        assert!(length < 800, "{length}");
    }
}

/// Kubernetes looks at their length after the webhook, and whoever may create a pod writes them.
#[test]
fn annotations_are_read_up_to_what_kubernetes_takes() {
    let longest = MAX_ANNOTATIONS - "app".len();
    let names: Vec<String> = (0..longest / 8).map(|n| format!("c{n:06}")).collect();
    let names = names.join(",");
    let more = "c".repeat(longest - names.len());
    let read = with("containers", &(names + &more)).unwrap();
    assert_eq!(read.containers.unwrap().len(), longest / 8);
    let says = message("containers", &"c".repeat(longest + 1));
    assert!(says.contains("262145 bytes, and 262144 are read"), "{says}");
}
