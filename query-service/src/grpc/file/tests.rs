use std::{collections::BTreeMap, io::Cursor};

use arrow_array::{
    Array, Date32Array, Int64Array, RecordBatch,
    cast::AsArray,
    types::{Date32Type, Decimal128Type, Int64Type},
};
use arrow_ipc::reader::StreamReader;
use arrow_schema::{DataType, Schema};
use proto::v1::{Meta, Observation, Source, meta::Definition, observation::Value};
use shared::convert::timestamp;

use super::*;

mod rows;

const TITLE: &str = "Đổi mới \"phương thức\", lãnh đạo\r\ncủa Đảng; quận Long Biên";

fn meta() -> Meta {
    let definitions = ["cases", "members"].map(|indicator| Definition { indicator: indicator.into(), version: 2 });
    Meta {
        revision: 17_909,
        store_id: "store".into(),
        visible: None,
        known_at: Some(timestamp("2026-01-01T00:00:00.25Z".parse().unwrap())),
        boundaries_on: "2025-07-01".into(),
        semantics_version: 2,
        definitions: definitions.into(),
        citation: "cited".into(),
    }
}

fn row(value: Value) -> Row {
    Row {
        observation: Some(Observation { indicator: "cases".into(), value: Some(value), ..Default::default() }),
        unit: "district-004".into(),
        period: "2017".into(),
        period_start_on: "2017-01-01".into(),
        period_end_on: "2017-12-31".into(),
        source: Some(Source { title: TITLE.into(), published_on: "2019-11-22".into(), ..Default::default() }),
        report: "reports/7".into(),
        version: 1,
        revision: 9,
        ..Default::default()
    }
}

fn with(value: Value, change: impl FnOnce(&mut Observation)) -> Row {
    let mut row = row(value);
    change(row.observation.as_mut().unwrap());
    row
}

/// The file in pieces of one push each, put together.
fn file(format: Format, indicator: &str, question: Question, pieces: Vec<Rows>) -> Vec<u8> {
    let meta = meta();
    let head = Head { meta: &meta, indicator, question };
    let mut writer = Writer::new(format, pieces[0].kind(), &head).unwrap();
    let mut bytes = writer.take();
    assert!(!bytes.is_empty(), "the header or the schema is ready at once");
    assert!(writer.take().is_empty(), "nothing is given twice");
    for rows in pieces {
        writer.push(rows).unwrap();
        bytes.extend(writer.take());
    }
    bytes.extend(writer.finish().unwrap());
    bytes
}

/// The records of a CSV, each by the names of its header.
fn read_csv(bytes: &[u8]) -> Vec<BTreeMap<String, String>> {
    let mut reader = ::csv::Reader::from_reader(bytes);
    reader.deserialize().map(|record| record.unwrap()).collect()
}

fn read_arrow(bytes: Vec<u8>) -> (Schema, Vec<RecordBatch>) {
    let reader = StreamReader::try_new(Cursor::new(bytes), None).unwrap();
    let schema = reader.schema().as_ref().clone();
    (schema, reader.map(|batch| batch.unwrap()).collect())
}

/// What both formats say of the same rows, after a check that it is the same.
fn read_both(indicator: &str, question: Question, rows: Rows) -> Vec<BTreeMap<String, String>> {
    let csv = read_csv(&file(Format::Csv, indicator, question.clone(), vec![rows.clone()]));
    let (_, batches) = read_arrow(file(Format::Arrow, indicator, question, vec![rows]));
    let [batch] = &batches[..] else { panic!("one push is one batch") };
    assert_eq!(batch.num_rows(), csv.len());
    for (index, record) in csv.iter().enumerate() {
        assert_eq!(batch.num_columns(), record.len() + 1, "the number is added");
        for (name, text) in record {
            assert_eq!(written(batch, &name.to_lowercase(), index), *text, "{name} of row {index}");
        }
    }
    csv
}

/// A field of a batch as CSV writes it.
fn written(batch: &RecordBatch, name: &str, row: usize) -> String {
    let array = batch.column_by_name(name).unwrap_or_else(|| panic!("{name} is a column"));
    if array.is_null(row) {
        return String::new();
    }
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Date32 => array.as_primitive::<Date32Type>().value_as_date(row).unwrap().to_string(),
        other => panic!("{name} is {other}"),
    }
}

fn assert_has(record: &BTreeMap<String, String>, expected: &[(&str, &str)]) {
    for (name, text) in expected {
        assert_eq!(record[*name], *text, "{name} of {record:?}");
    }
}

