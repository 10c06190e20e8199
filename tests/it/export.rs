//! Files of observations, shares and figures, loaded by the programs that people load them with.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use proto::v1::{
    AggregateRequest, DefineIndicatorsRequest, ExportRequest, GetShareRequest, ListObservationsRequest, Meta,
    Observation, Report, Source, SubmitReportRequest, UnitFilter, UnitSelector,
    export_request::{Format, Question},
    indicator::ValueKind,
    observation::{Missing, Money, Qualifier, Value, money::Scale},
    unit::Level,
    unit_filter::{Condition, Value as FilterValue},
};
use tempfile::TempDir;
use tests::harness::{Pair, workspace};
use tokio_stream::StreamExt;

use crate::support::{FLAG, indicator, observation, small_world, submit};

const TITLE: &str = "Đổi mới \"phương thức\", lãnh đạo; quận Long Biên";

/// Five communes: a zero, a count, a bound, one withheld, and one that is silent. The newest revision.
async fn filled(pair: &Pair) -> i64 {
    small_world(pair).await;
    let indicators = vec![indicator("cases", ValueKind::Count), indicator("budget", ValueKind::Money)];
    let request = DefineIndicatorsRequest { indicators, ..Default::default() };
    pair.registry().define_indicators(request).await.unwrap();
    let cases = |value: Value| observation("cases", value);
    let budget = Money { amount: "-1234.50".into(), scale: Scale::Million.into(), currency: "VND".into() };
    let bound = Observation { qualifier: Qualifier::MoreThan.into(), ..cases(Value::Count(5)) };
    let noted = Observation { note: "một, \"hai\"".into(), ..cases(Value::Count(0)) };
    let reports = [
        ("c0", vec![observation(FLAG, Value::Flag(true)), noted]),
        ("c1", vec![observation(FLAG, Value::Flag(false)), cases(Value::Count(12))]),
        ("c2", vec![cases(Value::Missing(Missing::Withheld.into()))]),
        ("c3", vec![bound, observation("budget", Value::Money(budget))]),
    ];
    let mut revision = 0;
    for (unit, observations) in reports {
        let source = Source { title: TITLE.into(), published_on: "2018-01-31".into(), ..Default::default() };
        let (unit, period, source) = (unit.into(), "2017".into(), Some(source));
        let report = Report { unit, period, source, observations, ..Default::default() };
        let request = SubmitReportRequest { report: Some(report), ..Default::default() };
        revision = submit(pair, request).await.unwrap().revision.unwrap();
    }
    revision
}

/// Three questions about the communes of `d`, by name.
fn questions(revision: i64) -> [(&'static str, Question); 3] {
    let units = || Some(UnitSelector { under: "d".into(), level: Level::Commune.into(), ids: vec![] });
    let at_least_revision = Some(revision);
    let group_by = || "COMMUNE".to_owned();
    let observations = ListObservationsRequest { units: units(), at_least_revision, ..Default::default() };
    let not_negative = FilterValue { indicator: "cases".into(), at_least: "0".into(), ..Default::default() };
    let share = GetShareRequest {
        indicator: FLAG.into(),
        units: units(),
        group_by: group_by(),
        period: "2017".into(),
        at_least_revision,
        // It looks at another indicator, which the file must not mistake for the one asked for.
        filters: vec![UnitFilter { condition: Some(Condition::Value(not_negative)) }],
        ..Default::default()
    };
    let figure = AggregateRequest {
        indicator: "cases".into(),
        units: units(),
        group_by: group_by(),
        period: "2017".into(),
        at_least_revision,
        ..Default::default()
    };
    [
        ("observations", Question::Observations(observations)),
        ("share", Question::Share(share)),
        ("figure", Question::Figure(figure)),
    ]
}

/// A file put together of its pieces, what it rests on, and how many rows it has.
async fn export(pair: &Pair, question: Question, format: Format) -> (Vec<u8>, Meta, i64) {
    let request = ExportRequest { question: Some(question), format: format.into() };
    let mut pieces = pair.queries().export(request).await.unwrap().into_inner();
    let (mut bytes, mut meta, mut row_count) = (Vec::new(), None, None);
    while let Some(piece) = pieces.next().await {
        let piece = piece.unwrap();
        assert_eq!(row_count, None, "the count is in the last piece");
        assert_eq!(piece.meta.is_some(), meta.is_none(), "what it rests on is in the first piece");
        assert!(piece.data.len() <= 1 << 20, "{} bytes in one piece", piece.data.len());
        meta = meta.or(piece.meta);
        row_count = piece.row_count;
        bytes.extend(piece.data);
    }
    (bytes, meta.unwrap(), row_count.unwrap())
}

type Record = BTreeMap<String, String>;

fn read_csv(bytes: &[u8]) -> Vec<Record> {
    csv::Reader::from_reader(bytes).deserialize().map(|record| record.unwrap()).collect()
}

/// One column, by the unit of the row.
fn column<'a>(records: &'a [Record], name: &str) -> Vec<(&'a str, &'a str)> {
    records.iter().map(|record| (record["REF_AREA"].as_str(), record[name].as_str())).collect()
}

