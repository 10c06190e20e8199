//! Rows of answers as messages.

use bigdecimal::BigDecimal;
use proto::v1;

use super::write_meta;
use crate::{
    convert::{enums, enums::Wire, finding, optional_text, report},
    model::{
        ids::UnitId,
        query::{
            AvailabilityRow, BreakCause, Claim, Class, CompareRow, CompletenessRow, Contribution, DistributionRow, End,
            ExpectedBasis, FigureRow, Measure, Meta, Outcome, Place, PublishedFigure, PublishedShare, Ranked, RowUnit,
            SeriesBreak, SeriesRow, ShareRow, Shown, Support, Transitions, Unused, plain,
        },
        report::Qualifier,
    },
};

/// Units that an answer names one by one.
const NAMED_UNITS_MAX: usize = 100;
/// Printed percentages of a class that are shown.
const PRINTED_MAX: usize = 100;
/// Findings of a distribution that are shown.
const FINDINGS_SHOWN_MAX: usize = 50;

fn count(count: u32) -> Option<i32> {
    Some(i32::try_from(count).unwrap_or(i32::MAX))
}

fn length<T>(things: &[T]) -> Option<i32> {
    Some(i32::try_from(things.len()).unwrap_or(i32::MAX))
}

/// A quotient keeps its six digits.
fn digits(number: Option<BigDecimal>) -> Option<String> {
    number.map(|number| number.to_plain_string())
}

/// Unit, name and value of an attribute, as every row has them.
fn names(unit: &RowUnit) -> (String, String, String) {
    let nothing = String::new;
    match unit {
        RowUnit::Unit { id, name } => (id.to_string(), name.clone(), nothing()),
        RowUnit::Several => (nothing(), nothing(), nothing()),
        RowUnit::Attribute(value) => (nothing(), nothing(), value.clone()),
        RowUnit::Unassignable => (UnitId::UNASSIGNABLE.to_owned(), nothing(), nothing()),
        RowUnit::None => (UnitId::NONE.to_owned(), nothing(), nothing()),
    }
}

fn expected_basis(support: &Support) -> i32 {
    match support.expected_basis {
        ExpectedBasis::Registered => v1::share::ExpectedBasis::Registered.into(),
        ExpectedBasis::Assumed => v1::share::ExpectedBasis::Assumed.into(),
    }
}

fn empty_reason(support: &Support) -> i32 {
    support.empty_reason.map_or(0, Wire::number)
}

fn comparability(support: &Support) -> Vec<i32> {
    support.comparability.iter().map(|caveat| caveat.number()).collect()
}

fn shown(shown: &Shown) -> (String, String) {
    (optional_text(shown.on), shown.period.clone())
}

/// A row of shares.
pub fn share(row: &ShareRow) -> v1::Share {
    let ShareRow { unit, counts, published, support, .. } = row;
    let (unit, name, attribute_value) = names(unit);
    let (on, period) = shown(&row.shown);
    v1::Share {
        unit,
        name,
        share: digits(counts.share()),
        lower: digits(counts.lower()),
        upper: digits(counts.upper()),
        yes: count(counts.yes),
        no: count(counts.no),
        not_reported: count(counts.not_reported),
        withheld: count(counts.withheld),
        not_applicable: count(counts.not_applicable),
        expected: count(counts.expected()),
        expected_basis: expected_basis(support),
        published: published.iter().map(published_share).collect(),
        contested: count(support.contested),
        findings: count(support.findings),
        attribute_value,
        carried: support.carried.and_then(count),
        undated: support.undated.and_then(count),
        undetermined: support.undetermined.and_then(count),
        coverage: digits(counts.coverage()),
        empty_reason: empty_reason(support),
        comparability: comparability(support),
        on,
        period,
    }
}

