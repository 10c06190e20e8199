use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date};
use proptest::{collection, option, prelude::*};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::*;
use crate::{
    change::Change,
    model::{
        event::{Cleared, EventStatus, EventType, Part, UnitChange, UnitEvent},
        finding::{Finding, FindingReason, Hypothesis, Severity},
        form::{Due, DueDay, Form, Frequency, Waiver, Weekend},
        ids::{IndicatorId, ReportName, UnitId},
        indicator::{Balance, Dimension, Exception, Indicator, RollUp, Temporality, ValueKind},
        log::RequestKey,
        period::{Period, Span, WrittenPeriod},
        report::{
            Baseline, Basis, ChangeUnit, Direction, Missing, Observation, Qualifier, Ratio, Report, Scale, Scope,
            Source, Value, ValueChange,
        },
        term::{DatesBasis, Term, TermKey},
        unit::{Level, Organ, Unit},
    },
};

fn unit_id() -> impl Strategy<Value = UnitId> {
    "[a-z0-9-]{1,20}".prop_filter_map("reserved", |text| text.parse().ok())
}

fn indicator_id() -> impl Strategy<Value = IndicatorId> {
    "[a-z0-9_]{1,20}".prop_map(|text| text.parse().unwrap())
}

fn text() -> impl Strategy<Value = String> {
    "[a-zA-ZđĐếệ .,%]{0,30}"
}

fn day() -> impl Strategy<Value = Date> {
    (1900i16..2100, 1i8..=12, 1i8..=28).prop_map(|(year, month, day)| Date::new(year, month, day).unwrap())
}

fn decimal() -> impl Strategy<Value = Decimal> {
    (any::<i64>(), 0u32..10).prop_map(|(number, scale)| Decimal::new(number, scale))
}

fn level() -> impl Strategy<Value = Level> {
    use Level::{Cell, Commune, Country, District, GrassrootsOrganisation, Province};
    prop::sample::select(vec![Country, Province, District, Commune, GrassrootsOrganisation, Cell])
}

fn organ() -> impl Strategy<Value = Organ> {
    use Organ::{ExecutiveCommittee, Front, Party, PeoplesCommittee, PeoplesCouncil, StandingCommittee};
    prop::sample::select(vec![Party, ExecutiveCommittee, StandingCommittee, PeoplesCouncil, PeoplesCommittee, Front])
}

prop_compose! {
    fn unit()(
        id in unit_id(), level in level(), kind in text(), name in text(), parent in option::of(unit_id()),
        official_code in text(), attributes in collection::btree_map("[a-z0-9_]{1,9}", "[a-z]{1,9}", 0..4),
        life in option::of((day(), 0i32..9999)), formed_by_event in any::<bool>(),
    ) -> Unit {
        let valid_from = life.map(|(first, _)| first).filter(|_| !formed_by_event);
        let valid_until = life.map(|(first, days)| first.checked_add(jiff::Span::new().days(days)).unwrap());
        let name = format!("n{name}");
        Unit { id, level, kind, name, parent, official_code, attributes, valid_from, valid_until, formed_by_event }
    }
}

prop_compose! {
    fn change()(
        name in text(), kind in text(), official_code in text(), level in option::of(level()),
        attributes in collection::btree_map("[a-z0-9_]{1,9}", "[a-z]{0,9}", 0..4), parent in option::of(unit_id()),
        valid_from in option::of(day()), valid_until in option::of(day()),
    ) -> UnitChange {
        let cleared = if valid_from.is_none() { vec![Cleared::ValidFrom, Cleared::Kind] } else { Vec::new() };
        UnitChange { name, kind, official_code, attributes, level, parent, valid_from, valid_until, cleared }
    }
}

prop_compose! {
    fn event()(
        id in "[a-z0-9-]{1,20}", effective_on in option::of(days()), document in text(), change in option::of(change()),
        units in collection::btree_set(unit_id(), 0..6), from_count in option::of(1u32..99), note in text(),
        reason in text(), share in option::of(1i64..999), is_main in any::<bool>(),
        event_type in prop::sample::select(vec![EventType::Merge, EventType::Split, EventType::Transfer, EventType::Correct]),
        status in prop::sample::select(vec![EventStatus::Planned, EventStatus::Effective, EventStatus::Cancelled]),
    ) -> UnitEvent {
        let units: Vec<UnitId> = units.into_iter().collect();
        let (from, into) = units.split_at(units.len() / 2);
        let share = share.map(|share| Decimal::new(share, 3));
        let parts = into.iter().map(|unit| Part { unit: unit.clone(), share, is_main }).collect();
        UnitEvent {
            id: id.parse().unwrap(), event_type, effective_on, from: from.to_vec(), into: into.to_vec(), document, status,
            parts, change: change.unwrap_or_default(), from_count, into_count: None, reason, note,
        }
    }
}

