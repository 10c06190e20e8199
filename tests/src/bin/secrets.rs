//! `cargo secrets`: an authority, certificates, principals and tokens to try the containers with.

use std::{error::Error, fs, os::unix::fs::PermissionsExt, path::PathBuf};

use clap::Parser;
use tests::{
    harness::workspace,
    secrets::{GOOD, Secrets},
};

/// Make an authority of your own with certificates, principals and tokens, in the directory `secrets`
#[derive(Parser)]
struct Arguments {
    /// Where to put them; must not be there yet
    #[arg(long)]
    to: Option<PathBuf>,

    /// Further names and addresses under which the services are reached
    #[arg(long)]
    host: Vec<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { to, host } = Arguments::parse();
    let to = to.unwrap_or_else(|| workspace().join("secrets"));
    if to.exists() {
        return Err(format!("{} is there already; remove it first", to.display()).into());
    }
    let mut secrets = Secrets::begin(&to, "tonghop, an authority to try it with")?;
    let mut hosts = vec!["localhost", "127.0.0.1", "ingest-service", "query-service", "query"];
    hosts.extend(host.iter().map(String::as_str));
    secrets.certificate("server", &hosts, GOOD)?;
    for (name, role) in [("query-service", "replica"), ("admin", "admin")] {
        let digest = secrets.certificate(name, &[name], GOOD)?;
        let row = serde_json::json!({"name": name, "certificate_sha256": digest, "roles": [role], "units": ["*"]});
        secrets.add(row)?;
    }
    for (name, role, unit) in
        [("admin", "admin", "*"), ("reporter", "reporter", "district-171"), ("analyst", "analyst", "district-171")]
    {
        secrets.token(name, &[role], &[unit])?;
    }
    // Nobody else on this machine looks in; a container is given single files, and its user is another one.
    fs::set_permissions(&to, fs::Permissions::from_mode(0o700))?;
    println!("{}: ca.pem, certificates and keys, principals.json, and a token for each name", to.display());
    Ok(())
}
