//! Words of the log: where an entry stands, whose log it is.

use std::fmt;

use uuid::Uuid;

/// Position of an entry in the log: dense, from 1. 0 stands before the first entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(u64);

impl Revision {
    /// Before the first entry.
    pub const ZERO: Self = Self(0);

    /// The position as a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The position of the next entry.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The position as the API writes it.
    pub fn as_i64(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

impl From<u64> for Revision {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl TryFrom<i64> for Revision {
    type Error = std::num::TryFromIntError;

    fn try_from(number: i64) -> Result<Self, Self::Error> {
        u64::try_from(number).map(Self)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Identity of a store, given at its creation and kept by its copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoreId(pub Uuid);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// BLAKE3 over everything up to and with an entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainHash(pub [u8; 32]);

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// A place in the chain: an entry's revision and the hash of everything up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Revision of the entry; 0 at the start of the chain.
    pub revision: Revision,
    /// Hash of everything up to it.
    pub chain_hash: ChainHash,
}

/// What a call said about being repeated: its id and a digest of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// Chosen by the caller.
    pub id: Uuid,
    /// First 16 bytes of the BLAKE3 of the content.
    pub digest: [u8; 16],
}