prop_compose! {
    fn form()(
        id in "[a-z0-9_-]{1,20}", version in 1u32..9, name in text(), under in unit_id(), level in option::of(level()),
        indicators in collection::btree_set(indicator_id(), 0..4), organ in organ(), valid_from in option::of(day()),
        frequency in option::of(prop::sample::select(vec![Frequency::Monthly, Frequency::Quarterly, Frequency::PerTerm])),
        day in prop_oneof![(1i8..=31).prop_map(DueDay::OfLastMonth), (0i32..=366).prop_map(DueDay::AfterEnd)],
        weekend in option::of(prop::sample::select(vec![Weekend::NextWorkingDay, Weekend::PreviousWorkingDay])),
        grace_days in 0i32..=366, time_zone in prop::sample::select(vec!["", "Asia/Ho_Chi_Minh", "Europe/Paris"]),
        valid_until in option::of(day()),
    ) -> Form {
        Form {
            id: id.parse().unwrap(), version, names: BTreeMap::from([("en".to_owned(), format!("n{name}"))]),
            indicators: indicators.into_iter().collect(), under, level, organ, frequency,
            due: frequency.map(|_| Due { day, weekend, grace_days }), time_zone: time_zone.to_owned(), valid_from,
            valid_until,
        }
    }
}

prop_compose! {
    fn waiver()(form in "[a-z0-9_-]{1,20}", unit in unit_id(), period in days(), reason in text()) -> Waiver {
        Waiver { form: form.parse().unwrap(), unit, period, reason: format!("r{reason}") }
    }
}

prop_compose! {
    fn indicator()(
        id in indicator_id(), name in text(), unit_of_measure in text(),
        value_kind in prop::sample::select(vec![ValueKind::Flag, ValueKind::Count, ValueKind::Ratio, ValueKind::Money]),
        temporality in prop::sample::select(vec![Temporality::State, Temporality::Stock, Temporality::Flow]),
        roll_up in prop::sample::select(vec![RollUp::Sum, RollUp::ShareOfUnits, RollUp::None]),
        codes in collection::btree_set(indicator_id(), 0..4), closed in any::<bool>(), version in 1u32..9,
        valid_from in option::of(day()), levels in option::of(level()), under in option::of(unit_id()),
        change_of in option::of(indicator_id()), opening in option::of(indicator_id()), description in text(),
    ) -> Indicator {
        let codes: Vec<IndicatorId> = codes.into_iter().collect();
        let dimension = Dimension { id: id.clone(), closed: closed && !codes.is_empty(), codes };
        let names = BTreeMap::from([("vi".to_owned(), format!("n{name}"))]);
        let exception = |under| Exception {
            under,
            level: None,
            kind: "Phường".to_owned(),
            span: Span { first_day: valid_from, last_day: None },
            reason: "why".to_owned(),
        };
        let balance = opening.map(|opening| Balance { opening, inflows: vec![id.clone()], outflows: Vec::new() });
        Indicator {
            id, names, value_kind, temporality, roll_up, dimensions: vec![dimension.clone()], unit_of_measure, version,
            valid_from, codes: dimension.codes, levels: levels.into_iter().collect(),
            not_applicable: under.map(exception).into_iter().collect(), change_of, balance, description,
        }
    }
}

prop_compose! {
    fn term()(
        unit in unit_id(), organ in organ(), label in "[A-Za-z0-9-]{1,12}", start_on in day(),
        days in option::of(0i32..5000), is_assumed in any::<bool>(),
    ) -> Term {
        let end_on = days.map(|days| start_on.checked_add(jiff::Span::new().days(days)).unwrap());
        let dates_basis = if is_assumed { DatesBasis::Assumed } else { DatesBasis::Known };
        Term { key: TermKey { unit, organ, label }, start_on, end_on, dates_basis }
    }
}

