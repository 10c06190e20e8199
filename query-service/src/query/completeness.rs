//! Which duties to report were fulfilled, by group, and who did not.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, civil::Date};
use shared::{
    limits::QUESTION_CELLS_MAX,
    model::{
        fault::{Fault, Reason},
        form::DutyState,
        ids::UnitId,
        query::{CompletenessQuery, CompletenessRow, DutiesQuery, RowUnit},
    },
};

use super::{
    Rows, duties, plan,
    select::{self, RowKey},
};
use crate::index::{Known, effort};

#[derive(Default)]
struct Counts {
    by_state: BTreeMap<u8, u32>,
    missing: BTreeSet<UnitId>,
    late: BTreeSet<UnitId>,
}

/// One row for each group that owes something, and the day by which duties were judged.
///
/// # Errors
/// `FormNotFound`, `UnitNotFound`; `TooMany` periods or duties.
pub fn rows(
    known: &Known<'_>,
    query: &CompletenessQuery,
    now: Timestamp,
) -> Result<(Rows<CompletenessRow>, Date), Fault> {
    effort::spend_much();
    let registry = known.registry();
    let CompletenessQuery { form, units, first_day, last_day, as_of, known_at, .. } = query.clone();
    let asked = DutiesQuery { form, units, first_day, last_day, as_of, known_at };
    let (owed, as_of) = duties::duties(known, &asked, now, "", QUESTION_CELLS_MAX)?;
    if owed.len() == QUESTION_CELLS_MAX {
        let message =
            format!("there are {QUESTION_CELLS_MAX} duties or more in it; ask for fewer units or a shorter period");
        return Err(Fault::at("period", Reason::TooMany, message));
    }
    let mut groups: BTreeMap<RowKey, (RowUnit, Counts)> = BTreeMap::new();
    for duty in owed {
        let day = duty.period.span().last_day.unwrap_or(last_day);
        let map = query.boundaries_on.unwrap_or(day);
        let row = match (registry.unit_on(&duty.unit, day), &query.group_by) {
            (Some(unit), Some(group_by)) => select::row_of_unit(registry, unit, group_by, day, map),
            (_, None) => match &query.units {
                Some(selector) => select::whole_row(registry, selector, last_day)?,
                None => RowUnit::Several,
            },
            (None, Some(_)) => RowUnit::None,
        };
        let (_, counts) = groups.entry(RowKey::of(&row)).or_insert_with(|| (row, Counts::default()));
        *counts.by_state.entry(duty.state as u8).or_default() += 1;
        match duty.state {
            DutyState::Missing => drop(counts.missing.insert(duty.unit)),
            DutyState::Late => drop(counts.late.insert(duty.unit)),
            DutyState::Expected | DutyState::NotYetDue | DutyState::OnTime | DutyState::Waived => {}
        }
    }
    plan::check_group(registry, query.group_by.as_ref())?;
    let row = |(key, (unit, counts)): (RowKey, (RowUnit, Counts))| {
        let of = |state: DutyState| counts.by_state.get(&(state as u8)).copied().unwrap_or_default();
        let row = CompletenessRow {
            unit,
            on_time: of(DutyState::OnTime),
            late: of(DutyState::Late),
            missing: of(DutyState::Missing),
            not_yet_due: of(DutyState::NotYetDue),
            undated: of(DutyState::Expected),
            waived: of(DutyState::Waived),
            missing_units: counts.missing.into_iter().collect(),
            late_units: counts.late.into_iter().collect(),
        };
        (key.token(), row)
    };
    Ok((Rows { rows: groups.into_iter().map(row).collect(), below_coverage: None }, as_of))
}
