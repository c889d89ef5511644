//! Real software, as it is, in pods that only got annotations. Its image: `software-image` of
//! `tests/cluster`.

mod databases;
mod servers;

use secretvault_e2e::Answer;

use super::Example;

impl Example {
    /// Waits until a Deployment or a StatefulSet has its pods, all of them Ready.
    fn wait_rollout(&self, workload: &str) {
        let rollout = self.kubectl(&["rollout", "status", workload, "--timeout=5m"]);
        let _ = rollout.expect_success();
    }

    /// What a Job's pod said, once the Job has ended like this.
    fn job_log(&self, job: &str, condition: &str) -> String {
        let condition = format!("--for=condition={condition}");
        let job = format!("job/{job}");
        let wait = self.kubectl(&["wait", &condition, &job, "--timeout=5m"]);
        let _ = wait.expect_success();
        self.kubectl(&["logs", &job]).expect_success()
    }

    /// Runs a command in a pod of a workload.
    fn exec(&self, workload: &str, command: &[&str]) -> Answer {
        self.kubectl(&[&["exec", workload, "--"], command].concat())
    }

    /// A value stands in no pod, and in nothing that pods are made from.
    fn assert_nowhere_written(&self, value: &str) {
        let kinds = "pods,jobs,deployments,replicasets,statefulsets,configmaps";
        let objects = self.kubectl(&["get", kinds, "-o", "yaml"]).expect_success();
        assert!(objects.contains("secretvault.dev/vaults"), "{objects}");
        assert!(!objects.contains(value), "{objects}");
    }
}