fn value() -> impl Strategy<Value = Value> {
    let scales = vec![Scale::Unit, Scale::Thousand, Scale::Million, Scale::Billion, Scale::Trillion];
    let missing = vec![Missing::NotReported, Missing::NotApplicable, Missing::Withheld];
    prop_oneof![
        any::<bool>().prop_map(Value::Flag),
        (0..i64::MAX).prop_map(Value::Count),
        decimal().prop_map(Value::Decimal),
        decimal().prop_map(Value::Percent),
        (0..i64::MAX, 1..i64::MAX).prop_map(|(a, b)| Value::Ratio(Ratio::new(a.min(b), a.max(b)).unwrap())),
        (decimal(), prop::sample::select(scales)).prop_map(|(amount, scale)| Value::Money {
            amount,
            scale,
            currency: "VND".to_owned()
        }),
        prop::sample::select(missing).prop_map(Value::Missing),
        indicator_id().prop_map(Value::Category),
        Just(Value::Direction(Direction::SharpDecrease)),
        (decimal(), any::<bool>(), 0i16..3).prop_map(|(amount, is_said, year)| Value::Change(ValueChange {
            amount,
            unit: is_said.then_some(ChangeUnit::PercentagePoint),
            baseline: [Some(Baseline::Year(2015)), Some(Baseline::Plan), None][year as usize],
            possible_units: if is_said { Vec::new() } else { vec![ChangeUnit::Times, ChangeUnit::TimesMore] },
        })),
    ]
}

prop_compose! {
    fn observation()(
        indicator in indicator_id(), by in collection::btree_map(indicator_id(), indicator_id(), 0..3),
        scope in prop::sample::select(vec![Scope::Own, Scope::Children, Scope::Subtree]), indicator_version in 1u32..4,
        value in value(), units in collection::btree_set(unit_id(), 0..4),
        qualifier in prop::sample::select(vec![Qualifier::Exact, Qualifier::MoreThan, Qualifier::AtMost, Qualifier::About]),
        basis in prop::sample::select(vec![Basis::Actual, Basis::Estimate, Basis::Projection, Basis::Planned]),
        stated_percent in option::of(decimal()), note in text(),
    ) -> Observation {
        // A bound of what is no number does not come through the door.
        let qualifier = if value.is_number() { qualifier } else { Qualifier::Exact };
        let scope = if units.is_empty() { scope } else { Scope::Group };
        let units = units.into_iter().collect();
        Observation { indicator, by, scope, units, indicator_version, value, qualifier, basis, stated_percent, note }
    }
}

fn days() -> impl Strategy<Value = Period> {
    let written = ["2016", "2016-S2", "2017-Q2", "2017-08", "2017-08-17", "2015/2019-11-22", "2016/..", "../2017-08"];
    prop::sample::select(written.to_vec()).prop_map(|text| match text.parse().unwrap() {
        WrittenPeriod::Days(period) => period,
        WrittenPeriod::Term(_) => unreachable!("none of them is a term"),
    })
}

fn period() -> impl Strategy<Value = Period> {
    let term = ("[A-Za-z0-9-]{1,12}", day(), option::of(day()))
        .prop_map(|(label, first, last)| Period::of_term(&label, Span { first_day: Some(first), last_day: last }));
    prop_oneof![days(), term]
}

prop_compose! {
    fn report()(
        number in 1..u64::MAX, version in 1u32..1000, unit in unit_id(), organ in organ(), period in period(),
        form in "[a-z0-9_-]{0,9}", title in text(), published_on in option::of(day()), locator in text(),
        observations in collection::vec(observation(), 1..6), note in text(), issuer in option::of(unit_id()),
        sender in text(),
    ) -> Report {
        let source = Source { title: format!("t{title}"), uri: String::new(), published_on, sha256: String::new(), locator };
        let name = ReportName(number);
        Report { name, version, unit, organ, period, issuer, sender, form, source, observations, note }
    }
}

