//! What a vault may hold. The schema enforces these limits, and admission names them.

/// The longest entry name, in characters: as long as an object's name may be.
pub const MAX_ENTRY_NAME: usize = 253;

/// The largest value, in bytes, before it is sealed.
pub const MAX_VALUE: usize = 512 * 1024;

/// The most entries of one vault, over all four maps.
pub const MAX_ENTRIES: usize = 500;

/// The most characters of sealed values in one vault (`data` and `binaryData`): etcd refuses
/// requests above 1.5 MiB, and `publicData`, names and status need room too.
pub const MAX_SEALED_TOTAL: usize = 1024 * 1024;

/// The most bytes of a whole object, with its status: what etcd takes (1.5 MiB), less what the API
/// server adds. Admission refuses what would be stored and never get a status.
pub const MAX_OBJECT: usize = 1536 * 1024 - 32 * 1024;

/// The most pods that a vault's status names.
pub const MAX_CONSUMERS: usize = 100;

/// The most overridden paths that a vault's status names of one pod.
pub const MAX_OVERRIDDEN: usize = 8;

/// The most bytes that these have in the object, as JSON: about a hundred pods with names of usual
/// length. Admission leaves room for so many.
pub const MAX_CONSUMERS_BYTES: usize = 16 * 1024;

/// The most characters of one value as it is sent. Only a bound for the schema's cost estimate and
/// above every other limit, so that those can answer with a better message.
pub const MAX_VALUE_TEXT: usize = 1_400_000;

/// The most rules under `access`.
pub const MAX_ACCESS_RULES: usize = 64;

/// The most rules under `editors`.
pub const MAX_EDITOR_RULES: usize = 64;

/// The longest name of a user or group, in characters. Kubernetes itself sets no limit.
pub const MAX_SUBJECT: usize = 512;

/// The most alternatives in one list of an access rule, or of a rule of `editors`.
pub const MAX_ALTERNATIVES: usize = 64;

/// The most labels, and the most expressions, of a pod selector.
pub const MAX_SELECTOR_TERMS: usize = 32;

/// The longest description, in characters.
pub const MAX_DESCRIPTION: usize = 1024;

/// The largest user or group id: one more is `(uid_t) -1`, which means "unchanged".
pub const MAX_OWNER_ID: u32 = u32::MAX - 1;

/// The most names in a key provider's allowed namespaces.
pub const MAX_ALLOWED_NAMESPACES: usize = 256;

/// The most keys that a key provider's status names: as many as a keyring may have.
pub const MAX_KEYS: usize = 64;

/// The most keys that one keyring can be told to retire: all but the one that wraps.
pub const MAX_RETIRED_KEYS: usize = MAX_KEYS - 1;

/// The most vaults that a key provider's status names as not rewrapped.
pub const MAX_REWRAP_FAILURES: usize = 10;