#[test]
fn the_stream_keeps_types_and_what_the_answer_rests_on() {
    let rows = || Rows::Observations(vec![row(Value::Count(3)), row(Value::Count(4))]);
    let question = Question::default;
    let (schema, batches) = read_arrow(file(Format::Arrow, "cases", question(), vec![rows(), rows()]));
    assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [2, 2]);
    let types = [
        ("obs_value", DataType::Utf8),
        ("unit_mult", DataType::Int64),
        ("revision", DataType::Int64),
        ("published_on", DataType::Date32),
    ];
    for (name, data_type) in types {
        assert_eq!(schema.field_with_name(name).unwrap().data_type(), &data_type, "{name}");
    }
    let days: &Date32Array = batches[0].column_by_name("published_on").unwrap().as_primitive();
    assert_eq!(days.value(0), 18_222);
    let revisions: &Int64Array = batches[0].column_by_name("revision").unwrap().as_primitive();
    assert_eq!(revisions.value(1), 9);
    let expected = [
        ("boundaries_on", "2025-07-01"),
        ("citation", "cited"),
        ("definitions", "cases=2;members=2"),
        ("indicator", "cases"),
        ("known_at", "2026-01-01T00:00:00.25Z"),
        ("revision", "17909"),
        ("semantics_version", "2"),
        ("store_id", "store"),
    ];
    let metadata: BTreeMap<&str, &str> =
        schema.metadata().iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert_eq!(metadata, expected.into());
}

#[test]
fn a_number_that_does_not_fit_stays_a_text() {
    let fits = ["0.0000000001", "9999999999999999999999999999.9999999999", "-0.50", "1.00000000000"];
    let does_not = ["0.00000000001", "10000000000000000000000000000", "1e3", "", ".", "-", ".5", "+1", "1.2.3"];
    let numbers = |texts: &[&str]| {
        let rows = texts.iter().map(|text| row(Value::Decimal((*text).into()))).collect();
        let (_, batches) = read_arrow(file(Format::Arrow, "", Question::default(), vec![Rows::Observations(rows)]));
        batches[0]
            .column_by_name("obs_value_decimal")
            .unwrap()
            .as_primitive::<Decimal128Type>()
            .iter()
            .collect::<Vec<_>>()
    };
    let unit = 10i128.pow(10);
    assert_eq!(numbers(&fits), [Some(1), Some(10i128.pow(38) - 1), Some(-unit / 2), Some(unit)]);
    assert_eq!(numbers(&does_not), vec![None; does_not.len()]);
}

#[test]
fn a_file_without_rows_is_a_file() {
    for kind in [Kind::Observations, Kind::Shares, Kind::Figures] {
        let meta = Meta::default();
        let head = || Head { meta: &meta, indicator: "", question: Question::default() };
        let csv = Writer::new(Format::Csv, kind, &head()).unwrap();
        assert_eq!(csv.row_count(), 0);
        let csv = String::from_utf8(csv.finish().unwrap()).unwrap();
        assert_eq!(csv.lines().count(), 1);
        let (schema, batches) = read_arrow(Writer::new(Format::Arrow, kind, &head()).unwrap().finish().unwrap());
        assert!(batches.is_empty());
        let mut names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        names.retain(|name| name != "obs_value_decimal");
        assert_eq!(names, csv.trim_end().to_lowercase().split(',').collect::<Vec<_>>());
        let distinct: std::collections::BTreeSet<&String> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
    }
}

#[test]
fn rows_of_another_kind_are_refused() {
    let meta = Meta::default();
    let head = Head { meta: &meta, indicator: "", question: Question::default() };
    let mut writer = Writer::new(Format::Csv, Kind::Shares, &head).unwrap();
    let refused = writer.push(Rows::Figures(Vec::new())).unwrap_err();
    assert!(matches!(refused, Error::OtherKind { expected: Kind::Shares, actual: Kind::Figures }), "{refused}");
}

#[test]
fn a_writer_holds_only_what_was_not_taken() {
    let meta = meta();
    let rows = vec![row(Value::Count(1)); ROWS_PER_PUSH];
    for format in [Format::Csv, Format::Arrow] {
        let head = Head { meta: &meta, indicator: "", question: Question::default() };
        let mut writer = Writer::new(format, Kind::Observations, &head).unwrap();
        writer.take();
        for _ in 0..50 {
            writer.push(Rows::Observations(rows.clone())).unwrap();
            let piece = writer.take().len();
            assert!((1..64 * 1024).contains(&piece), "{format:?}: {piece} bytes");
        }
        assert_eq!(writer.row_count(), 5_000);
        assert!(writer.finish().unwrap().len() < 64);
    }
}

/// It goes from thread to thread.
const _: fn() = || {
    fn is_send<T: Send + 'static>() {}
    is_send::<Writer>();
};
