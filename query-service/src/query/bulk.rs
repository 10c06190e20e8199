//! What the units of a row come to, 64 units at a time, as far as columns say it. It is the same as cell by cell: a unit that
//! columns say too little about is left to be read.

use std::{collections::BTreeSet, sync::Arc};

use bigdecimal::{BigDecimal, num_bigint::BigInt};
use shared::model::{
    indicator::{Indicator, Temporality},
    query::Interval,
    report::Qualifier,
};

use super::{
    cell::{Ask, Currency, Number},
    columns::{Reader, Tiles},
    measure::Sample,
    plan::Frame,
    select::{Group, Member},
};
use crate::index::{Column, Kind, LaidRow, effort};

/// Digits after the point with which numbers are added; no column has more.
const SUM_SCALE: u32 = 9;

/// What columns say of the units of a row together.
#[derive(Clone, Default)]
pub(super) struct Bulk {
    /// Units that count with a value.
    pub(super) reported: u32,
    /// Units about which nothing is known.
    pub(super) silent: u32,
    /// Units whose value is that of an earlier day.
    pub(super) carried: u32,
    /// A period was put together of several reports.
    pub(super) is_tiled: bool,
    /// A unit did not live yet on the first day of the period.
    pub(super) has_newcomers: bool,
    /// The indicators that count, with the versions of their definitions.
    pub(super) versions: BTreeSet<(shared::model::ids::IndicatorId, u32)>,
    /// Numbers of the units that are left to be read.
    read: Vec<u32>,
}

impl Bulk {
    /// The units that are left to be read.
    pub(super) fn members<'a>(&self, group: &Group<'a>) -> Vec<Member<'a>> {
        self.read.iter().filter_map(|number| group.member(*number)).collect()
    }

    fn leave(&mut self, word: u32, mut bits: u64) {
        while bits != 0 {
            self.read.push(word * u64::BITS + bits.trailing_zeros());
            bits &= bits - 1;
        }
    }

    fn says(&mut self, indicator: &Indicator, columns: &[Arc<Column>]) {
        for version in columns.iter().filter_map(|column| Some(column.shape()?.version)) {
            if !self.versions.iter().any(|(id, known)| *id == indicator.id && *known == version) {
                self.versions.insert((indicator.id.clone(), version));
            }
        }
    }
}

/// What columns say of some units of a word in one way.
struct Part<'r> {
    columns: &'r [Arc<Column>],
    bits: u64,
    is_carried: bool,
}

/// What columns say of 64 units.
#[derive(Default)]
struct Word<'r> {
    parts: Vec<Part<'r>>,
    /// Units that have to be read.
    unclear: u64,
}

impl<'r> Word<'r> {
    fn of(reader: &'r Reader, word: u32, bits: u64) -> Self {
        let place = word as usize;
        let mut found = Self { parts: Vec::new(), unclear: 0 };
        found.unclear = bits & reader.rare.iter().fold(0, |all, column| all | column.rare_word(place));
        let mut open = bits & !found.unclear;
        open &= !found.take(&reader.speaking, place, open, false);
        match &reader.tiles {
            Tiles::None => {}
            Tiles::All(columns) => {
                let all = columns.iter().fold(open, |all, column| all & column.plain_word(place));
                if all != 0 {
                    found.parts.push(Part { columns, bits: all, is_carried: false });
                }
                open &= !all;
            }
            Tiles::Some(columns) => {
                let any = open & columns.iter().fold(0, |any, column| any | column.plain_word(place));
                found.unclear |= any;
                open &= !any;
            }
        }
        for columns in &reader.carried {
            if open == 0 {
                break;
            }
            open &= !found.take(columns, place, open, true);
        }
        found
    }

    /// Takes the units of which exactly one column says something; those of which several do are unclear.
    fn take(&mut self, columns: &'r [Arc<Column>], place: usize, open: u64, is_carried: bool) -> u64 {
        let plain = |column: &Column| column.plain_word(place) & open;
        let (mut once, mut again) = (0, 0);
        for column in columns {
            again |= once & plain(column);
            once |= plain(column);
        }
        self.unclear |= again;
        for column in columns {
            let bits = plain(column) & !again;
            if bits != 0 {
                self.parts.push(Part { columns: std::slice::from_ref(column), bits, is_carried });
            }
        }
        once
    }

