//! Citations: what names a question, its revision, its definitions, the version of the rules and the rows of its answer.
//!
//! A citation holds everything that is needed to ask again, so that nothing has to be kept for it. Its bytes, in base64
//! without padding: a version, the store, the revision, the version of the rules, the method, the encoded question, the
//! definitions, how many rows there were, a hash of all of them, shorter hashes of the first ones, and a check over
//! everything before it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use prost::Message;
use proto::v1::{
    self,
    verify_citation_response::{Difference, Result as Outcome},
};
use shared::{
    convert::query::write_meta,
    limits::TOKEN_BYTES_MAX,
    model::{
        fault::{Fault, Reason},
        log::{Revision, StoreId},
        query::SEMANTICS_VERSION,
    },
};
use uuid::Uuid;

use super::{
    face::{self, Face, Whole},
    knowledge::Knowledge,
};
use crate::view::Published;

/// First byte of a citation.
const VERSION: u8 = 1;
/// Rows of which a citation has a hash each.
const ROWS_HASHED_MAX: usize = 64;
const ROW_HASH_LEN: usize = 4;
const ROWS_HASH_LEN: usize = 16;
const CHECK_LEN: usize = 8;

/// What was asked. The numbers are part of the form of a citation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Method {
    /// GetShare.
    GetShare = 1,
    /// Aggregate.
    Aggregate = 2,
    /// GetSeries.
    GetSeries = 3,
    /// Rank.
    Rank = 4,
    /// GetDistribution.
    GetDistribution = 5,
    /// Compare.
    Compare = 6,
    /// GetCompleteness.
    GetCompleteness = 7,
}

impl Method {
    const ALL: [Self; 7] = [
        Self::GetShare,
        Self::Aggregate,
        Self::GetSeries,
        Self::Rank,
        Self::GetDistribution,
        Self::Compare,
        Self::GetCompleteness,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::GetShare => "GetShare",
            Self::Aggregate => "Aggregate",
            Self::GetSeries => "GetSeries",
            Self::Rank => "Rank",
            Self::GetDistribution => "GetDistribution",
            Self::Compare => "Compare",
            Self::GetCompleteness => "GetCompleteness",
        }
    }
}

/// What a citation says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Citation {
    store: StoreId,
    revision: Revision,
    semantics_version: u32,
    method: Method,
    question: Vec<u8>,
    definitions: Vec<(String, u32)>,
    row_count: u32,
    rows_hash: [u8; ROWS_HASH_LEN],
    row_hashes: Vec<[u8; ROW_HASH_LEN]>,
}

/// The citation of an answer, of a question that is pinned to what was known; empty where it would be too long.
pub(super) fn citation<F: Face>(question: &F::Request, whole: &Whole<F::Row>) -> String {
    let citation = Citation::of::<F>(question, whole).write();
    if citation.len() > TOKEN_BYTES_MAX { String::new() } else { citation }
}

impl Citation {
    fn of<F: Face>(question: &F::Request, whole: &Whole<F::Row>) -> Self {
        let mut all = blake3::Hasher::new();
        let mut row_hashes = Vec::new();
        for (_, row) in &whole.rows {
            let bytes = row.encode_length_delimited_to_vec();
            all.update(&bytes);
            if row_hashes.len() < ROWS_HASHED_MAX {
                row_hashes.push(prefix(&blake3::hash(&bytes)));
            }
        }
        let metas = whole.meta_a.iter().chain([&whole.meta]);
        let definitions =
            metas.flat_map(|meta| &meta.definitions).map(|(id, version)| (id.to_string(), *version)).collect();
        Self {
            store: whole.meta.store,
            revision: whole.meta.revision,
            semantics_version: SEMANTICS_VERSION,
            method: F::METHOD,
            question: question.encode_to_vec(),
            definitions,
            row_count: u32::try_from(whole.rows.len()).unwrap_or(u32::MAX),
            rows_hash: prefix(&all.finalize()),
            row_hashes,
        }
    }

