//! What every row says about what it rests on, whatever it counts.

use std::collections::BTreeSet;

use shared::model::{
    ids::{IndicatorId, ReportName},
    indicator::Temporality,
    period::Span,
    query::{Caveat, EmptyReason, Support, Unused},
    report::{Basis, Scope},
    unit::Unit,
};

use super::{
    bulk::Bulk,
    cell::{Ask, Cell, State, name_of},
    plan::Frame,
    select::Group,
};
use crate::index::{FindingKey, Statement};

/// Reports that an empty row names.
const UNUSED_MAX: usize = 10;

/// Counts up, unit by unit.
#[derive(Default)]
pub(super) struct Tally {
    /// Units that count with a value.
    pub(super) reported: u32,
    /// Units about which nothing is known.
    pub(super) not_reported: u32,
    /// Units that withhold it.
    pub(super) withheld: u32,
    /// Units for which the question does not arise.
    pub(super) not_applicable: u32,
    contested: u32,
    carried: u32,
    undetermined: u32,
    undated: BTreeSet<ReportName>,
    /// A cell was left empty, or might have been another one, for a report whose publication is not known.
    left_out: bool,
    findings: BTreeSet<FindingKey>,
    bases: BTreeSet<u8>,
    is_actual: bool,
    versions: BTreeSet<(IndicatorId, u32)>,
    is_tiled: bool,
    is_carried: bool,
    units_changed: bool,
}

impl Tally {
    /// A unit that may belong to the row.
    pub(super) fn undetermined(&mut self) {
        self.undetermined += 1;
    }

    /// A unit that belongs to the row, by the cells that it was read from; `state` is that of all of them together.
    pub(super) fn unit(
        &mut self,
        frame: &Frame<'_>,
        temporality: Temporality,
        unit: &Unit,
        state: State,
        cells: &[Cell],
    ) {
        *match state {
            State::Reported => &mut self.reported,
            State::NotReported => &mut self.not_reported,
            State::Withheld => &mut self.withheld,
            State::NotApplicable => &mut self.not_applicable,
        } += 1;
        self.contested += u32::from(cells.iter().any(|cell| cell.is_contested));
        self.carried += u32::from(cells.iter().any(|cell| cell.is_carried));
        for cell in cells {
            self.left_out |= !cell.left_out.is_empty();
            self.undated.extend(&cell.left_out);
            self.findings.extend(cell.counting.iter().flat_map(|statement| open_findings(frame, statement)));
            if state == State::Reported && cell.state == State::Reported {
                self.is_tiled |= cell.is_tiled();
                self.is_carried |= cell.is_carried;
                let observations = cell.counting.iter().map(Statement::observation);
                let read = observations.map(|observation| (observation.basis, observation.indicator_version));
                let plain = cell.plain.iter().map(|(_, version)| (Basis::Actual, *version));
                for (basis, version) in read.chain(plain) {
                    self.says(&cell.indicator, version, basis);
                }
            }
        }
        let first_day = frame.slot.span.and_then(|span| span.first_day);
        if temporality == Temporality::Flow
            && let Some(first_day) = first_day
        {
            self.units_changed |= !frame.registry.is_alive_on(&unit.id, first_day);
        }
    }

    /// Units that belong to the row, as columns say it of all of them together.
    pub(super) fn bulk(&mut self, bulk: &Bulk) {
        self.reported += bulk.reported;
        self.not_reported += bulk.silent;
        self.carried += bulk.carried;
        self.is_carried |= bulk.carried > 0;
        self.is_tiled |= bulk.is_tiled;
        self.units_changed |= bulk.has_newcomers;
        for (indicator, version) in &bulk.versions {
            self.says(indicator, *version, Basis::Actual);
        }
    }

    /// A value that counts rests on that, and was accepted by that version of the definition.
    fn says(&mut self, indicator: &IndicatorId, version: u32, basis: Basis) {
        self.is_actual |= basis == Basis::Actual;
        self.bases.insert(basis as u8);
        self.versions.insert((indicator.clone(), version));
    }

    /// Something that a report publishes for the units of the row; whether it may be shown.
    pub(super) fn published(&mut self, frame: &Frame<'_>, ask: &Ask<'_>, statement: &Statement) -> bool {
        if frame.admitted.published_until.is_some() && statement.report().source.published_on.is_none() {
            self.undated.insert(name_of(statement));
        }
        let is_shown = ask.is_published(statement);
        if is_shown {
            self.findings.extend(open_findings(frame, statement));
        }
        is_shown
    }

    /// Findings on what was counted and on what is shown.
    pub(super) fn findings(&self) -> &BTreeSet<FindingKey> {
        &self.findings
    }

    /// Units that belong to the row.
    pub(super) fn expected(&self) -> u32 {
        self.applicable() + self.not_applicable
    }

    /// Units for which the question arises.
    pub(super) fn applicable(&self) -> u32 {
        self.reported + self.not_reported + self.withheld
    }