    fn plain(&self) -> u64 {
        self.parts.iter().fold(0, |all, part| all | part.bits)
    }
}

/// Whether the question arises for every unit of a row, by the definition alone.
fn arises(indicator: &Indicator, row: &LaidRow, frame: &Frame<'_>) -> bool {
    let has_level = |level| indicator.levels.is_empty() || indicator.levels.contains(level);
    row.levels.iter().all(has_level)
        && !indicator.not_applicable.iter().any(|exception| exception.span.contains(frame.slot.day))
}

fn has_newcomers(temporality: Temporality, row: &LaidRow) -> bool {
    temporality == Temporality::Flow && row.has_newcomers
}

/// What tells tables of flags from tables of numbers.
const FLAGS: usize = 0;
const NUMBERS: usize = 1;

/// What is worked out for a row, or was before from the same columns.
fn worked_out<T: Clone + Send + Sync + 'static>(
    frame: &Frame<'_>,
    group: &Group<'_>,
    way: usize,
    readers: &[&Reader],
    work: impl Fn() -> Option<T>,
) -> Option<T> {
    let (mut way, mut columns) = (vec![way], Vec::new());
    readers.iter().for_each(|reader| reader.origin(&mut way, &mut columns));
    let (layout, place) = group.place()?;
    match frame.known.memo::<Option<T>>(&way, layout, &columns) {
        Some(rows) => rows[place].get_or_init(work).clone(),
        None => work(),
    }
}

/// How many units of a row have a flag set, how many have it not, and everything else.
pub(super) fn flags(frame: &Frame<'_>, ask: &Ask<'_>, group: &Group<'_>) -> Option<(u32, u32, Bulk)> {
    let (row, reader) = (group.laid()?, ask.reader(frame.known)?);
    if !arises(ask.indicator, row, frame) {
        return None;
    }
    worked_out(frame, group, FLAGS, &[reader], || count_flags(frame, ask.indicator, row, reader))
}

fn count_flags(frame: &Frame<'_>, indicator: &Indicator, row: &LaidRow, reader: &Reader) -> Option<(u32, u32, Bulk)> {
    let (mut yes, mut bulk) = (0, Bulk::default());
    for (word, bits) in &row.bits {
        effort::spend(effort::LOOK);
        let changed = bits & frame.known.changed_word(*word);
        let found = Word::of(reader, *word, bits & !changed);
        bulk.leave(*word, found.unclear | changed);
        for part in &found.parts {
            if part.columns.iter().any(|column| column.shape().is_none_or(|shape| shape.kind != Kind::Flag)) {
                return None;
            }
            yes += part
                .columns
                .iter()
                .map(|column| (column.set_word(*word as usize) & part.bits).count_ones())
                .sum::<u32>();
            bulk.carried += if part.is_carried { part.bits.count_ones() } else { 0 };
            bulk.says(indicator, part.columns);
        }
        bulk.reported += found.plain().count_ones();
        bulk.silent += (bits & !changed & !found.unclear & !found.plain()).count_ones();
    }
    Some((yes, bulk.reported - yes, bulk))
}

/// Sums of the numbers of units.
#[derive(Default)]
struct Sums {
    number: i128,
    whole: i128,
    is_ratio: bool,
    currency: Option<Currency>,
}

impl Sums {
    /// Adds the numbers of some units of a word; none if the columns do not go together.
    fn add(&mut self, columns: &[Arc<Column>], word: u32, bits: u64) -> Option<()> {
        for column in columns {
            let shape = column.shape()?;
            let currency = match &shape.kind {
                Kind::Flag | Kind::Category => return None,
                Kind::Money(currency) => Currency::One(currency.clone()),
                Kind::Ratio => {
                    self.is_ratio = true;
                    Currency::None
                }
                Kind::Count | Kind::Decimal | Kind::Percent => Currency::None,
            };
            if self.currency.get_or_insert_with(|| currency.clone()) != &currency {
                return None;
            }
            let factor = 10_i128.pow(SUM_SCALE.checked_sub(shape.scale)?);
            let (number, whole) = column.sums(word as usize, bits);
            self.number += number * factor;
            self.whole += whole * factor;
        }
        Some(())
    }

