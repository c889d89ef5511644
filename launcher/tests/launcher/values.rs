//! What the command finds in its environment.

use std::{collections::BTreeMap, os::unix::ffi::OsStrExt, process::Command};

use crate::fixture::{Volume, output, text};

const WAYS: [&[&str]; 2] = [&["--env"], &["--env", "--on-change", "signal:HUP"]];

/// The environment, as the command prints it.
fn environment(run: &mut Command) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let output = output(run);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let variables = output
        .stdout
        .split(|byte| *byte == 0)
        .filter(|it| !it.is_empty());
    let pairs = variables.map(|variable| {
        let middle = variable.iter().position(|byte| *byte == b'=').unwrap();
        (variable[..middle].to_vec(), variable[middle + 1..].to_vec())
    });
    pairs.collect()
}

#[test]
fn each_file_is_a_variable_byte_for_byte_and_nothing_else_changes() {
    let files: &[(&str, &[u8])] = &[
        ("db/password", b"hunter2"),
        ("line-break", b"x\n"),
        ("empty", b""),
        ("bytes", b"\xff\xfe=\x01"),
        ("0", b"digit"),
    ];
    let volume = Volume::of(files);
    for flags in WAYS {
        let mut run = volume.run(flags, ["env", "-0"]);
        run.env("KEPT", "k");
        let path = std::env::var_os("PATH").unwrap();
        let expected: [(&[u8], &[u8]); 7] = [
            (b"BYTES", b"\xff\xfe=\x01"),
            (b"DB_PASSWORD", b"hunter2"),
            (b"EMPTY", b""),
            (b"KEPT", b"k"),
            (b"LINE_BREAK", b"x\n"),
            (b"PATH", path.as_bytes()),
            (b"_0", b"digit"),
        ];
        let expected = expected.map(|(name, value)| (name.to_vec(), value.to_vec()));
        assert_eq!(environment(&mut run), BTreeMap::from(expected));
    }
}

#[test]
fn without_env_no_value_is_in_the_environment() {
    let volume = Volume::of(&[("token", b"hunter2")]);
    for flags in [&[][..], &["--on-change", "signal:HUP"]] {
        let found = environment(&mut volume.run(flags, ["env", "-0"]));
        assert_eq!(found.into_keys().collect::<Vec<_>>(), [b"PATH"]);
    }
}

#[test]
fn values_as_large_as_the_kernel_allows_reach_the_command() {
    let most = 32 * rustix::param::page_size() - "LONG".len() - 3;
    let long = vec![b'x'; most];
    let files: Vec<(String, &[u8])> = (0..10)
        .map(|number| (format!("n{number}"), &long[..]))
        .collect();
    let mut files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(path, value)| (path.as_str(), *value))
        .collect();
    files.push(("long", &long));
    let volume = Volume::of(&files);
    for flags in WAYS {
        let found = environment(&mut volume.run(flags, ["env", "-0"]));
        assert_eq!(found[&b"LONG"[..]].len(), most);
        assert_eq!(found.len(), 12);
    }
}

#[test]
fn variables_are_those_of_the_start_also_after_a_change() {
    let mut volume = Volume::of(&[("token", b"t-1")]);
    let script = format!(
        "trap 'echo $TOKEN $(cat {}/..data/token); exit 0' HUP; echo ready; while :; do sleep 0.05; done",
        volume.text()
    );
    let running = crate::fixture::Running::ready(volume.sh(WAYS[1], &script));
    volume.swap(&[("token", b"t-2")]);
    assert_eq!(running.line(), "t-1 t-2");
    assert!(running.end().success());
}
