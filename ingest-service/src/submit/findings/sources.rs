//! Current reports that say different things about the same.
//!
//! Two observations speak about the same if they are of one unit, indicator, `by` and scope, and have a day in common; of
//! a FLOW, if their periods have exactly the same days. A flag does not speak of days after its publication, unless it
//! looks ahead.
//!
//! Of every report that counts, the state keeps what decides this and nothing else: [`Said`]. Equal hashes stand for equal
//! things; 64 bits make that as good as certain for the few reports about one unit.

use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::civil::Date;
use rust_decimal::Decimal;
use shared::{
    model::{
        finding::{Finding, FindingReason, Severity},
        ids::ReportName,
        indicator::{Temporality, ValueKind},
        log::Revision,
        period::Span,
        report::{Observation, Report, Scale, Value},
    },
    registry::Registry,
};

/// Other reports that a finding names; further ones are counted.
const OTHERS_NAMED_MAX: usize = 10;

/// What a version of a report says, as far as others can disagree with it.
#[derive(Clone, Debug)]
pub(in crate::submit) struct Said {
    /// The report.
    pub(in crate::submit) name: ReportName,
    version: Revision,
    span: Span,
    published_on: Option<Date>,
    /// In the order of its observations.
    cells: Box<[Cell]>,
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    /// Indicator, `by` and scope; of a FLOW the days, too.
    id: u64,
    /// What is said, however it is printed.
    value: u64,
    /// It does not speak of days after the publication.
    ends_at_publication: bool,
}

impl Said {
    /// What a version says.
    pub(in crate::submit) fn of(registry: &Registry, report: &Report, version: Revision) -> Self {
        let span = report.period.span();
        let cell = |observation: &Observation| {
            let indicator = registry.indicator(&observation.indicator);
            let flow_days = indicator.filter(|i| i.temporality == Temporality::Flow).map(|_| span);
            let is_flag = indicator.is_some_and(|indicator| indicator.value_kind == ValueKind::Flag);
            Cell {
                id: hash_of((&observation.indicator, &observation.by, observation.scope, flow_days)),
                value: hash_value(observation),
                ends_at_publication: is_flag && !observation.basis.looks_ahead(),
            }
        };
        let cells = report.observations.iter().map(cell).collect();
        Self { name: report.name, version, span, published_on: report.source.published_on, cells }
    }

    /// The days that one of its cells speaks of; none if it was published before them.
    fn days(&self, cell: &Cell) -> Option<Span> {
        let cut = self.published_on.filter(|_| cell.ends_at_publication);
        let last_day = match (self.span.last_day, cut) {
            (Some(last_day), Some(cut)) => Some(last_day.min(cut)),
            (last_day, cut) => last_day.or(cut),
        };
        let is_empty = matches!((self.span.first_day, last_day), (Some(first), Some(last)) if last < first);
        (!is_empty).then_some(Span { last_day, ..self.span })
    }

    fn disagrees(&self, cell: &Cell, other: &Self) -> bool {
        let Some(days) = self.days(cell) else { return false };
        other.cells.iter().any(|theirs| {
            theirs.id == cell.id
                && theirs.value != cell.value
                && other.days(theirs).is_some_and(|their_days| days.overlaps(&their_days))
        })
    }
}

/// One finding for each observation with which another report disagrees; `others` are about the same unit.
pub(super) fn check<'a>(said: &Said, others: impl Iterator<Item = &'a Said> + Clone) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, cell) in said.cells.iter().enumerate() {
        let others = others.clone().filter(|other| other.name != said.name && said.disagrees(cell, other));
        let mut others: Vec<(ReportName, Revision)> = others.map(|other| (other.name, other.version)).collect();
        if others.is_empty() {
            continue;
        }
        // The newest ones are the most likely to matter.
        others.sort_by_key(|(_, version)| std::cmp::Reverse(*version));
        let unnamed_others = others.len().saturating_sub(OTHERS_NAMED_MAX);
        others.truncate(OTHERS_NAMED_MAX);
        let names: Vec<String> = others.iter().map(|(name, _)| name.to_string()).collect();
        let more = if unnamed_others > 0 { format!(" and {unnamed_others} more") } else { String::new() };
        findings.push(Finding {
            severity: Severity::Warning,
            reason: FindingReason::SourcesDisagree,
            path: format!("report.observations[{index}]"),
            message: format!("{}{more} say something else about the same", names.join(", ")),
            hypothesis: None,
            others,
            unnamed_others,
        });
    }
    findings
}

