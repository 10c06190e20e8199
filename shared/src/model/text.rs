//! Free text: stored in Unicode form NFC, bounded, without characters that nobody sees. And names as people search them.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};
use unicode_security::MixedScript;

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
    /// It contains a character that is not seen, or that turns the direction of what stands around it.
    #[error("contains the invisible character U+{0:04X}; remove it")]
    Invisible(u32),
}

/// The text in NFC, without blanks around it; a no-break space becomes a space.
///
/// # Errors
/// [`TextFault`] if it is longer than `chars_max` characters, or contains a control, bidirectional or invisible
/// character.
pub fn clean(text: &str, chars_max: usize) -> Result<String, TextFault> {
    if text.is_empty() {
        return Ok(String::new());
    }
    if text.is_ascii() {
        return clean_ascii(text.trim(), chars_max);
    }
    clean_any(text, chars_max)
}

fn clean_any(text: &str, chars_max: usize) -> Result<String, TextFault> {
    let spaced: String = text.chars().map(|c| if matches!(c, '\u{a0}' | '\u{202f}') { ' ' } else { c }).collect();
    let clean: String = spaced.trim().nfc().collect();
    if let Some(control) = clean.chars().find(|c| c.is_control()) {
        return Err(TextFault::Control(control.into()));
    }
    if let Some(invisible) = clean.chars().find(|c| is_invisible(*c)) {
        return Err(TextFault::Invisible(invisible.into()));
    }
    let chars = clean.chars().count();
    if chars > chars_max { Err(TextFault::TooLong { chars, chars_max }) } else { Ok(clean) }
}

/// A text of which every character is its own composed form and can be seen, if it is no control character.
fn clean_ascii(text: &str, chars_max: usize) -> Result<String, TextFault> {
    if let Some(control) = text.bytes().find(u8::is_ascii_control) {
        return Err(TextFault::Control(control.into()));
    }
    let chars = text.len();
    if chars > chars_max { Err(TextFault::TooLong { chars, chars_max }) } else { Ok(text.to_owned()) }
}

/// Format characters, and others that leave no mark: soft hyphen, joiners, bidirectional controls, fillers, tags,
/// variation selectors, line and paragraph separators.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Whether a text mixes scripts, such as Latin with a Cyrillic letter that looks the same (UTS 39).
pub fn mixes_scripts(text: &str) -> bool {
    // Letters of ASCII are Latin, and the rest of it goes with every script.
    !text.is_ascii() && text.split(|c: char| !c.is_alphanumeric()).any(|word| !word.is_single_script())
}

/// A name as it is searched: lower case, without accents and tones, đ as d, single blanks.
pub fn fold(name: &str) -> String {
    let letters = name.nfd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase);
    let letters: String = letters.map(|c| if c == 'đ' { 'd' } else { c }).collect();
    letters.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A name as it is compared with accents: NFC, lower case, single blanks.
pub fn lower(name: &str) -> String {
    let lower: String = name.nfc().flat_map(char::to_lowercase).collect();
    lower.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decomposed_text_is_stored_composed() {
        assert_eq!(clean("Huye\u{323}\u{302}n", 10).unwrap(), "Huyện");
        assert_eq!(clean(" a ", 1).unwrap(), "a");
        assert_eq!(clean("Đại\u{a0}Từ", 10).unwrap(), "Đại Từ");
    }

    proptest::proptest! {
        #[test]
        fn a_text_of_ascii_is_cleaned_as_any_other(text in "[\\x00-\\x7f]{0,12}|[ -~]{0,12}", chars_max in 0usize..14) {
            proptest::prop_assert_eq!(clean(&text, chars_max), clean_any(&text, chars_max));
        }
    }

    #[test]
    fn unseen_characters_and_long_texts_are_refused() {
        assert_eq!(clean("a\u{7}b", 10), Err(TextFault::Control(7)));
        assert_eq!(clean("abc", 2), Err(TextFault::TooLong { chars: 3, chars_max: 2 }));
        for unseen in ['\u{200b}', '\u{200d}', '\u{202e}', '\u{2066}', '\u{feff}', '\u{ad}', '\u{e0041}', '\u{2028}'] {
            assert_eq!(clean(&format!("a{unseen}b"), 10), Err(TextFault::Invisible(unseen.into())));
        }
    }

    #[test]
    fn scripts_may_stand_beside_each_other_but_not_in_one_word() {
        assert!(!mixes_scripts("Huyện Đại Từ"));
        assert!(!mixes_scripts("Đại Từ (Дай Ты) 2015-2020"));
        assert!(mixes_scripts("Huy\u{435}n"), "a Cyrillic е");
    }

    #[test]
    fn names_are_folded_as_people_type_them() {
        for name in ["Đại Từ", "ĐẠI TỪ", "dai tu", "Đa\u{323}i  Tu\u{31b}\u{300}"] {
            assert_eq!(fold(name), "dai tu", "{name}");
        }
        assert_eq!(fold("Hòa"), fold("Hoà"));
        assert_eq!(fold("Đắk Đoa"), fold("Đak Đoa"));
        assert_ne!(lower("Đắk Đoa"), lower("Đak Đoa"));
    }
}
