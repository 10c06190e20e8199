//! Forms, waivers and duties through the door.

use proto::v1::{self, form::due::Day};

use super::{Door, Wire, enums::unless_default, optional_text};
use crate::{
    limits::{FORM_INDICATORS_MAX, NOTE_CHARS_MAX},
    model::{
        fault::{Reason, quote},
        form::{Due, DueDay, Form, Waiver, is_time_zone},
        ids::{IndicatorId, UnitId},
        period::Period,
    },
};

/// Days that a report may be late and still on time, or due after the end of its period.
const DUE_DAYS_MAX: i32 = 366;

pub(super) fn read(door: &mut Door, path: &str, form: &v1::Form) -> Option<Form> {
    let at = |field: &str| format!("{path}.{field}");
    let id = door.required(&at("id"), &form.id, Reason::InvalidId);
    let names = door.names(&at("names"), &form.names);
    let are_few = door.allows(&at("indicators"), form.indicators.len(), FORM_INDICATORS_MAX);
    let mut indicators: Vec<IndicatorId> = Vec::new();
    for (index, indicator) in form.indicators.iter().enumerate().filter(|_| are_few) {
        let path = format!("{path}.indicators[{index}]");
        let Some(indicator) = door.indicator_id(&path, indicator) else { continue };
        if indicators.contains(&indicator) {
            door.add(&path, Reason::DuplicateId, "stands twice");
        }
        indicators.push(indicator);
    }
    let under: Option<UnitId> = door.unit_id(&at("under"), &form.under);
    let level = door.optional_enum(&at("level"), form.level);
    let organ = door.optional_enum(&at("organ"), form.organ).unwrap_or_default();
    let frequency = door.optional_enum(&at("frequency"), form.frequency);
    let due = form.due.as_ref().and_then(|due| read_due(door, &at("due"), due));
    if due.is_some() && frequency.is_none() {
        door.add(&at("due"), Reason::ConflictingFields, "needs a frequency, or there is no period that it is due for");
    }
    if !form.time_zone.is_empty() && !door.is_trusted && !is_time_zone(&form.time_zone) {
        let message =
            format!("{} is no time zone; write its IANA name, such as Asia/Ho_Chi_Minh", quote(&form.time_zone));
        door.add(&at("time_zone"), Reason::InvalidText, message);
    }
    let valid_from = door.day(&at("valid_from"), &form.valid_from);
    let valid_until = door.day(&at("valid_until"), &form.valid_until);
    if matches!((valid_from, valid_until), (Some(first), Some(last)) if last < first) && !door.is_trusted {
        door.add(&at("valid_until"), Reason::InvalidPeriod, "ends before it starts");
    }
    let version = door.version(&at("version"), form.version)?;
    Some(Form {
        id: id?,
        version,
        names,
        indicators,
        under: under?,
        level,
        organ,
        frequency,
        due,
        time_zone: form.time_zone.clone(),
        valid_from,
        valid_until,
    })
}

fn read_due(door: &mut Door, path: &str, due: &v1::form::Due) -> Option<Due> {
    let day = match due.day {
        None => {
            door.missing(path, "says day_of_last_month or days_after_end");
            None
        }
        Some(Day::DayOfLastMonth(day)) => match i8::try_from(day) {
            Ok(day @ 1..=31) => Some(DueDay::OfLastMonth(day)),
            _ => {
                door.add(&format!("{path}.day_of_last_month"), Reason::InvalidNumber, "is a day of a month, 1 to 31");
                None
            }
        },
        Some(Day::DaysAfterEnd(days @ 0..=DUE_DAYS_MAX)) => Some(DueDay::AfterEnd(days)),
        Some(Day::DaysAfterEnd(_)) => {
            door.add(&format!("{path}.days_after_end"), Reason::InvalidNumber, "lies between 0 and 366");
            None
        }
    };
    let weekend = door.optional_enum(&format!("{path}.weekend"), due.weekend);
    if !(0..=DUE_DAYS_MAX).contains(&due.grace_days) {
        door.add(&format!("{path}.grace_days"), Reason::InvalidNumber, "lies between 0 and 366");
    }
    Some(Due { day: day?, weekend, grace_days: due.grace_days })
}

pub(super) fn write(form: &Form) -> v1::Form {
    v1::Form {
        id: form.id.to_string(),
        names: form.names.clone(),
        indicators: form.indicators.iter().map(ToString::to_string).collect(),
        under: form.under.to_string(),
        level: form.level.map_or(0, Wire::number),
        organ: unless_default(form.organ),
        frequency: form.frequency.map_or(0, Wire::number),
        due: form.due.as_ref().map(write_due),
        time_zone: form.time_zone.clone(),
        valid_from: optional_text(form.valid_from),
        valid_until: optional_text(form.valid_until),
        version: i32::try_from(form.version).unwrap_or(i32::MAX),
    }
}

fn write_due(due: &Due) -> v1::form::Due {
    let day = match due.day {
        DueDay::OfLastMonth(day) => Day::DayOfLastMonth(day.into()),
        DueDay::AfterEnd(days) => Day::DaysAfterEnd(days),
    };
    v1::form::Due { day: Some(day), weekend: due.weekend.map_or(0, Wire::number), grace_days: due.grace_days }
}

pub(super) fn read_waiver(door: &mut Door, path: &str, waiver: &v1::Waiver) -> Option<Waiver> {
    let form = door.required(&format!("{path}.form"), &waiver.form, Reason::InvalidId);
    let unit = door.unit_id(&format!("{path}.unit"), &waiver.unit);
    let period: Option<Period> = door.required(&format!("{path}.period"), &waiver.period, Reason::InvalidPeriod);
    let is_open = period.as_ref().is_some_and(|period| period.span().day_count().is_none());
    if is_open && !door.is_trusted {
        door.add(&format!("{path}.period"), Reason::InvalidPeriod, "needs both ends");
    }
    let reason = door.required_text(&format!("{path}.reason"), &waiver.reason, NOTE_CHARS_MAX);
    Some(Waiver { form: form?, unit: unit?, period: period?, reason })
}

pub(super) fn write_waiver(waiver: &Waiver) -> v1::Waiver {
    v1::Waiver {
        form: waiver.form.to_string(),
        unit: waiver.unit.to_string(),
        period: waiver.period.written().to_owned(),
        reason: waiver.reason.clone(),
    }
}
