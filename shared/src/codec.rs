//! From an entry to bytes and back, and the chain that ties every entry to all before it.
//!
//! The bytes are a `tonghop.v1.Entry` in protobuf: fields can be added without a new format, and a follower in any
//! language reads them. The chain hash is computed over exactly these bytes, so nobody ever encodes an entry again that
//! somebody else has hashed.
//!
//! ```text
//! hash(0) = BLAKE3("tonghop.v1" ‖ store id)      hash(n) = BLAKE3(hash(n − 1) ‖ bytes(n))
//! ```
//!
//! The store id at the start makes two stores differ from their first entry on.

use crate::{
    change::{Change, Entry},
    convert,
    limits::ENTRY_BYTES_MAX,
    model::log::{ChainHash, Link, Revision, StoreId},
};

/// An encoded entry and its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub link: Link,
    /// The encoded entry.
    pub entry: Vec<u8>,
}

/// Why a record does not follow on what is there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// Entries between the two are missing, or it came twice.
    #[error("revision {actual} came where {expected} is next")]
    Gap {
        /// The revision that is next.
        expected: Revision,
        /// The revision that came.
        actual: Revision,
    },
    /// Its chain hash is another one: other bytes, or another history before it.
    #[error("the chain hash of revision {0} does not fit the entries before it")]
    Chain(Revision),
    /// Its bytes are no entry that this version understands.
    #[error("revision {revision} cannot be read: {detail}")]
    Unreadable {
        /// Where it stands.
        revision: Revision,
        /// What is wrong with it.
        detail: String,
    },
}

/// Why an entry cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeFault {
    /// It is larger than an entry may be.
    #[error("has {bytes} bytes encoded, at most {ENTRY_BYTES_MAX} are allowed")]
    TooLarge {
        /// Encoded bytes.
        bytes: usize,
    },
    /// Nobody could read it again. A check has let through what it should not have.
    #[error("cannot be read again: {detail}")]
    Unreadable {
        /// What is wrong with it.
        detail: String,
    },
}

/// The start of a store's chain, before its first entry.
pub fn genesis(store: StoreId) -> Link {
    let hash = blake3::Hasher::new().update(b"tonghop.v1").update(store.0.as_bytes()).finalize();
    Link { revision: Revision::ZERO, chain_hash: ChainHash(hash.into()) }
}

/// The link of an entry with these bytes that follows on `previous`.
pub fn next_link(previous: &Link, entry: &[u8]) -> Link {
    let hash = blake3::Hasher::new().update(&previous.chain_hash.0).update(entry).finalize();
    Link { revision: previous.revision.next(), chain_hash: ChainHash(hash.into()) }
}

/// Encodes an entry, and makes sure that what comes back from the bytes is the same entry: one that could not be read
/// again would stop this service at its next start, and every follower at once.
///
/// # Errors
/// [`EncodeFault`]; such an entry must not be written.
pub fn encode(entry: &Entry) -> Result<Vec<u8>, EncodeFault> {
    let bytes = convert::entry::encode(entry);
    check_size(entry, &bytes)?;
    check_readable(entry, &bytes)?;
    Ok(bytes)
}

/// A report encoded before it is its turn, by many threads at once: all but its name and version, which only the one who
/// decides knows. It was made sure that what comes back from the bytes is the same report: by the rules of reading, or
/// by reading it.
#[derive(Clone, Debug)]
pub struct EncodedReport(Vec<u8>);

impl EncodedReport {
    /// Encodes the report of an entry. Name and version of the report do not matter, nor do revision and time of the entry.
    ///
    /// # Errors
    /// [`EncodeFault::Unreadable`]; such an entry must not be written.
    pub fn of(entry: &Entry) -> Result<Self, EncodeFault> {
        let body = match &entry.change {
            Change::ReportSubmitted(report) => convert::entry::encode_report_body(report),
            _ => Vec::new(),
        };
        let encoded = Self(body);
        match &entry.change {
            // As sure as reading it again, which a property test compares, and many times as fast.
            Change::ReportSubmitted(report) if convert::entry::is_surely_readable(entry, report) => {
                debug_assert_eq!(check_readable(entry, &encoded.around(entry)), Ok(()));
            }
            _ => check_readable(entry, &encoded.around(entry))?,
        }
        Ok(encoded)
    }

    /// Encodes an entry of the same report with the same request and findings.
    ///
    /// # Errors
    /// [`EncodeFault::TooLarge`]; such an entry must not be written.
    pub fn encode(&self, entry: &Entry) -> Result<Vec<u8>, EncodeFault> {
        let bytes = self.around(entry);
        check_size(entry, &bytes)?;
        debug_assert_eq!(bytes, convert::entry::encode(entry));
        Ok(bytes)
    }

    fn around(&self, entry: &Entry) -> Vec<u8> {
        match &entry.change {
            Change::ReportSubmitted(report) => convert::entry::encode_around(entry, report, &self.0),
            _ => convert::entry::encode(entry),
        }
    }
}

/// What was found out about an entry must not be the reason to refuse it.
fn check_size(entry: &Entry, bytes: &[u8]) -> Result<(), EncodeFault> {
    let findings_bytes = if entry.findings.is_empty() { 0 } else { convert::entry::findings_bytes(entry) };
    let bytes = bytes.len() - findings_bytes;
    if bytes > ENTRY_BYTES_MAX { Err(EncodeFault::TooLarge { bytes }) } else { Ok(()) }
}

fn check_readable(entry: &Entry, bytes: &[u8]) -> Result<(), EncodeFault> {
    match convert::entry::decode(bytes) {
        Ok(read) if read == *entry => Ok(()),
        Ok(_) => Err(EncodeFault::Unreadable { detail: "it comes back as another entry".to_owned() }),
        Err(fault) => Err(EncodeFault::Unreadable { detail: fault.to_string() }),
    }
}

/// Reads a record that has to follow on `previous`: the same history, the next revision, readable bytes.
///
/// | record | answer |
/// |---|---|
/// | next revision, hash fits, readable | the entry |
/// | an older or a later revision | [`RecordFault::Gap`] |
/// | next revision, another hash | [`RecordFault::Chain`] |
/// | hash fits, bytes of a later version or damaged before they were hashed | [`RecordFault::Unreadable`] |
///
/// # Errors
/// As in the table.
pub fn decode_next(previous: &Link, record: &Record) -> Result<Entry, RecordFault> {
    let expected = previous.revision.next();
    if record.link.revision != expected {
        return Err(RecordFault::Gap { expected, actual: record.link.revision });
    }
    if next_link(previous, &record.entry) != record.link {
        return Err(RecordFault::Chain(expected));
    }
    decode(record)
}

/// Reads a record whose place in the chain was verified before.
///
/// # Errors
/// [`RecordFault::Unreadable`] if its bytes are no entry; [`RecordFault::Gap`] if it says another revision of itself.
pub fn decode(record: &Record) -> Result<Entry, RecordFault> {
    let revision = record.link.revision;
    let entry = convert::entry::decode(&record.entry)
        .map_err(|fault| RecordFault::Unreadable { revision, detail: fault.to_string() })?;
    if entry.revision == revision {
        Ok(entry)
    } else {
        Err(RecordFault::Gap { expected: revision, actual: entry.revision })
    }
}

#[cfg(test)]
mod tests;