prop_compose! {
    fn finding()(
        severity in prop::sample::select(vec![Severity::Info, Severity::Warning]),
        reason in prop::sample::select(vec![FindingReason::SourcesDisagree, FindingReason::StatedPercentContradicts]),
        hypothesis in option::of(prop::sample::select(vec![Hypothesis::DecimalPointMoved, Hypothesis::Swapped])),
        path in text(), message in text(), others in collection::vec((1..u64::MAX, 1..u64::MAX / 2), 0..3), unnamed_others in 0usize..1000,
    ) -> Finding {
        let others = others.into_iter().map(|(name, revision)| (ReportName(name), revision.into())).collect();
        Finding { severity, reason, path, message, hypothesis, others, unnamed_others }
    }
}

prop_compose! {
    fn entry()(
        revision in 1..u64::MAX / 2, second in 0i64..4_000_000_000, nanosecond in 0i32..1_000_000_000,
        ends_change in any::<bool>(), findings in collection::vec(finding(), 0..3), request in option::of((any::<u128>(), any::<[u8; 16]>())), principal in "[a-z]{0,8}",
        change in prop_oneof![
            unit().prop_map(Change::UnitRegistered),
            day().prop_map(Change::RegisterCompleteFrom),
            indicator().prop_map(Change::IndicatorDefined),
            event().prop_map(Change::UnitEventRecorded),
            form().prop_map(Change::FormDefined),
            waiver().prop_map(Change::DutyWaived),
            term().prop_map(Change::TermDefined),
            report().prop_map(|report| Change::ReportSubmitted(Box::new(report))),
            Just(Change::Unchanged),
            (1..u64::MAX, text()).prop_map(|(n, reason)| Change::ReportWithdrawn { name: ReportName(n), reason }),
        ],
    ) -> Entry {
        Entry {
            revision: revision.into(),
            record_time: Timestamp::new(second, nanosecond).unwrap(),
            ends_change,
            request: request.map(|(id, digest)| RequestKey { id: Uuid::from_u128(id), digest }),
            principal: principal.into(),
            findings,
            change,
        }
    }
}

fn record(entry: &Entry) -> (Link, Record) {
    let previous = Link {
        revision: Revision::from(entry.revision.get() - 1),
        chain_hash: ChainHash([entry.revision.get() as u8; 32]),
    };
    let entry = encode(entry).unwrap();
    (previous, Record { link: next_link(&previous, &entry), entry })
}

prop_compose! {
    /// A report that only looks like one: what the door and the checks would have refused.
    fn odd_report()(
        report in report(), number in 0u64..3, version in prop_oneof![0u32..3, any::<u32>()],
        written in prop_oneof![Just("2016".to_owned()), Just("term:a".to_owned()), "[0-9S/-]{0,10}", "term:[a-z/ ]{0,3}"],
        days in (option::of(odd_day()), option::of(odd_day())), published_on in option::of(odd_day()),
        sha256 in "|[0-9a-f]{64}|[0-9a-fA-F]{62,65}|[a-z]{64}", observations in collection::vec(odd_observation(), 0..3),
        is_odd in any::<[bool; 6]>(),
    ) -> Report {
        let mut odd = report.clone();
        if is_odd[0] { odd.name = ReportName(number); }
        if is_odd[1] { odd.version = version; }
        if is_odd[2] { odd.period = Period::of_days(&written, Span { first_day: days.0, last_day: days.1 }); }
        if is_odd[3] { odd.source.published_on = published_on; }
        if is_odd[4] { odd.source.sha256 = sha256; }
        if is_odd[5] { odd.observations = observations; }
        odd
    }
}

prop_compose! {
    fn odd_observation()(
        observation in observation(), is_odd in any::<[bool; 5]>(), version in prop_oneof![0u32..3, any::<u32>()],
        number in odd_decimal(), count in -2i64..2, kind in 0u8..3, stated in odd_decimal(),
        units in collection::vec("[a-c]".prop_map(|text| text.parse().unwrap()), 0..4),
        qualifier in prop::sample::select(vec![Qualifier::Exact, Qualifier::About]),
    ) -> Observation {
        let mut odd = observation;
        if is_odd[0] {
            odd.value = match kind { 0 => Value::Count(count), 1 => Value::Decimal(number), _ => Value::Percent(number) };
        }
        if is_odd[1] { odd.indicator_version = version; }
        if is_odd[2] { odd.stated_percent = Some(stated); }
        if is_odd[3] { odd.units = units; }
        if is_odd[4] { odd.qualifier = qualifier; }
        odd
    }
}

