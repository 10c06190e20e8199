use proptest::{collection::vec, prelude::*};

use super::*;

/// Values of one kind of column, some that do not fit it.
fn value() -> impl Strategy<Value = (u8, Value)> {
    let decimal = (-10_000_000_000_i64..10_000_000_000, 0..12_u32);
    (0..7_u8, any::<bool>(), 0..100_000_i64, decimal).prop_map(|(kind, flag, count, (mantissa, scale))| {
        let decimal = Decimal::from_i128_with_scale(mantissa.into(), scale);
        let value = match kind {
            0 => Value::Flag(flag),
            1 => Value::Count(count),
            2 => Value::Decimal(decimal),
            3 => Value::Percent(decimal),
            4 => Value::Ratio(Ratio::new(count / 2, count + 1).unwrap()),
            5 => {
                let scale = [Scale::Unit, Scale::Million, Scale::Trillion][usize::try_from(count % 3).unwrap()];
                Value::Money { amount: decimal, scale, currency: if flag { "VND" } else { "USD" }.to_owned() }
            }
            _ => Value::Category(format!("code_{}", count % 300).parse().unwrap()),
        };
        (kind, value)
    })
}

fn same(read: &Value, put: &Value) -> bool {
    match (read, put) {
        (
            Value::Money { amount, scale, currency },
            Value::Money { amount: other, scale: other_scale, currency: other_currency },
        ) => currency == other_currency && in_full(*amount, *scale) == in_full(*other, *other_scale),
        (a, b) => a == b,
    }
}

proptest! {
    /// A column says of each unit what a map says, or that reports have to be read.
    #[test]
    fn a_column_is_a_map_or_says_that_it_is_not(
        first in value(),
        steps in vec((0..3_000_u32, 0..10_u8, value()), 1..200),
    ) {
        let mut column = Column::default();
        column.put(5_000, &first.1, 1);
        let mut expected = std::collections::BTreeMap::new();
        for (unit, step, (kind, value)) in steps {
            match step {
                0 => { column.mark_rare(unit); expected.insert(unit, None); }
                1 => {
                    column.clear(unit);
                    if let Some(Some(_)) = expected.get(&unit).filter(|_| !column.is_rare(unit)) { expected.remove(&unit); }
                }
                _ => {
                    column.put(unit, &value, 1);
                    let is_new = !expected.contains_key(&unit);
                    let fits = kind == first.0 && is_new;
                    expected.insert(unit, fits.then_some(value));
                }
            }
        }
        for (unit, value) in &expected {
            match value {
                None => prop_assert!(column.is_rare(*unit) && column.value(*unit).is_none()),
                Some(value) => match column.value(*unit) {
                    Some(read) => prop_assert!(same(&read, value), "{read:?} is not {value:?}"),
                    // A value with too many digits, or of another currency.
                    None => prop_assert!(column.is_rare(*unit) && matches!(first.0, 2 | 3 | 5)),
                },
            }
        }
        let others = (0..3_000).filter(|unit| !expected.contains_key(unit));
        for unit in others {
            prop_assert!(!column.is_rare(unit) && !column.is_plain(unit));
        }
        for word in 0..50 {
            let bits = |is: &dyn Fn(u32) -> bool| (0..64).fold(0, |bits, place| bits | u64::from(is(word * 64 + place)) << place);
            prop_assert_eq!(column.plain_word(word as usize), bits(&|unit| column.is_plain(unit)));
            prop_assert_eq!(column.rare_word(word as usize), bits(&|unit| column.is_rare(unit)));
        }
    }
}

#[test]
fn a_flag_takes_less_than_four_bits_and_a_count_of_four_digits_less_than_three_bytes() {
    let (mut flags, mut counts) = (Column::default(), Column::default());
    for unit in 0..10_035_u32 {
        flags.put(unit, &Value::Flag(unit % 3 == 0), 1);
        counts.put(unit, &Value::Count(i64::from(unit)), 1);
    }
    assert!(flags.byte_count() * 8 < 10_035 * 4 + 8 * 1_024, "{}", flags.byte_count());
    assert!(counts.byte_count() < 10_035 * 3, "{}", counts.byte_count());
}
