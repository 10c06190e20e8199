//! Reports and observations through the door.

use std::fmt::Display;

use jiff::civil::Date;
use proto::v1::{self, observation::Value as Wired};
use rust_decimal::Decimal;

use super::{Door, Wire, enums::unless_default, optional_text};
use crate::{
    limits::{
        DECIMAL_DIGITS_MAX, DIMENSIONS_MAX, GROUP_UNITS_MAX, NAME_CHARS_MAX, NOTE_CHARS_MAX, REPORT_OBSERVATIONS_MAX,
        STATED_PERCENT_DIGITS_MAX, URI_CHARS_MAX,
    },
    model::{
        fault::{Reason, quote},
        ids::{IndicatorId, UnitId},
        period::{Period, Span, WrittenPeriod},
        report::{
            Baseline, ChangeUnit, Missing, Observation, Qualifier, Ratio, RatioFault, ReadObservation, ReadReport,
            Report, ReportDraft, Scope, Source, Value, ValueChange,
        },
    },
};

/// A stored version.
pub(super) fn read(door: &mut Door, report: &v1::Report) -> Option<Report> {
    let name = door.required("report.name", &report.name, Reason::InvalidId);
    let version = u32::try_from(report.version).map_err(|_| door.missing("report.version", "is required")).ok();
    let first_day = door.day("report.period_start_on", &report.period_start_on);
    let last_day = door.day("report.period_end_on", &report.period_end_on);
    let ReportDraft { unit, organ, period, issuer, sender, form, source, observations, note, .. } =
        read_submitted(door, report).complete()?;
    let period = match period {
        WrittenPeriod::Days(period) => period,
        WrittenPeriod::Term(label) => Period::of_term(&label, Span { first_day, last_day }),
    };
    let (name, version) = (name?, version?);
    Some(Report { name, version, unit, organ, period, issuer, sender, form, source, observations, note })
}

/// A report as submitted, as far as it can be read.
pub(super) fn read_submitted(door: &mut Door, report: &v1::Report) -> ReadReport {
    let name = door.optional("report.name", &report.name, Reason::InvalidId);
    let period: Option<WrittenPeriod> = door.required("report.period", &report.period, Reason::InvalidPeriod);
    let unit = door.unit_id("report.unit", &report.unit);
    let organ = door.optional_enum("report.organ", report.organ).unwrap_or_default();
    let form_char = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    let form = match report.form.as_str() {
        "" => String::new(),
        form => door.key("report.form", form, form_char, "a-z, 0-9, _ and -"),
    };
    let issuer = door.optional("report.issuer", &report.issuer, Reason::InvalidId);
    let sender = door.text("report.sender", &report.sender, NAME_CHARS_MAX);
    let source = read_source(door, report.source.as_ref());
    let note = door.text("report.note", &report.note, NOTE_CHARS_MAX);
    let are_few = door.allows("report.observations", report.observations.len(), REPORT_OBSERVATIONS_MAX);
    if report.observations.is_empty() {
        door.missing("report.observations", "needs at least one observation");
    }
    let mut observations = Vec::with_capacity(if are_few { report.observations.len() } else { 0 });
    for (index, observation) in report.observations.iter().enumerate().filter(|_| are_few) {
        observations.push(read_observation(door, format_args!("report.observations[{index}]"), observation));
    }
    ReadReport { name, unit, organ, period, issuer, sender, form, source, observations, note }
}

fn read_source(door: &mut Door, source: Option<&v1::Source>) -> Source {
    let nothing = v1::Source::default();
    let source = source.unwrap_or(&nothing);
    let title = door.text("report.source.title", &source.title, NOTE_CHARS_MAX);
    let uri = door.text("report.source.uri", &source.uri, URI_CHARS_MAX);
    let names_nothing = source.title.trim().is_empty() && source.uri.trim().is_empty();
    if names_nothing && !door.is_trusted {
        door.missing("report.source", "needs a title or a uri");
    }
    let sha256 = source.sha256.to_ascii_lowercase();
    if !(sha256.is_empty() || sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit())) {
        door.add("report.source.sha256", Reason::InvalidText, "has 64 hexadecimal digits");
    }
    Source {
        title,
        uri,
        published_on: door.day("report.source.published_on", &source.published_on),
        sha256,
        locator: door.text("report.source.locator", &source.locator, NAME_CHARS_MAX),
    }
}

