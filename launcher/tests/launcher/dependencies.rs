//! What the program is made of. It runs in other people's containers with their secrets: each crate
//! that is added here is one more that has to be trusted there.

use std::process::Command;

/// The libraries. Of the YAML reader, what it needs, and serde nothing is left in the program:
/// `secretvault-vault` reads vaults with them, and the launcher takes nothing from it but the names
/// of variables.
const LIBRARIES: &[&str] = &[
    "annotate-snippets",
    "anstyle",
    "arraydeque",
    "base64",
    "bitflags",
    "cfg-if",
    "core_detect",
    "encoding_rs",
    "encoding_rs_io",
    "granit-parser",
    "libc",
    "linux-raw-sys",
    "nix",
    "nohash-hasher",
    "num-traits",
    "rustix",
    "scopeguard",
    "secretvault-vault",
    "serde",
    "serde-saphyr",
    "serde_core",
    "simdutf8",
    "smallvec",
    "thiserror",
    "unicode-width",
    "zeroize",
    "zeroizing-alloc",
    "zmij",
];

#[test]
fn the_libraries_are_these_and_no_others() {
    let mut tree = Command::new(env!("CARGO"));
    tree.args([
        "tree",
        "--offline",
        "--locked",
        "--package",
        "secretvault-launcher",
    ]);
    tree.args([
        "--edges",
        "normal,no-proc-macro",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]);
    let output = tree.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().filter_map(|line| line.split(' ').next());
    let mut names: Vec<&str> = names
        .filter(|name| *name != "secretvault-launcher")
        .collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names, LIBRARIES);
}
