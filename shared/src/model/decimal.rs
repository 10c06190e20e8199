//! Decimal numbers as printed: exact, with their digits.

use rust_decimal::Decimal;

use crate::limits::DECIMAL_DIGITS_MAX;

/// A text that is no decimal number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalFault {
    /// It is not written as one.
    #[error("is no decimal number; write digits with a point, such as \"98.2\", without thousands marks or exponent")]
    Form,
    /// It has too many digits.
    #[error("has {digits} digits, at most {DECIMAL_DIGITS_MAX} are allowed")]
    Digits {
        /// Digits it has.
        digits: usize,
    },
}

/// Reads a decimal number and keeps the digits it was printed with: "0.60" stays "0.60". "-0" becomes "0".
///
/// # Errors
/// [`DecimalFault`] if it is not written as `-?(0|[1-9][0-9]*)(\.[0-9]+)?` or has more than 28 digits.
pub fn parse(text: &str) -> Result<Decimal, DecimalFault> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) =
        unsigned.split_once('.').map_or((unsigned, None), |(whole, fraction)| (whole, Some(fraction)));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let leading_zero = whole.len() > 1 && whole.starts_with('0');
    if !all_digits(whole) || leading_zero || fraction.is_some_and(|f| !all_digits(f)) {
        return Err(DecimalFault::Form);
    }
    let digits = whole.len() + fraction.map_or(0, str::len);
    if digits > DECIMAL_DIGITS_MAX {
        return Err(DecimalFault::Digits { digits });
    }
    let mut number = Decimal::from_str_exact(text).map_err(|_| DecimalFault::Form)?;
    if number.is_zero() {
        number.set_sign_positive(true);
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_that_are_no_decimals_are_refused() {
        for bad in [
            "", "-", ".", "1.", ".5", "12,7", "NaN", "inf", "1e400", "1E2", "+1", " 1", "1 ", "1_000", "01", "0x1",
            "١", "--1",
        ] {
            assert_eq!(parse(bad), Err(DecimalFault::Form), "{bad}");
        }
        assert_eq!(parse(&"1".repeat(40)), Err(DecimalFault::Digits { digits: 40 }));
    }

    #[test]
    fn minus_zero_is_zero() {
        assert_eq!(parse("-0.0").unwrap().to_string(), "0.0");
    }

    proptest! {
        #[test]
        fn digits_are_kept_as_printed(text in "-?([1-9][0-9]{0,14}|0)(\\.[0-9]{1,13})?") {
            let number = parse(&text).unwrap();
            let printed = if number.is_zero() { text.trim_start_matches('-').to_owned() } else { text };
            prop_assert_eq!(number.to_string(), printed);
        }
    }
}
