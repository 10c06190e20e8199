//! Columns of shares.

use proto::v1::{
    Share,
    figure::{Caveat, EmptyReason},
    observation::{Basis, Qualifier},
    share::{ExpectedBasis, Published},
};

use super::{
    column::{Cell, Column, day, integer, join, json, text},
    sdmx,
};

/// In the order of the file. A share has no unit of measure, currency, qualifier or basis; those columns are there so that
/// all files begin alike.
pub(super) const COLUMNS: &[Column<Share>] = &[
    text("STRUCTURE", |_, _| Cell::text("dataflow")),
    text("STRUCTURE_ID", |frame, _| Cell::text(frame.structure)),
    text("ACTION", |_, _| Cell::text("I")),
    text("REF_AREA", |_, row| Cell::text(&row.unit)),
    text("INDICATOR", |frame, _| Cell::text(&frame.indicator)),
    text("TIME_PERIOD", |frame, row| sdmx::time_of_answer(frame.period(&row.period), frame.on(&row.on))),
    text("OBS_VALUE", |_, row| Cell::optional_number(row.share.as_ref())),
    text("OBS_STATUS", |_, row| {
        Cell::text(sdmx::status_of_answer(row.share.is_some(), row.empty_reason(), row.comparability()))
    }),
    text("UNIT_MEASURE", |_, _| Cell::Absent),
    integer("UNIT_MULT", |_, _| Cell::Absent),
    text("CURRENCY", |_, _| Cell::Absent),
    text("QUALIFIER", |_, _| Cell::Absent),
    text("BASIS", |_, _| Cell::Absent),
    text("SCOPE", |_, _| Cell::Absent),
    text("UNIT_NAME", |_, row| Cell::text(&row.name)),
    text("ATTRIBUTE_VALUE", |_, row| Cell::text(&row.attribute_value)),
    day("COUNTED_ON", |frame, row| Cell::day(frame.on(&row.on))),
    text("PERIOD", |frame, row| Cell::text(frame.period(&row.period))),
    text("LOWER", |_, row| Cell::optional_number(row.lower.as_ref())),
    text("UPPER", |_, row| Cell::optional_number(row.upper.as_ref())),
    integer("YES", |_, row| Cell::count(row.yes)),
    integer("NO", |_, row| Cell::count(row.no)),
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
];

/// How the expected units are known.
pub(super) fn expected_basis(basis: ExpectedBasis) -> Cell<'static> {
    match basis {
        ExpectedBasis::Unspecified => Cell::Absent,
        basis => Cell::text(basis.as_str_name()),
    }
}

/// Why there is no value.
pub(super) fn empty_reason(reason: EmptyReason) -> Cell<'static> {
    match reason {
        EmptyReason::Unspecified => Cell::Absent,
        reason => Cell::text(reason.as_str_name()),
    }
}

/// What stands between a row and others that look like it.
pub(super) fn comparability(caveats: impl Iterator<Item = Caveat>) -> Cell<'static> {
    Cell::text(join(caveats.map(|caveat| caveat.as_str_name())))
}

fn published(published: &Published) -> [(&'static str, Cell<'_>); 9] {
    let qualifier = match published.qualifier() {
        Qualifier::Unspecified => Qualifier::Exact,
        qualifier => qualifier,
    };
    let basis = match published.basis() {
        Basis::Unspecified => Basis::Actual,
        basis => basis,
    };
    let ratio = published.ratio.as_ref();
    let part = |part: Option<i64>| part.map_or(Cell::Absent, Cell::Integer);
    [
        ("report", Cell::text(&published.report)),
        ("unit", Cell::text(&published.unit)),
        ("period", Cell::text(&published.period)),
        ("published_on", Cell::day(&published.published_on)),
        ("percent", Cell::number(&published.percent)),
        ("numerator", part(ratio.and_then(|ratio| ratio.numerator))),
        ("denominator", part(ratio.and_then(|ratio| ratio.denominator))),
        ("qualifier", Cell::text(qualifier.as_str_name())),
        ("basis", Cell::text(basis.as_str_name())),
    ]
}