    fn number(self) -> Number {
        let exact = |sum: i128| BigDecimal::new(BigInt::from(sum), SUM_SCALE.into()).normalized();
        let (printed, whole) = (exact(self.number), self.is_ratio.then(|| exact(self.whole)));
        let interval = Interval::point(printed.clone());
        Number {
            printed,
            qualifier: Some(Qualifier::Exact),
            raw: interval.clone(),
            interval,
            whole,
            currency: self.currency.unwrap_or(Currency::None),
        }
    }
}

/// The sums of the numbers of a row, and of those of the denominator if that is another indicator, as one sample for all who
/// reported and one for all who did not.
pub(super) fn numbers(
    frame: &Frame<'_>,
    temporality: Temporality,
    ask: &Ask<'_>,
    denominator: Option<&Ask<'_>>,
    group: &Group<'_>,
) -> Option<(Vec<Sample>, Bulk)> {
    let (row, reader) = (group.laid()?, ask.reader(frame.known)?);
    let other = match denominator {
        None => None,
        Some(denominator) => Some((denominator, denominator.reader(frame.known)?)),
    };
    if !arises(ask.indicator, row, frame) || other.is_some_and(|(other, _)| !arises(other.indicator, row, frame)) {
        return None;
    }
    let other = other.map(|(denominator, reader)| (denominator.indicator, reader));
    let readers: Vec<&Reader> = [reader].into_iter().chain(other.map(|(_, reader)| reader)).collect();
    let added = worked_out(frame, group, NUMBERS, &readers, || add_numbers(frame, (ask.indicator, reader), other, row));
    let (samples, mut bulk) = added?;
    bulk.has_newcomers = has_newcomers(temporality, row);
    Some((samples, bulk))
}

fn add_numbers(
    frame: &Frame<'_>,
    (indicator, reader): (&Indicator, &Reader),
    other: Option<(&Indicator, &Reader)>,
    row: &LaidRow,
) -> Option<(Vec<Sample>, Bulk)> {
    let mut bulk = Bulk::default();
    let (mut sums, mut divisors) = (Sums::default(), Sums::default());
    for (word, bits) in &row.bits {
        effort::spend(effort::LOOK);
        let changed = bits & frame.known.changed_word(*word);
        let found = Word::of(reader, *word, bits & !changed);
        let divided = other.map(|(_, reader)| Word::of(reader, *word, bits & !changed));
        let unclear = found.unclear | divided.as_ref().map_or(0, |word| word.unclear);
        let counting = found.plain() & divided.as_ref().map_or(u64::MAX, Word::plain) & !unclear;
        let mut carried = 0;
        let mut add = |indicator: &Indicator, found: &Word<'_>, sums: &mut Sums| {
            for part in &found.parts {
                // A value that is carried is, whether the other one of the two is there or not.
                carried |= if part.is_carried { part.bits & !unclear } else { 0 };
                let counting = part.bits & counting;
                if counting != 0 {
                    sums.add(part.columns, *word, counting)?;
                    bulk.is_tiled |= part.columns.len() > 1;
                    bulk.says(indicator, part.columns);
                }
            }
            Some(())
        };
        add(indicator, &found, &mut sums)?;
        if let (Some((other, _)), Some(divided)) = (other, &divided) {
            add(other, divided, &mut divisors)?;
        }
        bulk.carried += carried.count_ones();
        bulk.leave(*word, unclear | changed);
        bulk.reported += counting.count_ones();
        bulk.silent += (bits & !changed & !unclear & !counting).count_ones();
    }
    let mut samples = Vec::with_capacity(2);
    if bulk.reported > 0 {
        let denominator = other.map(|_| divisors.number());
        samples.push(Sample::reported(bulk.reported, sums.number(), denominator));
    }
    if bulk.silent > 0 {
        samples.push(Sample::silent(bulk.silent));
    }
    Some((samples, bulk))
}
