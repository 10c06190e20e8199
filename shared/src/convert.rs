//! The door: the only place where proto types meet domain types.
//!
//! What comes in is checked once, here, for its form: everything that can be said without knowing the registry. Every
//! violation is noted with the path of its field, so that a caller hears of all of them at once.

pub mod entry;
mod enums;
mod event;
pub mod feed;
mod finding;
mod form;
mod indicator;
pub mod ingest;
pub mod query;
pub mod registry;
mod report;
mod term;
mod unit;

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use jiff::{Timestamp, civil::Date};
use rust_decimal::Decimal;
use uuid::Uuid;

use self::enums::Wire;
pub use self::finding::words as finding_words;
use crate::{
    limits::{ID_CHARS_MAX, NAME_CHARS_MAX, NAMES_MAX, PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX},
    model::{
        decimal,
        fault::{Fault, Reason, Violations, quote},
        ids::{IndicatorId, UnitId},
        log::RequestKey,
        period, text,
    },
};

/// Reads fields and notes what is wrong with them. A reader returns nothing only after it has noted why, or where the
/// field is optional and empty.
#[derive(Debug, Default)]
struct Door {
    violations: Violations,
    is_trusted: bool,
}

impl Door {
    /// A door for what was accepted before. Limits and rules for texts may have become stricter since; what was accepted
    /// stays readable.
    fn trusted() -> Self {
        Self { is_trusted: true, ..Self::default() }
    }

    fn add(&mut self, path: impl Display + Copy, reason: Reason, message: impl Into<String>) {
        self.violations.add(path.to_string(), reason, message);
    }

    fn missing(&mut self, path: impl Display + Copy, message: impl Into<String>) {
        self.add(path, Reason::RequiredFieldMissing, message);
    }

    /// A field that has a fixed form and must be there.
    fn required<T: FromStr<Err: Display>>(
        &mut self,
        path: impl Display + Copy,
        text: &str,
        reason: Reason,
    ) -> Option<T> {
        if text.is_empty() {
            self.missing(path, "is required");
            return None;
        }
        self.optional(path, text, reason)
    }

    /// A field that has a fixed form and may be empty.
    fn optional<T: FromStr<Err: Display>>(
        &mut self,
        path: impl Display + Copy,
        text: &str,
        reason: Reason,
    ) -> Option<T> {
        if text.is_empty() {
            return None;
        }
        text.parse().map_err(|fault: T::Err| self.add(path, reason, fault.to_string())).ok()
    }

    fn unit_id(&mut self, path: impl Display + Copy, text: &str) -> Option<UnitId> {
        self.required(path, text, Reason::InvalidId)
    }

    fn indicator_id(&mut self, path: impl Display + Copy, text: &str) -> Option<IndicatorId> {
        self.required(path, text, Reason::InvalidId)
    }

    fn day(&mut self, path: impl Display + Copy, text: &str) -> Option<Date> {
        if text.is_empty() {
            return None;
        }
        let day = period::parse_day(text);
        if day.is_none() {
            self.add(path, Reason::InvalidDate, format!("{} is no day; write it as 2017-08-17", quote(text)));
        }
        day
    }

    fn decimal(&mut self, path: impl Display + Copy, text: &str) -> Option<Decimal> {
        decimal::parse(text)
            .map_err(|fault| self.add(path, Reason::InvalidDecimal, format!("{} {fault}", quote(text))))
            .ok()
    }

    fn text(&mut self, path: impl Display + Copy, text: &str, chars_max: usize) -> String {
        if self.is_trusted {
            return text.to_owned();
        }
        text::clean(text, chars_max).unwrap_or_else(|fault| {
            self.add(path, Reason::InvalidText, fault.to_string());
            String::new()
        })
    }

    fn required_text(&mut self, path: impl Display + Copy, text: &str, chars_max: usize) -> String {
        let before = self.violations.len();
        let clean = self.text(path, text, chars_max);
        if clean.is_empty() && self.violations.len() == before {
            self.missing(path, "is required");
        }
        clean
    }

