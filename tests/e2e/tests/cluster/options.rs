//! The release with options that it is not installed with. As many at once as go together, and their
//! tests side by side: each upgrade replaces every replica, and most of the tests wait.

use secretvault_e2e::{STATE, side_by_side, upgraded};

use crate::authorise::audit::unrecorded;
use crate::authorise::least_privilege;
use crate::examples::key_provider;
use crate::failures::budget;
use crate::{callers, install, restart};

#[test]
#[ignore = "it needs the cluster for itself"]
fn with_options() {
    let before = install::BeforeUpgrade::look();
    let key_provider = key_provider::Prepared::new();
    let client_ca = format!("webhook.clientCa={STATE}/pki/webhook-client-ca.crt");
    let options = "restart.enabled=true,agent.nodeBudget=64Mi,agent.workingSet=24Mi";
    let upgraded = upgraded(
        &[
            &["--set", options][..],
            &["--set", install::BeforeUpgrade::VALUES],
            &["--set-file", &client_ca],
            &key_provider.arguments(),
        ]
        .concat(),
    );
    side_by_side(&[
        ("upgrade", &|| {
            before.the_upgrade_leaves_keys_and_running_pods_as_they_are();
        }),
        ("keyring file", &key_provider::key_provider_file),
        (
            "restart: rolls",
            &restart::each_kind_of_workload_rolls_once_for_several_quick_edits,
        ),
        (
            "restart: is left alone",
            &restart::what_cannot_be_restarted_is_left_alone_and_told_so,
        ),
        (
            "restart: policy",
            &restart::the_operator_may_write_that_annotation_and_nothing_else_of_a_workload,
        ),
        (
            "restart: rights",
            &least_privilege::with_restart_enabled_the_operator_may_patch_workloads_and_no_more,
        ),
        (
            "client CA",
            &callers::with_an_authority_of_its_callers_the_webhook_answers_the_api_server_and_nobody_else,
        ),
        (
            "budget",
            &budget::an_agent_that_was_killed_comes_back_beside_volumes_that_are_charged_to_it,
        ),
    ]);
    drop(upgraded);
    before.and_so_does_the_rollback();
}

/// One after the other: where nothing can be recorded, the others could do nothing.
#[test]
#[ignore = "it needs the cluster for itself"]
fn with_little_room() {
    let budget = budget::LittleBudget::before();
    let upgraded = upgraded(&[
        "--set",
        "agent.nodeBudget=3Mi,audit.onFailure=refuse",
        "--set",
        unrecorded::LittleRoom::VALUES,
    ]);
    budget.a_volume_beyond_it_is_refused_and_fits_when_another_has_gone();
    unrecorded::what_cannot_be_recorded_is_neither_stored_nor_released_until_it_can_be();
    upgraded.again(&["--set", "audit.onFailure=release"]);
    unrecorded::where_the_operator_is_set_so_it_goes_on_and_the_log_says_what_it_lacks();
}
