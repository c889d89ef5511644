//! What is never seen: a value is in no byte of anything that the cluster keeps or says.
//!
//! The test also plants other texts wherever it can, in every form it looks for, and demands that
//! they are found: else a scanner that sees nothing would make it pass.
//!
//! Values go to kubectl through its standard input, and into no file of ours: the test must not
//! leave what it looks for.

mod life;
mod places;
mod plants;
mod refusals;
mod scanner;

use std::collections::BTreeSet;

use secretvault_e2e::{Namespace, eventually};

use self::life::Life;
pub(crate) use self::life::random_text;
use self::places::{Finding, Findings};
use self::plants::Plants;
pub(crate) use self::scanner::{Canary, Scanner};

#[test]
fn no_value_key_or_token_is_in_any_byte_that_the_cluster_keeps_or_says() {
    let namespace = Namespace::create("canary");
    let plants = Plants::sow(&namespace);
    let mut life = Life::begin(&namespace);
    life.change();
    life.refuse();
    life.be_spoken_of();
    // While the pod has it, and when all is gone.
    let while_mounted = look(&life, &plants);
    life.end();
    let afterwards = look(&life, &plants);
    let canaries = life.canaries();
    let found: BTreeSet<&Finding> = [&while_mounted, &afterwards]
        .into_iter()
        .flat_map(|findings| canaries.iter().flat_map(|it| findings.of(it.name())))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

/// Looks everywhere, as often as it takes to find all that was planted.
#[expect(clippy::print_stdout, reason = "how much was looked at")]
fn look(life: &Life<'_>, plants: &Plants) -> Findings {
    let canaries = [life.canaries(), plants.canaries()].concat();
    let scanner = Scanner::for_all(&canaries);
    let findings = eventually("what was planted is found", || {
        let mut findings = Findings::everywhere(&scanner);
        findings.answer(&scanner, "kubectl's answers", life.answers().as_bytes());
        let missing = plants.not_in(&findings);
        if missing.is_empty() {
            Ok(findings)
        } else {
            Err(missing)
        }
    });
    for (place, bytes) in findings.scanned() {
        println!("  {bytes:>12} bytes of {place}");
    }
    findings
}

#[test]
fn the_scanner_finds_every_form_wherever_it_stands() {
    let text = "a1b2c3d4e5f6a7b8<\"c9d0";
    let canary = Canary::text("text", text);
    let scanner = Scanner::for_all(std::slice::from_ref(&canary));
    let mut found = BTreeSet::new();
    for before in 0..3 {
        for form in plants::natural_forms(text, before) {
            let filling = vec![b'.'; (1 << 20) - 10 + before];
            let file = [filling.as_slice(), form.as_bytes(), b"..."].concat();
            let seen = scanner.search_file(file.as_slice()).unwrap();
            assert!(!seen.is_empty(), "not found: {form}");
            found.extend(seen.into_iter().map(|(_, form)| form));
        }
    }
    assert_eq!(found, canary.forms());
    assert!(scanner.search(b"a1b2c3d4e5f6a7b8<c9d0").is_empty());
}