fn read_observation(door: &mut Door, path: impl Display + Copy, observation: &v1::Observation) -> ReadObservation {
    let indicator = door.indicator_id(format_args!("{path}.indicator"), &observation.indicator);
    let mut by = std::collections::BTreeMap::new();
    let are_few = door.allows(format_args!("{path}.by"), observation.by.len(), DIMENSIONS_MAX);
    for (dimension, code) in observation.by.iter().filter(|_| are_few) {
        let path = format!("{path}.by[{}]", quote(dimension));
        let pair: (Option<IndicatorId>, Option<IndicatorId>) =
            (door.indicator_id(&path, dimension), door.indicator_id(&path, code));
        if let (Some(dimension), Some(code)) = pair {
            by.insert(dimension, code);
        }
    }
    let scope = door.optional_enum(format_args!("{path}.scope"), observation.scope).unwrap_or_default();
    let units = read_group(door, format_args!("{path}.units"), &observation.units);
    if (scope == Scope::Group) == units.is_empty() && !door.is_trusted {
        let message = "names the units of a GROUP, and goes with that scope only";
        door.add(format_args!("{path}.units"), Reason::ConflictingFields, message);
    }
    // A submission does not say it; it is looked up when the report is accepted.
    let given = if door.is_trusted { observation.indicator_version } else { 0 };
    let indicator_version = door.version(format_args!("{path}.indicator_version"), given).unwrap_or(1);
    let qualifier = door.optional_enum(format_args!("{path}.qualifier"), observation.qualifier).unwrap_or_default();
    let basis = door.optional_enum(format_args!("{path}.basis"), observation.basis).unwrap_or_default();
    let note = door.text(format_args!("{path}.note"), &observation.note, NOTE_CHARS_MAX);
    let stated_percent = match observation.stated_percent.as_str() {
        "" => None,
        text => {
            let path = format!("{path}.stated_percent");
            let digits = text.bytes().filter(u8::is_ascii_digit).count();
            if digits > STATED_PERCENT_DIGITS_MAX && !door.is_trusted {
                let message = format!("has {digits} digits, at most {STATED_PERCENT_DIGITS_MAX} are allowed");
                door.add(&path, Reason::InvalidDecimal, message);
            }
            door.decimal(&path, text)
        }
    };
    let value = read_value(door, path, observation.value.as_ref());
    if qualifier != Qualifier::Exact && value.as_ref().is_some_and(|value| !value.is_number()) {
        door.add(format_args!("{path}.qualifier"), Reason::QualifierNotAllowed, "bounds a number; here is none");
    }
    ReadObservation { indicator, by, scope, units, indicator_version, value, qualifier, basis, stated_percent, note }
}

/// The units of a group in the order of their ids.
fn read_group(door: &mut Door, path: impl Display + Copy, ids: &[String]) -> Vec<UnitId> {
    let are_few = door.allows(path, ids.len(), GROUP_UNITS_MAX);
    let mut units: Vec<UnitId> = Vec::new();
    for (index, id) in ids.iter().enumerate().filter(|_| are_few) {
        units.extend(door.unit_id(format_args!("{path}[{index}]"), id));
    }
    let named = units.len();
    units.sort();
    units.dedup();
    if units.len() < named {
        door.add(path, Reason::DuplicateId, "names a unit twice");
    }
    units
}

