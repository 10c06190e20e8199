//! Where the rules about other reports look: found out before it is a report's turn, so that the writer only looks whether
//! anything is there. Nearly always there is nothing, and the rules need not run.

use shared::{
    model::{
        indicator::{Indicator, RollUp, ValueKind},
        report::{Observation, Qualifier, Report, Scope, Value},
    },
    registry::Registry,
};

use super::{
    Defined,
    said::{Cell, Claims, Said, Subject},
};

/// Where other reports may say something about a report.
#[derive(Clone, Debug)]
pub(in crate::submit) struct Looks {
    /// It says something that has to be compared with reports of other units, or of other times.
    always: bool,
    /// Figures of the unit above that its own figures are part of.
    above: Box<[Cell]>,
}

impl Looks {
    pub(in crate::submit) fn of(registry: &Registry, report: &Report, defined: &[Defined<'_>]) -> Self {
        let span = report.period.span();
        let parent = span.last_day.and_then(|last_day| registry.unit_on(&report.unit, last_day)?.parent.as_ref());
        let (mut always, mut above) = (false, Vec::new());
        let parent = parent.map(|parent| Subject::of_unit(parent, span));
        for (observation, defined) in report.observations.iter().zip(defined) {
            let Observation { indicator, by, scope, value, .. } = observation;
            always |= matches!(value, Value::Change(_));
            let Some(adding) = defined.then.filter(|indicator| adds_up(indicator, observation)) else {
                continue;
            };
            always |= matches!(scope, Scope::Children | Scope::Subtree);
            if let (Scope::Own, Some(parent)) = (scope, &parent) {
                let cell = |scope| parent.cell(indicator, by, scope, adding.temporality);
                above.extend([Scope::Children, Scope::Subtree].map(cell));
            }
        }
        Self { always, above: above.into() }
    }

    /// Whether the rules about other reports would find nothing.
    pub(in crate::submit) fn find_nothing(&self, report: &Report, claims: &Claims, said: &Said) -> bool {
        !self.always && !said.disagrees(report.name, claims) && !self.above.iter().any(|cell| said.knows(*cell))
    }
}

/// Whether an observation is an exact count of an indicator whose counts add up.
pub(super) fn adds_up(indicator: &Indicator, observation: &Observation) -> bool {
    let is_exact_count = matches!((&observation.value, observation.qualifier), (Value::Count(_), Qualifier::Exact));
    is_exact_count && indicator.value_kind == ValueKind::Count && indicator.roll_up != RollUp::None
}
