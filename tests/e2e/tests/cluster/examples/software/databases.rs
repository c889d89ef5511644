//! Databases and who logs in to them.

use secretvault_e2e::eventually;

use super::super::Example;

#[test]
fn postgresql() {
    let example = Example::apply("postgresql");
    let client = example.job_log("client", "Complete");
    assert_eq!(client, "logged in as postgres\n");
    let stranger = example.job_log("stranger", "Failed");
    let refused = "FATAL:  password authentication failed for user \"postgres\"";
    assert!(stranger.contains(refused), "{stranger}");
    let how = "SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = 'postgres'";
    let psql = ["psql", "--username=postgres", "-Atc", how];
    let scram = example.exec("statefulset/postgres", &psql);
    assert_eq!(scram.expect_success(), "t\n");
    example.assert_nowhere_written("correct horse");
}

#[test]
fn mariadb() {
    let example = Example::apply("mariadb");
    example.wait_rollout("statefulset/mariadb");
    example.wait_rollout("deployment/app");
    eventually("the application's orders are counted", || {
        let log = example.kubectl(&["logs", "deployment/app"]).into_result()?;
        if log.starts_with("1 orders\n2 orders\n") {
            Ok(())
        } else {
            Err(log)
        }
    });
    let guess = [
        "mariadb",
        "--host=mariadb",
        "--user=shop",
        "--password=guess",
    ];
    let refused = example.exec("deployment/app", &guess);
    refused.expect_refusal(&["ERROR 1045 (28000): Access denied"], "hunter2");
    let files = example.exec("deployment/app", &["ls", "/run/secrets"]);
    // Beside it stands where a container runtime mounts the token of the service account.
    assert_eq!(files.expect_success(), "db_password\nkubernetes.io\n");
    let root = "MYSQL_PWD=\"$(cat \"$MARIADB_ROOT_PASSWORD_FILE\")\" \
                mariadb --host=mariadb --user=root --batch --skip-column-names \
                --execute='SELECT COUNT(*) > 1 FROM shop.orders'";
    let counted = example.exec("statefulset/mariadb", &["sh", "-c", root]);
    assert_eq!(counted.expect_success(), "1\n");
    example.assert_nowhere_written("hunter2");
    example.assert_nowhere_written("correct horse");
}
