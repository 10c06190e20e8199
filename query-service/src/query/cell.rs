//! What is known of a unit: which of its reports speak, which of them counts, and what it says.

use std::{
    cell::OnceCell,
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use bigdecimal::BigDecimal;
use jiff::civil::Date;
use shared::model::{
    ids::{IndicatorId, ReportName},
    indicator::{Indicator, RollUp, Temporality, ValueKind},
    period::Span,
    query::{Admitted, Interval, Slot, combine, quotient},
    report::{Missing, Observation, Qualifier, Scale, Scope, Value},
    unit::Unit,
};

use super::columns::{self, Reader, Seen};
use crate::index::{Known, Statement};

/// Not split by any dimension.
pub(super) static NOT_SPLIT: BTreeMap<IndicatorId, IndicatorId> = BTreeMap::new();

/// What is asked of each unit.
#[derive(Clone, Debug)]
pub(super) struct Ask<'q> {
    /// The definition that holds on the day counted.
    pub(super) indicator: &'q Indicator,
    /// Only values that are split so.
    pub(super) by: &'q BTreeMap<IndicatorId, IndicatorId>,
    /// Whose figures.
    pub(super) scope: Scope,
    /// When.
    pub(super) slot: &'q Slot,
    /// What may speak.
    pub(super) admitted: &'q Admitted,
    /// What was last known in the period counts.
    pub(super) is_last: bool,
    /// Where columns can be looked into, once that has been asked.
    pub(super) reader: OnceCell<Option<Reader>>,
}

/// What is known of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// There is a value.
    Reported,
    /// Nothing is known, or a source says so.
    NotReported,
    /// It is known and not given.
    Withheld,
    /// The question does not arise.
    NotApplicable,
}

/// What is known of a unit, and from where.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    /// About what.
    pub(super) indicator: IndicatorId,
    /// What is known.
    pub(super) state: State,
    /// Plain values of columns, each with the version of the definition, for which no report was read: the one that counts,
    /// or those that tile the period. Then there are no statements.
    pub(super) plain: Vec<(Value, u32)>,
    /// The statement that counts, or those that tile the period.
    pub(super) counting: Vec<Statement>,
    /// Every statement that speaks.
    pub(super) speaking: Vec<Statement>,
    /// Two of them say different things about the same.
    pub(super) is_contested: bool,
    /// An earlier day was carried forward.
    pub(super) is_carried: bool,
    /// Reports that were left out because nobody knows when they were published.
    pub(super) left_out: Vec<ReportName>,
}

impl Cell {
    fn new(indicator: &Indicator, speaking: Vec<Statement>, is_carried: bool, left_out: Vec<ReportName>) -> Self {
        Self {
            indicator: indicator.id.clone(),
            state: State::NotReported,
            plain: Vec::new(),
            counting: Vec::new(),
            speaking,
            is_contested: false,
            is_carried,
            left_out,
        }
    }

    /// The period was put together of several reports.
    pub(super) fn is_tiled(&self) -> bool {
        self.counting.len() > 1 || self.plain.len() > 1
    }

    /// What counts, or the first of the tiles.
    pub(super) fn value(&self) -> Option<&Value> {
        let plain = self.plain.first().map(|(value, _)| value);
        plain.or_else(|| self.counting.first().map(|statement| &statement.observation().value))
    }
}

