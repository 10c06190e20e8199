//! Entries of the log through the door.

use jiff::Timestamp;
use prost::Message;
use proto::v1::{self, entry};
use uuid::Uuid;

use super::{Door, event, finding, form, indicator, report, term, timestamp, unit};
use crate::{
    change::{Change, Entry},
    model::{
        fault::{Fault, Reason},
        log::{RequestKey, Revision},
        report::Report,
    },
};

/// The bytes of an entry: a `tonghop.v1.Entry`.
pub fn encode(entry: &Entry) -> Vec<u8> {
    let change = match &entry.change {
        Change::UnitRegistered(unit) => entry::Change::Unit(unit::write(unit)),
        Change::UnitEventRecorded(event) => entry::Change::UnitEvent(event::write(event)),
        Change::FormDefined(form) => entry::Change::Form(form::write(form)),
        Change::DutyWaived(waiver) => entry::Change::Waiver(form::write_waiver(waiver)),
        Change::RegisterCompleteFrom(day) => entry::Change::RegisterCompleteFrom(day.to_string()),
        Change::IndicatorDefined(indicator) => entry::Change::Indicator(indicator::write(indicator)),
        Change::TermDefined(term) => entry::Change::Term(term::write(term)),
        Change::ReportSubmitted(report) => entry::Change::Report(report::write(report)),
        Change::Unchanged => entry::Change::Unchanged(entry::Unchanged {}),
        Change::ReportWithdrawn { name, reason } => {
            entry::Change::Withdrawal(v1::Withdrawal { report: name.to_string(), reason: reason.clone(), revision: 0 })
        }
    };
    v1::Entry { change: Some(change), ..head(entry) }.encode_to_vec()
}

/// An entry without its change.
fn head(entry: &Entry) -> v1::Entry {
    let request = entry.request.as_ref();
    v1::Entry {
        revision: entry.revision.as_i64(),
        record_time: Some(timestamp(entry.record_time)),
        ends_change: entry.ends_change,
        request_id: request.map(|request| request.id.to_string()).unwrap_or_default(),
        request_digest: request.map(|request| request.digest.to_vec()).unwrap_or_default(),
        findings: entry.findings.iter().map(finding::write).collect(),
        principal: entry.principal.to_string(),
        change: None,
    }
}

/// The bytes of a report as an entry holds them, without its name and version.
pub fn encode_report_body(report: &Report) -> Vec<u8> {
    v1::Report { name: String::new(), version: 0, ..report::write(report) }.encode_to_vec()
}

/// The bytes of an entry, whose change is this report, from those of the report's body. They are the same as those of
/// [`encode`]: name and version are the first fields of a report, and the report is the last field of its entry.
pub fn encode_around(entry: &Entry, report: &Report, body: &[u8]) -> Vec<u8> {
    const REPORT_TAG: u32 = 14;
    let head = head(entry);
    let identity = v1::Report {
        name: report.name.to_string(),
        version: i32::try_from(report.version).unwrap_or(i32::MAX),
        ..Default::default()
    };
    let report_bytes = identity.encoded_len() + body.len();
    let mut bytes = Vec::with_capacity(head.encoded_len() + report_bytes + 16);
    head.encode_raw(&mut bytes);
    prost::encoding::encode_key(REPORT_TAG, prost::encoding::WireType::LengthDelimited, &mut bytes);
    prost::encoding::encode_varint(report_bytes as u64, &mut bytes);
    identity.encode_raw(&mut bytes);
    bytes.extend_from_slice(body);
    bytes
}

/// Whether what comes back from the bytes of this entry of a report is surely the same entry, told without reading them.
/// Where it says no, they have to be read.
pub fn is_surely_readable(entry: &Entry, report: &Report) -> bool {
    let is_number = i64::try_from(entry.revision.get()).is_ok();
    is_number && entry.findings.iter().all(finding::is_surely_readable) && report::is_surely_readable(report)
}

/// How many of the bytes of an entry are its findings.
pub fn findings_bytes(entry: &Entry) -> usize {
    let findings = entry.findings.iter().map(finding::write);
    v1::Entry { findings: findings.collect(), ..Default::default() }.encoded_len()
}

/// The entry of these bytes.
///
/// # Errors
/// A fault that says what of it cannot be read: damaged bytes, or a change that a later version has written.
pub fn decode(bytes: &[u8]) -> Result<Entry, Fault> {
    let unreadable = |message: String| Fault::new(Reason::DataCorrupt, message);
    let wired = v1::Entry::decode(bytes).map_err(|error| unreadable(error.to_string()))?;
    let revision = Revision::try_from(wired.revision).map_err(|error| unreadable(error.to_string()))?;
    let record_time = wired.record_time.ok_or_else(|| unreadable("it has no record_time".to_owned()))?;
    let record_time =
        Timestamp::new(record_time.seconds, record_time.nanos).map_err(|error| unreadable(error.to_string()))?;
    let request = match (wired.request_id.as_str(), wired.request_digest.as_slice()) {
        ("", []) => None,
        (id, digest) => Some(RequestKey {
            id: Uuid::try_parse(id).map_err(|error| unreadable(error.to_string()))?,
            digest: digest.try_into().map_err(|_| unreadable("its request_digest has not 16 bytes".to_owned()))?,
        }),
    };
    let mut door = Door::trusted();
    let change = match &wired.change {
        Some(entry::Change::Unit(unit)) => unit::read(&mut door, "unit", unit).map(Change::UnitRegistered),
        Some(entry::Change::UnitEvent(event)) => {
            event::read(&mut door, "unit_event", event).map(Change::UnitEventRecorded)
        }
        Some(entry::Change::Form(form)) => form::read(&mut door, "form", form).map(Change::FormDefined),
        Some(entry::Change::Waiver(waiver)) => form::read_waiver(&mut door, "waiver", waiver).map(Change::DutyWaived),
        Some(entry::Change::RegisterCompleteFrom(day)) => {
            door.day("register_complete_from", day).map(Change::RegisterCompleteFrom)
        }
        Some(entry::Change::Indicator(indicator)) => {
            indicator::read(&mut door, "indicator", indicator).map(Change::IndicatorDefined)
        }
        Some(entry::Change::Term(term)) => term::read(&mut door, "term", term).map(Change::TermDefined),
        Some(entry::Change::Report(report)) => {
            report::read(&mut door, report).map(|report| Change::ReportSubmitted(Box::new(report)))
        }
        Some(entry::Change::Unchanged(_)) => Some(Change::Unchanged),
        Some(entry::Change::Withdrawal(withdrawal)) => {
            let name = door.required("withdrawal.report", &withdrawal.report, Reason::InvalidId);
            name.map(|name| Change::ReportWithdrawn { name, reason: withdrawal.reason.clone() })
        }
        None => return Err(unreadable("it holds a change that this version does not know; upgrade".to_owned())),
    };
    let findings = wired.findings.iter().filter_map(|finding| finding::read(&mut door, finding)).collect();
    let change = door.finish(change)?;
    let principal = wired.principal.as_str().into();
    Ok(Entry { revision, record_time, ends_change: wired.ends_change, request, principal, findings, change })
}
