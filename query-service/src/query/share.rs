//! For which share of units is a flag set on a day?

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
};

use jiff::civil::Date;
use shared::{
    limits::ANSWER_ROWS_MAX,
    model::{
        fault::{Fault, Reason},
        ids::{ReportName, UnitId},
        indicator::{Indicator, RollUp},
        query::{Claim, ExpectedBasis, PublishedShare, ShareCounts, ShareQuery, ShareRow},
        report::{Missing, Scope, Value},
        unit::Unit,
    },
    registry::Registry,
};

use super::{
    select::{self, Group},
    unit_named,
};
use crate::index::{FindingKey, Known, Statement};

/// The rows of the answer.
///
/// # Errors
/// `IndicatorNotFound`, `UnitNotFound`, `MeasureNotAllowed` for an indicator that does not roll up so, `TooMany` rows.
pub fn share(known: &Known<'_>, query: &ShareQuery) -> Result<Vec<ShareRow>, Fault> {
    let registry = known.registry();
    let indicator = registry.indicator_on(&query.indicator, Some(query.day)).ok_or_else(|| {
        Fault::new(Reason::IndicatorNotFound, format!("indicator {} is not defined", query.indicator))
    })?;
    if indicator.roll_up != RollUp::ShareOfUnits {
        let message = format!("{} is no flag of units, so it has no share of units", indicator.id);
        return Err(Fault::new(Reason::MeasureNotAllowed, message));
    }
    let groups = select::groups(registry, &query.units, query.group_by.as_ref(), query.day, query.boundaries_on)?;
    if groups.len() > ANSWER_ROWS_MAX {
        let message = format!(
            "the answer would have {} rows, at most {ANSWER_ROWS_MAX} are allowed; ask for fewer units or group by a higher level",
            groups.len()
        );
        return Err(Fault::new(Reason::TooMany, message));
    }
    let mut published = published_by_units(known, query);
    let expected_basis =
        if registry.is_complete_on(query.day) { ExpectedBasis::Registered } else { ExpectedBasis::Assumed };
    let mut rows = Vec::with_capacity(groups.len());
    for Group { row, units } in groups {
        let Counted { counts, contested, carried, mut undated, mut findings } = count(known, query, indicator, &units);
        let units: Vec<&UnitId> = units.iter().map(|unit| &unit.id).collect();
        let claims = published.remove(units.as_slice()).unwrap_or_default();
        undated.extend(claims.iter().map(|claim| claim.statement).filter(|s| is_undated(s, query)).map(name_of));
        let claims: Vec<_> = claims.into_iter().filter(|claim| is_published(claim.statement, query)).collect();
        findings.extend(claims.iter().flat_map(|claim| open_findings(known, claim.statement)));
        let published = claims.into_iter().map(|claim| claim.share).collect();
        let findings = u32::try_from(findings.len()).unwrap_or(u32::MAX);
        let carried = query.last_known.then_some(carried);
        let undated = query.published_until.map(|_| u32::try_from(undated.len()).unwrap_or(u32::MAX));
        rows.push(ShareRow { unit: row, counts, expected_basis, published, contested, findings, carried, undated });
    }
    Ok(rows)
}

/// What was counted in a row.
struct Counted {
    counts: ShareCounts,
    contested: u32,
    /// Units of which an earlier day was carried forward.
    carried: u32,
    /// Reports that were left out because nobody knows when they were published.
    undated: BTreeSet<ReportName>,
    findings: BTreeSet<FindingKey>,
}

fn open_findings<'a>(known: &'a Known<'_>, statement: &'a Statement) -> impl Iterator<Item = FindingKey> {
    known.findings(statement).map(|(key, _)| key)
}

fn count(known: &Known<'_>, query: &ShareQuery, indicator: &Indicator, units: &[&Unit]) -> Counted {
    let mut counts = ShareCounts::default();
    let (mut contested, mut carried) = (0, 0);
    let mut undated = BTreeSet::new();
    let mut findings = BTreeSet::new();
    for unit in units {
        let Speaking { statements, is_carried, left_out } = speaking(known, query, unit);
        carried += u32::from(is_carried);
        undated.extend(left_out);
        let statements = || statements.iter().copied();
        let counting = statements().min_by_key(|statement| precedence(statement));
        let value = counting.map(|statement| &statement.observation().value);
        // Where by its definition the question does not arise, a report does not make it arise; it carries a finding.
        let arises = known.registry().not_applicable_on(indicator, unit, query.day).is_none();
        *match value.filter(|_| arises) {
            None if !arises => &mut counts.not_applicable,
            Some(Value::Flag(true)) => &mut counts.yes,
            Some(Value::Flag(false)) => &mut counts.no,
            Some(Value::Missing(Missing::Withheld)) => &mut counts.withheld,
            Some(Value::Missing(Missing::NotApplicable)) => &mut counts.not_applicable,
            // Nothing else passes the checks of a flag; a kind of value to come would be no report of it.
            _ => &mut counts.not_reported,
        } += 1;
        if statements().any(|statement| Some(&statement.observation().value) != value) {
            contested += 1;
        }
        findings.extend(counting.into_iter().flat_map(|statement| open_findings(known, statement)));
    }
    Counted { counts, contested, carried, undated, findings }
}

/// What is said of a unit on the day counted.
struct Speaking<'a> {
    statements: Vec<&'a Statement>,
    /// They speak of an earlier day, which is carried forward.
    is_carried: bool,
    /// Reports that were left out because nobody knows when they were published.
    left_out: Vec<ReportName>,
}