impl Ask<'_> {
    /// What is known of a unit.
    pub(super) fn read(&self, known: &Known<'_>, unit: &Unit) -> Cell {
        self.look(known, unit).unwrap_or_else(|| self.read_reports(known, unit))
    }

    /// What columns know of a unit; none if reports have to be read.
    fn look(&self, known: &Known<'_>, unit: &Unit) -> Option<Cell> {
        let reader = self.reader(known)?;
        let (plain, is_carried) = match known.number_of(&unit.id) {
            None => (Vec::new(), false),
            Some(number) if !known.is_unchanged(number) => return None,
            Some(number) => match reader.look(number) {
                Seen::Unclear => return None,
                Seen::Nothing => (Vec::new(), false),
                Seen::Plain(columns, is_carried) => (columns::values(columns, number), is_carried),
            },
        };
        let mut cell = Cell { plain, ..Cell::new(self.indicator, Vec::new(), is_carried, Vec::new()) };
        cell.state = self.state(known, unit, cell.value());
        Some(cell)
    }

    /// Where columns can be looked into; none if that says too little.
    pub(super) fn reader(&self, known: &Known<'_>) -> Option<&Reader> {
        self.reader.get_or_init(|| Reader::of(known, self)).as_ref()
    }

    /// The same as [`Self::read`], by the reports themselves.
    pub(super) fn read_reports(&self, known: &Known<'_>, unit: &Unit) -> Cell {
        let said = self.said(known, unit, |span| self.may_speak(span));
        let said = said.into_iter().filter(|s| self.admits(s)).collect();
        let (published, undated) = self.split(said);
        let left_out = undated.iter().filter(|s| self.would_speak(s)).map(name_of).collect();
        let (speaking, is_carried) = match self.indicator.temporality {
            Temporality::Flow => (self.exact(&published), false),
            Temporality::State | Temporality::Stock => self.on_the_day(&published),
        };
        let mut cell = Cell::new(self.indicator, speaking, is_carried, left_out);
        match cell.speaking.iter().min_by_key(|statement| precedence(statement)).cloned() {
            Some(counting) => {
                cell.is_contested = cell.speaking.iter().any(|s| !says_the_same(s, &counting));
                cell.counting.push(counting);
            }
            None if self.is_tiled_by_its_roll_up() => self.tile(&published, &mut cell),
            None => {}
        }
        cell.state = self.state(known, unit, cell.value());
        cell
    }

    /// What it means that this counts for a unit.
    fn state(&self, known: &Known<'_>, unit: &Unit, value: Option<&Value>) -> State {
        // Where by its definition the question does not arise, a report does not make it arise; it carries a finding.
        if known.registry().not_applicable_on(self.indicator, unit, self.slot.day).is_some() {
            return State::NotApplicable;
        }
        match value {
            Some(Value::Missing(Missing::Withheld)) => State::Withheld,
            Some(Value::Missing(Missing::NotApplicable)) => State::NotApplicable,
            None | Some(Value::Missing(Missing::NotReported)) => State::NotReported,
            Some(_) => State::Reported,
        }
    }

    /// Whether a report for those days may speak of the time asked for; it does not if this says so.
    fn may_speak(&self, span: &Span) -> bool {
        match (self.indicator.temporality, self.slot.span) {
            (Temporality::Flow, Some(days)) => days.contains_span(span),
            (Temporality::Flow, None) => false,
            (Temporality::State | Temporality::Stock, _) => {
                self.admitted.last_known || self.is_last || span.contains(self.slot.day)
            }
        }
    }

    /// What reports on a unit, or on a group of which it is one, say of it in the scope and the classes asked for, in reports
    /// for such days.
    pub(super) fn said(&self, known: &Known<'_>, unit: &Unit, days: impl Fn(&Span) -> bool) -> Vec<Statement> {
        let id = &self.indicator.id;
        let mut said = match self.scope {
            Scope::Own => known.own(id, &unit.id, days),
            Scope::Children | Scope::Subtree | Scope::Group => known.all(id, &unit.id, days),
        };
        let is_of_the_scope =
            |statement: &Statement| self.scope == Scope::Own || statement.observation().scope == self.scope;
        said.retain(|statement| is_of_the_scope(statement) && statement.observation().by == *self.by);
        said
    }

    /// Whether reports for such days may have said something of a unit; they have not if this says so.
    pub(super) fn may_have_said(&self, known: &Known<'_>, unit: &Unit, days: &impl Fn(&Span) -> bool) -> bool {
        let Some(number) = known.number_of(&unit.id) else { return false };
        if self.scope != Scope::Own || !known.is_unchanged(number) {
            return true;
        }
        let columns = known.columns(&self.indicator.id, self.by).into_iter().flatten();
        let mut columns = columns.filter(|(span, _)| days(span));
        columns.any(|(_, column)| column.is_plain(number) || column.is_rare(number))
    }

    /// Whether the filter of reports lets a statement speak.
    pub(super) fn admits(&self, statement: &Statement) -> bool {
        let (filter, report) = (&self.admitted.reports, statement.report());
        filter.organ.is_none_or(|organ| report.organ == organ)
            && filter.issuer.as_ref().is_none_or(|issuer| report.issuer.as_ref().unwrap_or(&report.unit) == issuer)
            && (filter.form.is_empty() || report.form == filter.form)
            && (filter.source.is_empty() || report.source.uri == filter.source || report.source.title == filter.source)
            && (filter.basis.is_empty() || filter.basis.contains(&statement.observation().basis))
    }

    /// What had been published by the day that is asked for, and that of which nobody knows.
    fn split(&self, said: Vec<Statement>) -> (Vec<Statement>, Vec<Statement>) {
        let (published, others): (Vec<_>, Vec<_>) = said.into_iter().partition(|s| self.is_published(s));
        (published, others.into_iter().filter(|s| s.report().source.published_on.is_none()).collect())
    }

    /// Whether a statement had been published by the day that is asked for.
    pub(super) fn is_published(&self, statement: &Statement) -> bool {
        let published_on = statement.report().source.published_on;
        self.admitted.published_until.is_none_or(|until| published_on.is_some_and(|published_on| published_on <= until))
    }

    /// Whether a statement would speak if it were known when it was published.
    fn would_speak(&self, statement: &Statement) -> bool {
        match (self.indicator.temporality, self.slot.span) {
            (Temporality::Flow, Some(days)) => days.contains_span(&statement.report().period.span()),
            (Temporality::Flow, None) => false,
            (Temporality::State | Temporality::Stock, _) => {
                self.holds(statement) || self.ended_before(statement).is_some()
            }
        }
    }

    /// Whether a statement speaks of the time asked for.
    pub(super) fn holds(&self, statement: &Statement) -> bool {
        let (day, published_on) = (self.slot.day, statement.report().source.published_on);
        match self.indicator.temporality {
            Temporality::Flow => Some(statement.report().period.span()) == self.slot.span,
            Temporality::Stock => statement.speaks_of(day),
            Temporality::State => {
                let is_known = published_on.is_none_or(|published_on| day <= published_on);
                statement.speaks_of(day) && (is_known || statement.observation().basis.looks_ahead())
            }
        }
    }

    fn exact(&self, published: &[Statement]) -> Vec<Statement> {
        published.iter().filter(|statement| self.holds(statement)).cloned().collect()
    }

    /// What speaks of the day, or, where that is asked for, of the latest day before it that was known.
    fn on_the_day(&self, published: &[Statement]) -> (Vec<Statement>, bool) {
        let speaking = self.exact(published);
        let latest = published.iter().filter_map(|statement| self.ended_before(statement)).max();
        match latest.filter(|_| speaking.is_empty()) {
            None => (speaking, false),
            latest => (published.iter().filter(|s| self.ended_before(s) == latest).cloned().collect(), true),
        }
    }

    /// The last day of which a statement is known, if that may be carried forward to the day counted.
    fn ended_before(&self, statement: &Statement) -> Option<Date> {
        let earliest = self.slot.span.and_then(|span| span.first_day);
        let is_in_reach =
            |end: &Date| self.admitted.last_known || self.is_last && earliest.is_none_or(|first_day| first_day <= *end);
        known_until(self.indicator.temporality, statement).filter(|end| *end < self.slot.day).filter(is_in_reach)
    }

    pub(super) fn is_tiled_by_its_roll_up(&self) -> bool {
        let adds = matches!(self.indicator.roll_up, RollUp::Sum | RollUp::Distribution | RollUp::RatioOfSums);
        self.indicator.temporality == Temporality::Flow && adds
    }

    /// Puts the period together of others that follow each other without gap or overlap: of as few as possible, and of
    /// several ways that with the longest first.
    fn tile(&self, published: &[Statement], cell: &mut Cell) {
        let Some(days) = self.slot.span.as_ref() else { return };
        let (Some(first_day), Some(last_day)) = (days.first_day, days.last_day) else { return };
        let mut by_days: BTreeMap<(Date, Date), Vec<&Statement>> = BTreeMap::new();
        for statement in published {
            let Span { first_day: Some(first), last_day: Some(last) } = statement.report().period.span() else {
                continue;
            };
            if first_day <= first && last <= last_day {
                by_days.entry((first, last)).or_default().push(statement);
            }
        }
        let tiles: BTreeMap<(Date, Date), (&Statement, bool)> = by_days
            .iter()
            .filter_map(|(days, speaking)| {
                let counting = *speaking.iter().min_by_key(|statement| precedence(statement))?;
                let is_contested = speaking.iter().any(|statement| !says_the_same(statement, counting));
                counting.observation().value.is_number().then_some((*days, (counting, is_contested)))
            })
            .collect();
        // From the back: how few tiles lead from a day to the end, and which is the first of them.
        let mut best: HashMap<Date, (usize, (Date, Date))> = HashMap::new();
        for (first, last) in tiles.keys().rev() {
            let rest = match last.tomorrow() {
                _ if *last == last_day => Some(0),
                Ok(next) => best.get(&next).map(|(count, _)| *count),
                Err(_) => None,
            };
            let Some(count) = rest.map(|rest| rest + 1) else { continue };
            // Tiles come with the longest of a day first, so that an equal number later is of a shorter one.
            if best.get(first).is_none_or(|(fewest, _)| count < *fewest) {
                best.insert(*first, (count, (*first, *last)));
            }
        }
        let mut day = first_day;
        while let Some((_, tile)) = best.get(&day) {
            let (counting, is_contested) = tiles[tile];
            cell.counting.push(counting.clone());
            cell.speaking.extend(by_days[tile].iter().copied().cloned());
            cell.is_contested |= is_contested;
            match tile.1.tomorrow() {
                Ok(next) if tile.1 < last_day => day = next,
                _ => break,
            }
        }
    }
}

