//! Figures of the units below against what they report themselves.

use shared::model::{
    finding::{Finding, FindingReason},
    ids::{ReportName, UnitId},
    log::Revision,
    period::Span,
    report::{Observation, Qualifier, Report, Scope, Value},
};

use super::{Definitions, Said, about, looks::adds_up, said::Amount, warning};

/// Reports that a finding names: it is resolved when one of them changes, so as many as a finding has room for.
const OTHERS_NAMED_MAX: usize = 200;

/// A count and the version of a report that says it; none for what this report says itself.
type Counted = (i64, Option<(ReportName, Revision)>);

/// CHILDREN_CONTRADICT: a count of the units directly below (CHILDREN) is not the sum of their own; or one of the whole
/// subtree (SUBTREE) is not the unit's own and those of the subtrees below it; or the parts that are known add to more
/// already. All for exactly the same days, by the hierarchy of the last of them. The report that comes later carries the
/// finding, whether it is the one above or one of those below.
pub(super) fn check(definitions: Definitions<'_>, report: &Report, said: &Said) -> Vec<Finding> {
    let (registry, span) = (definitions.registry, report.period.span());
    let Some(last_day) = span.last_day else { return Vec::new() };
    let mut findings = Vec::new();
    for (index, observation) in report.observations.iter().enumerate() {
        let (Value::Count(count), Qualifier::Exact) = (&observation.value, observation.qualifier) else { continue };
        if !definitions.of(&observation.indicator).is_some_and(|indicator| adds_up(indicator, observation)) {
            continue;
        }
        let look = Look { definitions, report, said, observation, span };
        let path = format!("report.observations[{index}]");
        if matches!(observation.scope, Scope::Children | Scope::Subtree) {
            findings.extend(look.contradiction(&report.unit, observation.scope, (*count, None), &path));
        }
        let parent = registry.unit_on(&report.unit, last_day).and_then(|unit| unit.parent.as_ref());
        if let Some(parent) = parent.filter(|_| matches!(observation.scope, Scope::Own | Scope::Subtree)) {
            for scope in [Scope::Children, Scope::Subtree] {
                if let Some(figure) = look.said(parent, scope) {
                    findings.extend(look.contradiction(parent, scope, figure, &path));
                }
            }
        }
    }
    findings
}

/// Where one observation is looked at.
struct Look<'a> {
    definitions: Definitions<'a>,
    report: &'a Report,
    said: &'a Said,
    observation: &'a Observation,
    span: Span,
}

impl Look<'_> {
    /// What is said of the same days: by this report, else by one that came before.
    fn said(&self, unit: &UnitId, scope: Scope) -> Option<Counted> {
        let Observation { indicator, by, .. } = self.observation;
        if *unit == self.report.unit {
            let is_it = |other: &&Observation| (&other.indicator, &other.by, other.scope) == (indicator, by, scope);
            if let Some(here) = self.report.observations.iter().find(is_it) {
                return match (&here.value, here.qualifier) {
                    (Value::Count(count), Qualifier::Exact) => Some((*count, None)),
                    _ => None,
                };
            }
        }
        let flow = self.definitions.of(indicator)?.temporality;
        let (amount, version) = self.said.exactly(self.report.name, unit, indicator, by, scope, flow, self.span)?;
        match amount {
            Amount::Count(count) => Some((count, Some(version))),
            Amount::Percent { .. } | Amount::Other(_) => None,
        }
    }

    /// What the parts of a figure say against it.
    fn contradiction(&self, above: &UnitId, scope: Scope, figure: Counted, path: &str) -> Option<Finding> {
        let registry = self.definitions.registry;
        let last_day = self.span.last_day?;
        let children: Vec<&UnitId> = registry.children_on(above, last_day).map(|child| &child.id).collect();
        let mut parts: Vec<Option<Counted>> = Vec::with_capacity(children.len() + 1);
        if scope == Scope::Subtree {
            parts.push(self.said(above, Scope::Own));
        }
        for child in &children {
            let whole = if scope == Scope::Subtree { self.said(child, Scope::Subtree) } else { None };
            let is_leaf = || registry.children_on(child, last_day).next().is_none();
            let own = || if scope == Scope::Children || is_leaf() { self.said(child, Scope::Own) } else { None };
            parts.push(whole.or_else(own));
        }
        let known: Vec<Counted> = parts.iter().flatten().copied().collect();
        let sum = known.iter().try_fold(0i64, |sum, (count, _)| sum.checked_add(*count))?;
        let is_complete = known.len() == parts.len() && !children.is_empty();
        if !(sum > figure.0 || is_complete && sum != figure.0) {
            return None;
        }
        let which = if is_complete { "all" } else { "some" };
        let message = format!("{} for the units below {above}, {which} of them say {sum} together", figure.0);
        let others = known.iter().chain([&figure]).filter_map(|(_, version)| *version).collect();
        let finding = warning(FindingReason::ChildrenContradict, path, message);
        Some(about(others, OTHERS_NAMED_MAX, finding))
    }
}
