//! The one plan behind every question: units × time → filter → group. What is computed over a group is its measure's matter.

use jiff::civil::Date;
use shared::{
    limits::QUESTION_CELLS_MAX,
    model::{
        fault::{Fault, Reason},
        ids::IndicatorId,
        indicator::Indicator,
        period::WrittenPeriod,
        query::{Admitted, ExpectedBasis, GroupBy, Plan, Shown, Slot, Time, UnitSelector},
        unit::{Organ, Unit},
    },
    registry::{Registry, UnitRecord},
};

use super::{
    condition::{self, Truth},
    select::{self, Group, Member, RowKey},
};
use crate::index::{
    Known,
    effort::{self, Effort},
};

/// One time of a question, and what is known.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    /// What is known.
    pub(super) known: &'a Known<'a>,
    /// Units and definitions, as known.
    pub(super) registry: &'a Registry,
    /// The time.
    pub(super) slot: &'a Slot,
    /// What may speak.
    pub(super) admitted: &'a Admitted,
    /// The day on whose map the groups are drawn.
    pub(super) boundaries_on: Date,
}

impl<'a> Frame<'a> {
    /// The definition that holds on the day counted.
    ///
    /// # Errors
    /// `IndicatorNotFound`.
    pub(super) fn definition(&self, path: &str, id: &IndicatorId) -> Result<&'a Indicator, Fault> {
        self.registry.indicator_on(id, Some(self.slot.day)).ok_or_else(|| {
            let message = format!("indicator {id} is not defined; ListIndicators lists those that are");
            Fault::at(path, Reason::IndicatorNotFound, message)
        })
    }

    /// How the units that are expected to report are known.
    pub(super) fn expected_basis(&self) -> ExpectedBasis {
        let is_complete = self.registry.is_complete_on(self.slot.day);
        if is_complete { ExpectedBasis::Registered } else { ExpectedBasis::Assumed }
    }
}

/// What a plan comes to: a row for each group of each time.
pub(super) struct Evaluated<T> {
    /// Number of the time.
    pub(super) slot: usize,
    /// Which group.
    pub(super) key: RowKey,
    /// The row.
    pub(super) row: T,
}

impl<T> Evaluated<T> {
    /// As the token of a page holds it.
    pub(super) fn token(&self, is_series: bool) -> String {
        if is_series { format!("{:04}/{}", self.slot, self.key.token()) } else { self.key.token() }
    }
}

/// The times of a plan.
///
/// # Errors
/// `UnitNotFound`; `UnknownTerm`, or `InvalidPeriod` where a term has other days for one unit than for another.
pub(super) fn slots(registry: &Registry, plan: &Plan) -> Result<Vec<Slot>, Fault> {
    match &plan.time {
        Time::On(day) => Ok(vec![Slot { period: String::new(), day: *day, span: None }]),
        Time::Series(slots) => Ok(slots.clone()),
        Time::Period(WrittenPeriod::Days(days)) => {
            let day = days.span().last_day.unwrap_or(Date::MAX);
            Ok(vec![Slot { period: days.written().to_owned(), day, span: Some(days.span()) }])
        }
        Time::Period(WrittenPeriod::Term(label)) => Ok(vec![of_term(registry, plan, label)?]),
    }
}

/// The days of a term, as the units that the selector names have it, or the nearest unit above them.
fn of_term(registry: &Registry, plan: &Plan, label: &str) -> Result<Slot, Fault> {
    let organ = plan.admitted.reports.organ.unwrap_or(Organ::Party);
    let (path, units) = match &plan.units {
        UnitSelector::Under { unit, .. } => ("units.under", std::slice::from_ref(unit)),
        UnitSelector::Ids(ids) => ("units.ids", ids.as_slice()),
    };
    let mut found: Option<Slot> = None;
    for unit in units {
        select::unit_named(registry, path, unit)?;
        let term = registry.find_term(unit, organ, label).ok_or_else(|| {
            let message = format!("no term {label} is defined for {unit} or above it; ListTerms lists those that are");
            Fault::at("period", Reason::UnknownTerm, message)
        })?;
        let span = term.span();
        let Some(day) = span.last_day else {
            let message = format!("term {label} of {unit} has no last day yet, which would be the day counted");
            return Err(Fault::at("period", Reason::InvalidPeriod, message));
        };
        match &found {
            Some(slot) if slot.span != Some(span) => {
                let message = format!("term {label} has other days for {unit} than for {}; name days", units[0]);
                return Err(Fault::at("period", Reason::InvalidPeriod, message));
            }
            _ => found = Some(Slot { period: format!("term:{label}"), day, span: Some(span) }),
        }
    }
    found.ok_or_else(|| Fault::at("units", Reason::RequiredFieldMissing, "names no unit"))
}

