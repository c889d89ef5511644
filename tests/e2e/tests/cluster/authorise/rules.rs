//! Which pods a vault's rules allow which entries.

use secretvault_delivery::v1::Reason;
use secretvault_e2e::{Namespace, Vault};
use serde_json::json;

use super::scene::{Bystander, Scene};
use super::table::{Refusal, Table, Treasure};

const NO_RULE: Refusal = Refusal::Denied(&[(Reason::Forbidden, "its access has no rule for")]);
const NOT_THIS_POD: Refusal = Refusal::Denied(&[(
    Reason::Forbidden,
    "does not exist or does not allow this pod",
)]);
const NOT_THIS_ENTRY: Refusal =
    Refusal::Denied(&[(Reason::Forbidden, "entry smtp/token of vault rules-")]);
const DB: &[&str] = &["db/password", "db/user"];
const ALL: &[&str] = &["db/password", "db/user", "smtp/host", "smtp/token"];

/// A vault whose rules tell pods apart by each condition that a rule can have.
fn vault(guests: &Namespace) -> Vault {
    let rules = json!([
        {"serviceAccounts": ["owner"]},
        {
            "serviceAccounts": ["web"],
            "podSelector": {"matchLabels": {"app": "web"}},
            "entries": ["db/*"],
        },
        {"serviceAccounts": ["idle"], "entries": ["nothing/*"]},
        {
            "namespaces": {"names": [guests.name()]},
            "serviceAccounts": ["web"],
            "entries": ["smtp/token"],
        },
    ]);
    Vault::named("app")
        .text("db/password", "hunter2")
        .text("db/user", "shop")
        .text("smtp/token", "t-1")
        .public("smtp/host", "smtp.example.com")
        .spec("access", rules)
}

#[test]
fn a_pod_gets_what_a_rule_allows_it_and_nothing_else() {
    let [home, guests, strangers] =
        ["rules", "rules-guest", "rules-stranger"].map(Namespace::create);
    vault(&guests).store(&home);
    let scene = Scene::new();
    let owner = Bystander::create(&home, "owner", "owner");
    let treasure = Treasure::of(&scene.operator, &scene.asks(&owner, "app", ""));
    assert_eq!(treasure.entries(), ALL.iter().copied().collect());
    let web = Bystander::labelled(&home, "web", "web", "web");
    let of_web = |items| scene.asks(&web, "app", items);
    let mut table = Table::new(&scene.operator, &treasure);

    let other = Bystander::labelled(&home, "other", "other", "web");
    let attack = scene.asks(&other, "app", "");
    table.refuses(
        "another service account",
        &attack,
        &NO_RULE,
        &of_web(""),
        DB,
    );

    let batch = Bystander::labelled(&home, "batch", "web", "batch");
    let attack = scene.asks(&batch, "app", "");
    table.refuses("another label", &attack, &NO_RULE, &of_web(""), DB);

    let bare = Bystander::create(&home, "bare", "web");
    let attack = scene.asks(&bare, "app", "");
    table.refuses("no label", &attack, &NO_RULE, &of_web(""), DB);

    let idle = Bystander::create(&home, "idle", "idle");
    let attack = scene.asks(&idle, "app", "");
    table.refuses("rule covers no entry", &attack, &NO_RULE, &of_web(""), DB);

    let control = of_web("db/password");
    let one = &["db/password"];
    let attack = of_web("smtp/token");
    table.refuses("entry by name", &attack, &NOT_THIS_ENTRY, &control, one);
    let attack = of_web("db/password, smtp/token");
    table.refuses("one entry of two", &attack, &NOT_THIS_ENTRY, &control, one);
    table.releases("all entries", &of_web(""), DB);
    table.releases(
        "all entries, for the owner",
        &scene.asks(&owner, "app", ""),
        ALL,
    );
    table.releases("a glob over all", &of_web("**"), DB);
    table.releases("a glob over others", &of_web("smtp/*"), &[]);
    let control = scene.asks(&owner, "app", "smtp/*");
    table.releases(
        "that glob, for the owner",
        &control,
        &["smtp/host", "smtp/token"],
    );

    let vault = format!("{}/app", home.name());
    let guest = Bystander::labelled(&guests, "web", "web", "web");
    let control = scene.asks(&guest, &vault, "");
    let smtp = &["smtp/token"];
    let stranger = Bystander::labelled(&strangers, "web", "web", "web");
    let attack = scene.asks(&stranger, &vault, "");
    table.refuses("another namespace", &attack, &NOT_THIS_POD, &control, smtp);
    let attack = scene.asks(&guest, "app", "");
    let missing = Refusal::Denied(&[(Reason::NotFound, "app does not exist: create it")]);
    table.refuses(
        "its own namespace's vault",
        &attack,
        &missing,
        &control,
        smtp,
    );
    table.finish();
}

