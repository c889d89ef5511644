//! Compiles the protocol. Messages that hold a token or a key get a hand-written `Debug`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = protox::compile(["proto/delivery.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .skip_debug(["Volume", "Sealed", "File"])
        .compile_fds(files)?;
    println!("cargo::rerun-if-changed=proto");
    Ok(())
}