    fn write(&self) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(self.store.0.as_bytes());
        bytes.extend(self.revision.get().to_be_bytes());
        bytes.extend(self.semantics_version.to_be_bytes());
        bytes.push(self.method as u8);
        put(&mut bytes, &self.question);
        bytes.extend(length(self.definitions.len()));
        for (id, version) in &self.definitions {
            put(&mut bytes, id.as_bytes());
            bytes.extend(version.to_be_bytes());
        }
        bytes.extend(self.row_count.to_be_bytes());
        bytes.extend(self.rows_hash);
        bytes.extend(length(self.row_hashes.len()));
        bytes.extend(self.row_hashes.iter().flatten());
        let check: [u8; CHECK_LEN] = prefix(&blake3::hash(&bytes));
        bytes.extend(check);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn read(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (body, check) = bytes.split_last_chunk::<CHECK_LEN>()?;
        if *check != prefix::<CHECK_LEN>(&blake3::hash(body)) {
            return None;
        }
        let mut rest = body;
        let [version] = take(&mut rest)?;
        if version != VERSION {
            return None;
        }
        let store = StoreId(Uuid::from_bytes(take(&mut rest)?));
        let revision = Revision::from(u64::from_be_bytes(take(&mut rest)?));
        let semantics_version = u32::from_be_bytes(take(&mut rest)?);
        let [method] = take(&mut rest)?;
        let method = *Method::ALL.iter().find(|known| **known as u8 == method)?;
        let question = take_part(&mut rest)?;
        let mut definitions = Vec::new();
        for _ in 0..u32::from_be_bytes(take(&mut rest)?) {
            let id = String::from_utf8(take_part(&mut rest)?).ok()?;
            definitions.push((id, u32::from_be_bytes(take(&mut rest)?)));
        }
        let row_count = u32::from_be_bytes(take(&mut rest)?);
        let rows_hash = take(&mut rest)?;
        let mut row_hashes = Vec::new();
        for _ in 0..u32::from_be_bytes(take(&mut rest)?) {
            row_hashes.push(take(&mut rest)?);
        }
        let citation = Self {
            store,
            revision,
            semantics_version,
            method,
            question,
            definitions,
            row_count,
            rows_hash,
            row_hashes,
        };
        rest.is_empty().then_some(citation)
    }

    /// What differs between what was cited and what is found.
    fn differences(&self, found: &Self) -> Vec<Difference> {
        let mut differences = Vec::new();
        let mut add = |path: String, cited: String, found: String| {
            if cited != found {
                differences.push(Difference { path, cited, found });
            }
        };
        let list = |definitions: &[(String, u32)]| {
            let each: Vec<String> = definitions.iter().map(|(id, version)| format!("{id}={version}")).collect();
            each.join(" ")
        };
        add("semantics_version".to_owned(), self.semantics_version.to_string(), found.semantics_version.to_string());
        add("definitions".to_owned(), list(&self.definitions), list(&found.definitions));
        let rows = |citation: &Self| format!("{} rows, {}", citation.row_count, hexadecimal(&citation.rows_hash));
        add("rows".to_owned(), rows(self), rows(found));
        if self.rows_hash != found.rows_hash {
            for index in 0..self.row_hashes.len().max(found.row_hashes.len()) {
                let hash =
                    |citation: &Self| citation.row_hashes.get(index).map(|hash| hexadecimal(hash)).unwrap_or_default();
                add(format!("rows[{index}]"), hash(self), hash(found));
            }
        }
        differences
    }
}