    /// An enum that may be left out.
    fn optional_enum<T: Wire>(&mut self, path: impl Display + Copy, number: i32) -> Option<T> {
        match T::Proto::try_from(number) {
            Ok(value) => T::from_proto(value),
            Err(_) => {
                self.add(path, Reason::InvalidEnumValue, format!("{number} is no value of this enum"));
                None
            }
        }
    }

    /// An enum that must be there.
    fn required_enum<T: Wire>(&mut self, path: impl Display + Copy, number: i32) -> Option<T> {
        let before = self.violations.len();
        let value = self.optional_enum(path, number);
        if value.is_none() && self.violations.len() == before {
            self.missing(path, "is required");
        }
        value
    }

    /// A short key, such as an attribute's.
    fn key(&mut self, path: impl Display + Copy, text: &str, allowed: fn(u8) -> bool, rule: &str) -> String {
        if self.is_trusted {
            return text.to_owned();
        }
        if text.is_empty() || text.len() > ID_CHARS_MAX || !text.bytes().all(allowed) {
            self.add(path, Reason::InvalidId, format!("has 1 to {ID_CHARS_MAX} characters of {rule}"));
        }
        text.to_owned()
    }

    /// Names by language, at least one.
    fn names(&mut self, path: impl Display + Copy, names: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        if names.is_empty() {
            self.missing(path, "needs at least one name, such as {\"en\": \"…\"}");
        }
        let are_few = self.allows(path, names.len(), NAMES_MAX);
        let language = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let names = names.iter().filter(|_| are_few).map(|(tag, name)| {
            let path = format!("{path}[{}]", quote(tag));
            (self.key(&path, tag, language, "a-z, 0-9 and -"), self.required_text(&path, name, NAME_CHARS_MAX))
        });
        names.collect()
    }

    /// The number of a version; 0 is 1.
    fn version(&mut self, path: impl Display + Copy, version: i32) -> Option<u32> {
        let number = u32::try_from(version).ok();
        if number.is_none() {
            self.add(path, Reason::InvalidNumber, "is negative; leave it out for the first version");
        }
        number.map(|number| number.max(1))
    }

    /// Whether so many elements are allowed; if not, none of them is looked at.
    fn allows(&mut self, path: impl Display + Copy, count: usize, count_max: usize) -> bool {
        if count <= count_max || self.is_trusted {
            return true;
        }
        self.add(path, Reason::TooMany, format!("has {count} elements, at most {count_max} are allowed"));
        false
    }

    /// The id of the request, if it has one, with the digest of its content.
    fn request_key(&mut self, request_id: &str, digest: impl FnOnce() -> [u8; 16]) -> Option<RequestKey> {
        self.request_id(request_id).map(|id| RequestKey { id, digest: digest() })
    }

    /// The id of the request, if it has one.
    fn request_id(&mut self, request_id: &str) -> Option<Uuid> {
        if request_id.is_empty() {
            return None;
        }
        let id = Uuid::try_parse(request_id).ok();
        if id.is_none() {
            self.add("request_id", Reason::InvalidUuid, "is no UUID; take a new one for every request");
        }
        id
    }

    fn page_size(&mut self, page_size: i32) -> usize {
        match usize::try_from(page_size) {
            Ok(0) => PAGE_ROWS_DEFAULT,
            Ok(size) => size.min(PAGE_ROWS_MAX),
            Err(_) => {
                self.add("page_size", Reason::InvalidNumber, "is negative; leave it out or ask for 1 to 1,000 rows");
                0
            }
        }
    }

    fn finish<T>(self, value: Option<T>) -> Result<T, Fault> {
        self.violations.finish(value)
    }
}

/// Digest of what a call asks for, as it was understood: the name of the call, then each message.
fn digest<M: prost::Message>(call: &str, messages: impl IntoIterator<Item = M>) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(call.as_bytes());
    for message in messages {
        hasher.update(&message.encode_length_delimited_to_vec());
    }
    let mut digest = [0; 16];
    digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    digest
}

/// A time as the API writes it.
pub fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

fn optional_text(value: Option<impl Display>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
