//! Units, or what they counted, by class.

use std::collections::{BTreeMap, BTreeSet};

use bigdecimal::{BigDecimal, Zero};
use shared::model::{
    fault::{Fault, Reason},
    finding::Finding,
    ids::{IndicatorId, ReportName},
    indicator::{Dimension, Indicator, RollUp, Temporality, ValueKind},
    query::{
        Class, DistributionOf, DistributionQuery, DistributionRow, EmptyReason, Printed, Support, combine, fraction,
        quotient, rounded_quotient,
    },
    report::{Qualifier, Value},
    unit::Unit,
};

use super::{
    Rows,
    cell::{Ask, Cell, Currency, NOT_SPLIT, Number, State},
    condition::{needs_period, refuse_to_carry},
    plan::{self, Frame},
    select::Group,
    share,
    tally::{self, Tally},
};
use crate::index::{FindingKey, Known};

/// Digits behind the point of a percentage.
const PERCENT_DIGITS: u64 = 2;

/// The rows of the answer.
///
/// # Errors
/// `IndicatorNotFound`, `UnitNotFound`, `MeasureNotAllowed`, `UnknownDimension`, `PeriodRequired`, `TooMany` cells.
pub fn rows(known: &Known<'_>, query: &DistributionQuery) -> Result<Rows<DistributionRow>, Fault> {
    let plan = &query.plan;
    let evaluated = plan::evaluate(known, plan, |frame, groups| {
        let has_filters = !plan.filters.is_empty();
        let rows: Vec<DistributionRow> = match &query.of {
            DistributionOf::Flags(first, second) => {
                let flags = [share::flag(frame, "flags[0]", first)?, share::flag(frame, "flags[1]", second)?];
                groups.iter().map(|group| of_flags(frame, flags, group, has_filters)).collect()
            }
            DistributionOf::Classes { indicator, dimension } => {
                let indicator = frame.definition("indicator", indicator)?;
                needs_period(indicator.temporality, frame.slot, "on", &indicator.id)?;
                refuse_to_carry(indicator, plan)?;
                match counted_by(indicator, dimension.as_ref())? {
                    None => groups.iter().map(|group| of_category(frame, indicator, group, has_filters)).collect(),
                    Some(dimension) => groups
                        .iter()
                        .map(|group| of_dimension(frame, indicator, dimension, group, has_filters))
                        .collect(),
                }
            }
        };
        let shown = plan::shown_in_series(plan, frame.slot);
        Ok(rows.into_iter().map(|row| DistributionRow { shown: shown.clone(), ..row }).collect())
    })?;
    let is_series = matches!(plan.time, shared::model::query::Time::Series(_));
    let rows = evaluated.into_iter().map(|row| (row.token(is_series), row.row)).collect();
    Ok(Rows::covered(rows, plan.coverage_min.clone(), DistributionRow::coverage))
}

/// The dimension by which numbers are counted; none: units are counted by category.
fn counted_by<'a>(indicator: &'a Indicator, asked: Option<&IndicatorId>) -> Result<Option<&'a Dimension>, Fault> {
    let id = &indicator.id;
    let refuse = |path: &str, reason, message: String| Err(Fault::at(path, reason, message));
    if indicator.value_kind == ValueKind::Category {
        return match (indicator.roll_up, asked) {
            (RollUp::Distribution, None) => Ok(None),
            (RollUp::Distribution, Some(_)) => refuse(
                "dimension",
                Reason::ConflictingFields,
                format!("{id} is a CATEGORY, whose codes are its classes; leave it out"),
            ),
            _ => refuse(
                "indicator",
                Reason::MeasureNotAllowed,
                format!("{id} rolls up by NONE: its units are not counted by class; ask ListObservations"),
            ),
        };
    }
    let adds = matches!(indicator.roll_up, RollUp::Sum | RollUp::Last | RollUp::Distribution);
    if !adds {
        let message = format!(
            "{id} is neither a CATEGORY nor a number that adds over units, so it has no classes to add; ask Aggregate or ListObservations"
        );
        return refuse("indicator", Reason::MeasureNotAllowed, message);
    }
    match (asked, indicator.dimensions.as_slice()) {
        (None, [only]) => Ok(Some(only)),
        (None, []) => {
            refuse("indicator", Reason::MeasureNotAllowed, format!("{id} is not split by any dimension; ask Aggregate"))
        }
        (None, several) => {
            let names: Vec<&str> = several.iter().map(|dimension| dimension.id.as_str()).collect();
            refuse("dimension", Reason::RequiredFieldMissing, format!("is one of {}", names.join(", ")))
        }
        (Some(asked), _) => match indicator.dimension(asked) {
            Some(dimension) => Ok(Some(dimension)),
            None => refuse("dimension", Reason::UnknownDimension, format!("{id} has no dimension {asked}")),
        },
    }
}

