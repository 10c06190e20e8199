//! Names what facts are worked out by: these sources, their dependencies and the compiler. Facts on disk are used by no other.

use std::{env, fs, io, path::Path, process::Command};

fn main() -> io::Result<()> {
    let mut hasher = blake3::Hasher::new();
    for path in ["src", "../shared/src", "../Cargo.lock"] {
        println!("cargo::rerun-if-changed={path}");
        add(&mut hasher, Path::new(path))?;
    }
    let compiler = Command::new(env::var_os("RUSTC").unwrap_or("rustc".into())).arg("-vV").output()?;
    hasher.update(&compiler.stdout);
    println!("cargo::rustc-env=FACTS_BY={}", hasher.finalize());
    Ok(())
}

/// Adds what is in a file, or in all files of a directory.
fn add(hasher: &mut blake3::Hasher, path: &Path) -> io::Result<()> {
    if path.is_file() {
        hasher.update(&fs::read(path)?);
        return Ok(());
    }
    let entries: io::Result<Vec<_>> = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = entries?;
    paths.sort();
    paths.iter().try_for_each(|path| add(hasher, path))
}