#[test]
fn a_vault_without_rules_is_for_its_own_namespace() {
    let [home, strangers] = ["open", "open-stranger"].map(Namespace::create);
    let vault = Vault::named("app").text("password", "hunter2");
    vault.store(&home);
    let scene = Scene::new();
    let own = Bystander::create(&home, "web", "web");
    let control = scene.asks(&own, &format!("{}/app", home.name()), "");
    let treasure = Treasure::of(&scene.operator, &control);
    let mut table = Table::new(&scene.operator, &treasure);
    let stranger = Bystander::create(&strangers, "web", "web");
    let attack = scene.asks(&stranger, &format!("{}/app", home.name()), "");
    table.refuses(
        "another namespace",
        &attack,
        &NOT_THIS_POD,
        &control,
        &["password"],
    );
    table.finish();
}

#[test]
fn one_forbidden_vault_of_two_releases_nothing_of_the_other() {
    let home = Namespace::create("two");
    let app = Vault::named("app").text("password", "hunter2");
    app.store(&home);
    let rules = json!([{"serviceAccounts": ["owner"]}]);
    let closed = Vault::named("closed")
        .text("gold", "g")
        .spec("access", rules);
    closed.store(&home);
    let scene = Scene::new();
    let owner = Bystander::create(&home, "owner", "owner");
    let control = scene.asks(&owner, "app, closed", "");
    let treasure = Treasure::of(&scene.operator, &control);
    let mut table = Table::new(&scene.operator, &treasure);
    let web = Bystander::create(&home, "web", "web");
    let both = &["gold", "password"];
    let attack = scene.asks(&web, "app, closed", "");
    table.refuses("allowed, then forbidden", &attack, &NO_RULE, &control, both);
    let attack = scene.asks(&web, "closed, app", "");
    table.refuses("forbidden, then allowed", &attack, &NO_RULE, &control, both);
    table.releases(
        "the allowed one alone",
        &scene.asks(&web, "app", ""),
        &["password"],
    );
    table.finish();
}

/// Whoever is refused in another namespace learns nothing of what is there.
#[test]
fn missing_and_forbidden_in_another_namespace_are_refused_in_the_same_words() {
    let [home, palace] = ["words", "words-palace"].map(Namespace::create);
    let treasure = Vault::named("treasure").text("gold", "g");
    let _ = treasure.apply(&palace).expect_success();
    let rules = json!([{"serviceAccounts": ["owner"]}]);
    let closed = treasure.clone().renamed("closed").spec("access", rules);
    closed.store(&home);
    let scene = Scene::new();
    let web = Bystander::create(&home, "web", "web");
    let words = |vault: &str, items: &str| {
        let ask = scene.asks(&web, vault, items);
        let answer = scene.operator.ask(&ask.authorization, &ask.volume);
        answer.outcome.to_string().replace(vault, "VAULT")
    };
    let forbidden = format!("{}/treasure", palace.name());
    let missing = [
        format!("{}/nothing", palace.name()),
        "no-such-namespace/treasure".to_owned(),
    ];
    // It is there, for who may have it.
    let king = Bystander::create(&palace, "king", "king");
    let _ = Treasure::of(&scene.operator, &scene.asks(&king, "treasure", "gold"));
    for items in ["", "gold", "silver", "gold, silver", "*"] {
        let expected = words(&forbidden, items);
        assert!(expected.starts_with("Forbidden: vault VAULT"), "{expected}");
        for missing in &missing {
            let seen = words(missing, items);
            assert_eq!(seen, expected, "{missing} with items {items:?}");
        }
    }
    // The comparison can fail: at home the words differ.
    assert!(words("closed", "").starts_with("Forbidden: vault"));
    assert!(words("nothing", "").starts_with("NotFound: vault"));
}
