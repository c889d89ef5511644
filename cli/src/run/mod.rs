//! `secretvault run`: a command that finds its secrets in memory, in a mount namespace of its own.
//!
//! The process becomes the command: it has its pid, its signals and its exit status, and nothing
//! stays beside it. Volume and namespace end when the last process in them does, whichever way.
//!
//! ```text
//! namespace    mounts of our own; without root also a user namespace with the caller alone
//! swap         may memory get to a disk?
//! selection    which files, opened
//! volume       a tmpfs, filled before anybody sees it
//! directory    /run anew: what was there, the volume, the marker
//! environment  a variable for each file
//! exec         from here on it is the command's
//! ```
//!
//! Later changes of the store come in through [`update`], which finds the command by its
//! marker.

mod sys;

mod identity;

mod namespace;

mod swap;

mod marker;

mod directory;

mod environment;

mod site;

mod entrance;

mod found;

pub mod update;

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt::Display,
    io::{self, Write},
    os::unix::process::CommandExt,
    process,
};

use clap::{Args, builder::RangedI64ValueParser};
use jiff::Timestamp;
use nix::unistd::{Uid, User};
use rustix::process::{DumpableBehavior, getegid, geteuid, set_dumpable_behavior};
use secretvault_vault::{Held, names::MAX_OWNER_ID};
use secretvault_volume::{Contents, GenerationName, Volume, noswap_works};

use crate::{
    selection::{Owners, Wish, select},
    session::Session,
    store::{Store, StoreError, Writing},
};
use identity::Identity;
use marker::Marker;

/// What to run, and with which files.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// A vault; again for more, of which a later one overrides an earlier one. Or, once, a YAML
    /// list of vault, prefix (a directory for its files) and optional
    #[arg(long, required = true, value_name = "[NAMESPACE/]NAME")]
    pub vault: Vec<String>,
    /// Entries, globs, renamed entries, or a YAML list [default: all]
    #[arg(
        long,
        value_name = "ITEMS",
        default_value = "",
        hide_default_value = true
    )]
    pub items: String,
    /// Also set variables that hold the values themselves
    #[arg(long)]
    pub env: bool,
    /// The owner of files for which neither vault nor items say one
    #[arg(long, value_name = "UID", value_parser = owner_id())]
    pub uid: Option<u32>,
    /// Their group
    #[arg(long, value_name = "GID", value_parser = owner_id())]
    pub gid: Option<u32>,
    /// Their mode, such as 0400
    #[arg(long, value_name = "MODE")]
    pub mode: Option<String>,
    /// The service account that access rules see [default: default, of the namespace]
    #[arg(long = "as", value_name = "NAMESPACE:ACCOUNT")]
    pub identity: Option<Identity>,
    /// Go on although secrets could be swapped to a disk that is not encrypted
    #[arg(long)]
    pub allow_swap: bool,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// What `secretvault run --help` ends with.
pub const HELP: &str = "Examples:
  secretvault run --vault app -- ./server
  secretvault run --vault shared --vault app --items 'db/*, tls/key.pem=key.pem' -- ./server
  secretvault run --vault '[{vault: shared, prefix: shared, optional: true}, {vault: app}]' -- ./server
  secretvault run --vault app --env -- ./server-that-reads-variables

Each entry is a file in /run/secrets, in memory and read-only, and a variable leads to it: \
db/password is DB_PASSWORD_FILE. When a vault changes, so do the files of the commands that run. \
Variables of --env do not, and every process of the same user can read them in /proc/PID/environ.

The command keeps its pid, signals and exit status; 127 means that it was not found, 126 that it \
cannot be run. In /run itself it sees what was there when it started, and what it makes there \
itself, such as a pid file, goes with it; directories in /run are as outside. Without root the \
files belong to you, and sudo and other setuid programs do not work in it.";

/// One more would mean "unchanged" to the kernel.
fn owner_id() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(..=i64::from(MAX_OWNER_ID))
}