fn read_change(door: &mut Door, path: impl Display + Copy, change: &v1::observation::Change) -> Option<ValueChange> {
    let amount = match change.amount.as_str() {
        "" => {
            door.missing(format_args!("{path}.amount"), "is required; a change without a number is a direction");
            None
        }
        text => door.decimal(format_args!("{path}.amount"), text),
    };
    let unit: Option<ChangeUnit> = door.optional_enum(format_args!("{path}.unit"), change.unit);
    let mut possible_units: Vec<ChangeUnit> = Vec::new();
    let are_few =
        door.allows(format_args!("{path}.possible_units"), change.possible_units.len(), ChangeUnit::ALL.len());
    for (index, possible) in change.possible_units.iter().enumerate().filter(|_| are_few) {
        let path = format!("{path}.possible_units[{index}]");
        let Some(possible) = door.required_enum(&path, *possible) else { continue };
        if possible_units.contains(&possible) {
            door.add(&path, Reason::DuplicateId, "stands twice");
        }
        possible_units.push(possible);
    }
    if unit.is_some() && !possible_units.is_empty() {
        let message = "goes with a number of which the source does not say what it is; here it does";
        door.add(format_args!("{path}.possible_units"), Reason::ConflictingFields, message);
    }
    if possible_units.len() == 1 && !door.is_trusted {
        door.add(
            format_args!("{path}.possible_units"),
            Reason::ConflictingFields,
            "one reading is no choice: it is the unit",
        );
    }
    let baseline = read_baseline(door, path, change);
    Some(ValueChange { amount: amount?, unit, baseline, possible_units })
}

fn read_baseline(door: &mut Door, path: impl Display + Copy, change: &v1::observation::Change) -> Option<Baseline> {
    use v1::observation::change::Baseline as Wired;
    let year = i16::try_from(change.baseline_year).ok().filter(|year| (1..=9999).contains(year));
    let year_path = format!("{path}.baseline_year");
    let baseline = Wired::try_from(change.baseline);
    if change.baseline_year != 0 && baseline != Ok(Wired::Year) {
        door.add(&year_path, Reason::ConflictingFields, "goes with the baseline YEAR");
    }
    match baseline {
        Ok(Wired::Unspecified) => None,
        Ok(Wired::Plan) => Some(Baseline::Plan),
        Ok(Wired::PreviousTerm) => Some(Baseline::PreviousTerm),
        Ok(Wired::SamePeriodLastYear) => Some(Baseline::SamePeriodLastYear),
        Ok(Wired::Year) => {
            if year.is_none() {
                door.add(&year_path, Reason::InvalidNumber, "is required with the baseline YEAR; a year, 1 to 9999");
            }
            year.map(Baseline::Year)
        }
        Err(_) => {
            let message = format!("{} is no value of this enum", change.baseline);
            door.add(format_args!("{path}.baseline"), Reason::InvalidEnumValue, message);
            None
        }
    }
}

fn read_value(door: &mut Door, path: impl Display + Copy, value: Option<&Wired>) -> Option<Value> {
    match value {
        None => {
            door.missing(path, "needs a value, or \"missing\" with the reason why there is none");
            None
        }
        Some(Wired::Flag(flag)) => Some(Value::Flag(*flag)),
        Some(Wired::Count(count)) if *count < 0 => {
            door.add(format_args!("{path}.count"), Reason::InvalidNumber, "a count is never negative");
            None
        }
        Some(Wired::Count(count)) => Some(Value::Count(*count)),
        Some(Wired::Decimal(text)) => door.decimal(format_args!("{path}.decimal"), text).map(Value::Decimal),
        Some(Wired::Percent(text)) => door.decimal(format_args!("{path}.percent"), text).map(Value::Percent),
        Some(Wired::Ratio(ratio)) => read_ratio(door, format_args!("{path}.ratio"), ratio).map(Value::Ratio),
        Some(Wired::Money(money)) => {
            let amount = door.decimal(format_args!("{path}.money.amount"), &money.amount);
            let scale = door.optional_enum(format_args!("{path}.money.scale"), money.scale).unwrap_or_default();
            if money.currency.len() != 3 || !money.currency.bytes().all(|b| b.is_ascii_uppercase()) {
                let message = "is no currency; write three capital letters of ISO 4217, such as VND";
                door.add(format_args!("{path}.money.currency"), Reason::InvalidCurrency, message);
            }
            Some(Value::Money { amount: amount?, scale, currency: money.currency.clone() })
        }
        Some(Wired::Category(code)) => door.indicator_id(format_args!("{path}.category"), code).map(Value::Category),
        Some(Wired::Direction(number)) => {
            door.required_enum(format_args!("{path}.direction"), *number).map(Value::Direction)
        }
        Some(Wired::Change(change)) => read_change(door, format_args!("{path}.change"), change).map(Value::Change),
        Some(Wired::Missing(number)) => {
            door.required_enum::<Missing>(format_args!("{path}.missing"), *number).map(Value::Missing)
        }
    }
}

