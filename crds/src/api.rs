//! Names that are part of the API: what users type, and what the parts tell each other.

/// The API group of all kinds.
pub const GROUP: &str = "secretvault.dev";

/// The version of all kinds.
pub const VERSION: &str = "v1alpha1";

/// The CSI driver's name.
pub const DRIVER_NAME: &str = "csi.secretvault.dev";

/// What every annotation and label of ours starts with.
pub const PREFIX: &str = "secretvault.dev/";

/// The audience of the token that kubelet mints for a pod: the CSI driver's.
pub const AUDIENCE_POD: &str = "csi.secretvault.dev";

/// The audience of the node agent's own token: the operator.
pub const AUDIENCE_OPERATOR: &str = "secretvault-operator";

/// The key provider of a vault that names none.
pub const DEFAULT_KEY_PROVIDER: &str = "default";

/// The annotation of a Namespace that names the key provider of its vaults that name none.
pub const ANNOTATION_KEY_PROVIDER: &str = "secretvault.dev/key-provider";

/// Where the Transit engine is mounted, if nobody says otherwise.
pub const DEFAULT_TRANSIT_MOUNT: &str = "transit";

/// The key of a keyring Secret that is read when none is named.
pub const DEFAULT_KEYRING_KEY: &str = "keyring";

/// The verb that lets a person bring in an envelope that is not the stored one.
pub const VERB_RESTORE: &str = "restore";

/// The verb that lets a person change who may have what of an existing vault.
pub const VERB_MANAGE: &str = "manage";

/// What a sealed value starts with.
pub const SEALED_PREFIX: &str = "sv1:";

/// What a value sealed for Git starts with.
pub const SEALED_FOR_GIT_PREFIX: &str = "git1:";

/// The type of the condition that says whether an object can be used, as kstatus reads it.
pub const CONDITION_READY: &str = "Ready";

/// The type of the condition that says whether a vault, or every vault of a key provider, has the
/// provider and the key that it should have.
pub const CONDITION_KEY_CURRENT: &str = "KeyCurrent";

/// The type of the condition that says whether the keys that should be retired are gone.
pub const CONDITION_RETIRED: &str = "Retired";