fn hash_of(thing: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    thing.hash(&mut hasher);
    hasher.finish()
}

/// Equal for what says the same: 62,299 million and 62.299 billion, 90 % and 27 of 30.
fn hash_value(observation: &Observation) -> u64 {
    let value = match &observation.value {
        Value::Flag(flag) => hash_of(("flag", flag)),
        Value::Count(count) => hash_of(("count", count)),
        Value::Decimal(number) => hash_of(("decimal", number.normalize())),
        Value::Percent(percent) => hash_of(("percent", percent.normalize())),
        Value::Ratio(ratio) => match hundredth_of(ratio.numerator(), ratio.denominator()) {
            Some(percent) => hash_of(("percent", percent)),
            None => hash_of(("ratio", reduced(ratio.numerator(), ratio.denominator()))),
        },
        Value::Money { amount, scale, currency } => match amount.checked_mul(factor(*scale)) {
            Some(full) => hash_of(("money", full.normalize(), currency)),
            None => hash_of(("money", amount.normalize(), *scale as u8, currency)),
        },
        Value::Missing(missing) => hash_of(("missing", *missing as u8)),
    };
    hash_of((value, observation.qualifier as u8))
}

/// The percentage of two counts where it has an end, such as 90 for 27 of 30.
fn hundredth_of(part: i64, whole: i64) -> Option<Decimal> {
    let percent = Decimal::from(part).checked_mul(Decimal::ONE_HUNDRED)?.checked_div(Decimal::from(whole))?;
    let is_exact =
        percent.checked_mul(Decimal::from(whole))? == Decimal::from(part).checked_mul(Decimal::ONE_HUNDRED)?;
    is_exact.then(|| percent.normalize())
}

fn reduced(part: i64, whole: i64) -> (i64, i64) {
    let (mut a, mut b) = (part, whole);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    (part / a.max(1), whole / a.max(1))
}

fn factor(scale: Scale) -> Decimal {
    Decimal::from(match scale {
        Scale::Unit => 1i64,
        Scale::Thousand => 1_000,
        Scale::Million => 1_000_000,
        Scale::Billion => 1_000_000_000,
        Scale::Trillion => 1_000_000_000_000,
    })
}

#[cfg(test)]
mod tests {
    use shared::model::report::{Qualifier, Ratio, Scope};

    use super::*;

    fn value(value: Value) -> u64 {
        hash_value(&Observation {
            indicator: "x".parse().unwrap(),
            by: Default::default(),
            scope: Scope::Own,
            value,
            qualifier: Qualifier::Exact,
            basis: Default::default(),
            stated_percent: None,
            note: String::new(),
        })
    }

    #[test]
    fn what_says_the_same_is_equal_however_it_is_printed() {
        let money = |amount: &str, scale| {
            value(Value::Money { amount: amount.parse().unwrap(), scale, currency: "VND".to_owned() })
        };
        assert_eq!(money("62299", Scale::Million), money("62.299", Scale::Billion));
        assert_ne!(money("62299", Scale::Million), money("62.3", Scale::Billion));
        let ratio = |part, whole| value(Value::Ratio(Ratio::new(part, whole).unwrap()));
        let percent = |text: &str| value(Value::Percent(text.parse().unwrap()));
        assert_eq!(ratio(27, 30), percent("90.0"));
        assert_eq!(ratio(1, 3), ratio(2, 6));
        assert_ne!(ratio(1, 3), ratio(1, 6));
        assert_ne!(value(Value::Flag(true)), value(Value::Flag(false)));
    }
}
