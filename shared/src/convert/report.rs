//! Reports and observations through the door.

use proto::v1::{self, observation::Value as Wired};

use super::{Door, Wire, enums::unless_default, optional_text};
use crate::{
    limits::{
        DIMENSIONS_MAX, NAME_CHARS_MAX, NOTE_CHARS_MAX, REPORT_OBSERVATIONS_MAX, STATED_PERCENT_DIGITS_MAX,
        URI_CHARS_MAX,
    },
    model::{
        fault::{Reason, quote},
        ids::IndicatorId,
        period::{Period, Span, WrittenPeriod},
        report::{
            Missing, Observation, Qualifier, Ratio, RatioFault, ReadObservation, ReadReport, Report, ReportDraft,
            Source, Value,
        },
    },
};

/// A stored version.
pub(super) fn read(door: &mut Door, report: &v1::Report) -> Option<Report> {
    let name = door.required("report.name", &report.name, Reason::InvalidId);
    let version = u32::try_from(report.version).map_err(|_| door.missing("report.version", "is required")).ok();
    let first_day = door.day("report.period_start_on", &report.period_start_on);
    let last_day = door.day("report.period_end_on", &report.period_end_on);
    let ReportDraft { unit, organ, period, form, source, observations, note, .. } =
        read_submitted(door, report).complete()?;
    let period = match period {
        WrittenPeriod::Days(period) => period,
        WrittenPeriod::Term(label) => Period::of_term(&label, Span { first_day, last_day }),
    };
    Some(Report { name: name?, version: version?, unit, organ, period, form, source, observations, note })
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
    let source = read_source(door, report.source.as_ref());
    let note = door.text("report.note", &report.note, NOTE_CHARS_MAX);
    let are_few = door.allows("report.observations", report.observations.len(), REPORT_OBSERVATIONS_MAX);
    if report.observations.is_empty() {
        door.missing("report.observations", "needs at least one observation");
    }
    let mut observations = Vec::new();
    for (index, observation) in report.observations.iter().enumerate().filter(|_| are_few) {
        observations.push(read_observation(door, &format!("report.observations[{index}]"), observation));
    }
    ReadReport { name, unit, organ, period, form, source, observations, note }
}

fn read_source(door: &mut Door, source: Option<&v1::Source>) -> Source {
    let path = |field: &str| format!("report.source.{field}");
    let nothing = v1::Source::default();
    let source = source.unwrap_or(&nothing);
    let title = door.text(&path("title"), &source.title, NOTE_CHARS_MAX);
    let uri = door.text(&path("uri"), &source.uri, URI_CHARS_MAX);
    let names_nothing = source.title.trim().is_empty() && source.uri.trim().is_empty();
    if names_nothing && !door.is_trusted {
        door.missing("report.source", "needs a title or a uri");
    }
    let sha256 = source.sha256.to_ascii_lowercase();
    if !(sha256.is_empty() || sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit())) {
        door.add(&path("sha256"), Reason::InvalidText, "has 64 hexadecimal digits");
    }
    Source {
        title,
        uri,
        published_on: door.day(&path("published_on"), &source.published_on),
        sha256,
        locator: door.text(&path("locator"), &source.locator, NAME_CHARS_MAX),
    }
}

fn read_observation(door: &mut Door, path: &str, observation: &v1::Observation) -> ReadObservation {
    let indicator = door.indicator_id(&format!("{path}.indicator"), &observation.indicator);
    let mut by = std::collections::BTreeMap::new();
    let are_few = door.allows(&format!("{path}.by"), observation.by.len(), DIMENSIONS_MAX);
    for (dimension, code) in observation.by.iter().filter(|_| are_few) {
        let path = format!("{path}.by[{}]", quote(dimension));
        let pair: (Option<IndicatorId>, Option<IndicatorId>) =
            (door.indicator_id(&path, dimension), door.indicator_id(&path, code));
        if let (Some(dimension), Some(code)) = pair {
            by.insert(dimension, code);
        }
    }
    let scope = door.optional_enum(&format!("{path}.scope"), observation.scope).unwrap_or_default();
    let qualifier = door.optional_enum(&format!("{path}.qualifier"), observation.qualifier).unwrap_or_default();
    let basis = door.optional_enum(&format!("{path}.basis"), observation.basis).unwrap_or_default();
    let note = door.text(&format!("{path}.note"), &observation.note, NOTE_CHARS_MAX);
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
    if qualifier != Qualifier::Exact && matches!(value, Some(Value::Flag(_) | Value::Missing(_))) {
        door.add(&format!("{path}.qualifier"), Reason::QualifierNotAllowed, "bounds a number; here is none");
    }
    ReadObservation { indicator, by, scope, value, qualifier, basis, stated_percent, note }
}

fn read_value(door: &mut Door, path: &str, value: Option<&Wired>) -> Option<Value> {
    match value {
        None => {
            door.missing(path, "needs a value, or \"missing\" with the reason why there is none");
            None
        }
        Some(Wired::Flag(flag)) => Some(Value::Flag(*flag)),
        Some(Wired::Count(count)) if *count < 0 => {
            door.add(&format!("{path}.count"), Reason::InvalidNumber, "a count is never negative");
            None
        }
        Some(Wired::Count(count)) => Some(Value::Count(*count)),
        Some(Wired::Decimal(text)) => door.decimal(&format!("{path}.decimal"), text).map(Value::Decimal),
        Some(Wired::Percent(text)) => door.decimal(&format!("{path}.percent"), text).map(Value::Percent),
        Some(Wired::Ratio(ratio)) => read_ratio(door, &format!("{path}.ratio"), ratio).map(Value::Ratio),
        Some(Wired::Money(money)) => {
            let amount = door.decimal(&format!("{path}.money.amount"), &money.amount);
            let scale = door.optional_enum(&format!("{path}.money.scale"), money.scale).unwrap_or_default();
            if money.currency.len() != 3 || !money.currency.bytes().all(|b| b.is_ascii_uppercase()) {
                let message = "is no currency; write three capital letters of ISO 4217, such as VND";
                door.add(&format!("{path}.money.currency"), Reason::InvalidCurrency, message);
            }
            Some(Value::Money { amount: amount?, scale, currency: money.currency.clone() })
        }
        Some(Wired::Missing(number)) => {
            door.required_enum::<Missing>(&format!("{path}.missing"), *number).map(Value::Missing)
        }
    }
}

fn read_ratio(door: &mut Door, path: &str, ratio: &v1::observation::Ratio) -> Option<Ratio> {
    let mut part = |field: &str, value: Option<i64>| {
        if value.is_none() {
            door.missing(&format!("{path}.{field}"), "is required; absence is not zero");
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
    door.add(&format!("{path}.{field}"), reason, message);
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
    }
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
        Value::Missing(missing) => Wired::Missing(missing.number()),
    }
}

pub(super) fn write_ratio(ratio: Ratio) -> v1::observation::Ratio {
    v1::observation::Ratio { numerator: Some(ratio.numerator()), denominator: Some(ratio.denominator()) }
}
