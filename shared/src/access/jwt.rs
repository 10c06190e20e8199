//! JSON web tokens (RFC 7519), signed with EdDSA or RS256 by an issuer whose public keys are in a file.
//!
//! | claim | |
//! |---|---|
//! | `iss`, `aud` | required: the issuer and the audience of the settings |
//! | `exp` | required; `nbf` if it is there. Five seconds are allowed for clocks that differ |
//! | `sub` | required: the name of the principal |
//! | `roles`, `units` | as in the file of principals |
//! | `cnf` | `x5t#S256` (RFC 8705): the token counts only beside that client certificate |
//!
//! The library checks the signature, with the one algorithm that fits the kind of the key, whatever the token says of itself.
//! Everything that depends on the time is checked here, against the clock that is injected: the library's own checks leave out
//! `nbf` and the issuer, and ask the machine's clock.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use quick_cache::sync::Cache;
use serde::Deserialize;

use super::{Digest, principals};
use crate::model::access::{Caller, Role, Scope};

/// What clocks may differ by.
const LEEWAY: SignedDuration = SignedDuration::from_secs(5);
/// Tokens whose signature is remembered to be good.
const REMEMBERED_MAX: usize = 10_000;
/// Bytes of a token.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Whom tokens have to come from, and for whom.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) issuer: String,
    pub(super) audience: String,
}

/// What a token says, once its signature is known to be good.
#[derive(Clone, Debug)]
struct Signed {
    caller: Caller,
    not_before: Option<Timestamp>,
    not_after: Timestamp,
    certificate: Option<Digest>,
}

/// The keys of an issuer.
pub(super) struct Keys {
    keys: Vec<(Algorithm, DecodingKey)>,
    expected: Expected,
    signed: Cache<Digest, Signed>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("count", &self.keys.len()).field("expected", &self.expected).finish()
    }
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    sub: String,
    exp: i64,
    nbf: Option<i64>,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    units: Vec<String>,
    cnf: Option<Confirmation>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
struct Confirmation {
    #[serde(rename = "x5t#S256")]
    certificate: String,
}

impl Keys {
    /// The public keys of a PEM file, one or several: an issuer that changes its key signs with both for a while.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(super) fn read(pem: &[u8], expected: Expected) -> Result<Self, String> {
        let text = std::str::from_utf8(pem).map_err(|error| error.to_string())?;
        let end = "-----END PUBLIC KEY-----";
        let blocks = text.split_inclusive(end).filter(|block| block.contains(end));
        let keys: Vec<_> = blocks.map(|block| key(block.as_bytes())).collect::<Result<_, String>>()?;
        if keys.is_empty() {
            return Err("holds no PUBLIC KEY".to_owned());
        }
        Ok(Self { keys, expected, signed: Cache::new(REMEMBERED_MAX) })
    }

    /// Who shows that token, if it counts now and beside that certificate.
    ///
    /// # Errors
    /// Why it does not count, for the log; the caller is not told.
    pub(super) fn caller(
        &self,
        token: &str,
        digest: &Digest,
        certificate: Option<&Digest>,
        now: Timestamp,
    ) -> Result<Caller, String> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err("the token is too long".to_owned());
        }
        let signed = match self.signed.get(digest) {
            Some(signed) => signed,
            None => {
                let signed = self.verified(token)?;
                self.signed.insert(*digest, signed.clone());
                signed
            }
        };
        if now > later(signed.not_after) {
            return Err("the token has expired".to_owned());
        }
        if signed.not_before.is_some_and(|not_before| later(now) < not_before) {
            return Err("the token does not count yet".to_owned());
        }
        if signed.certificate.as_ref().is_some_and(|bound| Some(bound) != certificate) {
            return Err("the token is bound to another client certificate".to_owned());
        }
        Ok(signed.caller)
    }

    /// What a token says, if one of the keys has signed it.
    fn verified(&self, token: &str) -> Result<Signed, String> {
        let header = jsonwebtoken::decode_header(token).map_err(|error| error.to_string())?;
        let mut why = format!("there is no key for the algorithm {:?}", header.alg);
        for (_, key) in self.keys.iter().filter(|(algorithm, _)| *algorithm == header.alg) {
            let mut rules = Validation::new(header.alg);
            rules.required_spec_claims.clear();
            (rules.validate_exp, rules.validate_nbf, rules.validate_aud) = (false, false, false);
            match jsonwebtoken::decode::<Claims>(token, key, &rules) {
                Ok(token) => return self.checked(token.claims),
                Err(error) => why = error.to_string(),
            }
        }
        Err(why)
    }

    fn checked(&self, claims: Claims) -> Result<Signed, String> {
        if claims.iss != self.expected.issuer {
            return Err("the token has another issuer".to_owned());
        }
        let is_for_us = match &claims.aud {
            Audience::One(audience) => *audience == self.expected.audience,
            Audience::Several(audiences) => audiences.contains(&self.expected.audience),
        };
        if !is_for_us {
            return Err("the token is for another audience".to_owned());
        }
        let time = |seconds| Timestamp::from_second(seconds).map_err(|error| error.to_string());
        let not_after = time(claims.exp)?;
        let thumbprint = |confirmation: &Confirmation| {
            let bytes = URL_SAFE_NO_PAD.decode(&confirmation.certificate).map_err(|error| error.to_string())?;
            bytes.try_into().map_err(|_| "x5t#S256 is no SHA-256".to_owned())
        };
        Ok(Signed {
            caller: Caller {
                name: principals::name(&claims.sub)?.into(),
                roles: claims.roles.iter().map(|role| role.parse()).collect::<Result<BTreeSet<Role>, String>>()?,
                scope: Scope::of_list(&claims.units)?,
                until: Some(not_after),
            },
            not_before: claims.nbf.map(time).transpose()?,
            not_after,
            certificate: claims.cnf.as_ref().map(thumbprint).transpose()?,
        })
    }
}

fn later(time: Timestamp) -> Timestamp {
    time.checked_add(LEEWAY).unwrap_or(Timestamp::MAX)
}

/// A public key with the one algorithm that is accepted for it.
fn key(pem: &[u8]) -> Result<(Algorithm, DecodingKey), String> {
    let of_ed = DecodingKey::from_ed_pem(pem).map(|key| (Algorithm::EdDSA, key));
    of_ed
        .or_else(|_| DecodingKey::from_rsa_pem(pem).map(|key| (Algorithm::RS256, key)))
        .map_err(|error| format!("a PUBLIC KEY is neither Ed25519 nor RSA: {error}"))
}

#[cfg(test)]
mod tests;
