//! Writes the CustomResourceDefinitions into each directory that it is given:
//! `cargo run -p secretvault-crds --bin crdgen -- crds/generated`.

use std::{env, fs, io, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let directories: Vec<String> = env::args().skip(1).collect();
    if directories.is_empty() {
        return fail("give at least one directory to write to");
    }
    for directory in &directories {
        if let Err(error) = write(Path::new(directory)) {
            return fail(&format!("{directory}: {error}"));
        }
    }
    ExitCode::SUCCESS
}

fn write(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for (name, yaml) in secretvault_crds::generate::files().map_err(io::Error::other)? {
        fs::write(directory.join(name), yaml)?;
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a tool's way to say why it failed")]
fn fail(message: &str) -> ExitCode {
    eprintln!("crdgen: {message}");
    ExitCode::FAILURE
}
