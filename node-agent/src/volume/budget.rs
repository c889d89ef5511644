//! The bytes that all volumes of the node may take together.

use std::collections::HashMap;

use super::TargetPath;

/// Who has reserved how much. Beyond the limit nothing is written.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    per_volume: u64,
    reserved: HashMap<TargetPath, u64>,
}

impl Budget {
    /// Starts with nothing reserved.
    pub fn new(limit: u64, per_volume: u64) -> Self {
        Self {
            limit,
            per_volume,
            reserved: HashMap::new(),
        }
    }

    /// Reserves room for a volume in place of what it had.
    ///
    /// # Errors
    /// More than one volume may have, or more than is left. What it had stays reserved.
    pub fn reserve(&mut self, target: &TargetPath, bytes: u64) -> Result<(), BudgetError> {
        self.allows(bytes)?;
        let others = self.used() - self.reserved.get(target).copied().unwrap_or_default();
        if others.saturating_add(bytes) > self.limit {
            return Err(BudgetError::Node {
                bytes,
                left: self.limit.saturating_sub(others),
                limit: self.limit,
            });
        }
        self.reserved.insert(target.clone(), bytes);
        Ok(())
    }

    /// Checks that one volume may have so much at all, however little the others have.
    ///
    /// # Errors
    /// [`BudgetError::Volume`].
    pub fn allows(&self, bytes: u64) -> Result<(), BudgetError> {
        if bytes > self.per_volume {
            return Err(BudgetError::Volume {
                bytes,
                limit: self.per_volume,
            });
        }
        Ok(())
    }

    /// Records what a volume has taken, asked or not: one that was there at the start, or one that
    /// could not give back what it no longer needs.
    pub fn record(&mut self, target: &TargetPath, bytes: u64) {
        self.reserved.insert(target.clone(), bytes);
    }

    /// Gives back what a volume had.
    pub fn release(&mut self, target: &TargetPath) {
        self.reserved.remove(target);
    }

    /// What a volume has.
    pub fn of(&self, target: &TargetPath) -> Option<u64> {
        self.reserved.get(target).copied()
    }

    /// What all volumes have.
    pub fn used(&self) -> u64 {
        self.reserved.values().sum()
    }

    /// How many volumes there are.
    pub fn volumes(&self) -> usize {
        self.reserved.len()
    }
}

/// There is no room for a volume.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// The node is full.
    #[error(
        "the volume needs {bytes} bytes, and {left} of this node's {limit} are left: \
         select fewer entries with `items`, or raise the node agent's node budget"
    )]
    Node {
        /// Needed.
        bytes: u64,
        /// Left.
        left: u64,
        /// In all.
        limit: u64,
    },
    /// The volume is too large for any node.
    #[error(
        "the volume needs {bytes} bytes, and {limit} are allowed: \
         select fewer entries with `items`, or raise the node agent's volume size limit"
    )]
    Volume {
        /// Needed.
        bytes: u64,
        /// Allowed.
        limit: u64,
    },
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn target(name: &str) -> TargetPath {
        let path = format!("/k/pods/u/volumes/kubernetes.io~csi/{name}/mount");
        TargetPath::parse(Path::new("/k"), &path).unwrap()
    }

    #[test]
    fn volumes_share_one_budget() {
        let mut budget = Budget::new(100, 80);
        budget.reserve(&target("a"), 60).unwrap();
        assert_eq!(
            budget.reserve(&target("b"), 60),
            Err(BudgetError::Node {
                bytes: 60,
                left: 40,
                limit: 100
            })
        );
        budget.release(&target("a"));
        budget.reserve(&target("b"), 60).unwrap();
        assert_eq!((budget.used(), budget.volumes()), (60, 1));
    }

    #[test]
    fn a_volume_that_changes_counts_once() {
        let mut budget = Budget::new(100, 80);
        budget.reserve(&target("a"), 60).unwrap();
        budget.reserve(&target("a"), 80).unwrap();
        assert_eq!(budget.used(), 80);
    }

    #[test]
    fn a_refusal_leaves_the_reservation_as_it_was() {
        let mut budget = Budget::new(100, 80);
        budget.reserve(&target("a"), 60).unwrap();
        let refused = budget.reserve(&target("a"), 81);
        assert_eq!(
            refused,
            Err(BudgetError::Volume {
                bytes: 81,
                limit: 80
            })
        );
        assert_eq!(budget.of(&target("a")), Some(60));
    }

    #[test]
    fn a_smaller_limit_than_what_is_mounted_refuses_and_does_not_panic() {
        let mut budget = Budget::new(100, 80);
        budget.record(&target("a"), 500);
        assert!(budget.reserve(&target("b"), 1).is_err());
        assert!(budget.reserve(&target("a"), 50).is_ok());
    }
}
