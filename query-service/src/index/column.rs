//! What units say of themselves about one indicator, split one way, for the same days: a column with a place for each unit.
//!
//! A cell is **plain** if exactly one statement counts for it and nothing about that is unusual: an exact, actual value,
//! without findings, not published before its days were over. Of such a cell the column knows everything that an answer
//! shows. All other cells are **rare**: a bit says that reports have to be read. A rare cell never becomes plain again, so
//! that a bit that is not set says the same of the past.

use std::sync::Arc;

use rust_decimal::Decimal;
use shared::model::{
    ids::IndicatorId,
    report::{Ratio, Scale, Value},
};

use super::codes::{BLOCK_LEN, Bits, Codes, WORDS, bit, set_bit};

/// Digits after the point that a column keeps for all its numbers; a value with more is rare.
const SCALE_MAX: u32 = 9;

/// What the values of a column are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Yes or no.
    Flag,
    /// Whole numbers.
    Count,
    /// Decimal numbers.
    Decimal,
    /// Percentages.
    Percent,
    /// Parts of wholes.
    Ratio,
    /// Amounts of this currency, in full.
    Money(String),
    /// Codes.
    Category,
}

/// Places of 1,024 units.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// Units with a plain value.
    pub present: Bits,
    /// Units about which reports have to be read.
    pub rare: Bits,
    /// Their numbers; of a ratio the numerators.
    pub numbers: Codes,
    /// Of a ratio the denominators.
    pub wholes: Option<Codes>,
}

/// A column. Copies are cheap: they share every block that neither has changed.
#[derive(Clone, Debug, Default)]
pub struct Column {
    /// Of the first plain value; others are rare. None: there was no plain value.
    pub(super) shape: Option<Shape>,
    pub(super) blocks: Vec<Arc<Block>>,
}

/// What the plain values of a column have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What they are.
    pub kind: Kind,
    /// By which version of the definition they were accepted.
    pub version: u32,
    /// Digits after the point of the numbers.
    pub scale: u32,
    /// The codes of categories, by their number.
    pub codes: Vec<IndicatorId>,
}

impl Column {
    /// What its plain values have in common; none if there never was one.
    pub fn shape(&self) -> Option<&Shape> {
        self.shape.as_ref()
    }

    /// The block of a unit, and its place in it.
    fn block(&self, unit: u32) -> Option<(&Block, usize)> {
        let unit = unit as usize;
        Some((self.blocks.get(unit / BLOCK_LEN)?, unit % BLOCK_LEN))
    }

    fn block_mut(&mut self, unit: u32) -> (&mut Block, usize) {
        let unit = unit as usize;
        if self.blocks.len() <= unit / BLOCK_LEN {
            self.blocks.resize_with(unit / BLOCK_LEN + 1, Arc::default);
        }
        (Arc::make_mut(&mut self.blocks[unit / BLOCK_LEN]), unit % BLOCK_LEN)
    }

    /// Whether a unit has a plain value.
    pub fn is_plain(&self, unit: u32) -> bool {
        self.block(unit).is_some_and(|(block, place)| bit(&block.present, place))
    }

    /// Whether reports have to be read about a unit.
    pub fn is_rare(&self, unit: u32) -> bool {
        self.block(unit).is_some_and(|(block, place)| bit(&block.rare, place))
    }

    /// 64 units from `64 × word` on: a bit for each with a plain value.
    pub fn plain_word(&self, word: usize) -> u64 {
        self.blocks.get(word / WORDS).map_or(0, |block| block.present[word % WORDS])
    }

    /// The same for those about which reports have to be read.
    pub fn rare_word(&self, word: usize) -> u64 {
        self.blocks.get(word / WORDS).map_or(0, |block| block.rare[word % WORDS])
    }

    /// The same for those whose flag is set.
    pub fn set_word(&self, word: usize) -> u64 {
        self.blocks.get(word / WORDS).map_or(0, |block| match &block.numbers {
            Codes::Bits(bits) => bits[word % WORDS] & block.present[word % WORDS],
            _ => 0,
        })
    }