/// In which class a unit is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum InClass {
    /// In this one.
    One(usize),
    /// In one of these; which one is not known.
    OneOf(Vec<usize>),
}

impl InClass {
    fn can_be(&self, class: usize) -> bool {
        match self {
            Self::One(one) => *one == class,
            Self::OneOf(classes) => classes.contains(&class),
        }
    }

    fn is(&self, class: usize) -> bool {
        *self == Self::One(class)
    }
}

/// Units for which the question arises, by where they can be.
#[derive(Default)]
struct Placed {
    certain: Vec<InClass>,
    maybe: Vec<InClass>,
}

impl Placed {
    fn count(units: &[InClass], holds: impl Fn(&InClass) -> bool) -> u32 {
        u32::try_from(units.iter().filter(|unit| holds(unit)).count()).unwrap_or(u32::MAX)
    }

    /// A class of units, and what its share can be. `is` says of a place that it is in the class, `can_be` that it may be.
    fn class(&self, code: &str, is: impl Fn(&InClass) -> bool, can_be: impl Fn(&InClass) -> bool, of: u32) -> Class {
        let inside = Self::count(&self.certain, &is);
        let applicable = Self::count(&self.certain, |_| true);
        // Of the units that may belong, those that are in no case inside the class lower its share, and so on.
        let lower = fraction(inside, applicable + Self::count(&self.maybe, |unit| !is(unit)));
        let possible = Self::count(&self.maybe, &can_be);
        let upper = fraction(Self::count(&self.certain, &can_be) + possible, applicable + possible);
        let count = BigDecimal::from(inside);
        let percent = rounded_quotient(&(&count * BigDecimal::from(100)), &BigDecimal::from(of), PERCENT_DIGITS);
        Class {
            code: code.to_owned(),
            share: fraction(inside, of),
            percent,
            count: Some((count, Qualifier::Exact)),
            bounds: Some((lower, upper)),
            reported: None,
            printed: Vec::new(),
        }
    }
}

/// What a distribution of units has in common.
struct UnitsByClass {
    classes: Vec<Class>,
    either: Option<Class>,
    total: u32,
}

fn row_of_units(
    frame: &Frame<'_>,
    group: &Group<'_>,
    by_class: UnitsByClass,
    tally: &Tally,
    has_filters: bool,
    near: impl FnOnce() -> Option<EmptyReason>,
) -> DistributionRow {
    let mut empty_reason = tally.empty_reason(None);
    if empty_reason == Some(EmptyReason::NothingReported) {
        empty_reason = tally.empty_reason(near());
    }
    DistributionRow {
        unit: group.row.clone(),
        shown: Default::default(),
        classes: by_class.classes,
        either: by_class.either,
        currency: None,
        total: Some((BigDecimal::from(by_class.total), Qualifier::Exact)),
        reported_total: None,
        is_complete: true,
        reported: tally.reported,
        not_reported: tally.not_reported,
        withheld: tally.withheld,
        not_applicable: tally.not_applicable,
        partial: None,
        findings: findings(frame, tally, &[]),
        support: tally.support(frame, has_filters, false, empty_reason),
    }
}

