//! What a pod's author writes into `vaults` and `items` reaches nothing that the pod may not have.

use secretvault_delivery::v1::Reason;
use secretvault_e2e::{Namespace, Vault};

use super::scene::{Bystander, Scene};
use super::table::{Refusal, Table, Treasure};

const INVALID: Refusal = Refusal::Denied(&[(Reason::InvalidRequest, "volume attribute ")]);
const FORBIDDEN: Refusal = Refusal::Denied(&[(
    Reason::Forbidden,
    "does not exist or does not allow this pod",
)]);
const NOT_FOUND: Refusal = Refusal::Denied(&[(Reason::NotFound, "")]);
const ONE: &[&str] = &["password"];

#[test]
fn no_spelling_of_a_vaults_name_reaches_another_namespace() {
    let [home, palace] = ["names", "names-palace"].map(Namespace::create);
    let vault = Vault::named("app").text("password", "hunter2");
    vault.store(&home);
    let treasure = vault.renamed("treasure");
    let _ = treasure.apply(&palace).expect_success();
    let scene = Scene::new();
    let web = Bystander::create(&home, "web", "web");
    let king = Bystander::create(&palace, "king", "king");
    // Of the palace: what must not be found.
    let of_king = scene.asks(&king, "treasure", "");
    let treasure = Treasure::of(&scene.operator, &of_king);
    let mut table = Table::new(&scene.operator, &treasure);

    let (home, palace) = (home.name(), palace.name());
    for vaults in [
        format!("{palace}/treasure"),
        format!("app, {palace}/treasure"),
    ] {
        let attack = scene.asks(&web, &vaults, "");
        table.refuses(&vaults, &attack, &FORBIDDEN, &of_king, ONE);
    }
    for vaults in [
        format!("../{palace}/treasure"),
        format!("{home}/../{palace}/treasure"),
        format!("{home}/{palace}/treasure"),
        format!("{palace}//treasure"),
        format!("{palace}/treasure/"),
        format!("/{palace}/treasure"),
        format!("{palace}%2Ftreasure"),
        format!("{palace}\u{2215}treasure"),
        format!("{palace}/treasure\u{0}"),
        format!("{palace}\u{0}/treasure"),
        format!("app\n{palace}/treasure"),
        format!("{}/treasure", palace.to_uppercase()),
        format!("{palace}/*"),
        "*/treasure".to_owned(),
        "**".to_owned(),
        "../treasure".to_owned(),
        "./app".to_owned(),
        String::new(),
        ",".to_owned(),
        "app, app".to_owned(),
        vec!["app"; 17].join(","),
    ] {
        let attack = scene.asks(&web, &vaults, "");
        let name = format!("{vaults:.40?}");
        table.refuses(&name, &attack, &INVALID, &of_king, ONE);
    }
    let attack = scene.asks(&web, "treasure", "");
    table.refuses("treasure", &attack, &NOT_FOUND, &of_king, ONE);
    table.finish();
}

#[test]
fn no_spelling_of_an_item_leaves_its_vault_or_the_volume() {
    let home = Namespace::create("items");
    let vault = Vault::named("app").text("password", "hunter2");
    vault.store(&home);
    let scene = Scene::new();
    let web = Bystander::create(&home, "web", "web");
    let control = scene.asks(&web, "app", "password=db/password");
    let treasure = Treasure::of(&scene.operator, &control);
    let mut table = Table::new(&scene.operator, &treasure);
    for items in [
        "../app/password",
        "/password",
        "password/..",
        "./password",
        "password/",
        "pass//word",
        "password\u{0}",
        "pässword",
        "${pod.uid}",
        "${pod.name",
        "../${pod.name}",
        "${pod.labels['none']}",
        "password=../../etc/passwd",
        "password=/etc/passwd",
        "password=..",
        "password=..data",
        "password=..data/password",
        "password=a/../../b",
        "password=kubernetes.io/serviceaccount",
        "password=",
        "password=a=b",
        "**=password",
        "password, password",
        "password,",
        "[]",
        "[{entry: password, path: ../x}]",
        "[{entry: password, mode: \"4755\"}]",
        "[{entry: password, mode: 0400}]",
        "[{entry: password, uid: -1}]",
        "[{entry: password, uid: 4294967295}]",
        "[{entry: password, vault: other}]",
        "[&a {entry: password}, *a]",
        "[",
    ] {
        let attack = scene.asks(&web, "app", items);
        table.refuses(&format!("{items:?}"), &attack, &INVALID, &control, ONE);
    }
    let attack = control.clone().with(|volume| {
        volume.defaults = Some(secretvault_delivery::v1::FileDefaults {
            mode: Some(0o4755),
            ..Default::default()
        });
    });
    let setuid = Refusal::Denied(&[(Reason::InvalidRequest, "mode 0o4755 is beyond 0777")]);
    table.refuses("setuid by the agent", &attack, &setuid, &control, ONE);
    table.finish();
}
