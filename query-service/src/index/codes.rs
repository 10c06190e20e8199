//! Whole numbers of a block, in as few bytes as the numbers that are there need.

/// Places of a block.
pub const BLOCK_LEN: usize = 1024;
/// The same in words of 64 bits.
pub const WORDS: usize = BLOCK_LEN / 64;

/// A bit for each place of a block.
pub type Bits = [u64; WORDS];

/// Whether the bit of a place is set.
pub fn bit(bits: &Bits, place: usize) -> bool {
    bits[place / 64] & (1 << (place % 64)) != 0
}

/// Sets the bit of a place, or clears it.
pub fn set_bit(bits: &mut Bits, place: usize, is_set: bool) {
    let (word, mask) = (&mut bits[place / 64], 1 << (place % 64));
    *word = if is_set { *word | mask } else { *word & !mask };
}

/// Numbers by their place: bits, or distances from the least of them. What stands at a place without a number means
/// nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Codes {
    /// 0 and 1.
    Bits(Box<Bits>),
    /// Up to 2^8 apart.
    Narrow(i64, Vec<u8>),
    /// Up to 2^16 apart.
    Middle(i64, Vec<u16>),
    /// Up to 2^32 apart.
    Wide(i64, Vec<u32>),
    /// Any.
    Full(Vec<i64>),
}

impl Default for Codes {
    fn default() -> Self {
        Self::Bits(Box::new([0; WORDS]))
    }
}

impl Codes {
    /// The number at a place.
    pub fn get(&self, place: usize) -> i64 {
        match self {
            Self::Bits(bits) => i64::from(bit(bits, place)),
            Self::Narrow(least, codes) => least + codes.get(place).copied().map_or(0, i64::from),
            Self::Middle(least, codes) => least + codes.get(place).copied().map_or(0, i64::from),
            Self::Wide(least, codes) => least + codes.get(place).copied().map_or(0, i64::from),
            Self::Full(numbers) => numbers.get(place).copied().unwrap_or_default(),
        }
    }

    /// Puts a number at a place; `present` are the places whose numbers have to stay.
    pub fn set(&mut self, place: usize, number: i64, present: &Bits) {
        let is_put = match self {
            Self::Bits(bits) if number == 0 || number == 1 => {
                set_bit(bits, place, number == 1);
                true
            }
            Self::Bits(_) => false,
            Self::Narrow(least, codes) => put(codes, place, distance(*least, number)),
            Self::Middle(least, codes) => put(codes, place, distance(*least, number)),
            Self::Wide(least, codes) => put(codes, place, distance(*least, number)),
            Self::Full(numbers) => put(numbers, place, Some(number)),
        };
        if !is_put {
            let others = (0..BLOCK_LEN).filter(|other| *other != place && bit(present, *other));
            let mut numbers: Vec<(usize, i64)> = others.map(|other| (other, self.get(other))).collect();
            numbers.push((place, number));
            *self = Self::of(&numbers);
        }
    }

    /// The shortest form in which these numbers have room.
    fn of(numbers: &[(usize, i64)]) -> Self {
        let values = || numbers.iter().map(|(_, number)| *number);
        let (least, most) = (values().min().unwrap_or_default(), values().max().unwrap_or_default());
        let apart = most.checked_sub(least);
        let mut codes = match apart {
            Some(0..=0xff) => Self::Narrow(least, Vec::new()),
            Some(0..=0xffff) => Self::Middle(least, Vec::new()),
            Some(0..=0xffff_ffff) => Self::Wide(least, Vec::new()),
            _ => Self::Full(Vec::new()),
        };
        for (place, number) in numbers {
            match &mut codes {
                Self::Bits(_) => false,
                Self::Narrow(least, codes) => put(codes, *place, distance(*least, *number)),
                Self::Middle(least, codes) => put(codes, *place, distance(*least, *number)),
                Self::Wide(least, codes) => put(codes, *place, distance(*least, *number)),
                Self::Full(numbers) => put(numbers, *place, Some(*number)),
            };
        }
        codes
    }
}

/// How far a number is above the least one, if a code can hold it.
fn distance<C: TryFrom<i64>>(least: i64, number: i64) -> Option<C> {
    C::try_from(number.checked_sub(least)?).ok()
}

fn put<C: Clone + Default>(codes: &mut Vec<C>, place: usize, code: Option<C>) -> bool {
    let Some(code) = code else { return false };
    if codes.len() <= place {
        codes.resize(place + 1, C::default());
    }
    codes[place] = code;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_however_far_they_are_apart() {
        let (mut codes, mut present) = (Codes::default(), [0; WORDS]);
        let numbers = [1, 0, 300, 200, -5, 70_000, 5_000_000_000, i64::MIN, i64::MAX];
        for (place, number) in numbers.into_iter().enumerate() {
            codes.set(place * 100, number, &present);
            set_bit(&mut present, place * 100, true);
            for (before, number) in numbers[..=place].iter().enumerate() {
                assert_eq!(codes.get(before * 100), *number, "after {place}");
            }
        }
    }

    #[test]
    fn a_number_far_off_costs_room_only_while_it_is_there() {
        let (mut codes, mut present) = (Codes::default(), [0; WORDS]);
        for (place, number) in [(0, 100_000), (1, 100_001)] {
            codes.set(place, number, &present);
            set_bit(&mut present, place, true);
        }
        assert!(matches!(codes, Codes::Narrow(100_000, _)));
    }
}