/// The last day of which a statement says something; none where it says nothing, and for what has no end.
fn known_until(temporality: Temporality, statement: &Statement) -> Option<Date> {
    let observation = statement.observation();
    let says_something = match observation.value {
        Value::Flag(_) | Value::Category(_) | Value::Missing(Missing::NotApplicable) => true,
        ref value => value.is_number(),
    };
    if !says_something {
        return None;
    }
    let span = statement.report().period.span();
    let is_cut = temporality == Temporality::State && !observation.basis.looks_ahead();
    let published_on = statement.report().source.published_on.filter(|_| is_cut);
    let end = match (span.last_day, published_on) {
        (Some(last_day), Some(published_on)) => last_day.min(published_on),
        (last_day, published_on) => last_day.or(published_on)?,
    };
    span.first_day.is_none_or(|first| first <= end).then_some(end)
}

pub(super) fn name_of(statement: &Statement) -> ReportName {
    statement.report().name
}

/// Of several statements the least counts: fewer days, then later published, then the later version.
pub(super) fn precedence(statement: &Statement) -> impl Ord + use<> {
    let days = statement.report().period.span().day_count();
    (days.is_none(), days, Reverse(statement.report().source.published_on), Reverse(statement.source.revision()))
}

/// Whether two statements say the same, however it is printed.
pub(super) fn says_the_same(a: &Statement, b: &Statement) -> bool {
    let (a, b) = (a.observation(), b.observation());
    a.qualifier == b.qualifier
        && match (&a.value, &b.value) {
            (
                Value::Money { amount, scale, currency },
                Value::Money { amount: other, scale: other_scale, currency: other_currency },
            ) => currency == other_currency && in_full(*amount, *scale) == in_full(*other, *other_scale),
            (a, b) => a == b,
        }
}

