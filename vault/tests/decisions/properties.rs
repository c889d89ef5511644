use proptest::{collection::vec, option, prelude::*};
use secretvault_vault::{
    EntryName, EntryPattern, FileAttributes, FileMode, FilePath, Held, Request, Subject, VaultRef,
    allows, plan,
};

use crate::fixture::vault;
use crate::rules::{PATTERNS, a_subject, a_vault, granted};

fn a_name() -> impl Strategy<Value = String> {
    vec("[A-Za-z0-9_-][A-Za-z0-9._-]{0,8}", 1..5)
        .prop_map(|segments| segments.join("/"))
        .prop_filter("reserved", |name| !name.starts_with("kubernetes.io"))
}

proptest! {
    #[test]
    fn nothing_is_planned_that_is_not_allowed_or_not_asked_for(
        vault in a_vault(),
        subject in a_subject(),
        patterns in prop::sample::subsequence(PATTERNS.to_vec(), 0..4),
    ) {
        let vaults = vault.reference.to_string();
        let request =
            Request::parse("shop", &vaults, &patterns.join(","), FileAttributes::default()).unwrap();
        let seen = |_: &VaultRef| Some(&vault);
        if let Ok(plan) = plan(&request, &subject, seen, &Held::default()) {
            let globs: Vec<EntryPattern> = patterns.iter().map(|p| p.parse().unwrap()).collect();
            for file in &plan.files {
                prop_assert!(allows(&vault, &subject, &file.entry));
                prop_assert!(globs.is_empty() || globs.iter().any(|g| g.matches(&file.entry)));
            }
            let allowed = granted(&vault, &subject).iter().filter(|allowed| **allowed).count();
            prop_assert!(!globs.is_empty() || plan.files.len() == allowed);
        }
    }

    #[test]
    fn no_two_files_of_a_plan_stand_in_each_other_s_way(
        paths in vec(a_name(), 1..8),
        others in vec(a_name(), 1..8),
    ) {
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        let (one, two) = (vault("shop/one", &paths), vault("shop/two", &others));
        let request = Request::parse("shop", "one,two", "", FileAttributes::default()).unwrap();
        let subject = Subject { namespace: "shop".to_owned(), ..Subject::default() };
        let seen = |reference: &VaultRef| Some(if reference.name == "one" { &one } else { &two });
        if let Ok(plan) = plan(&request, &subject, seen, &Held::default()) {
            for pair in plan.files.windows(2) {
                prop_assert!(pair[0].path < pair[1].path);
            }
            let directories: Vec<&str> =
                plan.files.iter().flat_map(|file| file.path.directories()).collect();
            prop_assert!(plan.files.iter().all(|file| !directories.contains(&file.path.as_str())));
        } else {
            prop_assert!(one.collision().is_some() || two.collision().is_some());
        }
    }

    /// Whatever prefix is accepted, no file is outside of it, or where the volume's own links or
    /// the container runtime's directory are.
    #[test]
    fn no_spelling_of_a_prefix_leaves_the_volume(
        prefix in "[a-z./ _-]{0,12}|kubernetes[.]io(/a)?",
        names in vec(a_name(), 1..4),
        item in option::of(a_name()),
    ) {
        let vaults = format!("[{{vault: app, prefix: '{prefix}'}}]");
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let items = item.map(|path| format!("{}={path}", names[0])).unwrap_or_default();
        let request = Request::parse("shop", &vaults, &items, FileAttributes::default());
        prop_assert_eq!(request.is_ok(), prefix.parse::<FilePath>().is_ok());
        let Ok(request) = request else { return Ok(()) };
        let app = vault("shop/app", &names);
        let subject = Subject { namespace: "shop".to_owned(), ..Subject::default() };
        let Ok(plan) = plan(&request, &subject, |_| Some(&app), &Held::default()) else {
            return Ok(());
        };
        prop_assert!(!plan.files.is_empty());
        for file in &plan.files {
            let below = file.path.as_str().strip_prefix(&prefix).and_then(|rest| rest.strip_prefix('/'));
            let below = below.map(str::parse::<FilePath>);
            prop_assert!(matches!(below, Some(Ok(_))), "{} is not in {prefix}", file.path);
            prop_assert!(file.path.as_str().parse::<FilePath>().is_ok());
        }
    }

    #[test]
    fn what_is_shown_is_read_back(name in a_name(), bits in 0..=0o777_u32) {
        let entry: EntryName = name.parse().unwrap();
        prop_assert_eq!(entry.to_string().parse::<EntryName>().unwrap(), entry);
        prop_assert_eq!(name.parse::<FilePath>().unwrap().to_string(), name);
        let mode = FileMode::try_from(bits).unwrap();
        prop_assert_eq!(mode.to_string().parse::<FileMode>().unwrap(), mode);
    }

    #[test]
    fn a_pattern_that_is_shown_is_read_back(text in "[a-z*/.]{0,12}") {
        if let Ok(pattern) = text.parse::<EntryPattern>() {
            prop_assert_eq!(pattern.to_string().parse::<EntryPattern>().unwrap(), pattern);
        }
    }

    #[test]
    fn a_vault_reference_that_is_shown_is_read_back(text in "[a-z0-9.-]{1,5}(/[a-z0-9.-]{1,5})?") {
        if let Ok(vault) = VaultRef::parse("shop", &text) {
            prop_assert_eq!(VaultRef::parse("other", &vault.to_string()).unwrap(), vault);
        }
    }

    #[test]
    fn a_name_covers_itself_and_nothing_else(name in a_name(), other in a_name()) {
        let pattern: EntryPattern = name.parse().unwrap();
        prop_assert!(pattern.matches(&name.parse().unwrap()));
        prop_assert_eq!(pattern.matches(&other.parse().unwrap()), name == other);
    }

    #[test]
    fn any_text_is_read_or_refused_but_never_panics(text in any::<String>(), yaml in "[-\\[{}a:, \n'\"&*!|>0-9]{0,40}") {
        let _ = text.parse::<EntryName>();
        let _ = text.parse::<EntryPattern>();
        let _ = text.parse::<FileMode>();
        let _ = Request::parse("shop", &text, &text, FileAttributes::default());
        let _ = Request::parse("shop", "app", &yaml, FileAttributes::default());
        let _ = Request::parse("shop", &yaml, "", FileAttributes::default());
    }
}
