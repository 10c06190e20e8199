//! Periods: a span of days and how it was written.
//!
//! | written | days |
//! |---|---|
//! | `2016` | the year |
//! | `2016-S2`, `2017-Q2` | the half-year, the quarter |
//! | `2017-08`, `2017-08-17` | the month, the day |
//! | `2015/2019-11-22` | from the first day of the one to the last day of the other |
//! | `2016/..`, `../2017-08` | open at one end |
//! | `term:2015-2020` | the days of that term, looked up when the report is accepted |

use std::{cmp::Ordering, fmt, str::FromStr};

use jiff::civil::Date;

use super::fault::quote;
use crate::limits::ID_CHARS_MAX;

/// A text that is no period.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeriodFault {
    /// It is not written as one; as the message quotes it.
    #[error(
        "{0} is no period; write a year 2016, half 2016-S2, quarter 2017-Q2, month 2017-08, day 2017-08-17, \
         two of them as 2015/2019-11-22, an open end as 2016/.. or ../2017-08, or term:2015-2020"
    )]
    Form(String),
    /// It ends before it starts.
    #[error("{0} ends before it starts")]
    EndBeforeStart(String),
}

/// A span of days, both ends included; an end that is not there is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// First day; none: open.
    pub first_day: Option<Date>,
    /// Last day; none: open.
    pub last_day: Option<Date>,
}

impl PartialOrd for Span {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By the first day, an open one before all others; then by the last day, an open one after all others.
impl Ord for Span {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |span: &Self| (span.first_day, span.last_day.is_none(), span.last_day);
        key(self).cmp(&key(other))
    }
}

impl Span {
    /// Every day.
    pub const EVER: Self = Self { first_day: None, last_day: None };

    /// Whether every day of the other lies in it.
    pub fn contains_span(&self, other: &Self) -> bool {
        let starts = self.first_day.is_none_or(|first| other.first_day.is_some_and(|other| first <= other));
        let ends = self.last_day.is_none_or(|last| other.last_day.is_some_and(|other| other <= last));
        starts && ends
    }

    /// The days that both have; none if there are none.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let last_day = match (self.last_day, other.last_day) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.overlaps(other).then_some(Self { first_day: self.first_day.max(other.first_day), last_day })
    }

    /// Whether the day lies in it.
    pub fn contains(&self, day: Date) -> bool {
        self.first_day.is_none_or(|first| first <= day) && self.last_day.is_none_or(|last| day <= last)
    }

    /// Whether the two have a day in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        let ends_before =
            |a: &Self, b: &Self| matches!((a.last_day, b.first_day), (Some(last), Some(first)) if last < first);
        !ends_before(self, other) && !ends_before(other, self)
    }

    /// How many days it has; none: infinitely many.
    pub fn day_count(&self) -> Option<i64> {
        let (first, last) = (self.first_day?, self.last_day?);
        let days = last.since(first).map_or(0, |span| i64::from(span.get_days()));
        Some(days + 1)
    }
}

/// A period as a person wrote it, before a term is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WrittenPeriod {
    /// Days.
    Days(Period),
    /// The label of a term.
    Term(String),
}

const TERM_PREFIX: &str = "term:";

impl fmt::Display for WrittenPeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Days(period) => f.write_str(period.written()),
            Self::Term(label) => write!(f, "{TERM_PREFIX}{label}"),
        }
    }
}

impl FromStr for WrittenPeriod {
    type Err = PeriodFault;

    fn from_str(text: &str) -> Result<Self, PeriodFault> {
        match text.strip_prefix(TERM_PREFIX) {
            Some(label) if is_term_label(label) => Ok(Self::Term(label.to_owned())),
            Some(_) => Err(PeriodFault::Form(quote(text))),
            None => text.parse().map(Self::Days),
        }
    }
}

/// Whether a text is the label of a term: `[A-Za-z0-9-]`, 1 to 64 characters.
pub fn is_term_label(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    !text.is_empty() && text.len() <= ID_CHARS_MAX && text.bytes().all(fits)
}

/// A period whose days are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    written: String,
    span: Span,
}

impl Period {
    /// The period of a term: its label and the days that were looked up.
    pub fn of_term(label: &str, span: Span) -> Self {
        Self { written: format!("{TERM_PREFIX}{label}"), span }
    }

    /// A period of days that is written so.
    pub fn of_days(written: &str, span: Span) -> Self {
        Self { written: written.to_owned(), span }
    }

    /// As it was written; part of what identifies a report.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// Its days.
    pub fn span(&self) -> Span {
        self.span
    }
}

impl FromStr for Period {
    type Err = PeriodFault;

