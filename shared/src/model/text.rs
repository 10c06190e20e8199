//! Free text: stored in Unicode form NFC, bounded, without control characters.

use unicode_normalization::UnicodeNormalization;

/// Why a text is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextFault {
    /// It is longer than the limit.
    #[error("has {chars} characters, at most {chars_max} are allowed")]
    TooLong {
        /// Characters it has, in NFC.
        chars: usize,
        /// Characters allowed.
        chars_max: usize,
    },
    /// It contains a control character.
    #[error("contains the control character U+{0:04X}; remove it")]
    Control(u32),
}

/// The text in NFC, without blanks around it.
///
/// # Errors
/// [`TextFault`] if it is longer than `chars_max` characters or contains a control character.
pub fn clean(text: &str, chars_max: usize) -> Result<String, TextFault> {
    let clean: String = text.trim().nfc().collect();
    if let Some(control) = clean.chars().find(|c| c.is_control()) {
        return Err(TextFault::Control(control.into()));
    }
    let chars = clean.chars().count();
    if chars > chars_max { Err(TextFault::TooLong { chars, chars_max }) } else { Ok(clean) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decomposed_text_is_stored_composed() {
        assert_eq!(clean("Huye\u{323}\u{302}n", 10).unwrap(), "Huyện");
        assert_eq!(clean(" a ", 1).unwrap(), "a");
    }

    #[test]
    fn control_characters_and_long_texts_are_refused() {
        assert_eq!(clean("a\u{7}b", 10), Err(TextFault::Control(7)));
        assert_eq!(clean("abc", 2), Err(TextFault::TooLong { chars: 3, chars_max: 2 }));
    }
}
