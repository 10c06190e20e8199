//! Columns of sums, ratios, means and the like.

use proto::v1::{
    Figure, Observation,
    figure::{Published, Unused},
    observation::Qualifier,
};

use super::{
    column::{Cell, Column, day, flag, integer, json, scope, text},
    observations, sdmx,
    shares::{comparability, empty_reason, expected_basis},
};

/// In the order of the file. What a figure rests on stands in `COMPARABILITY`: `BASIS` is empty.
pub(super) const COLUMNS: &[Column<Figure>] = &[
    text("STRUCTURE", |_, _| Cell::text("dataflow")),
    text("STRUCTURE_ID", |frame, _| Cell::text(frame.structure)),
    text("ACTION", |_, _| Cell::text("I")),
    text("REF_AREA", |_, row| Cell::text(&row.unit)),
    text("INDICATOR", |frame, _| Cell::text(&frame.indicator)),
    text("TIME_PERIOD", |frame, row| sdmx::time_of_answer(frame.period(&row.period), frame.on(&row.on))),
    text("OBS_VALUE", |_, row| Cell::optional_number(row.value.as_ref())),
    text("OBS_STATUS", |_, row| {
        Cell::text(sdmx::status_of_answer(row.value.is_some(), row.empty_reason(), row.comparability()))
    }),
    text("UNIT_MEASURE", |_, row| Cell::text(&row.unit_of_measure)),
    // Money is given in units of its currency.
    integer("UNIT_MULT", |_, row| if row.currency.is_empty() { Cell::Absent } else { Cell::Integer(0) }),
    text("CURRENCY", |_, row| Cell::text(&row.currency)),
    text("QUALIFIER", |_, row| qualifier(row)),
    text("BASIS", |_, _| Cell::Absent),
    text("SCOPE", |frame, _| frame.scope()),
    text("BY", |frame, _| Cell::text(&frame.by)),
    text("MEASURE", |frame, _| frame.measure()),
    text("DENOMINATOR_INDICATOR", |frame, _| Cell::text(&frame.question.denominator)),
    text("PER", |frame, _| Cell::number(&frame.question.per)),
    text("UNIT_NAME", |_, row| Cell::text(&row.name)),
    text("ATTRIBUTE_VALUE", |_, row| Cell::text(&row.attribute_value)),
    day("COUNTED_ON", |frame, row| Cell::day(frame.on(&row.on))),
    text("PERIOD", |frame, row| Cell::text(frame.period(&row.period))),
    text("LOWER", |_, row| Cell::optional_number(row.lower.as_ref())),
    flag("LOWER_EXCLUSIVE", |_, row| exclusive(row.lower.as_ref(), row.lower_exclusive)),
    text("UPPER", |_, row| Cell::optional_number(row.upper.as_ref())),
    flag("UPPER_EXCLUSIVE", |_, row| exclusive(row.upper.as_ref(), row.upper_exclusive)),
    text("NUMERATOR", |_, row| Cell::number(&row.numerator)),
    text("DENOMINATOR", |_, row| Cell::number(&row.denominator)),
    integer("REPORTED", |_, row| Cell::count(row.reported)),
    integer("NOT_REPORTED", |_, row| Cell::count(row.not_reported)),
    integer("WITHHELD", |_, row| Cell::count(row.withheld)),
    integer("NOT_APPLICABLE", |_, row| Cell::count(row.not_applicable)),
    integer("EXPECTED", |_, row| Cell::count(row.expected)),
    text("EXPECTED_BASIS", |_, row| expected_basis(row.expected_basis())),
    integer("UNDETERMINED", |_, row| Cell::count(row.undetermined)),
    text("COVERAGE", |_, row| Cell::optional_number(row.coverage.as_ref())),
    text("EMPTY_REASON", |_, row| empty_reason(row.empty_reason())),
    text("COMPARABILITY", |_, row| comparability(row.comparability())),
    integer("CONTESTED", |_, row| Cell::count(row.contested)),
    integer("FINDING_COUNT", |_, row| Cell::count(row.findings)),
    integer("CARRIED", |_, row| Cell::count(row.carried)),
    integer("UNDATED", |_, row| Cell::count(row.undated)),
    text("PUBLISHED", |_, row| json(row.published.iter().map(published))),
    text("UNUSED", |_, row| json(row.unused.iter().map(unused))),
];

/// How the number bounds the value; not said is EXACT.
fn qualifier(row: &Figure) -> Cell<'_> {
    match (&row.value, row.qualifier()) {
        (None, _) => Cell::Absent,
        (Some(_), Qualifier::Unspecified) => Cell::text(Qualifier::Exact.as_str_name()),
        (Some(_), qualifier) => Cell::text(qualifier.as_str_name()),
    }
}

/// Whether a bound is outside; nothing where there is no bound.
fn exclusive<'a>(bound: Option<&String>, is_exclusive: bool) -> Cell<'a> {
    bound.map_or(Cell::Absent, |_| Cell::Flag(is_exclusive))
}

fn published(published: &Published) -> [(&'static str, Cell<'_>); 15] {
    let of = |cell: for<'a> fn(&'a Observation) -> Cell<'a>| published.observation.as_ref().map_or(Cell::Absent, cell);
    [
        ("report", Cell::text(&published.report)),
        ("unit", Cell::text(&published.unit)),
        ("period", Cell::text(&published.period)),
        ("published_on", Cell::day(&published.published_on)),
        ("value", Cell::number(&published.value)),
        ("obs_value", of(observations::obs_value)),
        ("value_kind", of(observations::value_kind)),
        ("unit_mult", of(observations::unit_mult)),
        ("currency", of(observations::currency)),
        ("numerator", of(|said| observations::ratio(said, |ratio| ratio.numerator))),
        ("denominator", of(|said| observations::ratio(said, |ratio| ratio.denominator))),
        ("stated_percent", of(|said| Cell::number(&said.stated_percent))),
        ("qualifier", of(observations::qualifier)),
        ("basis", of(observations::basis)),
        ("scope", of(|said| Cell::text(scope(said.scope())))),
    ]
}

fn unused(unused: &Unused) -> [(&'static str, Cell<'_>); 4] {
    [
        ("report", Cell::text(&unused.report)),
        ("unit", Cell::text(&unused.unit)),
        ("period", Cell::text(&unused.period)),
        ("scope", Cell::text(scope(unused.scope()))),
    ]
}