fn published_share(published: &PublishedShare) -> v1::share::Published {
    let (percent, ratio) = match &published.claim {
        Claim::Percent(percent) => (percent.to_string(), None),
        Claim::Ratio(ratio) => (String::new(), Some(report::write_ratio(*ratio))),
    };
    v1::share::Published {
        percent,
        ratio,
        qualifier: enums::unless_default(published.qualifier),
        basis: enums::unless_default(published.basis),
        unit: published.unit.to_string(),
        report: published.report.to_string(),
        period: published.period.clone(),
        published_on: optional_text(published.published_on),
    }
}

fn end(end: Option<&End>) -> (Option<String>, bool) {
    (end.map(|end| text(&end.number)), end.is_some_and(|end| end.is_exclusive))
}

/// A number as it was computed: a sum without zeros that say nothing, a quotient with its six digits.
fn text(number: &BigDecimal) -> String {
    number.to_plain_string()
}

/// A measure as the API names it.
pub fn write_measure(measure: Measure) -> v1::figure::Measure {
    measure.to_proto()
}

/// A row of figures.
pub fn figure(row: &FigureRow) -> v1::Figure {
    let (unit, name, attribute_value) = names(&row.unit);
    let (on, period) = shown(&row.shown);
    let (lower, lower_exclusive) = end(row.bounds.lower.as_ref());
    let (upper, upper_exclusive) = end(row.bounds.upper.as_ref());
    let (numerator, denominator) = row.sums.as_ref().map(|(part, whole)| (plain(part), plain(whole))).unzip();
    v1::Figure {
        unit,
        name,
        attribute_value,
        value: row.value.as_ref().map(|(number, _)| text(number)),
        qualifier: qualifier(row.value.as_ref()),
        lower,
        lower_exclusive,
        upper,
        upper_exclusive,
        unit_of_measure: row.unit_of_measure.clone(),
        currency: row.currency.clone().unwrap_or_default(),
        reported: count(row.reported),
        not_reported: count(row.not_reported),
        withheld: count(row.withheld),
        not_applicable: count(row.not_applicable),
        expected: count(row.applicable() + row.not_applicable),
        undetermined: row.support.undetermined.and_then(count),
        expected_basis: expected_basis(&row.support),
        published: row.published.iter().map(published_figure).collect(),
        contested: count(row.support.contested),
        findings: count(row.support.findings),
        carried: row.support.carried.and_then(count),
        undated: row.support.undated.and_then(count),
        coverage: digits(row.coverage()),
        empty_reason: empty_reason(&row.support),
        unused: row.unused.iter().map(unused).collect(),
        comparability: comparability(&row.support),
        numerator: numerator.unwrap_or_default(),
        denominator: denominator.unwrap_or_default(),
        on,
        period,
    }
}

fn published_figure(published: &PublishedFigure) -> v1::figure::Published {
    v1::figure::Published {
        observation: Some(report::write_observation(&published.observation)),
        unit: published.unit.to_string(),
        report: published.report.to_string(),
        period: published.period.clone(),
        published_on: optional_text(published.published_on),
        value: published.value.as_ref().map(text).unwrap_or_default(),
    }
}

fn unused(unused: &Unused) -> v1::figure::Unused {
    v1::figure::Unused {
        report: unused.report.to_string(),
        unit: unused.unit.to_string(),
        period: unused.period.clone(),
        scope: enums::unless_default(unused.scope),
    }
}

/// The answer of GetShare.
pub fn shares(
    shares: Vec<v1::Share>,
    next_page_token: String,
    rows_below_coverage: Option<u32>,
    meta: &Meta,
) -> v1::GetShareResponse {
    let rows_below_coverage = rows_below_coverage.and_then(count);
    v1::GetShareResponse { shares, meta: Some(write_meta(meta)), next_page_token, rows_below_coverage }
}

/// The answer of Aggregate.
pub fn aggregated(
    figures: Vec<v1::Figure>,
    next_page_token: String,
    rows_below_coverage: Option<u32>,
    meta: &Meta,
) -> v1::AggregateResponse {
    let rows_below_coverage = rows_below_coverage.and_then(count);
    v1::AggregateResponse { figures, meta: Some(write_meta(meta)), next_page_token, rows_below_coverage }
}