fn speaking<'a>(known: &Known<'a>, query: &ShareQuery, unit: &Unit) -> Speaking<'a> {
    let day = query.day;
    let own = || known.own(&query.indicator, &unit.id);
    let ended_before = |statement: &Statement| known_until(statement).filter(|end| query.last_known && *end < day);
    let would_speak = |statement: &&Statement| holds_on(statement, day) || ended_before(statement).is_some();
    let left_out = own().filter(|statement| is_undated(statement, query)).filter(would_speak).map(name_of).collect();
    let published: Vec<&Statement> = own().filter(|statement| is_published(statement, query)).collect();
    let mut statements: Vec<&Statement> = published.iter().copied().filter(|s| holds_on(s, day)).collect();
    let mut is_carried = false;
    if statements.is_empty()
        && let Some(latest) = published.iter().filter_map(|statement| ended_before(statement)).max()
    {
        statements = published.into_iter().filter(|statement| ended_before(statement) == Some(latest)).collect();
        is_carried = true;
    }
    Speaking { statements, is_carried, left_out }
}

/// The last day of which a statement says that the flag is set, or not, or does not apply; none for the others, and for
/// what has no end.
fn known_until(statement: &Statement) -> Option<Date> {
    let observation = statement.observation();
    if !matches!(observation.value, Value::Flag(_) | Value::Missing(Missing::NotApplicable)) {
        return None;
    }
    let span = statement.report().period.span();
    let published_on = statement.report().source.published_on.filter(|_| !observation.basis.looks_ahead());
    let end = match (span.last_day, published_on) {
        (Some(last_day), Some(published_on)) => last_day.min(published_on),
        (last_day, published_on) => last_day.or(published_on)?,
    };
    span.first_day.is_none_or(|first| first <= end).then_some(end)
}

fn name_of(statement: &Statement) -> ReportName {
    statement.report().name
}

/// Whether a statement had been published by the day that is asked for.
fn is_published(statement: &Statement, query: &ShareQuery) -> bool {
    let published_on = statement.report().source.published_on;
    query.published_until.is_none_or(|until| published_on.is_some_and(|published_on| published_on <= until))
}

/// Whether nobody knows if a statement had been published by then.
fn is_undated(statement: &Statement, query: &ShareQuery) -> bool {
    query.published_until.is_some() && statement.report().source.published_on.is_none()
}

/// A flag holds on the days of its period, but not after its publication, unless it looks ahead.
fn holds_on(statement: &Statement, day: Date) -> bool {
    let published_on = statement.report().source.published_on;
    let is_known = published_on.is_none_or(|published_on| day <= published_on);
    statement.speaks_of(day) && (is_known || statement.observation().basis.looks_ahead())
}

/// Of several statements the least counts: fewer days, then later published, then the later version.
pub(super) fn precedence(statement: &Statement) -> impl Ord + use<> {
    let days = statement.report().period.span().day_count();
    (days.is_none(), days, Reverse(statement.report().source.published_on), Reverse(statement.source.revision))
}

/// A share that a report publishes, and where it does.
struct PublishedClaim<'a> {
    share: PublishedShare,
    statement: &'a Statement,
}

/// The shares that reports publish for that day, by exactly the units that they speak of.
fn published_by_units<'a>(
    known: &'a Known<'_>,
    query: &ShareQuery,
) -> HashMap<Vec<&'a UnitId>, Vec<PublishedClaim<'a>>> {
    let mut by_units: HashMap<Vec<&UnitId>, Vec<PublishedClaim<'_>>> = HashMap::new();
    for statement in known.below(&query.indicator).filter(|statement| statement.speaks_of(query.day)) {
        let claim = match &statement.observation().value {
            Value::Percent(percent) => Claim::Percent(*percent),
            Value::Ratio(ratio) => Claim::Ratio(*ratio),
            _ => continue,
        };
        if let Some(units) = denoted(known.registry(), statement, query.day) {
            by_units.entry(units).or_default().push(PublishedClaim { share: published(statement, claim), statement });
        }
    }
    for claims in by_units.values_mut() {
        claims.sort_by_key(|claim| (claim.share.report, claim.statement.index));
    }
    by_units
}

/// The set of units that a share published by a report speaks of, in the order of their ids; none if it is empty.
fn denoted<'a>(registry: &'a Registry, statement: &Statement, day: Date) -> Option<Vec<&'a UnitId>> {
    let unit = unit_named(registry, &statement.report().unit).ok()?;
    let units: BTreeSet<&UnitId> = match statement.observation().scope {
        Scope::Own => return None,
        Scope::Children if !registry.is_alive_on(&unit.id, day) => return None,
        Scope::Children => registry.children_on(&unit.id, day).map(|unit| &unit.id).collect(),
        Scope::Subtree => registry.subtree_on(&unit.id, day).map(|unit| &unit.id).collect(),
        Scope::Group => {
            let units = statement.observation().units.iter();
            units.filter_map(|unit| registry.unit_on(unit, day)).map(|unit| &unit.id).collect()
        }
    };
    (!units.is_empty()).then(|| units.into_iter().collect())
}

fn published(statement: &Statement, claim: Claim) -> PublishedShare {
    let (report, observation) = (statement.report(), statement.observation());
    PublishedShare {
        claim,
        qualifier: observation.qualifier,
        basis: observation.basis,
        unit: report.unit.clone(),
        report: report.name,
        period: report.period.written().to_owned(),
        published_on: report.source.published_on,
    }
}