    /// The number of a unit with a plain value, in units of its last digit.
    pub fn number(&self, unit: u32) -> i64 {
        self.block(unit).map_or(0, |(block, place)| block.numbers.get(place))
    }

    /// Of a unit with a plain ratio its denominator.
    pub fn whole(&self, unit: u32) -> i64 {
        self.block(unit).and_then(|(block, place)| Some(block.wholes.as_ref()?.get(place))).unwrap_or_default()
    }

    /// The sums of the numbers of some units, in units of the last digit, and of ratios those of the denominators: of units
    /// with a plain value, from `64 × word` on.
    pub fn sums(&self, word: usize, mut bits: u64) -> (i128, i128) {
        let Some(block) = self.blocks.get(word / WORDS) else { return (0, 0) };
        let first = word % WORDS * 64;
        let (mut numbers, mut wholes) = (0, 0);
        while bits != 0 {
            let place = first + bits.trailing_zeros() as usize;
            numbers += i128::from(block.numbers.get(place));
            wholes += block.wholes.as_ref().map_or(0, |wholes| i128::from(wholes.get(place)));
            bits &= bits - 1;
        }
        (numbers, wholes)
    }

    /// The plain value of a unit.
    pub fn value(&self, unit: u32) -> Option<Value> {
        let (shape, number) = (self.shape.as_ref().filter(|_| self.is_plain(unit))?, self.number(unit));
        let decimal = || Decimal::from_i128_with_scale(number.into(), shape.scale).normalize();
        Some(match &shape.kind {
            Kind::Flag => Value::Flag(number == 1),
            Kind::Count => Value::Count(number),
            Kind::Decimal => Value::Decimal(decimal()),
            Kind::Percent => Value::Percent(decimal()),
            Kind::Ratio => Value::Ratio(Ratio::new(number, self.whole(unit)).ok()?),
            Kind::Money(currency) => Value::Money { amount: decimal(), scale: Scale::Unit, currency: currency.clone() },
            Kind::Category => Value::Category(shape.codes.get(usize::try_from(number).ok()?)?.clone()),
        })
    }

    /// Puts the one plain value of a unit; where that has no room, or another is there, the cell is rare.
    pub fn put(&mut self, unit: u32, value: &Value, version: u32) {
        if self.is_rare(unit) {
            return;
        }
        let numbers = if self.is_plain(unit) { None } else { self.numbers_of(value, version) };
        let Some((number, whole)) = numbers else { return self.mark_rare(unit) };
        let (block, place) = self.block_mut(unit);
        block.numbers.set(place, number, &block.present);
        if let Some(whole) = whole {
            block.wholes.get_or_insert_default().set(place, whole, &block.present);
        }
        set_bit(&mut block.present, place, true);
    }

    /// The value of a unit no longer counts, and another one of the same report may follow.
    pub fn clear(&mut self, unit: u32) {
        if self.is_plain(unit) {
            let (block, place) = self.block_mut(unit);
            set_bit(&mut block.present, place, false);
        }
    }

    /// From now on reports have to be read about a unit.
    pub fn mark_rare(&mut self, unit: u32) {
        let (block, place) = self.block_mut(unit);
        set_bit(&mut block.present, place, false);
        set_bit(&mut block.rare, place, true);
    }