fn read_ratio(door: &mut Door, path: impl Display + Copy, ratio: &v1::observation::Ratio) -> Option<Ratio> {
    let mut part = |field: &str, value: Option<i64>| {
        if value.is_none() {
            door.missing(format_args!("{path}.{field}"), "is required; absence is not zero");
        }
        value
    };
    let (numerator, denominator) = (part("numerator", ratio.numerator), part("denominator", ratio.denominator));
    let (numerator, denominator) = (numerator?, denominator?);
    let (field, reason, message) = match Ratio::new(numerator, denominator) {
        Ok(ratio) => return Some(ratio),
        Err(RatioFault::ZeroDenominator) => {
            ("denominator", Reason::ZeroDenominator, "must be 1 or more; without a whole there is no ratio".to_owned())
        }
        Err(RatioFault::NegativeNumerator) => {
            ("numerator", Reason::InvalidNumber, "a count is never negative".to_owned())
        }
        Err(RatioFault::NumeratorAboveDenominator) => (
            "numerator",
            Reason::NumeratorAboveDenominator,
            format!("{numerator} of {denominator}: the part is greater than the whole"),
        ),
    };
    door.add(format_args!("{path}.{field}"), reason, message);
    None
}

/// A report as the caller sent it, for the digest of the request.
pub(super) fn write_draft(draft: &ReportDraft) -> v1::Report {
    v1::Report {
        name: optional_text(draft.name),
        unit: draft.unit.to_string(),
        organ: unless_default(draft.organ),
        period: draft.period.to_string(),
        form: draft.form.clone(),
        source: Some(write_source(&draft.source)),
        observations: draft.observations.iter().map(write_observation).collect(),
        note: draft.note.clone(),
        issuer: optional_text(draft.issuer.as_ref()),
        sender: draft.sender.clone(),
        ..v1::Report::default()
    }
}

/// A stored version, without what its entry knows of it.
pub(super) fn write(report: &Report) -> v1::Report {
    let span = report.period.span();
    v1::Report {
        name: report.name.to_string(),
        version: i32::try_from(report.version).unwrap_or(i32::MAX),
        revision: 0,
        unit: report.unit.to_string(),
        organ: unless_default(report.organ),
        period: report.period.written().to_owned(),
        form: report.form.clone(),
        source: Some(write_source(&report.source)),
        observations: report.observations.iter().map(write_observation).collect(),
        note: report.note.clone(),
        record_time: None,
        period_start_on: optional_text(span.first_day),
        period_end_on: optional_text(span.last_day),
        findings: Vec::new(),
        withdrawal: None,
        issuer: optional_text(report.issuer.as_ref()),
        sender: report.sender.clone(),
    }
}

/// Whether a stored version surely comes back as it is: every rule of reading that its types do not see to. What is rare
/// is left to reading it.
pub(super) fn is_surely_readable(report: &Report) -> bool {
    let Report { name, version, period, source, observations, .. } = report;
    name.0 > 0
        && (1..=i32::MAX.unsigned_abs()).contains(version)
        && period.written().parse().is_ok_and(|written: WrittenPeriod| match written {
            WrittenPeriod::Days(days) => days == *period,
            WrittenPeriod::Term(_) => is_day(period.span().first_day) && is_day(period.span().last_day),
        })
        && is_day(source.published_on)
        && matches!(source.sha256.len(), 0 | 64)
        && source.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        && !observations.is_empty()
        && observations.iter().all(is_observation_surely_readable)
}