/// The time of a row, where rows of several times stand beside each other.
pub(super) fn shown_in_series(plan: &Plan, slot: &Slot) -> Shown {
    match plan.time {
        Time::Series(_) => shown(slot),
        Time::On(_) | Time::Period(_) => Shown::default(),
    }
}

/// The time of a row.
pub(super) fn shown(slot: &Slot) -> Shown {
    Shown { on: Some(slot.day), period: slot.period.clone() }
}

/// One row for each group of each time, in the order of time and groups. `rows` makes those of one time.
///
/// # Errors
/// `UnitNotFound`, `IndicatorNotFound`; `TooMany` cells; what `rows` says.
pub(super) fn evaluate<T>(
    known: &Known<'_>,
    plan: &Plan,
    mut rows: impl FnMut(&Frame<'_>, &[Group<'_>]) -> Result<Vec<T>, Fault>,
) -> Result<Vec<Evaluated<T>>, Fault> {
    let mut evaluated = Vec::new();
    let mut cells = 0;
    for (number, slot) in slots(known.registry(), plan)?.iter().enumerate() {
        let frame = frame(known, plan, slot);
        let groups = groups(&frame, plan)?;
        effort::spend(effort::ROW * Effort::try_from(groups.len()).unwrap_or(Effort::MAX / effort::ROW));
        cells += groups.iter().map(Group::len).sum::<usize>();
        if cells > QUESTION_CELLS_MAX {
            let message = format!(
                "the question looks at more than {QUESTION_CELLS_MAX} units × periods; ask for fewer units or a shorter span, one after the other"
            );
            return Err(Fault::at("units", Reason::TooMany, message));
        }
        let keys = groups.iter().map(Group::key);
        let rows = rows(&frame, &groups)?;
        evaluated.extend(keys.zip(rows).map(|(key, row)| Evaluated { slot: number, key, row }));
    }
    check_group(known.registry(), plan.group_by.as_ref())?;
    Ok(evaluated)
}

/// An attribute that no unit has ever had is a slip: all units would lie in the row of those without it.
///
/// # Errors
/// `UnknownGroup`.
pub(super) fn check_group(registry: &Registry, group_by: Option<&GroupBy>) -> Result<(), Fault> {
    let Some(GroupBy::Attribute(key)) = group_by else { return Ok(()) };
    let has_it = |unit: &Unit| unit.attributes.contains_key(key);
    effort::spend_much();
    let had_it =
        |record: &UnitRecord| has_it(&record.registration) || record.states().iter().any(|state| has_it(&state.unit));
    if registry.units_after("").any(had_it) {
        return Ok(());
    }
    let message =
        format!("no unit has ever had an attribute {key}; levels are written in capital letters, such as PROVINCE");
    Err(Fault::at("group_by", Reason::UnknownGroup, message))
}

/// One time of a plan.
pub(super) fn frame<'a>(known: &'a Known<'a>, plan: &'a Plan, slot: &'a Slot) -> Frame<'a> {
    let boundaries_on = plan.boundaries_on.unwrap_or(slot.day);
    Frame { known, registry: known.registry(), slot, admitted: &plan.admitted, boundaries_on }
}

/// The groups of one time, each with the units that belong to it or may.
///
/// # Errors
/// `UnitNotFound`, `IndicatorNotFound`, and what conditions cannot ask.
pub(super) fn groups<'a>(frame: &Frame<'a>, plan: &Plan) -> Result<Vec<Group<'a>>, Fault> {
    if let Some(issuer) = &plan.admitted.reports.issuer {
        select::unit_named(frame.registry, "reports.issuer", issuer)?;
    }
    if plan.filters.is_empty() {
        return select::laid_groups(frame, plan);
    }
    let units = select::select(frame.registry, &plan.units, frame.slot.day)?;
    condition::check(frame, &plan.filters)?;
    let member = |unit: &'a Unit| {
        let truth = condition::all_hold(frame, &plan.filters, unit);
        (truth != Truth::False).then_some(Member { unit, is_certain: truth == Truth::True })
    };
    let members = units.into_iter().filter_map(member).collect();
    select::groups(frame.registry, &plan.units, members, plan.group_by.as_ref(), frame.slot.day, frame.boundaries_on)
}
