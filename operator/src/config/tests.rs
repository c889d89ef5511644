use super::*;

fn pod() -> Surroundings {
    Surroundings {
        namespace: Some("from-pod".into()),
        host_name: Some("host".into()),
    }
}

#[test]
fn flags_are_over_the_file_and_the_file_over_defaults() {
    let flags = Overlay {
        webhook_port: Some(1),
        ..Overlay::default()
    };
    let file = Overlay::parse("webhookPort: 2\nreleasePort: 3\nnamespace: from-file").unwrap();
    let settings = Settings::settle(flags.over(file), &pod()).unwrap();
    assert_eq!(
        (
            settings.webhook_port,
            settings.release_port,
            settings.health_port
        ),
        (1, 3, 8080)
    );
    assert_eq!(settings.namespace, "from-file");
    assert_eq!(settings.pod_name, "host");
    assert!(settings.bootstrap_key_provider);
}

#[test]
fn a_misspelt_setting_is_refused() {
    assert!(Overlay::parse("webhokPort: 2").is_err());
}

#[test]
fn the_launchers_image_is_told_and_its_pull_policy_is_one_of_kubernetes() {
    let flags = [
        "operator",
        "--launcher-image",
        "launcher:1",
        "--launcher-pull-policy",
    ];
    let parse = |policy| Cli::try_parse_from(flags.into_iter().chain([policy]));
    let settings = Settings::settle(parse("Never").unwrap().run, &pod()).unwrap();
    assert_eq!(settings.launcher_image.as_deref(), Some("launcher:1"));
    assert_eq!(settings.launcher_pull_policy, PullPolicy::Never);
    assert!(parse("never").is_err());
    let file = Overlay::parse("launcherPullPolicy: Always").unwrap();
    assert_eq!(file.launcher_pull_policy, Some(PullPolicy::Always));
}

#[test]
fn an_empty_file_says_nothing() {
    assert!(Overlay::parse("# nothing\n").unwrap().namespace.is_none());
}

#[test]
fn without_a_namespace_the_error_says_how_to_give_one() {
    let error = Settings::settle(Overlay::default(), &Surroundings::default()).unwrap_err();
    assert!(error.to_string().contains("--namespace"));
}

#[test]
fn run_is_what_happens_without_a_command() {
    let plain = Cli::parse_from(["operator", "--webhook-port", "9"]);
    assert!(plain.command.is_none());
    assert_eq!(plain.run.webhook_port, Some(9));
    let named = Cli::parse_from(["operator", "run", "--bootstrap-key-provider", "false"]);
    let Some(Command::Run(overlay)) = named.command else {
        panic!("not run")
    };
    assert_eq!(overlay.bootstrap_key_provider, Some(false));
}

#[test]
fn a_key_cannot_be_given_as_an_argument() {
    let parsed = Cli::try_parse_from(["operator", "keyring", "import", "AAAA"]);
    assert!(parsed.is_err());
}

#[test]
fn the_audit_log_goes_to_standard_output_and_refuses_unless_told_otherwise() {
    let settings = Settings::settle(Overlay::default(), &pod()).unwrap();
    assert_eq!(settings.audit_file, None);
    assert_eq!(settings.audit_failure, OnFailure::Refuse);
    let flags = [
        "operator",
        "--audit-file=/var/log/secretvault/audit.jsonl",
        "--audit-file-mib=1",
        "--audit-files=2",
        "--audit-failure=release",
    ];
    let settings = Settings::settle(Cli::parse_from(flags).run, &pod()).unwrap();
    let file = settings.audit_file.as_deref();
    assert_eq!(file, Some(Path::new("/var/log/secretvault/audit.jsonl")));
    assert_eq!((settings.audit_file_mib, settings.audit_files), (1, 2));
    assert_eq!(settings.audit_failure, OnFailure::Release);
    let file = Overlay::parse("auditFailure: release\nauditFiles: 3").unwrap();
    assert_eq!(file.audit_failure, Some(OnFailure::Release));
    for wrong in [
        "--audit-failure=ignore",
        "--audit-files=0",
        "--audit-file-mib=0",
    ] {
        assert!(Cli::try_parse_from(["operator", wrong]).is_err(), "{wrong}");
    }
    assert!(Overlay::parse("auditFiles: 0").is_err());
}