/// One series.
pub fn series(row: &SeriesRow) -> v1::Series {
    let (unit, name, attribute_value) = names(&row.unit);
    let point = |(period, on, outcome): &(String, jiff::civil::Date, Outcome)| v1::series::Point {
        period: period.clone(),
        on: on.to_string(),
        result: Some(match outcome {
            Outcome::Share(row) => v1::series::point::Result::Share(share(row)),
            Outcome::Figure(row) => v1::series::point::Result::Figure(figure(row)),
        }),
    };
    let points = row.points.iter().map(point).collect();
    v1::Series { unit, name, attribute_value, points, breaks: row.breaks.iter().map(series_break).collect() }
}

fn series_break(broken: &SeriesBreak) -> v1::series::Break {
    use v1::series::r#break::Cause;
    let (cause, units_gone, units_new) = match broken.cause {
        BreakCause::UnitsChanged { gone, new } => (Cause::UnitsChanged, count(gone), count(new)),
        BreakCause::DefinitionChanged => (Cause::DefinitionChanged, None, None),
    };
    v1::series::Break { period: broken.period.clone(), cause: cause.into(), units_gone, units_new }
}

/// The answer of GetSeries.
pub fn series_answer(
    series: Vec<v1::Series>,
    next_page_token: String,
    rows_below_coverage: Option<u32>,
    meta: &Meta,
) -> v1::GetSeriesResponse {
    let rows_below_coverage = rows_below_coverage.and_then(count);
    v1::GetSeriesResponse { series, meta: Some(write_meta(meta)), next_page_token, rows_below_coverage }
}

/// A row of a ranking.
pub fn place(place: &Place<Ranked>) -> v1::rank_response::Place {
    use v1::rank_response::place::Result;
    let (best, worst) = place.within.unzip();
    v1::rank_response::Place {
        place: place.place.and_then(count),
        best: best.and_then(count),
        worst: worst.and_then(count),
        is_certain: place.place.is_some() && place.within.is_some_and(|(best, worst)| best == worst),
        result: Some(match &place.row {
            Ranked::Outcome(Outcome::Share(row)) => Result::Share(share(row)),
            Ranked::Outcome(Outcome::Figure(row)) => Result::Figure(figure(row)),
            Ranked::Completeness(row) => Result::Completeness(completeness_row(row)),
        }),
    }
}

/// The answer of Rank.
pub fn ranking(
    places: Vec<v1::rank_response::Place>,
    next_page_token: String,
    rows_below_coverage: Option<u32>,
    meta: &Meta,
) -> v1::RankResponse {
    let rows_below_coverage = rows_below_coverage.and_then(count);
    v1::RankResponse { places, meta: Some(write_meta(meta)), next_page_token, rows_below_coverage }
}

/// A row of distributions.
pub fn distribution(row: &DistributionRow) -> v1::Distribution {
    let (unit, name, attribute_value) = names(&row.unit);
    let (on, period) = shown(&row.shown);
    v1::Distribution {
        unit,
        name,
        attribute_value,
        classes: row.classes.iter().map(class).collect(),
        either: row.either.as_ref().map(class),
        total: row.total.as_ref().map(|(number, _)| plain(number)).unwrap_or_default(),
        currency: row.currency.clone().unwrap_or_default(),
        total_qualifier: qualifier(row.total.as_ref()),
        reported_total: row.reported_total.as_ref().map(|(number, _)| plain(number)),
        reported_total_qualifier: qualifier(row.reported_total.as_ref()),
        is_complete: row.is_complete,
        reported: count(row.reported),
        not_reported: count(row.not_reported),
        withheld: count(row.withheld),
        not_applicable: count(row.not_applicable),
        expected: count(row.reported + row.not_reported + row.withheld + row.not_applicable),
        undetermined: row.support.undetermined.and_then(count),
        partial: row.partial.and_then(count),
        expected_basis: expected_basis(&row.support),
        contested: count(row.support.contested),
        findings: row.findings.iter().take(FINDINGS_SHOWN_MAX).map(finding::write).collect(),
        finding_count: count(row.support.findings),
        carried: row.support.carried.and_then(count),
        undated: row.support.undated.and_then(count),
        coverage: digits(row.coverage()),
        empty_reason: empty_reason(&row.support),
        comparability: comparability(&row.support),
        on,
        period,
    }
}

