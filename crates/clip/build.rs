//! Compiles our subset of the ONNX format, without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = "proto/onnx_subset.proto";
    println!("cargo::rerun-if-changed={file}");
    let descriptors = protox::compile([file], ["proto"])?;
    prost_build::Config::new().compile_fds(descriptors)?;
    Ok(())
}