fn is_observation_surely_readable(observation: &Observation) -> bool {
    let Observation { units, indicator_version, value, qualifier, stated_percent, .. } = observation;
    let value_is_readable = match value {
        Value::Count(count) => *count >= 0,
        Value::Decimal(number) | Value::Percent(number) => is_decimal(*number),
        Value::Flag(_) | Value::Ratio(_) | Value::Category(_) | Value::Direction(_) | Value::Missing(_) => true,
        Value::Money { .. } | Value::Change(_) => false,
    };
    value_is_readable
        && (1..=i32::MAX.unsigned_abs()).contains(indicator_version)
        && (*qualifier == Qualifier::Exact || value.is_number())
        && stated_percent.is_none_or(is_decimal)
        && units.is_sorted_by(|a, b| a < b)
}

/// Days are written with a year of four digits.
fn is_day(day: Option<Date>) -> bool {
    day.is_none_or(|day| (1..=9999).contains(&day.year()))
}

/// Decimals are read with so many digits, and zero without a sign.
fn is_decimal(number: Decimal) -> bool {
    // Those behind the point are written even where they are zeros, and one before it.
    let digits = number.mantissa().unsigned_abs().checked_ilog10().map_or(1, |last| last as usize + 1);
    digits.max(number.scale() as usize + 1) <= DECIMAL_DIGITS_MAX && !(number.is_zero() && number.is_sign_negative())
}

pub(super) fn write_source(source: &Source) -> v1::Source {
    v1::Source {
        title: source.title.clone(),
        uri: source.uri.clone(),
        published_on: optional_text(source.published_on),
        sha256: source.sha256.clone(),
        locator: source.locator.clone(),
    }
}

pub(super) fn write_observation(observation: &Observation) -> v1::Observation {
    v1::Observation {
        indicator: observation.indicator.to_string(),
        by: observation.by.iter().map(|(dimension, code)| (dimension.to_string(), code.to_string())).collect(),
        scope: unless_default(observation.scope),
        qualifier: unless_default(observation.qualifier),
        basis: unless_default(observation.basis),
        stated_percent: optional_text(observation.stated_percent),
        note: observation.note.clone(),
        units: observation.units.iter().map(ToString::to_string).collect(),
        indicator_version: i32::try_from(observation.indicator_version).unwrap_or(i32::MAX),
        value: Some(write_value(&observation.value)),
    }
}

fn write_value(value: &Value) -> Wired {
    match value {
        Value::Flag(flag) => Wired::Flag(*flag),
        Value::Count(count) => Wired::Count(*count),
        Value::Decimal(number) => Wired::Decimal(number.to_string()),
        Value::Percent(number) => Wired::Percent(number.to_string()),
        Value::Ratio(ratio) => Wired::Ratio(write_ratio(*ratio)),
        Value::Money { amount, scale, currency } => Wired::Money(v1::observation::Money {
            amount: amount.to_string(),
            scale: unless_default(*scale),
            currency: currency.clone(),
        }),
        Value::Category(code) => Wired::Category(code.to_string()),
        Value::Direction(direction) => Wired::Direction(direction.number()),
        Value::Change(change) => Wired::Change(write_change(change)),
        Value::Missing(missing) => Wired::Missing(missing.number()),
    }
}

pub(super) fn write_ratio(ratio: Ratio) -> v1::observation::Ratio {
    v1::observation::Ratio { numerator: Some(ratio.numerator()), denominator: Some(ratio.denominator()) }
}

fn write_change(change: &ValueChange) -> v1::observation::Change {
    use v1::observation::change::Baseline as Wired;
    let (baseline, baseline_year) = match change.baseline {
        None => (Wired::Unspecified, 0),
        Some(Baseline::Plan) => (Wired::Plan, 0),
        Some(Baseline::PreviousTerm) => (Wired::PreviousTerm, 0),
        Some(Baseline::SamePeriodLastYear) => (Wired::SamePeriodLastYear, 0),
        Some(Baseline::Year(year)) => (Wired::Year, year.into()),
    };
    v1::observation::Change {
        amount: change.amount.to_string(),
        unit: change.unit.map_or(0, Wire::number),
        baseline: baseline.into(),
        baseline_year,
        possible_units: change.possible_units.iter().map(|unit| unit.number()).collect(),
    }
}