fn of_category(frame: &Frame<'_>, indicator: &Indicator, group: &Group<'_>, has_filters: bool) -> DistributionRow {
    let ask = share::ask(frame, indicator);
    let mut tally = Tally::default();
    let mut placed = Placed::default();
    let anywhere = || InClass::OneOf((0..indicator.codes.len()).collect());
    for member in group.members() {
        let cell = ask.read(frame.known, member.unit);
        let code = match cell.value() {
            Some(Value::Category(code)) if cell.state == State::Reported => {
                indicator.codes.iter().position(|c| c == code)
            }
            _ => None,
        };
        // A code that the definition no longer has is no report of one that it has.
        let state = if cell.state == State::Reported && code.is_none() { State::NotReported } else { cell.state };
        let units = if member.is_certain { &mut placed.certain } else { &mut placed.maybe };
        match (state, code) {
            (State::NotApplicable, _) => {}
            (_, Some(code)) => units.push(InClass::One(code)),
            (_, None) => units.push(anywhere()),
        }
        if member.is_certain {
            tally.unit(frame, indicator.temporality, member.unit, state, std::slice::from_ref(&cell));
        } else {
            tally.undetermined();
        }
    }
    let total = tally.reported;
    let class = |(place, code): (usize, &IndicatorId)| {
        placed.class(code.as_str(), |unit| unit.is(place), |unit| unit.can_be(place), total)
    };
    let classes = indicator.codes.iter().enumerate().map(class).collect();
    let by_class = UnitsByClass { classes, either: None, total };
    row_of_units(frame, group, by_class, &tally, has_filters, || tally::near(frame, &ask, group).0)
}

/// Classes of two flags, in their order.
const FLAG_CLASSES: [(&str, bool, bool); 4] =
    [("both", true, true), ("first_only", true, false), ("second_only", false, true), ("neither", false, false)];
/// The last of them.
const NEITHER: usize = 3;

fn of_flags(frame: &Frame<'_>, flags: [&Indicator; 2], group: &Group<'_>, has_filters: bool) -> DistributionRow {
    let mut tally = Tally::default();
    let mut placed = Placed::default();
    for member in group.members() {
        let cells = flags.map(|flag| share::ask(frame, flag).read(frame.known, member.unit));
        let applies = cells.iter().any(|cell| cell.state != State::NotApplicable);
        // A flag that does not apply is not set.
        let known = cells.each_ref().map(|cell| match cell.state {
            State::NotApplicable => Some(false),
            _ => share::flag_of(cell),
        });
        let possible: Vec<usize> = (0..FLAG_CLASSES.len())
            .filter(|class| {
                let (_, first, second) = FLAG_CLASSES[*class];
                known[0].is_none_or(|flag| flag == first) && known[1].is_none_or(|flag| flag == second)
            })
            .collect();
        let state = match possible.as_slice() {
            _ if !applies => State::NotApplicable,
            [_] => State::Reported,
            _ if known == [None, None] && cells.iter().any(|cell| cell.state == State::Withheld) => State::Withheld,
            _ => State::NotReported,
        };
        let units = if member.is_certain { &mut placed.certain } else { &mut placed.maybe };
        match possible.as_slice() {
            _ if !applies => {}
            [class] => units.push(InClass::One(*class)),
            _ => units.push(InClass::OneOf(possible)),
        }
        if member.is_certain {
            tally.unit(frame, Temporality::State, member.unit, state, &cells);
        } else {
            tally.undetermined();
        }
    }
    let total = tally.reported;
    let class =
        |place: usize| placed.class(FLAG_CLASSES[place].0, |unit| unit.is(place), |unit| unit.can_be(place), total);
    let is_either = |unit: &InClass| !unit.can_be(NEITHER);
    let decided = Placed::count(&placed.certain, |unit| is_either(unit) || unit.is(NEITHER));
    let either = placed.class("either", is_either, |unit| !unit.is(NEITHER), decided);
    let classes = (0..FLAG_CLASSES.len()).map(class).collect();
    let near = || flags.iter().find_map(|flag| tally::near(frame, &share::ask(frame, flag), group).0);
    row_of_units(frame, group, UnitsByClass { classes, either: Some(either), total }, &tally, has_filters, near)
}

/// What a class of a number comes to.
#[derive(Default)]
struct Sum {
    /// The sum of what was printed; none where bounds pull in two directions.
    number: Option<(BigDecimal, Qualifier)>,
    is_lost: bool,
    currency: Option<Currency>,
    reported: u32,
    /// Percentages, each with the place of its observation.
    printed: Vec<((ReportName, usize), Printed)>,
}

