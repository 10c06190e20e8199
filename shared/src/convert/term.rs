//! Terms through the door.

use proto::v1;

use super::{Door, Wire, optional_text};
use crate::model::{
    fault::Reason,
    period,
    term::{Term, TermKey},
};

pub(super) fn read(door: &mut Door, path: &str, term: &v1::Term) -> Option<Term> {
    let unit = door.unit_id(&format!("{path}.unit"), &term.unit);
    let organ = door.optional_enum(&format!("{path}.organ"), term.organ).unwrap_or_default();
    let start_on = door.day(&format!("{path}.start_on"), &term.start_on);
    if term.start_on.is_empty() {
        door.missing(&format!("{path}.start_on"), "is required; where no source gives it, assume one and say ASSUMED");
    }
    let end_on = door.day(&format!("{path}.end_on"), &term.end_on);
    let dates_basis = door.optional_enum(&format!("{path}.dates_basis"), term.dates_basis).unwrap_or_default();
    if !period::is_term_label(&term.label) {
        door.add(&format!("{path}.label"), Reason::InvalidId, "has 1 to 64 characters of A-Z, a-z, 0-9 and -");
    }
    if let (Some(start), Some(end)) = (start_on, end_on)
        && end < start
    {
        door.add(&format!("{path}.end_on"), Reason::InvalidPeriod, "ends before it starts");
    }
    let key = TermKey { unit: unit?, organ, label: term.label.clone() };
    Some(Term { key, start_on: start_on?, end_on, dates_basis })
}

pub(super) fn write(term: &Term) -> v1::Term {
    v1::Term {
        label: term.key.label.clone(),
        unit: term.key.unit.to_string(),
        organ: term.key.organ.number(),
        start_on: term.start_on.to_string(),
        end_on: optional_text(term.end_on),
        dates_basis: term.dates_basis.number(),
    }
}