fn odd_decimal() -> impl Strategy<Value = Decimal> {
    let number = prop_oneof![any::<i128>().prop_map(|n| n % (1 << 96)), -2i128..2];
    (number, 0u32..=28, any::<bool>()).prop_map(|(number, scale, is_negative)| {
        let mut decimal = Decimal::from_i128_with_scale(number, scale);
        decimal.set_sign_negative(is_negative);
        decimal
    })
}

fn odd_day() -> impl Strategy<Value = Date> {
    let year = prop_oneof![-2i16..3, 2015i16..2018];
    (year, 1i8..=12, 1i8..=28).prop_map(|(year, month, day)| Date::new(year, month, day).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_096, ..ProptestConfig::default() })]

    #[test]
    fn what_is_surely_readable_comes_back(
        report in odd_report(), finding in finding(), other in option::of((0u64..2, any::<u64>())),
        unnamed in prop_oneof![0usize..9, any::<usize>()], revision in prop_oneof![1u64..9, any::<u64>()],
    ) {
        let others = other.into_iter().map(|(name, revision)| (ReportName(name), revision.into())).collect();
        let findings = if unnamed == 0 { vec![] } else { vec![Finding { others, unnamed_others: unnamed, ..finding }] };
        let change = Change::ReportSubmitted(Box::new(report.clone()));
        let record_time = Timestamp::UNIX_EPOCH;
        let entry = Entry { revision: revision.into(), record_time, ends_change: true, request: None, principal: Default::default(), findings, change };
        let is_readable = check_readable(&entry, &convert::entry::encode(&entry)).is_ok();
        prop_assert!(is_readable || !convert::entry::is_surely_readable(&entry, &report));
    }
}

proptest! {
    #[test]
    fn an_ordinary_report_is_surely_readable(report in report(), findings in collection::vec(finding(), 0..3)) {
        let is_ordinary = |value: &Value| !matches!(value, Value::Money { .. } | Value::Change(_));
        prop_assume!(report.observations.iter().all(|observation| is_ordinary(&observation.value)));
        let change = Change::ReportSubmitted(Box::new(report.clone()));
        let record_time = Timestamp::UNIX_EPOCH;
        let entry = Entry { revision: 1.into(), record_time, ends_change: true, request: None, principal: Default::default(), findings, change };
        prop_assert!(convert::entry::is_surely_readable(&entry, &report));
    }

    #[test]
    fn an_entry_comes_back_as_it_was_written(entry in entry()) {
        let (previous, record) = record(&entry);
        prop_assert_eq!(decode_next(&previous, &record), Ok(entry));
    }

    #[test]
    fn a_report_encoded_before_has_the_same_bytes(entry in entry(), revision in 1u64..u64::MAX / 4, name in 1u64..9_999_999, version in 1u32..999) {
        let before = EncodedReport::of(&entry).unwrap();
        let mut entry = Entry { revision: Revision::from(revision), ..entry };
        if let Change::ReportSubmitted(report) = &mut entry.change {
            (report.name, report.version) = (ReportName(name), version);
        }
        prop_assert_eq!(before.encode(&entry), encode(&entry));
    }

    #[test]
    fn the_same_entry_has_the_same_bytes(entry in entry()) {
        prop_assert_eq!(encode(&entry), encode(&entry.clone()));
    }

    #[test]
    fn a_changed_bit_breaks_the_chain(entry in entry(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (previous, mut record) = record(&entry);
        let at = at.index(record.entry.len());
        record.entry[at] ^= 1 << bit;
        prop_assert_eq!(decode_next(&previous, &record), Err(RecordFault::Chain(entry.revision)));
    }

    #[test]
    fn no_bytes_make_decoding_panic(entry in collection::vec(any::<u8>(), 0..200), revision in 1..u64::MAX / 2) {
        let link = Link { revision: revision.into(), chain_hash: ChainHash([0; 32]) };
        let _ = decode(&Record { link, entry });
    }
}

#[test]
fn two_stores_differ_from_their_first_entry_on() {
    let (one, other) = (genesis(StoreId(Uuid::from_u128(1))), genesis(StoreId(Uuid::from_u128(2))));
    assert_ne!(next_link(&one, b"entry"), next_link(&other, b"entry"));
}
