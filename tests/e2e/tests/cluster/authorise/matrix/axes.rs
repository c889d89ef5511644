//! What the cells differ in.

/// The token that is shown as the pod's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PodToken {
    Valid,
    OtherPods,
    DeletedPods,
    OtherNamespaces,
    WrongAudience,
    Expired,
    Forged,
    None,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agent {
    OfThePodsNode,
    OfTheOtherNode,
    OtherAccount,
    None,
}

/// What the vault's `access` says. Each of the last four differs from `Allows` in one condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// There is no `access`.
    None,
    Allows,
    OtherAccount,
    OtherNamespace,
    OtherLabel,
    OtherEntry,
}

/// Where the vault is, seen from the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the pod's own namespace.
    Home,
    /// In another one.
    Elsewhere,
    /// Nowhere, and asked for at home.
    Missing,
    /// Nowhere, and asked for in the other namespace.
    MissingElsewhere,
}

/// One question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) token: PodToken,
    pub(super) agent: Agent,
    pub(super) rule: Rule,
    pub(super) place: Place,
}

impl Cell {
    /// Every one, in the order of the printed table.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        PodToken::ALL.into_iter().flat_map(|token| {
            Agent::ALL.into_iter().flat_map(move |agent| {
                Place::ALL.into_iter().flat_map(move |place| {
                    Rule::ALL.into_iter().map(move |rule| Self {
                        token,
                        agent,
                        rule,
                        place,
                    })
                })
            })
        })
    }

    /// With nothing wrong about who asks.
    pub(super) fn of_a_good_pod(rule: Rule, place: Place) -> Self {
        Self {
            token: PodToken::Valid,
            agent: Agent::OfThePodsNode,
            rule,
            place,
        }
    }
}

impl PodToken {
    pub(super) const ALL: [Self; 8] = [
        Self::Valid,
        Self::OtherPods,
        Self::DeletedPods,
        Self::OtherNamespaces,
        Self::WrongAudience,
        Self::Expired,
        Self::Forged,
        Self::None,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::OtherPods => "another pod's",
            Self::DeletedPods => "a deleted pod's",
            Self::OtherNamespaces => "another namespace's",
            Self::WrongAudience => "wrong audience",
            Self::Expired => "expired",
            Self::Forged => "forged",
            Self::None => "none",
        }
    }
}

impl Agent {
    pub(super) const ALL: [Self; 4] = [
        Self::OfThePodsNode,
        Self::OfTheOtherNode,
        Self::OtherAccount,
        Self::None,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::OfThePodsNode => "of the pod's node",
            Self::OfTheOtherNode => "of the other node",
            Self::OtherAccount => "another account's",
            Self::None => "none",
        }
    }
}

impl Rule {
    pub(super) const ALL: [Self; 6] = [
        Self::None,
        Self::Allows,
        Self::OtherAccount,
        Self::OtherNamespace,
        Self::OtherLabel,
        Self::OtherEntry,
    ];

    /// Those that have nothing at all to say to the pod, where they stand elsewhere.
    pub(super) fn that_keep_out() -> [Self; 4] {
        [
            Self::None,
            Self::OtherAccount,
            Self::OtherNamespace,
            Self::OtherLabel,
        ]
    }

    /// The name of the vault that has it.
    pub(super) fn vault(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Allows => "allows",
            Self::OtherAccount => "other-account",
            Self::OtherNamespace => "other-namespace",
            Self::OtherLabel => "other-label",
            Self::OtherEntry => "other-entry",
        }
    }
}

impl Place {
    pub(super) const ALL: [Self; 4] = [
        Self::Home,
        Self::Elsewhere,
        Self::Missing,
        Self::MissingElsewhere,
    ];

    pub(super) fn is_missing(self) -> bool {
        matches!(self, Self::Missing | Self::MissingElsewhere)
    }

    pub(super) fn is_elsewhere(self) -> bool {
        matches!(self, Self::Elsewhere | Self::MissingElsewhere)
    }
}
