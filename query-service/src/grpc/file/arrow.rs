//! The stream format of Apache Arrow IPC.

use std::{collections::HashMap, mem, sync::Arc};

use arrow_array::{ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow_ipc::{
    MetadataVersion,
    writer::{IpcWriteOptions, StreamWriter},
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use jiff::{Timestamp, civil::Date};
use proto::v1::Meta;
use shared::model::period::parse_day;

use super::{
    Error, Head,
    column::{Cell, Column, Frame, Type, join},
};

/// The column that is also given as a number, and the name of that number.
const EXACT: (&str, &str) = ("OBS_VALUE", "obs_value_decimal");
/// Digits of that number.
const PRECISION: u8 = 38;
/// Digits of it behind the point.
const SCALE: i8 = 10;
/// The least that the format allows. The usual 64 bytes would be more than half of a batch of some rows and many columns.
const ALIGNMENT: usize = 8;
/// Day 0 of a Date32.
const EPOCH: Date = Date::constant(1970, 1, 1);

/// A stream that is being written.
pub(super) struct File {
    schema: SchemaRef,
    stream: StreamWriter<Vec<u8>>,
}

impl File {
    /// A stream with its schema.
    pub(super) fn new(columns: &[(&'static str, Type)], head: &Head<'_>) -> Result<Self, Error> {
        let fields: Vec<Field> = columns.iter().flat_map(|(name, kind)| fields(name, *kind)).collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, metadata(head.meta, head.indicator)));
        let options = IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5)?;
        let stream = StreamWriter::try_new_with_options(Vec::new(), &schema, options)?;
        Ok(Self { schema, stream })
    }

    /// Appends rows as one record batch.
    pub(super) fn append<R>(&mut self, columns: &[Column<R>], frame: &Frame, rows: &[R]) -> Result<(), Error> {
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for column in columns {
            let cells = || rows.iter().map(|row| (column.cell)(frame, row));
            arrays.push(array(column, cells())?);
            if column.name == EXACT.0 {
                let numbers: Decimal128Array = cells().map(|cell| scaled(&cell)).collect();
                arrays.push(Arc::new(numbers.with_precision_and_scale(PRECISION, SCALE)?));
            }
        }
        self.stream.write(&RecordBatch::try_new(self.schema.clone(), arrays)?)?;
        Ok(())
    }

    /// What is ready.
    pub(super) fn take(&mut self) -> Vec<u8> {
        mem::take(self.stream.get_mut())
    }

    /// The end of the stream.
    pub(super) fn finish(self) -> Result<Vec<u8>, Error> {
        Ok(self.stream.into_inner()?)
    }
}

/// A column, with the number beside it if it is the one that has one.
fn fields(name: &str, kind: Type) -> Vec<Field> {
    let data_type = match kind {
        Type::Text => DataType::Utf8,
        Type::Integer => DataType::Int64,
        Type::Flag => DataType::Boolean,
        Type::Day => DataType::Date32,
    };
    let mut fields = vec![Field::new(name.to_lowercase(), data_type, true)];
    if name == EXACT.0 {
        fields.push(Field::new(EXACT.1, DataType::Decimal128(PRECISION, SCALE), true));
    }
    fields
}

fn array<'a, R>(column: &Column<R>, cells: impl Iterator<Item = Cell<'a>>) -> Result<ArrayRef, Error> {
    Ok(match column.kind {
        Type::Text => Arc::new(cells.map(Cell::written).collect::<StringArray>()),
        Type::Integer => {
            let number = |cell| if let Cell::Integer(number) = cell { Some(number) } else { None };
            Arc::new(cells.map(number).collect::<Int64Array>())
        }
        Type::Flag => {
            let flag = |cell| if let Cell::Flag(flag) = cell { Some(flag) } else { None };
            Arc::new(cells.map(flag).collect::<BooleanArray>())
        }
        Type::Day => {
            let day = |cell| if let Cell::Day(text) = cell { days(column.name, text).map(Some) } else { Ok(None) };
            Arc::new(cells.map(day).collect::<Result<Date32Array, Error>>()?)
        }
    })
}

/// Days since 1970-01-01.
fn days(column: &'static str, text: &str) -> Result<i32, Error> {
    let day = parse_day(text).and_then(|day| day.since(EPOCH).ok());
    day.map(|since| since.get_days()).ok_or_else(|| Error::Day { column, text: text.to_owned() })
}

/// A decimal number in units of its last digit; none where it does not fit exactly.
fn scaled(cell: &Cell<'_>) -> Option<i128> {
    let Cell::Number(text) = cell else { return None };
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_ref()), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let fraction = fraction.trim_end_matches('0');
    let scale = usize::from(SCALE.unsigned_abs());
    if !is_digits(whole) || !is_digits(fraction) || whole.is_empty() || fraction.len() > scale {
        return None;
    }
    let number: i128 = format!("{sign}{whole}{fraction:0<scale$}").parse().ok()?;
    (number.unsigned_abs() < 10u128.pow(PRECISION.into())).then_some(number)
}

/// What the answer rests on, as texts by name; what it does not say is left out.
fn metadata(meta: &Meta, indicator: &str) -> HashMap<String, String> {
    let known_at = meta.known_at.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok());
    let definitions = meta.definitions.iter().map(|used| format!("{}={}", used.indicator, used.version));
    let visible = meta.visible.as_ref().map(|visible| format!("[{}]", visible.units.join(",")));
    let entries = [
        ("citation", meta.citation.clone()),
        ("revision", meta.revision.to_string()),
        ("store_id", meta.store_id.clone()),
        ("known_at", known_at.map(|time| time.to_string()).unwrap_or_default()),
        ("boundaries_on", meta.boundaries_on.clone()),
        ("semantics_version", meta.semantics_version.to_string()),
        ("definitions", join(definitions)),
        ("indicator", indicator.to_owned()),
        ("visible_units", visible.unwrap_or_default()),
    ];
    let said = entries.into_iter().filter(|(_, text)| !text.is_empty());
    said.map(|(name, text)| (name.to_owned(), text)).collect()
}