    /// The numbers that stand for a value; none if it does not fit what is there.
    fn numbers_of(&mut self, value: &Value, version: u32) -> Option<(i64, Option<i64>)> {
        let (kind, decimal) = match value {
            Value::Flag(_) => (Kind::Flag, None),
            Value::Count(_) => (Kind::Count, None),
            Value::Decimal(number) => (Kind::Decimal, Some(*number)),
            Value::Percent(number) => (Kind::Percent, Some(*number)),
            Value::Ratio(_) => (Kind::Ratio, None),
            Value::Money { amount, scale, currency } => {
                (Kind::Money(currency.clone()), Some(in_full(*amount, *scale)?))
            }
            Value::Category(_) => (Kind::Category, None),
            Value::Direction(_) | Value::Change(_) | Value::Missing(_) => return None,
        };
        let empty = || Shape { kind: kind.clone(), version, scale: 0, codes: Vec::new() };
        let shape = self.shape.get_or_insert_with(empty);
        if (&shape.kind, shape.version) != (&kind, version) {
            return None;
        }
        match value {
            Value::Flag(flag) => Some((i64::from(*flag), None)),
            Value::Count(count) => Some((*count, None)),
            Value::Ratio(ratio) => Some((ratio.numerator(), Some(ratio.denominator()))),
            Value::Category(code) => {
                let known = shape.codes.iter().position(|known| known == code);
                let number = known.unwrap_or_else(|| {
                    shape.codes.push(code.clone());
                    shape.codes.len() - 1
                });
                Some((i64::try_from(number).ok()?, None))
            }
            _ => Some((self.scaled(decimal?)?, None)),
        }
    }

    /// A number in units of the column's last digit, which becomes a finer one if it has to.
    fn scaled(&mut self, number: Decimal) -> Option<i64> {
        let number = number.normalize();
        let scale = self.shape.as_ref()?.scale;
        if number.scale() > scale {
            self.rescale(number.scale())?;
        }
        let scale = self.shape.as_ref()?.scale;
        let factor = 10_i128.checked_pow(scale.checked_sub(number.scale())?)?;
        number.mantissa().checked_mul(factor)?.try_into().ok()
    }

    /// Gives every number more digits after the point; none, and nothing changes, if one has no room for them.
    fn rescale(&mut self, scale: u32) -> Option<()> {
        let shape = self.shape.as_ref().filter(|_| scale <= SCALE_MAX)?;
        let factor = 10_i64.checked_pow(scale.checked_sub(shape.scale)?)?;
        let units = || (0..self.blocks.len() * BLOCK_LEN).filter_map(|unit| u32::try_from(unit).ok());
        let present: Vec<u32> = units().filter(|unit| self.is_plain(*unit)).collect();
        let scaled: Option<Vec<i64>> = present.iter().map(|unit| self.number(*unit).checked_mul(factor)).collect();
        for (unit, number) in present.iter().zip(scaled?) {
            let (block, place) = self.block_mut(*unit);
            block.numbers.set(place, number, &block.present);
        }
        self.shape.as_mut()?.scale = scale;
        Some(())
    }

    /// Cells that are plain or rare.
    pub fn cell_count(&self) -> u64 {
        let words = |block: &Arc<Block>| {
            let words = block.present.iter().zip(&block.rare);
            words.map(|(present, rare)| u64::from((present | rare).count_ones())).sum::<u64>()
        };
        self.blocks.iter().map(words).sum()
    }

    /// Bytes in memory.
    pub fn byte_count(&self) -> usize {
        let codes = |codes: &Codes| match codes {
            Codes::Bits(_) => size_of::<Bits>(),
            Codes::Narrow(_, codes) => codes.capacity(),
            Codes::Middle(_, codes) => codes.capacity() * 2,
            Codes::Wide(_, codes) => codes.capacity() * 4,
            Codes::Full(codes) => codes.capacity() * 8,
        };
        let block =
            |block: &Arc<Block>| size_of::<Block>() + codes(&block.numbers) + block.wholes.as_ref().map_or(0, codes);
        size_of::<Self>() + self.blocks.iter().map(block).sum::<usize>()
    }
}

/// An amount of money in units of its currency; none if it has no room.
fn in_full(amount: Decimal, scale: Scale) -> Option<Decimal> {
    let factor = match scale {
        Scale::Unit => 1,
        Scale::Thousand => 1_000,
        Scale::Million => 1_000_000,
        Scale::Billion => 1_000_000_000,
        Scale::Trillion => 1_000_000_000_000_i64,
    };
    let amount = amount.normalize();
    let full = amount.checked_mul(Decimal::from(factor))?;
    // A product with more digits than there is room for is rounded: then dividing gives another number.
    (full.checked_div(Decimal::from(factor))? == amount).then_some(full)
}

#[cfg(test)]
mod tests;