/// Becomes the command.
///
/// # Errors
/// It was not started; nothing is left of the attempt.
pub fn run(session: &Session, arguments: &RunArgs) -> anyhow::Result<()> {
    let wish = wish(session, arguments);
    let store = session.store()?;
    namespace::enter()?;
    // From here on there is something to hide. What is executed is as open as ever.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let noswap = noswap_works();
    if !noswap && !arguments.allow_swap {
        swap::refuse_unencrypted()?;
    }
    let _lock = keep_still(&store)?;
    let keys = session.keys()?;
    let mut selection = select(&store, &keys, &wish, owners(), &Held::default())?;
    for notice in std::mem::take(&mut selection.notices) {
        warn(notice);
    }
    let marker = Marker::new(&store, wish, &selection.held)?;
    let contents = selection.into_contents(Contents::default())?;
    let mut command = command(&arguments.command);
    environment::set(&mut command, &contents, arguments.env)?;
    let volume = Volume::create(&contents, &generation_name(session.now)?, noswap)?;
    directory::furnish(&volume, &marker)?;
    become_it(command)
}

/// What the command line asks for.
fn wish(session: &Session, arguments: &RunArgs) -> Wish {
    let of_namespace = || Identity::of_namespace(&session.namespace);
    let identity = arguments.identity.clone().unwrap_or_else(of_namespace);
    // The system's word, not the environment's. Who has no name can have no entry named after it.
    let user = User::from_uid(Uid::current()).ok().flatten();
    Wish {
        vaults: arguments.vault.join(","),
        items: arguments.items.clone(),
        uid: arguments.uid,
        gid: arguments.gid,
        mode: arguments.mode.clone(),
        namespace: identity.namespace,
        account: identity.account,
        user: user.map(|user| user.name).unwrap_or_default(),
    }
}

/// Keeps the store as it is until updates can find the command: a change between the two would
/// never reach it. A store that we may not write to is changed by others, who update nothing of ours.
fn keep_still(store: &Store) -> Result<Option<Writing<'_>>, StoreError> {
    match store.lock() {
        Ok(lock) => Ok(Some(lock)),
        Err(busy @ StoreError::Busy(_)) => Err(busy),
        Err(_) => Ok(None),
    }
}

/// Whose the files are: a user namespace knows the caller and nobody else.
fn owners() -> Owners {
    if geteuid().is_root() {
        return Owners::AsAsked;
    }
    Owners::Caller {
        uid: geteuid().as_raw(),
        gid: getegid().as_raw(),
    }
}

fn command(words: &[OsString]) -> process::Command {
    let mut words = words.iter();
    // The command line has at least one.
    let mut command = process::Command::new(words.next().map_or_else(OsString::new, Clone::clone));
    command.args(words);
    command
}

/// Executes the command in place of this program. If that fails, ends with what shells end with.
fn become_it(mut command: process::Command) -> ! {
    let error = command.exec();
    let program = command.get_program().to_string_lossy();
    let missing = error.kind() == io::ErrorKind::NotFound || is_nowhere(command.get_program());
    let (code, problem) = if missing {
        (127, "was not found, or its interpreter was not")
    } else if error.kind() == io::ErrorKind::ArgumentListTooLong {
        (126, "cannot be run with so long variables: leave --env out")
    } else {
        (126, "cannot be run")
    };
    say(format_args!("{program} {problem}: {error}"));
    process::exit(code)
}

/// Whether no directory of the path has the command. The kernel's word is not enough: with one that
/// may not be entered it says "permission denied".
fn is_nowhere(program: &OsStr) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_path = program.as_encoded_bytes().contains(&b'/');
    !is_path && env::split_paths(&path).all(|directory| !directory.join(program).exists())
}

/// A name for a volume's next generation.
fn generation_name(now: Timestamp) -> Result<GenerationName, getrandom::Error> {
    Ok(GenerationName::new(now, getrandom::u32()?))
}

fn warn(notice: impl Display) {
    say(format_args!("warning: {notice}"));
}

fn say(text: impl Display) {
    let _ = writeln!(io::stderr(), "secretvault: {text}");
}
