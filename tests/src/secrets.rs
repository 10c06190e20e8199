//! Certificates, principals and tokens of an authority that is made on the spot: for the tests, the demonstration and a first
//! look with containers. Whoever runs the services for others has an authority of his own.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use rand::RngCore;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use ring::digest::{SHA256, digest};

/// An authority, and a directory with what it has made.
#[derive(Debug)]
pub struct Secrets {
    directory: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
    principals: Vec<serde_json::Value>,
}

/// Days for which certificates are good.
#[derive(Clone, Copy, Debug)]
pub struct Days {
    /// Year, month and day of the first.
    pub first: (i32, u8, u8),
    /// The same of the last.
    pub last: (i32, u8, u8),
}

/// A century that has begun.
pub const GOOD: Days = Days { first: (2020, 1, 1), last: (2100, 1, 1) };
/// A year that is over.
pub const OVER: Days = Days { first: (2020, 1, 1), last: (2021, 1, 1) };

impl Secrets {
    /// An authority of that name; its certificate is in `ca.pem`.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn begin(directory: &Path, name: &str) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let mut params = params(name, GOOD);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let authority = CertifiedIssuer::self_signed(params, key()?).map_err(io::Error::other)?;
        fs::write(directory.join("ca.pem"), authority.pem())?;
        Ok(Self { directory: directory.to_owned(), authority, principals: Vec::new() })
    }

    /// The path of a file in the directory.
    pub fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    /// A certificate for these names and addresses in `<file>.pem`, its key in `<file>.key`; the SHA-256 of the certificate.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn certificate(&self, file: &str, hosts: &[&str], days: Days) -> io::Result<String> {
        let mut params = params(file, days);
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        params.subject_alt_names = CertificateParams::new(hosts).map_err(io::Error::other)?.subject_alt_names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = key()?;
        let certificate: Certificate = params.signed_by(&key, &self.authority).map_err(io::Error::other)?;
        // The key first: a service that looks in between finds that the two do not fit, and looks again.
        fs::write(self.directory.join(format!("{file}.key")), key.serialize_pem())?;
        fs::write(self.directory.join(format!("{file}.pem")), certificate.pem())?;
        Ok(hex(digest(&SHA256, certificate.der()).as_ref()))
    }

    /// A principal with a new token, which is in `<name>.token`; gives the token.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn token(&mut self, name: &str, roles: &[&str], units: &[&str]) -> io::Result<String> {
        let mut bytes = [0; 32];
        rand::rng().fill_bytes(&mut bytes);
        let token = hex(&bytes);
        fs::write(self.directory.join(format!("{name}.token")), &token)?;
        let digest = hex(digest(&SHA256, token.as_bytes()).as_ref());
        self.add(serde_json::json!({"name": name, "token_sha256": digest, "roles": roles, "units": units}))?;
        Ok(token)
    }

    /// A row of `principals.json`.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn add(&mut self, row: serde_json::Value) -> io::Result<()> {
        self.principals.push(row);
        self.write()
    }

    /// Takes the rows of a principal away.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn remove(&mut self, name: &str) -> io::Result<()> {
        self.principals.retain(|row| row["name"] != name);
        self.write()
    }

    fn write(&self) -> io::Result<()> {
        let file = serde_json::json!({"principals": self.principals});
        // In one step: a service may look at any moment.
        let (new, path) = (self.directory.join("principals.json.new"), self.directory.join("principals.json"));
        fs::write(&new, format!("{file:#}\n"))?;
        fs::rename(new, path)
    }
}

fn params(name: &str, days: Days) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    let date = |(year, month, day): (i32, u8, u8)| rcgen::date_time_ymd(year, month, day);
    (params.not_before, params.not_after) = (date(days.first), date(days.last));
    params
}

fn key() -> io::Result<KeyPair> {
    KeyPair::generate().map_err(io::Error::other)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
