//! Columns and what stands in them.

use std::{borrow::Cow, collections::BTreeMap};

use proto::v1::{figure::Measure, observation::Scope};
use serde_json::{Map, Value};

use super::{Head, Kind, Question};

/// Of which type a column of the stream is. In CSV everything is text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// Text, decimal numbers with their digits included.
    Text,
    /// Whole number.
    Integer,
    /// Yes or no.
    Flag,
    /// Day.
    Day,
}

/// What a row says in one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell<'a> {
    /// Nothing.
    Absent,
    /// Text.
    Text(Cow<'a, str>),
    /// Decimal number with the digits that it has; goes into a column of text.
    Number(Cow<'a, str>),
    /// Whole number.
    Integer(i64),
    /// Yes or no.
    Flag(bool),
    /// Day, YYYY-MM-DD.
    Day(&'a str),
}

impl<'a> Cell<'a> {
    /// A text; an empty one says nothing.
    pub(super) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        let text = text.into();
        if text.is_empty() { Self::Absent } else { Self::Text(text) }
    }

    /// A decimal number; an empty one says nothing.
    pub(super) fn number(text: &'a str) -> Self {
        if text.is_empty() { Self::Absent } else { Self::Number(text.into()) }
    }

    /// A decimal number that may be absent.
    pub(super) fn optional_number(text: Option<&'a String>) -> Self {
        text.map_or(Self::Absent, |text| Self::number(text))
    }

    /// A count that may be absent.
    pub(super) fn count(count: Option<i32>) -> Self {
        count.map_or(Self::Absent, |count| Self::Integer(count.into()))
    }

    /// A day; an empty one says nothing.
    pub(super) fn day(text: &'a str) -> Self {
        if text.is_empty() { Self::Absent } else { Self::Day(text) }
    }

    /// What it says as text; nothing if it says nothing.
    pub(super) fn written(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Absent => None,
            Self::Text(text) | Self::Number(text) => Some(text),
            Self::Integer(number) => Some(number.to_string().into()),
            Self::Flag(flag) => Some(if flag { "true" } else { "false" }.into()),
            Self::Day(day) => Some(day.into()),
        }
    }
}

/// One column: its name, its type, and what a row says in it.
pub(super) struct Column<R: 'static> {
    /// Name in CSV; the stream has it in lower case.
    pub(super) name: &'static str,
    /// Type in the stream.
    pub(super) kind: Type,
    /// What a row says.
    pub(super) cell: Read<R>,
}

/// Takes from a row, or from what holds for every row, what stands in a column.
type Read<R> = for<'a> fn(&'a Frame, &'a R) -> Cell<'a>;

/// A column of texts or decimal numbers.
pub(super) const fn text<R>(name: &'static str, cell: Read<R>) -> Column<R> {
    Column { name, kind: Type::Text, cell }
}

/// A column of whole numbers.
pub(super) const fn integer<R>(name: &'static str, cell: Read<R>) -> Column<R> {
    Column { name, kind: Type::Integer, cell }
}

/// A column of yes and no.
pub(super) const fn flag<R>(name: &'static str, cell: Read<R>) -> Column<R> {
    Column { name, kind: Type::Flag, cell }
}

/// A column of days.
pub(super) const fn day<R>(name: &'static str, cell: Read<R>) -> Column<R> {
    Column { name, kind: Type::Day, cell }
}

/// What holds for every row.
pub(super) struct Frame {
    /// As SDMX names a structure: agency, id and version.
    pub(super) structure: &'static str,
    /// Id of the indicator; empty for observations.
    pub(super) indicator: String,
    /// What was asked.
    pub(super) question: Question,
    /// Its classes, joined.
    pub(super) by: String,
}

impl Frame {
    pub(super) fn new(kind: Kind, head: &Head<'_>) -> Self {
        let structure = match kind {
            Kind::Observations => "TONGHOP:OBSERVATIONS(1.0)",
            Kind::Shares => "TONGHOP:SHARES(1.0)",
            Kind::Figures => "TONGHOP:FIGURES(1.0)",
        };
        let by = pairs(&head.question.by);
        Self { structure, indicator: head.indicator.to_owned(), question: head.question.clone(), by }
    }

    /// What was computed.
    pub(super) fn measure(&self) -> Cell<'_> {
        match self.question.measure {
            Measure::Unspecified => Cell::Absent,
            measure => Cell::text(measure.as_str_name()),
        }
    }

    /// Whose values.
    pub(super) fn scope(&self) -> Cell<'_> {
        Cell::text(scope(self.question.scope))
    }

    /// A row's own day, else the one asked for.
    pub(super) fn on<'a>(&'a self, row: &'a str) -> &'a str {
        if row.is_empty() { &self.question.on } else { row }
    }

    /// A row's own period, else the one asked for.
    pub(super) fn period<'a>(&'a self, row: &'a str) -> &'a str {
        if row.is_empty() { &self.question.period } else { row }
    }
}

/// The name of a scope; not said is OWN.
pub(super) fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Unspecified => Scope::Own.as_str_name(),
        scope => scope.as_str_name(),
    }
}

/// Keys and codes as `key=code;key=code`.
pub(super) fn pairs(by: &BTreeMap<String, String>) -> String {
    join(by.iter().map(|(key, code)| format!("{key}={code}")))
}

/// Several values in one field.
pub(super) fn join<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<T> = values.into_iter().collect();
    values.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(";")
}

/// Things with parts as a JSON array of objects; nothing if there are none. What a part does not say is left out, and
/// decimal numbers are texts, so that they keep their digits.
pub(super) fn json<'a, const N: usize>(things: impl Iterator<Item = [(&'static str, Cell<'a>); N]>) -> Cell<'a> {
    let object = |parts: [(&'static str, Cell<'a>); N]| {
        let parts = parts.into_iter().filter_map(|(name, cell)| {
            let value = match cell {
                Cell::Integer(number) => Value::from(number),
                Cell::Flag(flag) => Value::from(flag),
                cell => Value::from(cell.written()?),
            };
            Some((name.to_owned(), value))
        });
        Value::Object(parts.collect::<Map<String, Value>>())
    };
    let things: Vec<Value> = things.map(object).collect();
    if things.is_empty() { Cell::Absent } else { Cell::text(Value::Array(things).to_string()) }
}