    fn from_str(text: &str) -> Result<Self, PeriodFault> {
        let form = || PeriodFault::Form(quote(text));
        let span = match text.split_once('/') {
            None => {
                let (first, last) = days_of(text).ok_or_else(form)?;
                Span { first_day: Some(first), last_day: Some(last) }
            }
            Some(("..", "..")) => return Err(form()),
            Some((start, end)) => Span {
                first_day: if start == ".." { None } else { Some(days_of(start).ok_or_else(form)?.0) },
                last_day: if end == ".." { None } else { Some(days_of(end).ok_or_else(form)?.1) },
            },
        };
        match (span.first_day, span.last_day) {
            (Some(first), Some(last)) if last < first => Err(PeriodFault::EndBeforeStart(quote(text))),
            _ => Ok(Self { written: text.to_owned(), span }),
        }
    }
}

/// Reads a day written as `YYYY-MM-DD`, and nothing else.
pub fn parse_day(text: &str) -> Option<Date> {
    match text.len() {
        10 => days_of(text).map(|(first, _)| first),
        _ => None,
    }
}

/// First and last day of a period that is written without a slash.
fn days_of(text: &str) -> Option<(Date, Date)> {
    let year: i16 = number(text.get(..4)?)?;
    let rest = text.get(4..)?;
    let months = |first: i8, last: i8| {
        let first = Date::new(year, first, 1).ok()?;
        let last = Date::new(year, last, 1).ok()?.last_of_month();
        Some((first, last))
    };
    if year == 0 {
        return None;
    }
    match rest.as_bytes() {
        [] => months(1, 12),
        [b'-', b'S', half @ b'1'..=b'2'] => {
            let first = i8::try_from(half - b'1').ok()? * 6 + 1;
            months(first, first + 5)
        }
        [b'-', b'Q', quarter @ b'1'..=b'4'] => {
            let first = i8::try_from(quarter - b'1').ok()? * 3 + 1;
            months(first, first + 2)
        }
        [b'-', _, _] => {
            let month = number(&rest[1..])?;
            months(month, month)
        }
        [b'-', _, _, b'-', _, _] => {
            let day = Date::new(year, number(rest.get(1..3)?)?, number(rest.get(4..6)?)?).ok()?;
            Some((day, day))
        }
        _ => None,
    }
}

