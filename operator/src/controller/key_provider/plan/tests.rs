use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn secret() -> Source {
    Source::Secret {
        name: "secretvault-keyring".into(),
        key: "keyring".into(),
    }
}

fn transit() -> Source {
    Source::Transit {
        address: "https://bao:8200".into(),
        mount: "transit".into(),
        key: "secretvault".into(),
    }
}

fn keys() -> Keys {
    Keys {
        scope: "ring".into(),
        primary_key_id: "k1".into(),
        all: Vec::new(),
    }
}

fn fault(reason: KeyFault) -> ProviderFault {
    ProviderFault::new(reason, "there is no Secret: restore it from backup")
}

fn observed(keys: Result<Keys, ProviderFault>) -> Observed {
    Observed {
        generation: Some(3),
        source: Some(secret()),
        keys,
        ..Observed::test()
    }
}

#[test]
fn a_keyring_is_made_only_where_none_was_and_nothing_needs_it() {
    use KeyFault::{
        FileUnreadable, KeyMissing, KeyringInvalid, KeyringMissing, Unreachable, Unsupported,
    };
    let file = Source::File("/keyring".into());
    let cases = [
        (secret(), KeyringMissing, true, 0, Remedy::Create),
        (secret(), KeyringMissing, true, 1, Remedy::Report),
        (secret(), KeyringMissing, false, 0, Remedy::Report),
        (secret(), KeyringInvalid, false, 0, Remedy::Report),
        (secret(), KeyringInvalid, true, 0, Remedy::Report),
        (file.clone(), KeyringMissing, true, 0, Remedy::Report),
        (file, FileUnreadable, true, 0, Remedy::Report),
        (secret(), Unsupported, true, 0, Remedy::Report),
        (secret(), Unreachable, true, 0, Remedy::Wait),
        (transit(), Unreachable, false, 0, Remedy::Report),
        (transit(), KeyMissing, false, 0, Remedy::Report),
        (transit(), KeyringMissing, true, 0, Remedy::Report),
    ];
    for (source, fault, absent, sealed, expected) in cases {
        assert_eq!(
            remedy(&source, fault, absent, sealed),
            expected,
            "{source} {fault:?} {absent} {sealed}"
        );
    }
}

#[test]
fn a_ready_provider_names_its_key_and_what_a_stolen_backup_yields() {
    let status = status(&observed(Ok(keys())), at(1));
    insta::assert_snapshot!(serde_json::to_string_pretty(&status).unwrap(), @r#"
    {
      "observedGeneration": 3,
      "conditions": [
        {
          "lastTransitionTime": "1970-01-01T00:00:01Z",
          "message": "key k1 wraps new data keys",
          "observedGeneration": 3,
          "reason": "KeyringReady",
          "status": "True",
          "type": "Ready"
        }
      ],
      "primaryKeyId": "k1",
      "scope": "ring",
      "keyringSource": "key keyring of Secret secretvault/secretvault-keyring: a stolen backup of etcd yields the keyring itself, unless the API server encrypts Secrets at rest",
      "vaults": 0
    }
    "#);
}

#[test]
fn of_a_file_a_stolen_backup_yields_nothing() {
    let mut observed = observed(Ok(keys()));
    observed.source = Some(Source::File("/etc/secretvault/keyring".into()));
    let source = status(&observed, at(1)).keyring_source.unwrap();
    assert!(source.ends_with("yields nothing"), "{source}");
}

#[test]
fn a_missing_keyring_says_how_many_vaults_need_which_one_and_what_to_do() {
    let mut lost = observed(Err(fault(KeyFault::KeyringMissing)));
    lost.vaults = 3;
    lost.before = Some(status(&observed(Ok(keys())), at(1)));
    let status = status(&lost, at(2));
    assert_eq!(
        status.scope.as_deref(),
        Some("ring"),
        "kept, to know what to look for"
    );
    let ready = &status.conditions[0];
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("False", "KeyringMissing")
    );
    assert_eq!(
        ready.message,
        "3 vaults are sealed with the keyring with id ring: there is no Secret: restore it \
         from backup"
    );
}

#[test]
fn of_keys_in_another_place_the_primary_is_not_known() {
    let mut lost = observed(Err(fault(KeyFault::KeyringMissing)));
    lost.before = Some(status(&observed(Ok(keys())), at(1)));
    assert_eq!(status(&lost, at(2)).primary_key_id.as_deref(), Some("k1"));
    lost.source = Some(transit());
    let elsewhere = status(&lost, at(2));
    assert_eq!(elsewhere.primary_key_id, None);
    assert_eq!(elsewhere.scope.as_deref(), Some("ring"));
}

#[test]
fn an_equal_state_is_an_equal_status_however_late() {
    let mut observed = observed(Ok(keys()));
    observed.before = Some(status(&observed, at(1)));
    assert_eq!(observed.before, Some(status(&observed, at(1000))));
}

#[test]
fn a_transit_key_is_named_with_its_server() {
    let mut observed = observed(Ok(keys()));
    observed.source = Some(transit());
    let status = status(&observed, at(1));
    assert_eq!(
        status.keyring_source.unwrap(),
        "Transit key secretvault at https://bao:8200 (mount transit): a stolen backup of etcd \
         yields nothing"
    );
    assert_eq!(status.conditions[0].reason, "TransitReady");
    assert_eq!(state(&observed), KeyProviderState::TransitReady);
}

#[test]
fn each_fault_is_its_own_reason() {
    for fault in KeyFault::ALL {
        let mut observed = observed(Err(ProviderFault::new(fault, "why")));
        observed.source = Some(transit());
        observed.vaults = 2;
        let status = status(&observed, at(1));
        let ready = &status.conditions[0];
        assert_eq!(ready.reason, fault.as_str());
        assert_eq!(ready.message, "2 vaults are sealed with its key: why");
        assert_eq!(format!("{:?}", state(&observed)), fault.as_str());
    }
}

#[test]
fn what_is_known_of_keys_is_kept_while_they_cannot_be_had() {
    let mut good = observed(Ok(keys()));
    good.progress = Some(Progress {
        keys: [("k1".to_owned(), 3)].into(),
        total: 3,
        done: 3,
        ..Progress::default()
    });
    let before = status(&good, at(1));
    let mut lost = observed(Err(fault(KeyFault::KeyringMissing)));
    lost.progress = Some(Progress::default());
    lost.before = Some(before.clone());
    let after = status(&lost, at(2));
    assert_eq!((&after.keys, &after.rewrap), (&before.keys, &before.rewrap));
    assert_eq!(after.rewrap.unwrap().progress, "3/3");
}
