//! What a pod's annotations make of it: in every kind of workload, whoever else changes the pod, and
//! refused by the API server itself where nobody made anything of them. Each refusal stands beside a
//! twin that is admitted.

mod counted;
mod others;
mod policies;
mod refusals;
mod scene;
mod skipped;
mod waiting;
mod workloads;