/// A number written in ASCII digits only.
fn number<T: FromStr>(digits: &str) -> Option<T> {
    if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    fn days(text: &str) -> (Option<Date>, Option<Date>) {
        let span = text.parse::<Period>().unwrap().span();
        (span.first_day, span.last_day)
    }

    #[test]
    fn every_form_has_its_days() {
        let closed = |first, last| (Some(first), Some(last));
        assert_eq!(days("2016"), closed(date(2016, 1, 1), date(2016, 12, 31)));
        assert_eq!(days("2016-S2"), closed(date(2016, 7, 1), date(2016, 12, 31)));
        assert_eq!(days("2017-Q2"), closed(date(2017, 4, 1), date(2017, 6, 30)));
        assert_eq!(days("2016-02"), closed(date(2016, 2, 1), date(2016, 2, 29)));
        assert_eq!(days("2017-08-17"), closed(date(2017, 8, 17), date(2017, 8, 17)));
        assert_eq!(days("2007-01-01/2016-12-31"), closed(date(2007, 1, 1), date(2016, 12, 31)));
        assert_eq!(days("2015/2019-11-22"), closed(date(2015, 1, 1), date(2019, 11, 22)));
        assert_eq!(days("2019-01/2019-09"), closed(date(2019, 1, 1), date(2019, 9, 30)));
        assert_eq!(days("2016/.."), (Some(date(2016, 1, 1)), None));
        assert_eq!(days("../2017-08"), (None, Some(date(2017, 8, 31))));
        assert_eq!("term:2015-2020".parse(), Ok(WrittenPeriod::Term("2015-2020".to_owned())));
    }

    #[test]
    fn what_is_no_period_is_refused() {
        for bad in [
            "",
            "16",
            "0000",
            "2016-Q5",
            "2016-S3",
            "2016-13",
            "2016-00",
            "2016-02-30",
            "2016-2-3",
            "2016Q1",
            "../..",
            "/",
            "2016/",
            "/2016",
            "..",
            "2016//2017",
            "2016/2017/2018",
            "term:",
            "term:2015/2020",
            "2016/term:x",
            " 2016",
            "2016-08-17T00:00",
            "２016",
            "+016",
            "2016-q1",
            "2016-+1",
            "đđ",
        ] {
            assert!(matches!(bad.parse::<WrittenPeriod>(), Err(PeriodFault::Form(_))), "{bad}");
        }
        assert_eq!("2017/2016".parse::<Period>(), Err(PeriodFault::EndBeforeStart(quote("2017/2016"))));
    }

    #[test]
    fn days_are_counted_with_both_ends() {
        let count = |text: &str| text.parse::<Period>().unwrap().span().day_count();
        assert_eq!(count("2016-02-28/2016-03-01"), Some(3));
        assert_eq!(count("2007-01-01/2016-12-31"), Some(3653));
        assert_eq!(count("2016/.."), None);
    }

    #[test]
    fn spans_overlap_where_they_have_a_day_in_common() {
        let overlap = |a: &str, b: &str| {
            let span = |text: &str| text.parse::<Period>().unwrap().span();
            assert_eq!(span(a).overlaps(&span(b)), span(b).overlaps(&span(a)));
            span(a).overlaps(&span(b))
        };
        assert!(overlap("2016", "2016-12-31") && overlap("../2016", "2016/..") && overlap("2016", "../2017"));
        assert!(!overlap("2016", "2017") && !overlap("../2015", "2016/..") && !overlap("2016-Q1", "2016-Q2"));
    }

    fn spans() -> impl Strategy<Value = Span> {
        let day = || proptest::option::weighted(0.8, (0i16..3, 1i8..4, 1i8..4));
        let date = |day: Option<(i16, i8, i8)>| day.map(|(year, month, day)| date(2016 + year, month, day));
        (day(), day()).prop_map(move |(a, b)| match (date(a), date(b)) {
            (Some(a), Some(b)) => Span { first_day: Some(a.min(b)), last_day: Some(a.max(b)) },
            (first_day, last_day) => Span { first_day, last_day },
        })
    }

    fn simple() -> impl Strategy<Value = String> {
        (1900i32..2100, 1u8..=12, 1u8..=28, 0u8..5).prop_map(|(year, month, day, form)| match form {
            0 => format!("{year}"),
            1 => format!("{year}-S{}", (month - 1) / 6 + 1),
            2 => format!("{year}-Q{}", (month - 1) / 3 + 1),
            3 => format!("{year}-{month:02}"),
            _ => format!("{year}-{month:02}-{day:02}"),
        })
    }

    proptest! {
        #[test]
        fn a_period_keeps_its_writing_and_runs_forward(text in simple()) {
            let period: Period = text.parse().unwrap();
            prop_assert_eq!(period.written(), &text);
            let span = period.span();
            prop_assert!(span.first_day <= span.last_day);
            prop_assert!(span.contains(span.first_day.unwrap()) && span.contains(span.last_day.unwrap()));
            prop_assert!(!span.contains(span.first_day.unwrap().yesterday().unwrap()));
            prop_assert!(!span.contains(span.last_day.unwrap().tomorrow().unwrap()));
        }

        #[test]
        fn spans_have_one_order(a in spans(), b in spans(), c in spans()) {
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            prop_assert_eq!(a == b, a.cmp(&b) == Ordering::Equal);
            prop_assert!(!(a <= b && b <= c) || a <= c);
        }

        #[test]
        fn spans_contain_and_overlap_as_their_days_do(a in spans(), b in spans(), c in spans()) {
            // Days beyond every end stand for the open ones.
            let days: Vec<Date> = (0..1500).map(|n| date(2015, 1, 1).checked_add(jiff::Span::new().days(n)).unwrap()).collect();
            let both = |a: &Span, b: &Span| days.iter().any(|day| a.contains(*day) && b.contains(*day));
            let within = |a: &Span, b: &Span| days.iter().all(|day| a.contains(*day) || !b.contains(*day));
            prop_assert_eq!(a.overlaps(&b), both(&a, &b));
            prop_assert_eq!(a.contains_span(&b), within(&a, &b));
            prop_assert!(a.contains_span(&a));
            prop_assert!(!(a.contains_span(&b) && b.contains_span(&a)) || a == b);
            prop_assert!(!(a.contains_span(&b) && b.contains_span(&c)) || a.contains_span(&c));
            match a.intersection(&b) {
                None => prop_assert!(!a.overlaps(&b)),
                Some(common) => {
                    prop_assert!(a.contains_span(&common) && b.contains_span(&common));
                    prop_assert_eq!(days.iter().filter(|day| common.contains(**day)).count(),
                        days.iter().filter(|day| a.contains(**day) && b.contains(**day)).count());
                }
            }
        }

        #[test]
        fn two_periods_join_or_are_refused(start in simple(), end in simple()) {
            let (first, _) = days(&start);
            let (_, last) = days(&end);
            match format!("{start}/{end}").parse::<Period>() {
                Ok(period) => {
                    prop_assert_eq!(period.span(), Span { first_day: first, last_day: last });
                    prop_assert!(period.span().day_count().unwrap() >= 1);
                }
                Err(fault) => {
                    prop_assert!(last < first);
                    prop_assert!(matches!(fault, PeriodFault::EndBeforeStart(_)));
                }
            }
        }

        #[test]
        fn any_text_is_answered(text in ".{0,20}") {
            let _ = text.parse::<WrittenPeriod>();
        }
    }
}