/// A Python that has pandas, DuckDB and pyarrow: that of `.ci/run`, or whichever is there.
fn python() -> Option<PathBuf> {
    let installed = workspace().join("target/tools/python/bin/python3");
    [installed, "python3".into()].into_iter().find(|python| {
        let loaded = Command::new(python).args(["-c", "import duckdb, pandas, pyarrow"]).output();
        loaded.is_ok_and(|loaded| loaded.status.success())
    })
}

/// What the script prints that loads both files with pandas and DuckDB and compares; none where it cannot run.
fn load(csv: &Path, arrow: &Path) -> Option<String> {
    let script = workspace().join("tests/clients/python/load_export.py");
    let loaded = Command::new(python()?).arg(script).args([csv, arrow]).output().unwrap();
    assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    Some(String::from_utf8(loaded.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_loaded_with_pandas_and_duckdb_and_say_the_same() {
    let pair = Pair::start();
    let revision = filled(&pair).await;
    let directory = TempDir::new().unwrap();
    let mut files = BTreeMap::new();
    let mut is_loaded = true;
    for (name, question) in questions(revision) {
        let (csv, meta, row_count) = export(&pair, question.clone(), Format::Csv).await;
        let (arrow, same_meta, same_count) = export(&pair, question, Format::Arrow).await;
        assert_eq!((meta.revision, row_count), (revision, same_count), "{name}");
        assert_eq!(meta.citation, same_meta.citation, "{name}");
        // A stream begins with the mark of a message and ends with that of no more messages.
        assert!(arrow.starts_with(&[0xff; 4]) && arrow.ends_with(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]), "{name}");
        let records = read_csv(&csv);
        assert_eq!(i64::try_from(records.len()).unwrap(), row_count, "{name}");

        let path = |ending: &str| directory.path().join(format!("{name}.{ending}"));
        std::fs::write(path("csv"), csv).unwrap();
        std::fs::write(path("arrow"), arrow).unwrap();
        let Some(printed) = load(&path("csv"), &path("arrow")) else {
            is_loaded = false;
            files.insert(name, records);
            continue;
        };
        print!("{name}: {printed}");
        let expected = match name {
            "observations" => "rows=7 numbers=4 sum=-1217.5 ",
            "share" => "rows=5 numbers=2 sum=1 ",
            _ => "rows=5 numbers=3 sum=17 ",
        };
        assert!(printed.starts_with(&format!("{expected}revision={revision}: ")), "{name}: {printed}");
        files.insert(name, records);
    }
    if !is_loaded {
        println!("no Python with pandas, DuckDB and pyarrow: loading the files is skipped");
    }

    let observations = &files["observations"];
    let values =
        [("c0", "0"), ("c0", "true"), ("c1", "12"), ("c1", "false"), ("c2", ""), ("c3", "-1234.50"), ("c3", "5")];
    assert_eq!(column(observations, "OBS_VALUE"), values);
    assert_eq!(
        column(observations, "OBS_STATUS").iter().map(|(_, status)| *status).collect::<String>(),
        "AAAAQAA",
        "withheld is suppressed"
    );
    assert_eq!((observations[0]["NOTE"].as_str(), observations[0]["SOURCE_TITLE"].as_str()), ("một, \"hai\"", TITLE));
    assert_eq!((observations[5]["UNIT_MULT"].as_str(), observations[5]["CURRENCY"].as_str()), ("6", "VND"));
    let shares = [("c0", "1.000000"), ("c1", "0.000000"), ("c2", ""), ("c3", ""), ("c4", "")];
    assert_eq!(column(&files["share"], "OBS_VALUE"), shares);
    let figures = [("c0", "0"), ("c1", "12"), ("c2", ""), ("c3", "5"), ("c4", "")];
    assert_eq!(column(&files["figure"], "OBS_VALUE"), figures);
    let qualifiers = [("c0", "EXACT"), ("c1", "EXACT"), ("c2", ""), ("c3", "MORE_THAN"), ("c4", "")];
    assert_eq!(column(&files["figure"], "QUALIFIER"), qualifiers);
    for (name, indicator) in [("share", FLAG), ("figure", "cases")] {
        for record in &files[name] {
            let said = ["INDICATOR", "TIME_PERIOD", "COUNTED_ON"].map(|column| record[column].as_str());
            assert_eq!(said, [indicator, "2017", "2017-12-31"], "{name}");
        }
    }
    assert!(files["figure"].iter().all(|record| record["MEASURE"] == "SUM"));
}