fn qualifier(number: Option<&(BigDecimal, Qualifier)>) -> i32 {
    number.map_or(0, |(_, qualifier)| enums::unless_default(*qualifier))
}

fn class(class: &Class) -> v1::distribution::Class {
    let (lower, upper) = class.bounds.clone().unwrap_or_default();
    let printed = |printed: &crate::model::query::Printed| v1::distribution::Printed {
        percent: printed.percent.to_string(),
        unit: printed.unit.to_string(),
        report: printed.report.to_string(),
    };
    v1::distribution::Class {
        code: class.code.clone(),
        count: class.count.as_ref().map(|(number, _)| plain(number)).unwrap_or_default(),
        qualifier: qualifier(class.count.as_ref()),
        share: digits(class.share.clone()),
        percent: digits(class.percent.clone()),
        lower: digits(lower),
        upper: digits(upper),
        reported: class.reported.and_then(count),
        printed: class.printed.iter().take(PRINTED_MAX).map(printed).collect(),
    }
}

/// The answer of GetDistribution.
pub fn distributions(
    distributions: Vec<v1::Distribution>,
    next_page_token: String,
    rows_below_coverage: Option<u32>,
    meta: &Meta,
) -> v1::GetDistributionResponse {
    let rows_below_coverage = rows_below_coverage.and_then(count);
    v1::GetDistributionResponse { distributions, meta: Some(write_meta(meta)), next_page_token, rows_below_coverage }
}

/// A row of a comparison.
pub fn comparison(row: &CompareRow) -> v1::Comparison {
    let (unit, name, attribute_value) = names(&row.unit);
    v1::Comparison {
        unit,
        name,
        attribute_value,
        side_a: row.a.as_ref().map(|side| match side {
            Outcome::Share(row) => v1::comparison::SideA::ShareA(share(row)),
            Outcome::Figure(row) => v1::comparison::SideA::FigureA(figure(row)),
        }),
        side_b: row.b.as_ref().map(|side| match side {
            Outcome::Share(row) => v1::comparison::SideB::ShareB(share(row)),
            Outcome::Figure(row) => v1::comparison::SideB::FigureB(figure(row)),
        }),
        difference: row.difference.as_ref().map(text),
        difference_lower: row.bounds.lower.as_ref().map(|end| text(&end.number)),
        difference_upper: row.bounds.upper.as_ref().map(|end| text(&end.number)),
        relative: digits(row.relative.clone()),
        panel_units: count(row.panel_units),
        only_a: count(row.only_a),
        only_b: count(row.only_b),
        behaviour: row.behaviour.as_ref().map(text),
        reporting: row.reporting.as_ref().map(text),
        reorganisation: row.reorganisation.as_ref().map(text),
        transitions: row.transitions.as_ref().map(transitions),
        definition_changed: row.definition_changed,
    }
}

fn transitions(moved: &Transitions) -> v1::comparison::Transitions {
    v1::comparison::Transitions {
        stayed_yes: count(moved.stayed_yes),
        stopped: length(&moved.stopped),
        started: length(&moved.started),
        stayed_no: count(moved.stayed_no),
        unknown: count(moved.unknown),
        stopped_units: named(&moved.stopped),
        started_units: named(&moved.started),
    }
}

fn named(units: &[UnitId]) -> Vec<String> {
    units.iter().take(NAMED_UNITS_MAX).map(ToString::to_string).collect()
}