/// An amount of money in units of its currency.
fn in_full(amount: rust_decimal::Decimal, scale: Scale) -> BigDecimal {
    let zeros = match scale {
        Scale::Unit => 0,
        Scale::Thousand => 3,
        Scale::Million => 6,
        Scale::Billion => 9,
        Scale::Trillion => 12,
    };
    BigDecimal::new(amount.mantissa().into(), i64::from(amount.scale()) - zeros)
}

/// The currency of an amount, or of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Currency {
    /// It is no money.
    None,
    /// This one.
    One(String),
    /// Different ones.
    Several,
}

impl Currency {
    /// Of both together.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, other) | (other, Self::None) => other,
            (a, b) if a == b => a,
            _ => Self::Several,
        }
    }
}

/// The number of a unit.
#[derive(Clone, Debug)]
pub(super) struct Number {
    /// As printed, in units; of a ratio the numerator.
    pub(super) printed: BigDecimal,
    /// How it bounds the value; none: bounds pull in two directions.
    pub(super) qualifier: Option<Qualifier>,
    /// What the printed numbers say.
    pub(super) raw: Interval,
    /// The same, no less than 0 where that cannot be.
    pub(super) interval: Interval,
    /// Of a ratio the denominator.
    pub(super) whole: Option<BigDecimal>,
    /// Of money.
    pub(super) currency: Currency,
}