/// Replays the question behind a citation.
///
/// # Errors
/// `InvalidCitation`; `StoreMismatch` for one of another store, `FutureRevision` for a revision that is not known here.
pub(super) fn verify(
    published: &Published,
    now: jiff::Timestamp,
    citation: &str,
) -> Result<v1::VerifyCitationResponse, Fault> {
    let (store, newest) = (published.store, published.index.revision());
    let invalid = || {
        let message = "is no citation, or was altered; copy the whole of meta.citation from an answer";
        Fault::at("citation", Reason::InvalidCitation, message)
    };
    if citation.len() > TOKEN_BYTES_MAX {
        return Err(invalid());
    }
    let cited = Citation::read(citation).ok_or_else(invalid)?;
    if cited.store != store {
        let message = format!("is of an answer from store {}, this is store {store}", cited.store);
        return Err(Fault::at("citation", Reason::StoreMismatch, message).with("store_id", store));
    }
    if cited.revision > newest {
        let message = format!("is of revision {}, the newest here is {}", cited.revision, newest);
        let fault = Fault::at("citation", Reason::FutureRevision, message);
        return Err(fault.with("newest_revision", newest));
    }
    let knowledge = Knowledge::newest(published, now);
    match cited.method {
        Method::GetShare => replay::<face::Share>(&knowledge, &cited),
        Method::Aggregate => replay::<face::Aggregate>(&knowledge, &cited),
        Method::GetSeries => replay::<face::Series>(&knowledge, &cited),
        Method::Rank => replay::<face::Rank>(&knowledge, &cited),
        Method::GetDistribution => replay::<face::Distribution>(&knowledge, &cited),
        Method::Compare => replay::<face::Compare>(&knowledge, &cited),
        Method::GetCompleteness => replay::<face::Completeness>(&knowledge, &cited),
    }
}

fn replay<F: Face>(knowledge: &Knowledge<'_>, cited: &Citation) -> Result<v1::VerifyCitationResponse, Fault> {
    let altered = |_| Fault::at("citation", Reason::InvalidCitation, "holds no question of its method");
    let request = F::Request::decode(cited.question.as_slice()).map_err(altered)?;
    let (query, ..) = F::read(&request)?;
    let whole = F::whole(knowledge, &query)?;
    let found = Citation::of::<F>(&F::pinned(&request, &whole), &whole);
    let differences = cited.differences(&found);
    let result = if differences.is_empty() { Outcome::Match } else { Outcome::Different };
    let meta = shared::model::query::Meta { citation: found.write(), ..whole.meta };
    Ok(v1::VerifyCitationResponse {
        result: result.into(),
        differences,
        method: cited.method.name().to_owned(),
        question: cited.question.clone(),
        meta: Some(write_meta(&meta)),
    })
}

fn length(count: usize) -> [u8; 4] {
    u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes()
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend(length(part.len()));
    bytes.extend(part);
}

fn take<const LEN: usize>(rest: &mut &[u8]) -> Option<[u8; LEN]> {
    let (part, after) = rest.split_first_chunk::<LEN>()?;
    *rest = after;
    Some(*part)
}

fn take_part(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let length = usize::try_from(u32::from_be_bytes(take(rest)?)).ok()?;
    let (part, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(part.to_vec())
}

/// The first bytes of a hash.
pub(super) fn prefix<const LEN: usize>(hash: &blake3::Hash) -> [u8; LEN] {
    let mut prefix = [0; LEN];
    prefix.copy_from_slice(&hash.as_bytes()[..LEN]);
    prefix
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn citation() -> Citation {
        Citation {
            store: StoreId(Uuid::from_u128(7)),
            revision: Revision::from(12),
            semantics_version: 1,
            method: Method::Rank,
            question: vec![1, 2, 3],
            definitions: vec![("flag".to_owned(), 2)],
            row_count: 2,
            rows_hash: [9; ROWS_HASH_LEN],
            row_hashes: vec![[1; ROW_HASH_LEN], [2; ROW_HASH_LEN]],
        }
    }

    #[test]
    fn a_citation_is_read_as_it_was_written_and_not_if_it_was_altered() {
        let text = citation().write();
        assert_eq!(Citation::read(&text), Some(citation()));
        for position in 0..text.len() {
            let mut altered = text.clone().into_bytes();
            altered[position] = if altered[position] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert!(altered == text || Citation::read(&altered) != Some(citation()), "altered at {position}");
        }
        assert_eq!(Citation::read(""), None);
        assert_eq!(Citation::read(&text[..text.len() - 4]), None);
    }

    #[test]
    fn what_differs_is_named() {
        let mut found = citation();
        found.rows_hash = [8; ROWS_HASH_LEN];
        found.row_hashes[1] = [3; ROW_HASH_LEN];
        found.definitions[0].1 = 3;
        let paths: Vec<String> = citation().differences(&found).into_iter().map(|difference| difference.path).collect();
        assert_eq!(paths, ["definitions", "rows", "rows[1]"]);
        assert!(citation().differences(&citation()).is_empty());
    }
}
