//! Compiles the `.proto` files with protox, so that no protoc has to be installed.

use std::{env, error::Error, fs, path::PathBuf};

const FILES: [&str; 14] = [
    "tonghop/v1/finding.proto",
    "tonghop/v1/unit.proto",
    "tonghop/v1/unit_event.proto",
    "tonghop/v1/form.proto",
    "tonghop/v1/indicator.proto",
    "tonghop/v1/term.proto",
    "tonghop/v1/report.proto",
    "tonghop/v1/entry.proto",
    "tonghop/v1/registry_service.proto",
    "tonghop/v1/ingest_service.proto",
    "tonghop/v1/feed_service.proto",
    "tonghop/v1/selector.proto",
    "tonghop/v1/result.proto",
    "tonghop/v1/query_service.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=tonghop");
    println!("cargo:rerun-if-changed=google");
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_source_info(true).include_imports(true).open_files(FILES)?;

    // `encode_file_descriptor_set` keeps custom options, which `file_descriptor_set` drops.
    let descriptor_set = compiler.encode_file_descriptor_set();
    let out = PathBuf::from(env::var("OUT_DIR")?).join("tonghop.v1.descriptor.bin");
    fs::write(out, descriptor_set)?;

    // Sorted maps: the encoded bytes of a report are hashed, so their order must not be left to chance.
    tonic_prost_build::configure()
        .btree_map(".")
        .extern_path(".google.rpc", "::tonic_types::pb")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
