//! The command line: what one may type, and which module does it.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::{audit, cluster, edit, run, session::Session, show};

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "secretvault",
    version,
    about = "Keeps vaults of secrets on one machine, and gives them to commands as files in memory",
    after_help = "A first vault:\n  \
        secretvault init\n  \
        secretvault set app db/password          # asks for the value\n  \
        secretvault run --vault app -- env | grep _FILE",
    arg_required_else_help = true
)]
pub struct Cli {
    /// Where vaults and keyring are.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Where vaults and keyring are, and which namespace is meant.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// The directory of vaults [default: secretvault/vaults in the XDG data directory]
    #[arg(long, global = true, value_name = "DIR", env = "SECRETVAULT_STORE")]
    pub store: Option<PathBuf>,
    /// The keyring's file [default: secretvault/keyring in the XDG data directory]
    #[arg(long, global = true, value_name = "FILE", env = "SECRETVAULT_KEYRING")]
    pub keyring: Option<PathBuf>,
    /// The namespace of vaults that are named without one
    #[arg(
        long,
        short,
        global = true,
        value_name = "NAMESPACE",
        default_value = "default",
        env = "SECRETVAULT_NAMESPACE"
    )]
    pub namespace: String,
}

/// What to do. No command takes a value from the command line: arguments are readable by every
/// process of the machine, and the shell writes them into its history.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Seals manifests and stores them: files, directories, or - for standard input
    #[command(
        after_help = "Examples:\n  secretvault apply -f app.yaml\n  secretvault apply -f manifests/\n  generate | secretvault apply -f -\n\nspec.editors is kept for the cluster that a vault may be moved to, and not enforced here:\nwhoever owns the store may write everything."
    )]
    Apply(ApplyArgs),
    /// Says what may be asked of an operator's audit log
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Prints a completion script for a shell
    #[command(
        after_help = "Example:\n  secretvault completions bash > /etc/bash_completion.d/secretvault"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Makes an empty vault
    #[command(after_help = "Example:\n  secretvault create app -d 'What the web tier needs'")]
    Create {
        /// [NAMESPACE/]NAME
        vault: String,
        /// What the vault is for
        #[arg(long, short, value_name = "TEXT")]
        description: Option<String>,
    },
    /// Deletes vaults
    Delete {
        /// [NAMESPACE/]NAME
        #[arg(required = true)]
        vaults: Vec<String>,
    },
    /// Says what an apply would change, by name; exits with 1 if anything would, with 2 in trouble
    #[command(after_help = "Example:\n  secretvault diff -f manifests/")]
    Diff(ManifestArgs),
    /// Examines a cluster's installation: keys, webhooks, agents, clocks, and what a thief would have
    #[command(after_help = cluster::DOCTOR_HELP)]
    Doctor(cluster::DoctorArgs),
    /// Says which files a pod gets, and why: from a cluster, or from manifests
    #[command(after_help = cluster::EXPLAIN_HELP)]
    Explain(cluster::ExplainArgs),
    /// Prints vaults as manifests with sealed values, for a backup or a cluster with the same key
    #[command(after_help = "Example:\n  secretvault export | kubectl apply --server-side -f -")]
    Export {
        /// [NAMESPACE/]NAME; none: all vaults
        vaults: Vec<String>,
    },
    /// Prints a vault as it is stored, or one of its values, masked
    #[command(
        after_help = "Examples:\n  secretvault get app\n  secretvault get app db/password\n  secretvault get app db/password --reveal > file"
    )]
    Get {
        /// [NAMESPACE/]NAME
        vault: String,
        /// An entry of it
        entry: Option<String>,
        /// Print the entry's value as it is: here the key is local. A cluster never reads a value back
        #[arg(long, requires = "entry")]
        reveal: bool,
        /// How to print the vault
        #[arg(long, short, value_enum, default_value_t = DocumentFormat::Yaml)]
        output: DocumentFormat,
    },
    /// Takes values from a .env file, a directory of files, or a Kubernetes Secret's YAML
    #[command(
        after_help = "Examples:\n  secretvault import app --env-file .env\n  secretvault import app --directory secrets/\n  kubectl get secret app -o yaml | secretvault import app --secret -"
    )]
    Import(ImportArgs),
    /// Makes the store, and a keyring if there is none
    Init,
    /// Lists the vaults
    List {
        /// How to print them
        #[arg(long, short, value_enum, default_value_t = TableFormat::Table)]
        output: TableFormat,
    },
    /// Prints the manual page
    #[command(hide = true)]
    Man,
    /// Opens a vault from a backup with a keyring alone: no store is needed
    #[command(
        after_help = "Example:\n  secretvault open -f backup.yaml --keyring keyring db/password --reveal"
    )]
    Open {
        /// The vault's manifest, as from `export` or `kubectl get -o yaml`; - for standard input
        #[arg(long, short, value_name = "FILE")]
        filename: PathBuf,
        /// An entry of it; none: all of them, masked
        entry: Option<String>,
        /// Print the entry's value as it is
        #[arg(long, requires = "entry")]
        reveal: bool,
    },
    /// Takes entries out of a vault
    Remove {
        /// [NAMESPACE/]NAME
        vault: String,
        /// The entries
        #[arg(required = true)]
        entries: Vec<String>,
    },
    /// Makes a new key, and wraps every vault with it
    #[command(
        after_help = "What was interrupted is finished by the next rotate. Without --retire the old keys stay in the keyring:\nbackups that were made before open with them."
    )]
    Rotate {
        /// Also give each vault a new data key, and seal every value anew: after a leak
        #[arg(long)]
        data_keys: bool,
        /// Take the keys that nothing in this store uses any more out of the keyring
        #[arg(long)]
        retire: bool,
    },
    /// Runs a command that finds its secrets in memory at /run/secrets
    #[command(after_help = run::HELP)]
    Run(run::RunArgs),
    /// Gives an entry a value: from standard input, a file, or a prompt, never from an argument
    #[command(
        after_help = "Examples:\n  secretvault set app db/password\n  printf %s \"$value\" | secretvault set app db/password\n  secretvault set app tls/key.pem --file key.pem\n\nA value is never an argument: every process of the machine can read those, and shells keep them in their history."
    )]
    Set(SetArgs),
    /// Shows a vault's entries, masked
    Show {
        /// [NAMESPACE/]NAME
        vault: String,
        /// How to print them
        #[arg(long, short, value_enum, default_value_t = TableFormat::Table)]
        output: TableFormat,
    },
    /// Shows the vaults and their entries as a tree
    Tree,
    /// Opens every value of every vault; exits with 1 if one does not open
    Verify,
    /// Says who in a cluster has a vault or an entry, and who could get it
    #[command(after_help = cluster::WHO_HELP)]
    Who(cluster::WhoArgs),
}

