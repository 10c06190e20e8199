//! Columns of what reports say.

use proto::v1::{
    Observation, Source,
    list_observations_response::{Reading, Row},
    observation::{
        Basis, Change, Direction, Missing, Money, Qualifier, Ratio, Value,
        change::{Baseline, Unit as ChangeUnit},
        money::Scale,
    },
    unit::Organ,
};

use super::{
    column::{Cell, Column, Frame, day, integer, join, json, pairs, scope, text},
    sdmx,
};

/// In the order of the file.
pub(super) const COLUMNS: &[Column<Row>] = &[
    text("STRUCTURE", |_, _| Cell::text("dataflow")),
    text("STRUCTURE_ID", |frame, _| Cell::text(frame.structure)),
    text("ACTION", |_, _| Cell::text("I")),
    text("REF_AREA", |_, row| Cell::text(&row.unit)),
    text("INDICATOR", |_, row| of(row, |said| Cell::text(&said.indicator))),
    text("TIME_PERIOD", |_, row| sdmx::time_of_observation(&row.period, &row.period_start_on, &row.period_end_on)),
    text("OBS_VALUE", |_, row| of(row, obs_value)),
    text("OBS_STATUS", |_, row| of(row, |said| Cell::text(sdmx::status_of_observation(said)))),
    text("UNIT_MEASURE", |frame, row| row.observation.as_ref().map_or(Cell::Absent, |said| unit_measure(frame, said))),
    integer("UNIT_MULT", |_, row| of(row, unit_mult)),
    text("CURRENCY", |_, row| of(row, currency)),
    text("QUALIFIER", |_, row| of(row, qualifier)),
    text("BASIS", |_, row| of(row, basis)),
    text("SCOPE", |_, row| of(row, |said| Cell::text(scope(said.scope())))),
    text("BY", |_, row| of(row, |said| Cell::text(pairs(&said.by)))),
    text("VALUE_KIND", |_, row| of(row, value_kind)),
    integer("NUMERATOR", |_, row| of(row, |said| ratio(said, |ratio| ratio.numerator))),
    integer("DENOMINATOR", |_, row| of(row, |said| ratio(said, |ratio| ratio.denominator))),
    text("STATED_PERCENT", |_, row| of(row, |said| Cell::number(&said.stated_percent))),
    text("CHANGE_UNIT", |_, row| change(row, |change| change_unit(change.unit()))),
    text("CHANGE_BASELINE", |_, row| change(row, change_baseline)),
    integer("CHANGE_BASELINE_YEAR", |_, row| change(row, change_baseline_year)),
    text("CHANGE_POSSIBLE_UNITS", |_, row| change(row, change_possible_units)),
    text("READINGS", |_, row| json(row.readings.iter().map(reading))),
    text("MISSING_REASON", |_, row| of(row, missing_reason)),
    text("GROUP_UNITS", |_, row| of(row, |said| Cell::text(join(&said.units)))),
    integer("INDICATOR_VERSION", |_, row| of(row, |said| Cell::Integer(said.indicator_version.into()))),
    text("PERIOD", |_, row| Cell::text(&row.period)),
    day("PERIOD_START", |_, row| Cell::day(&row.period_start_on)),
    day("PERIOD_END", |_, row| Cell::day(&row.period_end_on)),
    text("REPORT", |_, row| Cell::text(&row.report)),
    integer("VERSION", |_, row| Cell::Integer(row.version.into())),
    integer("REVISION", |_, row| Cell::Integer(row.revision)),
    text("ORGAN", |_, row| Cell::text(organ(row.organ()))),
    text("ISSUER", |_, row| Cell::text(&row.issuer)),
    text("SOURCE_TITLE", |_, row| source(row, |source| Cell::text(&source.title))),
    text("SOURCE_URI", |_, row| source(row, |source| Cell::text(&source.uri))),
    text("SOURCE_LOCATOR", |_, row| source(row, |source| Cell::text(&source.locator))),
    text("SOURCE_SHA256", |_, row| source(row, |source| Cell::text(&source.sha256))),
    day("PUBLISHED_ON", |_, row| source(row, |source| Cell::day(&source.published_on))),
    text("FINDINGS", |_, row| Cell::text(join(row.findings.iter().map(|finding| finding.reason().as_str_name())))),
    text("NOTE", |_, row| of(row, |said| Cell::text(&said.note))),
];

fn of<'a>(row: &'a Row, cell: impl FnOnce(&'a Observation) -> Cell<'a>) -> Cell<'a> {
    row.observation.as_ref().map_or(Cell::Absent, cell)
}

fn source<'a>(row: &'a Row, cell: impl FnOnce(&'a Source) -> Cell<'a>) -> Cell<'a> {
    row.source.as_ref().map_or(Cell::Absent, cell)
}

fn change<'a>(row: &'a Row, cell: impl FnOnce(&'a Change) -> Cell<'a>) -> Cell<'a> {
    match row.observation.as_ref().and_then(|said| said.value.as_ref()) {
        Some(Value::Change(change)) => cell(change),
        _ => Cell::Absent,
    }
}

/// The value. A ratio is its quotient.
pub(super) fn obs_value(said: &Observation) -> Cell<'_> {
    match said.value.as_ref() {
        None | Some(Value::Missing(_)) => Cell::Absent,
        Some(Value::Flag(flag)) => Cell::text(if *flag { "true" } else { "false" }),
        Some(Value::Count(count)) => Cell::Number(count.to_string().into()),
        Some(Value::Decimal(number) | Value::Percent(number)) => Cell::number(number),
        Some(Value::Ratio(ratio)) => quotient(ratio).map_or(Cell::Absent, |share| Cell::Number(share.into())),
        Some(Value::Money(money)) => Cell::number(&money.amount),
        Some(Value::Category(code)) => Cell::text(code),
        Some(Value::Direction(direction)) => {
            let direction = Direction::try_from(*direction).unwrap_or_default();
            named(direction != Direction::Unspecified, direction.as_str_name())
        }
        Some(Value::Change(change)) => Cell::number(&change.amount),
    }
}