impl Number {
    /// The number of an observation; none if it is none that can be computed with.
    pub(super) fn of(observation: &Observation) -> Option<Self> {
        Self::of_value(&observation.value, observation.qualifier)
    }

    /// The number of a value that a qualifier bounds; none if it is none that can be computed with.
    pub(super) fn of_value(value: &Value, qualifier: Qualifier) -> Option<Self> {
        let exact =
            |number: rust_decimal::Decimal| BigDecimal::new(number.mantissa().into(), i64::from(number.scale()));
        let (printed, whole, currency) = match value {
            Value::Count(count) => (BigDecimal::from(*count), None, Currency::None),
            Value::Decimal(number) | Value::Percent(number) => (exact(*number), None, Currency::None),
            Value::Ratio(ratio) => {
                (BigDecimal::from(ratio.numerator()), Some(BigDecimal::from(ratio.denominator())), Currency::None)
            }
            Value::Money { amount, scale, currency } => {
                (in_full(*amount, *scale), None, Currency::One(currency.clone()))
            }
            Value::Flag(_) | Value::Category(_) | Value::Direction(_) | Value::Change(_) | Value::Missing(_) => {
                return None;
            }
        };
        let printed = printed.normalized();
        let raw = Interval::of(&printed, qualifier);
        let interval = match value {
            Value::Count(_) | Value::Percent(_) => raw.clone().not_negative(),
            Value::Ratio(_) => {
                let cut = raw.clone().not_negative();
                whole.as_ref().map_or(cut.clone(), |whole| cut.at_most(whole))
            }
            _ => raw.clone(),
        };
        Some(Self { printed, qualifier: Some(qualifier), raw, interval, whole, currency })
    }

    /// The number of a cell: of its statement, or the sum of its tiles.
    pub(super) fn of_cell(cell: &Cell) -> Option<Self> {
        if cell.state != State::Reported {
            return None;
        }
        let plain = cell.plain.iter().map(|(value, _)| Self::of_value(value, Qualifier::Exact));
        let mut numbers = plain.chain(cell.counting.iter().map(|statement| Self::of(statement.observation())));
        let first = numbers.next()??;
        numbers.try_fold(first, |sum, tile| Some(sum.plus(&tile?)))
    }

    fn plus(self, other: &Self) -> Self {
        let sum = |a: &Interval, b: &Interval| a.plus(b).map(|number| number.normalized());
        Self {
            printed: (self.printed + &other.printed).normalized(),
            qualifier: self.qualifier.zip(other.qualifier).and_then(|(a, b)| combine(a, b)),
            raw: sum(&self.raw, &other.raw),
            interval: sum(&self.interval, &other.interval),
            whole: self.whole.zip(other.whole.as_ref()).map(|(a, b)| a + b),
            currency: self.currency.and(other.currency.clone()),
        }
    }

    /// The same as one number for each unit: of a ratio its quotient, with six digits, per so many.
    pub(super) fn into_one(self, per: &BigDecimal) -> Self {
        let Some(whole) = self.whole.clone() else { return self };
        let part = |number: &BigDecimal| quotient(&(number * per), &whole).unwrap_or_default();
        let parts = |interval: Interval| Interval {
            lower: interval.lower.map(|end| end.map(part)),
            upper: interval.upper.map(|end| end.map(part)),
        };
        Self { printed: part(&self.printed), raw: parts(self.raw), interval: parts(self.interval), whole: None, ..self }
    }
}

/// Whether values of that kind are never less than 0.
pub(super) fn is_never_negative(kind: ValueKind) -> bool {
    matches!(kind, ValueKind::Count | ValueKind::Percent | ValueKind::Ratio)
}