/// Which manifests.
#[derive(Debug, Args)]
pub struct ManifestArgs {
    /// Files, directories, or - for standard input
    #[arg(long, short, required = true, value_name = "FILE")]
    pub filename: Vec<PathBuf>,
    /// Look into directories below directories too
    #[arg(long, short = 'R')]
    pub recursive: bool,
}

/// What to apply.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// Which manifests.
    #[command(flatten)]
    pub manifests: ManifestArgs,
    /// Say what would become of them, and store nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// What to import.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// [NAMESPACE/]NAME; made if it is not there
    pub vault: String,
    /// Where from.
    #[command(flatten)]
    pub source: ImportSource,
    /// What each entry's name starts with
    #[arg(long, value_name = "PREFIX", default_value = "")]
    pub prefix: String,
    /// The values are no secret: they stay readable
    #[arg(long)]
    pub no_secret: bool,
}

/// Where values come from.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct ImportSource {
    /// Lines NAME=VALUE
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    /// Each file below it is an entry
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// A Kubernetes Secret's YAML; - for standard input
    #[arg(long, value_name = "FILE")]
    pub secret: Option<PathBuf>,
}

/// What to set.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// [NAMESPACE/]NAME; made if it is not there
    pub vault: String,
    /// The entry
    pub entry: String,
    /// Take the value from this file
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The value is no secret: it stays readable
    #[arg(long)]
    pub no_secret: bool,
    /// Take line breaks off the value's end, as `echo` adds one
    #[arg(long, action = ArgAction::SetTrue)]
    pub trim: bool,
}

/// How to print a table's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// JSON
    Json,
    /// Columns
    Table,
    /// YAML
    Yaml,
}

/// How to print an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DocumentFormat {
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// Does what was typed.
///
/// # Errors
/// It could not be done; the message says why, and what to do.
pub fn execute(cli: Cli) -> anyhow::Result<ExitCode> {
    let session = &Session::new(cli.place);
    // `run` does it when it is in its namespaces: they are set up through /proc.
    if !matches!(cli.command, Command::Run(_)) {
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    let done = match cli.command {
        Command::Apply(arguments) => edit::apply(session, &arguments),
        Command::Audit(command) => return audit::execute(&command),
        Command::Completions { shell } => show::completions(shell),
        Command::Create { vault, description } => edit::create(session, &vault, description),
        Command::Delete { vaults } => edit::delete(session, &vaults),
        Command::Diff(manifests) => return Ok(compare(session, &manifests)),
        Command::Doctor(arguments) => return Ok(cluster::doctor(session, &arguments)),
        Command::Explain(arguments) => return Ok(cluster::explain(session, &arguments)),
        Command::Export { vaults } => show::export(session, &vaults),
        Command::Get {
            vault,
            entry: None,
            output,
            ..
        } => show::object(session, &vault, output),
        Command::Get {
            vault,
            entry: Some(entry),
            reveal,
            ..
        } => show::value(session, &vault, &entry, reveal),
        Command::Import(arguments) => edit::import(session, &arguments),
        Command::Init => edit::init(session),
        Command::List { output } => show::list(session, output),
        Command::Man => show::man(),
        Command::Open {
            filename,
            entry,
            reveal,
        } => show::open(session, &filename, entry.as_deref(), reveal),
        Command::Remove { vault, entries } => edit::remove(session, &vault, &entries),
        Command::Rotate { data_keys, retire } => edit::rotate(session, data_keys, retire),
        Command::Run(arguments) => run::run(session, &arguments),
        Command::Set(arguments) => edit::set(session, &arguments),
        Command::Show { vault, output } => show::entries(session, &vault, output),
        Command::Tree => show::tree(session),
        Command::Verify => return show::verify(session),
        Command::Who(arguments) => return Ok(cluster::who(session, &arguments)),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// As `diff` itself: 0 for nothing to change, 1 for something, 2 for trouble.
fn compare(session: &Session, manifests: &ManifestArgs) -> ExitCode {
    match edit::diff(session, manifests) {
        Ok(false) => ExitCode::SUCCESS,
        Ok(true) => ExitCode::from(1),
        Err(error) => {
            tell(&error);
            ExitCode::from(2)
        }
    }
}

/// Says on standard error what went wrong, and why.
pub fn tell(error: &anyhow::Error) {
    let _ = writeln!(io::stderr(), "secretvault: {error:#}");
}