/// The answer of Compare.
pub fn comparisons(
    comparisons: Vec<v1::Comparison>,
    next_page_token: String,
    rows_below_coverage: Option<u32>,
    meta: &Meta,
    meta_a: Option<&Meta>,
) -> v1::CompareResponse {
    let rows_below_coverage = rows_below_coverage.and_then(count);
    let (meta, meta_a) = (Some(write_meta(meta)), meta_a.map(write_meta));
    v1::CompareResponse { comparisons, meta, next_page_token, rows_below_coverage, meta_a }
}

/// A row of completeness.
pub fn completeness_row(row: &CompletenessRow) -> v1::Completeness {
    let (unit, name, attribute_value) = names(&row.unit);
    v1::Completeness {
        unit,
        name,
        attribute_value,
        expected: count(row.expected()),
        on_time: count(row.on_time),
        late: count(row.late),
        missing: count(row.missing),
        not_yet_due: count(row.not_yet_due),
        undated: count(row.undated),
        waived: count(row.waived),
        on_time_rate: digits(row.on_time_rate()),
        received_rate: digits(row.received_rate()),
        missing_units: named(&row.missing_units),
        missing_unit_count: length(&row.missing_units),
        late_units: named(&row.late_units),
        late_unit_count: length(&row.late_units),
    }
}

/// The answer of GetCompleteness.
pub fn completeness(
    rows: Vec<v1::Completeness>,
    next_page_token: String,
    as_of: jiff::civil::Date,
    meta: &Meta,
) -> v1::GetCompletenessResponse {
    v1::GetCompletenessResponse { rows, meta: Some(write_meta(meta)), next_page_token, as_of: as_of.to_string() }
}

/// A row of availability.
pub fn availability_row(row: &AvailabilityRow) -> v1::Availability {
    let slice = |slice: &crate::model::query::Slice| v1::availability::Slice {
        by: slice.by.iter().map(|(dimension, code)| (dimension.to_string(), code.to_string())).collect(),
        scope: slice.scope.number(),
        observations: count(slice.observations),
    };
    v1::Availability {
        indicator: row.indicator.to_string(),
        version: i32::try_from(row.version).unwrap_or(i32::MAX),
        value_kind: row.value_kind.number(),
        roll_up: row.roll_up.number(),
        observations: count(row.observations),
        reports: count(row.reports),
        units: count(row.units),
        period_start_on: optional_text(row.first_day),
        period_end_on: optional_text(row.last_day),
        periods: row.periods.clone(),
        period_count: count(row.period_count),
        slices: row.slices.iter().map(slice).collect(),
        newest_revision: row.newest_revision.as_i64(),
    }
}

/// The answer of GetAvailability.
pub fn availability(rows: Vec<v1::Availability>, next_page_token: String, meta: &Meta) -> v1::GetAvailabilityResponse {
    v1::GetAvailabilityResponse { rows, meta: Some(write_meta(meta)), next_page_token }
}

/// A piece of an explanation.
pub fn contribution(contribution: &Contribution) -> v1::Contribution {
    let said = contribution.said.as_ref();
    v1::Contribution {
        unit: contribution.unit.to_string(),
        report: optional_text(said.map(|said| said.report)),
        version: said.map_or(0, |said| i32::try_from(said.version).unwrap_or(i32::MAX)),
        revision: said.map_or(0, |said| said.revision.as_i64()),
        observation_index: said.map_or(0, |said| i32::try_from(said.index).unwrap_or(i32::MAX)),
        observation: said.map(|said| report::write_observation(&said.observation)),
        period: said.map(|said| said.period.clone()).unwrap_or_default(),
        published_on: optional_text(said.and_then(|said| said.published_on)),
        verdict: contribution.verdict.number(),
        weight: contribution.weight.as_ref().map(plain).unwrap_or_default(),
        denominator_weight: contribution.denominator_weight.as_ref().map(plain).unwrap_or_default(),
        findings: said.iter().flat_map(|said| &said.findings).map(finding::write).collect(),
    }
}