    /// Units that belong to the row and say nothing.
    pub(super) fn silent(&self) -> u32 {
        self.not_reported + self.withheld
    }

    /// Why nobody counts; none if somebody does.
    pub(super) fn empty_reason(&self, near: Option<EmptyReason>) -> Option<EmptyReason> {
        if self.expected() == 0 {
            Some(EmptyReason::NoUnits)
        } else if self.applicable() == 0 {
            Some(EmptyReason::AllNotApplicable)
        } else if self.reported > 0 {
            None
        } else if self.withheld > 0 {
            Some(EmptyReason::Withheld)
        } else if self.left_out {
            Some(EmptyReason::Undated)
        } else {
            Some(near.unwrap_or(EmptyReason::NothingReported))
        }
    }

    /// What the row rests on.
    pub(super) fn support(
        &self,
        frame: &Frame<'_>,
        has_filters: bool,
        is_last: bool,
        empty_reason: Option<EmptyReason>,
    ) -> Support {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let carries = frame.admitted.last_known || is_last;
        let mut names: BTreeSet<&IndicatorId> = BTreeSet::new();
        let is_mixed = self.versions.iter().any(|(indicator, _)| !names.insert(indicator));
        let caveats = [
            (self.silent() > 0, Caveat::Incomplete),
            (self.reported > 0 && !self.is_actual && !self.bases.is_empty(), Caveat::NotActual),
            (self.bases.len() > 1, Caveat::BasisMixed),
            (is_mixed, Caveat::DefinitionsMixed),
            (self.is_tiled, Caveat::Tiled),
            (self.is_carried, Caveat::CarriedForward),
            (self.units_changed, Caveat::UnitsChanged),
            (self.contested > 0, Caveat::Contested),
        ];
        Support {
            expected_basis: frame.expected_basis(),
            contested: self.contested,
            findings: count(self.findings.len()),
            carried: carries.then_some(self.carried),
            undated: frame.admitted.published_until.map(|_| count(self.undated.len())),
            undetermined: has_filters.then_some(self.undetermined),
            empty_reason,
            comparability: caveats.into_iter().filter(|(applies, _)| *applies).map(|(_, caveat)| caveat).collect(),
        }
    }
}

fn open_findings(frame: &Frame<'_>, statement: &Statement) -> impl Iterator<Item = FindingKey> {
    frame.known.findings(statement).into_iter().map(|(key, _)| key)
}

/// What comes near where nobody reported: reports of other periods, else figures of other scopes or classes.
pub(super) fn near(frame: &Frame<'_>, ask: &Ask<'_>, group: &Group<'_>) -> (Option<EmptyReason>, Vec<Unused>) {
    let is_flow = ask.indicator.temporality == Temporality::Flow;
    let days = frame.slot.span.filter(|_| is_flow);
    let speaks = |statement: &Statement| ask.admits(statement) && ask.is_published(statement);
    let overlaps = |span: &Span| days.is_some_and(|days| *span != days && span.overlaps(&days));
    let others = group.certain().filter(|unit| days.is_some() && ask.may_have_said(frame.known, unit, &overlaps));
    let others = others.flat_map(|unit| ask.said(frame.known, unit, overlaps));
    let other_periods: Vec<Statement> = others.filter(speaks).collect();
    if !other_periods.is_empty() {
        return (Some(EmptyReason::OtherPeriods), unused(other_periods));
    }
    if ask.scope == Scope::Own && ask.by.is_empty() && !frame.known.has_other_scopes(&ask.indicator.id) {
        return (None, Vec::new());
    }
    let of_that_time = |span: &Span| days.is_none_or(|days| span.overlaps(&days));
    let others = group.certain().flat_map(|unit| frame.known.all(&ask.indicator.id, &unit.id, of_that_time));
    let is_other = |statement: &Statement| {
        let observation = statement.observation();
        let speaks_of_it = days.is_some() || ask.holds(statement);
        !statement.is_of_each() && (observation.scope != ask.scope || observation.by != *ask.by) && speaks_of_it
    };
    let other_scopes: Vec<Statement> = others.filter(speaks).filter(is_other).collect();
    match other_scopes.is_empty() {
        true => (None, Vec::new()),
        false => (Some(EmptyReason::OtherScopes), unused(other_scopes)),
    }
}

fn unused(statements: Vec<Statement>) -> Vec<Unused> {
    let mut found: Vec<Unused> = statements
        .into_iter()
        .map(|statement| Unused {
            report: name_of(&statement),
            unit: statement.report().unit.clone(),
            period: statement.report().period.written().to_owned(),
            scope: statement.observation().scope,
        })
        .collect();
    found.sort_by_key(|unused| (unused.report, unused.scope));
    found.dedup_by_key(|unused| (unused.report, unused.scope));
    found.truncate(UNUSED_MAX);
    found
}