impl Sum {
    fn add(&mut self, number: &Number) {
        self.reported += 1;
        let currency = self.currency.take().unwrap_or(Currency::None).and(number.currency.clone());
        self.is_lost |= currency == Currency::Several;
        self.currency = Some(currency);
        let both = match (&self.number, number.qualifier) {
            (_, None) => None,
            (None, Some(qualifier)) => Some((number.printed.clone(), qualifier)),
            (Some((sum, before)), Some(qualifier)) => {
                combine(*before, qualifier).map(|qualifier| (sum + &number.printed, qualifier))
            }
        };
        self.is_lost |= both.is_none();
        self.number = both;
    }

    /// 0 of no units; none where it cannot be told.
    fn total(&self) -> Option<(BigDecimal, Qualifier)> {
        if self.is_lost {
            return None;
        }
        Some(self.number.clone().unwrap_or((BigDecimal::zero(), Qualifier::Exact)))
    }
}

fn of_dimension(
    frame: &Frame<'_>,
    indicator: &Indicator,
    dimension: &Dimension,
    group: &Group<'_>,
    has_filters: bool,
) -> DistributionRow {
    let codes = codes(frame, indicator, dimension, group);
    let splits: Vec<BTreeMap<IndicatorId, IndicatorId>> =
        codes.iter().map(|code| [(dimension.id.clone(), code.clone())].into()).collect();
    let asks: Vec<Ask<'_>> = splits.iter().map(|by| Ask { by, ..share::ask(frame, indicator) }).collect();
    let whole = Ask { by: &NOT_SPLIT, ..share::ask(frame, indicator) };
    let mut tally = Tally::default();
    let mut sums: Vec<Sum> = codes.iter().map(|_| Sum::default()).collect();
    let mut reported_total = Sum::default();
    let mut partial = 0;
    let mut sources: Vec<Cell> = Vec::new();
    for member in group.members() {
        if !member.is_certain {
            tally.undetermined();
            continue;
        }
        let cells: Vec<Cell> = asks.iter().map(|ask| ask.read(frame.known, member.unit)).collect();
        let numbers: Vec<Option<Number>> = cells.iter().map(Number::of_cell).collect();
        let said = numbers.iter().flatten().count();
        for ((sum, number), cell) in sums.iter_mut().zip(&numbers).zip(&cells) {
            if let Some(number) = number {
                sum.add(number);
                sum.printed.extend(printed(cell));
            }
        }
        if dimension.closed && said > 0 && said < codes.len() {
            partial += 1;
        }
        if let Some(number) = Number::of_cell(&whole.read(frame.known, member.unit)) {
            reported_total.add(&number);
        }
        let state = if said > 0 {
            State::Reported
        } else if cells.iter().any(|cell| cell.state == State::Withheld) {
            State::Withheld
        } else if !cells.is_empty() && cells.iter().all(|cell| cell.state == State::NotApplicable) {
            State::NotApplicable
        } else {
            State::NotReported
        };
        tally.unit(frame, indicator.temporality, member.unit, state, &cells);
        sources.extend(cells.into_iter().filter(|cell| cell.state == State::Reported));
    }
    let totals: Vec<Option<(BigDecimal, Qualifier)>> = sums.iter().map(Sum::total).collect();
    let currency = sums.iter().filter_map(|sum| sum.currency.clone()).fold(Currency::None, Currency::and);
    // Amounts of different currencies are never added, and stand in no one list.
    let totals = if currency == Currency::Several { vec![None; totals.len()] } else { totals };
    let total = totals.iter().try_fold((BigDecimal::zero(), Qualifier::Exact), |(sum, before), class| {
        let (number, qualifier) = class.as_ref()?;
        Some((sum + number, combine(before, *qualifier)?))
    });
    let is_complete = !dimension.closed || partial == 0;
    let whole_sum =
        total.as_ref().filter(|(_, qualifier)| is_complete && *qualifier == Qualifier::Exact).map(|(sum, _)| sum);
    let class = |((code, mut sum), total): ((&IndicatorId, Sum), &Option<(BigDecimal, Qualifier)>)| {
        // What nobody reported is absent, not 0.
        let total = total.as_ref().filter(|_| sum.reported > 0);
        sum.printed.sort_by_key(|(place, _)| *place);
        let of = |digits: Option<u64>| {
            let ((number, _), whole) = (total?, whole_sum?);
            match digits {
                None => quotient(number, whole),
                Some(digits) => rounded_quotient(&(number * BigDecimal::from(100)), whole, digits),
            }
        };
        Class {
            code: code.to_string(),
            share: of(None),
            percent: of(Some(PERCENT_DIGITS)),
            count: total.cloned(),
            bounds: None,
            reported: Some(sum.reported),
            printed: sum.printed.into_iter().map(|(_, printed)| printed).collect(),
        }
    };
    let mut empty_reason = tally.empty_reason(None);
    if empty_reason == Some(EmptyReason::NothingReported) {
        let near: Vec<EmptyReason> = asks.iter().filter_map(|ask| tally::near(frame, ask, group).0).collect();
        let near = near.iter().find(|reason| **reason == EmptyReason::OtherPeriods).or(near.first()).copied();
        empty_reason = tally.empty_reason(near);
    }
    if empty_reason.is_none() && total.is_none() {
        let differ = currency == Currency::Several;
        empty_reason = Some(if differ { EmptyReason::CurrenciesDiffer } else { EmptyReason::NoSingleNumber });
    }
    let findings = findings(frame, &tally, &sources);
    DistributionRow {
        unit: group.row.clone(),
        shown: Default::default(),
        classes: codes.iter().zip(sums).zip(&totals).map(class).collect(),
        either: None,
        currency: match currency {
            Currency::One(currency) => Some(currency),
            Currency::None | Currency::Several => None,
        },
        total: total.filter(|_| tally.reported > 0),
        reported_total: (reported_total.reported > 0).then(|| reported_total.total()).flatten(),
        is_complete,
        reported: tally.reported,
        not_reported: tally.not_reported,
        withheld: tally.withheld,
        not_applicable: tally.not_applicable,
        partial: Some(partial),
        support: Support {
            findings: u32::try_from(findings.len()).unwrap_or(u32::MAX),
            ..tally.support(frame, has_filters, false, empty_reason)
        },
        findings,
    }
}

