//! What is accepted and what is not; every row of the second table differs from an accepted token in one thing.

use jsonwebtoken::{EncodingKey, Header, encode};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use super::*;

const RSA: &[u8] = include_bytes!("rsa_test.pem");
const RSA_PUBLIC: &[u8] = include_bytes!("rsa_public.pem");

/// A new Ed25519 key and its public half as a PEM file.
fn ed25519() -> (EncodingKey, Vec<u8>) {
    use base64::engine::general_purpose::STANDARD;
    let key = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
    let public = Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap();
    // SubjectPublicKeyInfo of RFC 8410, in front of the 32 bytes.
    let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let info = STANDARD.encode([&prefix[..], public.public_key().as_ref()].concat());
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{info}\n-----END PUBLIC KEY-----\n");
    (EncodingKey::from_ed_der(key.as_ref()), pem.into_bytes())
}

fn expected() -> Expected {
    Expected { issuer: "https://id.example".into(), audience: "tonghop".into() }
}

/// The moment of all tests.
fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn claims(change: impl FnOnce(&mut Value)) -> Value {
    let mut claims = json!({
        "iss": "https://id.example", "aud": "tonghop", "sub": "dai-tu", "exp": 1_800_000_060, "nbf": 1_799_999_000,
        "roles": ["reporter"], "units": ["district-171"],
    });
    change(&mut claims);
    claims
}

fn ask(keys: &Keys, token: &str, certificate: Option<&Digest>, now: Timestamp) -> Result<Caller, String> {
    keys.caller(token, &crate::access::sha256(token.as_bytes()), certificate, now)
}

#[test]
fn tokens_of_both_algorithms_and_of_either_key_count() {
    let ((first, first_public), (second, second_public)) = (ed25519(), ed25519());
    let rsa = EncodingKey::from_rsa_pem(RSA).unwrap();
    let keys = Keys::read(&[&first_public[..], &second_public, RSA_PUBLIC].concat(), expected()).unwrap();
    let audiences = claims(|claims| claims["aud"] = json!(["other", "tonghop"]));
    let without_nbf = claims(|claims| drop(claims.as_object_mut().unwrap().remove("nbf")));
    for (algorithm, key) in [(Algorithm::EdDSA, &first), (Algorithm::EdDSA, &second), (Algorithm::RS256, &rsa)] {
        for claims in [claims(|_| {}), audiences.clone(), without_nbf.clone()] {
            let token = encode(&Header::new(algorithm), &claims, key).unwrap();
            for _ in 0..2 {
                let caller = ask(&keys, &token, None, now()).unwrap();
                assert_eq!((caller.name.as_str(), caller.roles.len()), ("dai-tu", 1));
                assert_eq!(caller.scope, Scope::of_list(&["district-171"]).unwrap());
            }
        }
    }
}

#[test]
fn a_token_that_differs_in_one_thing_does_not_count() {
    let (key, public) = ed25519();
    let keys = Keys::read(&public, expected()).unwrap();
    let token = |claims: &Value| encode(&Header::new(Algorithm::EdDSA), claims, &key).unwrap();
    let refused = |claims: Value| ask(&keys, &token(&claims), None, now()).unwrap_err();
    for (field, value) in [
        ("iss", json!("https://other.example")),
        ("iss", json!(null)),
        ("aud", json!("other")),
        ("aud", json!([])),
        ("aud", json!(null)),
        ("exp", json!(1_799_999_990)),
        ("exp", json!(null)),
        ("exp", json!("soon")),
        ("nbf", json!(1_800_000_010)),
        ("sub", json!("")),
        ("sub", json!("a b")),
        ("roles", json!(["root"])),
        ("units", json!(["*", "a"])),
        ("cnf", json!({})),
        ("cnf", json!({"x5t#S256": "AAAA"})),
    ] {
        refused(claims(|claims| claims[field] = value));
    }
    // The leeway is five seconds on either side and no more; a clock that jumps an hour takes tokens with it.
    let good = token(&claims(|_| {}));
    for (second, is_good) in [
        (1_800_000_065, true),
        (1_800_000_066, false),
        (1_799_998_995, true),
        (1_799_998_994, false),
        (1_800_003_600, false),
        (1_799_996_400, false),
    ] {
        let at = Timestamp::from_second(second).unwrap();
        assert_eq!(ask(&keys, &good, None, at).is_ok(), is_good, "at {second}");
    }
    // Another key, a changed claim, a changed signature.
    let (other, _) = ed25519();
    let foreign = encode(&Header::new(Algorithm::EdDSA), &claims(|_| {}), &other).unwrap();
    let parts: Vec<&str> = good.split('.').collect();
    let more = URL_SAFE_NO_PAD.encode(claims(|claims| claims["units"] = json!(["*"])).to_string());
    for bad in [
        foreign,
        format!("{}.{more}.{}", parts[0], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{good}A"),
        String::new(),
        ". .".to_owned(),
        "x".repeat(TOKEN_BYTES_MAX + 1),
    ] {
        assert!(ask(&keys, &bad, None, now()).is_err(), "{bad}");
    }
}

#[test]
fn the_algorithm_follows_from_the_key_and_not_from_the_token() {
    let rsa = Keys::read(RSA_PUBLIC, expected()).unwrap();
    let body = URL_SAFE_NO_PAD.encode(claims(|_| {}).to_string());
    for algorithm in ["none", "None", "HS256", "RS512", "ES256", "PS256"] {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": algorithm, "typ": "JWT"}).to_string());
        for signature in ["", "AAAA"] {
            assert!(ask(&rsa, &format!("{header}.{body}.{signature}"), None, now()).is_err(), "{algorithm}");
        }
    }
    // The public key, which everybody has, as the secret of a symmetric signature.
    let secret = EncodingKey::from_secret(RSA_PUBLIC);
    let token = encode(&Header::new(Algorithm::HS256), &claims(|_| {}), &secret).unwrap();
    assert!(ask(&rsa, &token, None, now()).is_err());
    let signed = EncodingKey::from_rsa_pem(RSA).unwrap();
    let token = encode(&Header::new(Algorithm::RS512), &claims(|_| {}), &signed).unwrap();
    assert!(ask(&rsa, &token, None, now()).is_err(), "another digest than the one that is accepted");
}

#[test]
fn a_bound_token_counts_only_beside_its_certificate() {
    let (key, public) = ed25519();
    let keys = Keys::read(&public, expected()).unwrap();
    let bound = [7; 32];
    let confirmation = json!({"x5t#S256": URL_SAFE_NO_PAD.encode(bound)});
    let claims = claims(|claims| claims["cnf"] = confirmation);
    let token = encode(&Header::new(Algorithm::EdDSA), &claims, &key).unwrap();
    for (certificate, is_good) in [(None, false), (Some(&[8; 32]), false), (Some(&bound), true), (None, false)] {
        assert_eq!(ask(&keys, &token, certificate, now()).is_ok(), is_good);
    }
}

#[test]
fn a_file_without_a_public_key_is_refused() {
    assert!(Keys::read(b"", expected()).is_err());
    assert!(Keys::read(RSA, expected()).is_err(), "a private key is no public one");
    assert!(Keys::read(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", expected()).is_err());
}
