//! The file of principals: who has which token or certificate, which roles, and which units.
//!
//! ```json
//! {"principals": [
//!   {"name": "dai-tu", "token_sha256": "9f86…", "roles": ["reporter"], "units": ["district-171"]},
//!   {"name": "query-service", "certificate_sha256": "60303ae2…", "roles": ["replica"], "units": ["*"],
//!    "not_after": "2027-01-01T00:00:00Z"}]}
//! ```
//!
//! The file holds digests and no token, so whoever reads it cannot call. A digest is only as good as the token is long:
//! tokens are random, 32 bytes or more.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use serde::Deserialize;

use super::Digest;
use crate::model::access::{Caller, Role, Scope};

/// Characters of a principal's name.
pub const NAME_CHARS_MAX: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    principals: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    token_sha256: Option<String>,
    certificate_sha256: Option<String>,
    roles: Vec<String>,
    units: Vec<String>,
    not_after: Option<String>,
}

/// Whom a token or a certificate stands for.
#[derive(Debug)]
struct Principal {
    caller: Caller,
    /// The certificate that has to come with the token.
    certificate: Option<Digest>,
}

/// Principals by what they show.
#[derive(Debug, Default)]
pub(super) struct Principals {
    by_token: HashMap<Digest, Principal>,
    by_certificate: HashMap<Digest, Caller>,
}

impl Principals {
    /// The principals of a file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let file: File = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let (mut principals, mut faults) = (Self::default(), Vec::new());
        for (index, row) in file.principals.iter().enumerate() {
            if let Err(fault) = principals.add(row) {
                faults.push(format!("principals[{index}]: {fault}"));
            }
        }
        if faults.is_empty() { Ok(principals) } else { Err(faults.join("; ")) }
    }

    fn add(&mut self, row: &Row) -> Result<(), String> {
        let caller = Caller {
            name: name(&row.name)?.into(),
            roles: row.roles.iter().map(|role| role.parse()).collect::<Result<BTreeSet<Role>, String>>()?,
            scope: Scope::of_list(&row.units)?,
            until: row.not_after.as_deref().map(time).transpose()?,
        };
        let token = row.token_sha256.as_deref().map(digest).transpose()?;
        let certificate = row.certificate_sha256.as_deref().map(digest).transpose()?;
        let is_twice = match (token, certificate) {
            (None, None) => return Err("token_sha256 or certificate_sha256 is required".to_owned()),
            (Some(token), certificate) => self.by_token.insert(token, Principal { caller, certificate }).is_some(),
            (None, Some(certificate)) => self.by_certificate.insert(certificate, caller).is_some(),
        };
        if is_twice { Err("the same token or certificate stands there before".to_owned()) } else { Ok(()) }
    }

    /// Whose token that is, if it came with the certificate that belongs to it.
    pub(super) fn by_token(&self, token: &Digest, certificate: Option<&Digest>) -> Option<&Caller> {
        let principal = self.by_token.get(token)?;
        let is_bound = principal.certificate.as_ref().is_none_or(|bound| Some(bound) == certificate);
        is_bound.then_some(&principal.caller)
    }

    /// Whose certificate that is.
    pub(super) fn by_certificate(&self, certificate: &Digest) -> Option<&Caller> {
        self.by_certificate.get(certificate)
    }
}

/// A name as entries of the log and the audit log show it.
///
/// # Errors
/// The rule.
pub(super) fn name(text: &str) -> Result<&str, String> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || "-_.@:/".contains(c);
    if !text.is_empty() && text.len() <= NAME_CHARS_MAX && text.chars().all(is_good) {
        return Ok(text);
    }
    Err(format!("a name has 1 to {NAME_CHARS_MAX} characters of a-z, A-Z, 0-9 and -_.@:/"))
}

fn time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|error| format!("not_after: {error}"))
}

fn digest(text: &str) -> Result<Digest, String> {
    let message = || "a SHA-256 has 64 hexadecimal digits".to_owned();
    if text.len() != 64 || !text.is_ascii() {
        return Err(message());
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| message())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| message())?;
    }
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(byte: u8) -> String {
        format!("{byte:02x}").repeat(32)
    }

    #[test]
    fn a_token_a_certificate_or_both() {
        let text = format!(
            r#"{{"principals": [
                {{"name": "a", "token_sha256": "{}", "roles": ["reporter", "reviewer"], "units": ["u-1"]}},
                {{"name": "b", "certificate_sha256": "{}", "roles": ["replica"], "units": ["*"]}},
                {{"name": "c", "token_sha256": "{}", "certificate_sha256": "{}", "roles": [], "units": []}}]}}"#,
            hex(1),
            hex(2),
            hex(3),
            hex(4).to_uppercase(),
        );
        let principals = Principals::read(text.as_bytes()).unwrap();
        let name = |caller: Option<&Caller>| caller.map(|caller| caller.name.to_string());
        assert_eq!(name(principals.by_token(&[1; 32], None)).as_deref(), Some("a"));
        assert_eq!(name(principals.by_token(&[1; 32], Some(&[9; 32]))).as_deref(), Some("a"));
        assert_eq!(name(principals.by_certificate(&[2; 32])).as_deref(), Some("b"));
        assert_eq!(name(principals.by_token(&[3; 32], Some(&[4; 32]))).as_deref(), Some("c"));
        for none in [
            principals.by_token(&[3; 32], None),
            principals.by_token(&[3; 32], Some(&[2; 32])),
            principals.by_certificate(&[4; 32]),
            principals.by_token(&[2; 32], None),
            principals.by_certificate(&[1; 32]),
        ] {
            assert_eq!(none, None);
        }
    }

    #[test]
    fn everything_that_is_wrong_with_a_file_is_said() {
        let row = |extra: &str| format!(r#"{{"name": "a", "roles": ["admin"], "units": ["*"]{extra}}}"#);
        let token = format!(r#", "token_sha256": "{}""#, hex(1));
        let read = |rows: &[String]| {
            Principals::read(format!(r#"{{"principals": [{}]}}"#, rows.join(",")).as_bytes()).map(|_| ()).unwrap_err()
        };
        assert!(Principals::read(b"{}").is_err() && Principals::read(b"").is_err());
        let both = read(&[row(""), row(r#", "token_sha256": "12""#)]);
        assert!(both.contains("principals[0]: token_sha256 or") && both.contains("principals[1]: a SHA-256"), "{both}");
        assert!(read(&[row(&token), row(&token)]).contains("stands there before"));
        assert!(read(&[row(r#", "token": "x""#)]).contains("unknown field"), "a token itself is never in the file");
        assert!(read(&[row(&format!(r#"{token}, "not_after": "soon""#))]).contains("not_after"));
        assert!(read(&[row(&token).replace("\"*\"", "\"*\", \"a\"")]).contains("stands alone"));
        assert!(read(&[row(&token).replace("admin", "root")]).contains("no role"));
        assert!(read(&[row(&token).replace("\"a\"", "\"a b\"")]).contains("a name has"));
    }
}