/// The codes of the definition, then those that units use beside them.
fn codes(frame: &Frame<'_>, indicator: &Indicator, dimension: &Dimension, group: &Group<'_>) -> Vec<IndicatorId> {
    let of_unit = |unit: &Unit| {
        let said = frame.known.own(&indicator.id, &unit.id, |_| true);
        said.iter()
            .filter_map(|statement| match statement.observation().by.iter().next() {
                Some((id, code)) if *id == dimension.id && statement.observation().by.len() == 1 => Some(code.clone()),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    let used: BTreeSet<IndicatorId> = group.certain().flat_map(of_unit).collect();
    let beside = used.into_iter().filter(|code| !dimension.closed && !dimension.codes.contains(code));
    dimension.codes.iter().cloned().chain(beside).collect()
}

fn printed(cell: &Cell) -> Vec<((ReportName, usize), Printed)> {
    let printed = |statement: &crate::index::Statement| {
        let percent = statement.observation().stated_percent?;
        let report = statement.report();
        Some(((report.name, statement.index), Printed { percent, unit: report.unit.clone(), report: report.name }))
    };
    cell.counting.iter().filter_map(printed).collect()
}

/// Open findings on what counts, and those on all observations of its reports together, in the order of the reports.
fn findings(frame: &Frame<'_>, tally: &Tally, sources: &[Cell]) -> Vec<Finding> {
    let mut found: BTreeMap<(ReportName, FindingKey), Finding> = BTreeMap::new();
    for key in tally.findings() {
        found.extend(frame.known.finding(*key).map(|(report, finding)| ((report, *key), finding)));
    }
    for statement in sources.iter().flat_map(|cell| &cell.counting) {
        let of_report = statement.source.findings().iter().enumerate();
        let on_all = of_report.filter(|(_, finding)| finding.path == "report.observations");
        let (report, revision) = (statement.report().name, statement.source.revision());
        found.extend(on_all.map(|(place, finding)| ((report, (revision, place)), finding.clone())));
    }
    found.into_values().collect()
}
