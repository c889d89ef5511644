//! The release with options that it is not installed with. All at once, and their tests side by side:
//! each upgrade replaces every replica, and most of the tests wait.

use secretvault_e2e::{STATE, side_by_side, upgraded};

use crate::authorise::least_privilege;
use crate::failures::budget;
use crate::{callers, restart};

#[test]
#[ignore = "it needs the cluster for itself"]
fn with_options() {
    let client_ca = format!("webhook.clientCa={STATE}/pki/webhook-client-ca.crt");
    let _upgraded = upgraded(&[
        "--set",
        "restart.enabled=true,agent.nodeBudget=64Mi,agent.workingSet=24Mi",
        "--set-file",
        &client_ca,
    ]);
    side_by_side(&[
        (
            "restart: rolls",
            restart::each_kind_of_workload_rolls_once_for_several_quick_edits,
        ),
        (
            "restart: is left alone",
            restart::what_cannot_be_restarted_is_left_alone_and_told_so,
        ),
        (
            "restart: policy",
            restart::the_operator_may_write_that_annotation_and_nothing_else_of_a_workload,
        ),
        (
            "restart: rights",
            least_privilege::with_restart_enabled_the_operator_may_patch_workloads_and_no_more,
        ),
        (
            "client CA",
            callers::with_an_authority_of_its_callers_the_webhook_answers_the_api_server_and_nobody_else,
        ),
        (
            "budget",
            budget::an_agent_that_was_killed_comes_back_beside_volumes_that_are_charged_to_it,
        ),
    ]);
}