/// Six digits, rounded half up.
fn quotient(ratio: &Ratio) -> Option<String> {
    const UNIT: i128 = 1_000_000;
    let (numerator, denominator) = (i128::from(ratio.numerator?), i128::from(ratio.denominator?));
    if numerator < 0 || denominator <= 0 {
        return None;
    }
    let share = (2 * numerator * UNIT + denominator) / (2 * denominator);
    Some(format!("{}.{:06}", share / UNIT, share % UNIT))
}

/// Which kind of value it is; nothing where there is none.
pub(super) fn value_kind(said: &Observation) -> Cell<'_> {
    match said.value.as_ref() {
        None | Some(Value::Missing(_)) => Cell::Absent,
        Some(Value::Flag(_)) => Cell::text("FLAG"),
        Some(Value::Count(_)) => Cell::text("COUNT"),
        Some(Value::Decimal(_)) => Cell::text("DECIMAL"),
        Some(Value::Percent(_)) => Cell::text("PERCENT"),
        Some(Value::Ratio(_)) => Cell::text("RATIO"),
        Some(Value::Money(_)) => Cell::text("MONEY"),
        Some(Value::Category(_)) => Cell::text("CATEGORY"),
        Some(Value::Direction(_)) => Cell::text("DIRECTION"),
        Some(Value::Change(_)) => Cell::text("CHANGE"),
    }
}

fn unit_measure<'a>(frame: &'a Frame, said: &'a Observation) -> Cell<'a> {
    match (frame.question.units_of_measure.get(&said.indicator), &said.value) {
        (Some(unit), _) if !unit.is_empty() => Cell::text(unit),
        (_, Some(Value::Percent(_))) => Cell::text("PERCENT"),
        _ => Cell::Absent,
    }
}

/// The word behind an amount of money, as a power of ten.
pub(super) fn unit_mult(said: &Observation) -> Cell<'_> {
    money(said, |money| {
        Cell::Integer(match money.scale() {
            Scale::Unspecified | Scale::Unit => 0,
            Scale::Thousand => 3,
            Scale::Million => 6,
            Scale::Billion => 9,
            Scale::Trillion => 12,
        })
    })
}

pub(super) fn currency(said: &Observation) -> Cell<'_> {
    money(said, |money| Cell::text(&money.currency))
}

fn money<'a>(said: &'a Observation, cell: impl FnOnce(&'a Money) -> Cell<'a>) -> Cell<'a> {
    if let Some(Value::Money(money)) = &said.value { cell(money) } else { Cell::Absent }
}

pub(super) fn ratio(said: &Observation, part: impl FnOnce(&Ratio) -> Option<i64>) -> Cell<'_> {
    match &said.value {
        Some(Value::Ratio(ratio)) => part(ratio).map_or(Cell::Absent, Cell::Integer),
        _ => Cell::Absent,
    }
}

/// How a number bounds the value; not said is EXACT, and only numbers have it.
pub(super) fn qualifier(said: &Observation) -> Cell<'_> {
    match (said.qualifier(), obs_value(said)) {
        (Qualifier::Unspecified, Cell::Number(_)) => Cell::text(Qualifier::Exact.as_str_name()),
        (Qualifier::Unspecified, _) => Cell::Absent,
        (qualifier, _) => Cell::text(qualifier.as_str_name()),
    }
}

/// What a value rests on; not said is ACTUAL.
pub(super) fn basis(said: &Observation) -> Cell<'_> {
    match (said.basis(), &said.value) {
        (Basis::Unspecified, None | Some(Value::Missing(_))) => Cell::Absent,
        (Basis::Unspecified, _) => Cell::text(Basis::Actual.as_str_name()),
        (basis, _) => Cell::text(basis.as_str_name()),
    }
}

fn change_unit(unit: ChangeUnit) -> Cell<'static> {
    named(unit != ChangeUnit::Unspecified, unit.as_str_name())
}

fn change_baseline(change: &Change) -> Cell<'_> {
    named(change.baseline() != Baseline::Unspecified, change.baseline().as_str_name())
}

fn change_baseline_year(change: &Change) -> Cell<'_> {
    // Only YEAR has one, and no year is 0.
    if change.baseline_year == 0 { Cell::Absent } else { Cell::Integer(change.baseline_year.into()) }
}

fn change_possible_units(change: &Change) -> Cell<'_> {
    Cell::text(join(change.possible_units().map(|unit| unit.as_str_name())))
}

fn reading(reading: &Reading) -> [(&'static str, Cell<'_>); 3] {
    let qualifier = reading.implied_baseline_qualifier();
    [
        ("unit", change_unit(reading.unit())),
        ("implied_baseline", Cell::number(&reading.implied_baseline)),
        ("implied_baseline_qualifier", named(qualifier != Qualifier::Unspecified, qualifier.as_str_name())),
    ]
}

fn missing_reason(said: &Observation) -> Cell<'_> {
    let Some(Value::Missing(missing)) = said.value else { return Cell::Absent };
    let missing = Missing::try_from(missing).unwrap_or_default();
    named(missing != Missing::Unspecified, missing.as_str_name())
}

fn organ(organ: Organ) -> &'static str {
    if organ == Organ::Unspecified { Organ::Party.as_str_name() } else { organ.as_str_name() }
}

fn named(is_said: bool, name: &'static str) -> Cell<'static> {
    if is_said { Cell::text(name) } else { Cell::Absent }
}
