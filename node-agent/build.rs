//! Compiles the protocols that kubelet speaks. The publish request holds a token, so it gets no
//! derived `Debug`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = protox::compile(
        ["proto/csi.proto", "proto/pluginregistration.proto"],
        ["proto"],
    )?;
    tonic_prost_build::configure()
        .skip_debug(["NodePublishVolumeRequest"])
        .compile_fds(files)?;
    println!("cargo::rerun-if-changed=proto");
    Ok(())
}
