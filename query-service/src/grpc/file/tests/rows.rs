//! What stands in the columns of each kind of row.

use proto::v1::{
    Figure, Finding, Share,
    figure::{self, Caveat, EmptyReason, Unused},
    finding::Reason,
    list_observations_response::Reading,
    observation::{
        Basis, Change, Direction, Missing, Money, Qualifier, Ratio,
        change::{Baseline, Unit as ChangeUnit},
        money::Scale,
    },
    share,
};

use super::*;

#[test]
fn an_observation_has_the_columns_of_sdmx_and_then_its_own() {
    let mut row = with(Value::Ratio(Ratio { numerator: Some(493), denominator: Some(502) }), |said| {
        said.by = [("sex", "female"), ("rating", "good")].map(|(key, code)| (key.into(), code.into())).into();
        said.stated_percent = "98.20".into();
        said.note = "=1+1".into();
    });
    row.findings = [Reason::StatedPercentTruncated, Reason::SourcesDisagree]
        .map(|reason| Finding { reason: reason.into(), ..Default::default() })
        .into();
    let units_of_measure = [("cases".to_owned(), "vụ".to_owned())].into();
    let question = Question { units_of_measure, ..Default::default() };
    let bytes = file(Format::Csv, "", question.clone(), vec![Rows::Observations(vec![row.clone()])]);
    let text = String::from_utf8(bytes).unwrap();
    let begin = "STRUCTURE,STRUCTURE_ID,ACTION,REF_AREA,INDICATOR,TIME_PERIOD,OBS_VALUE,OBS_STATUS,UNIT_MEASURE,UNIT_MULT,\
                 CURRENCY,QUALIFIER,BASIS,SCOPE,BY,";
    assert!(text.starts_with(begin), "{text}");
    assert!(text.contains("\"Đổi mới \"\"phương thức\"\", lãnh đạo\r\ncủa Đảng; quận Long Biên\""), "{text}");
    let records = read_both("", question, Rows::Observations(vec![row]));
    assert_has(
        &records[0],
        &[
            ("STRUCTURE", "dataflow"),
            ("STRUCTURE_ID", "TONGHOP:OBSERVATIONS(1.0)"),
            ("ACTION", "I"),
            ("REF_AREA", "district-004"),
            ("INDICATOR", "cases"),
            ("TIME_PERIOD", "2017"),
            ("OBS_VALUE", "0.982072"),
            ("OBS_STATUS", "A"),
            ("UNIT_MEASURE", "vụ"),
            ("UNIT_MULT", ""),
            ("QUALIFIER", "EXACT"),
            ("BASIS", "ACTUAL"),
            ("SCOPE", "OWN"),
            ("BY", "rating=good;sex=female"),
            ("VALUE_KIND", "RATIO"),
            ("NUMERATOR", "493"),
            ("DENOMINATOR", "502"),
            ("STATED_PERCENT", "98.20"),
            ("PERIOD_START", "2017-01-01"),
            ("PERIOD_END", "2017-12-31"),
            ("REPORT", "reports/7"),
            ("VERSION", "1"),
            ("REVISION", "9"),
            ("ORGAN", "PARTY"),
            ("SOURCE_TITLE", TITLE),
            ("SOURCE_URI", ""),
            ("PUBLISHED_ON", "2019-11-22"),
            ("FINDINGS", "STATED_PERCENT_TRUNCATED;SOURCES_DISAGREE"),
            ("NOTE", "=1+1"),
        ],
    );
}

#[test]
fn every_kind_of_value_is_written_as_it_was_said() {
    let money = |scale: Scale| Money { amount: "10072.50".into(), scale: scale.into(), currency: "VND".into() };
    let change = Change {
        amount: "-4".into(),
        baseline: Baseline::Year.into(),
        baseline_year: 2015,
        possible_units: vec![ChangeUnit::PercentagePoint.into(), ChangeUnit::Percent.into()],
        ..Default::default()
    };
    let reading = Reading {
        unit: ChangeUnit::PercentagePoint.into(),
        implied_baseline: "16.70".into(),
        implied_baseline_qualifier: Qualifier::MoreThan.into(),
    };
    let mut changed = with(Value::Change(change), |said| said.qualifier = Qualifier::LessThan.into());
    changed.readings = vec![reading];
    let rows = vec![
        row(Value::Flag(false)),
        row(Value::Count(0)),
        row(Value::Percent("12.70".into())),
        row(Value::Money(money(Scale::Unspecified))),
        row(Value::Money(money(Scale::Trillion))),
        row(Value::Category("3".into())),
        row(Value::Direction(Direction::SharpDecrease.into())),
        changed,
    ];
    let records = read_both("", Question::default(), Rows::Observations(rows.clone()));
    let of = |name: &str| records.iter().map(|record| record[name].as_str()).collect::<Vec<&str>>();
    assert_eq!(of("OBS_VALUE"), ["false", "0", "12.70", "10072.50", "10072.50", "3", "SHARP_DECREASE", "-4"]);
    assert_eq!(of("VALUE_KIND"), ["FLAG", "COUNT", "PERCENT", "MONEY", "MONEY", "CATEGORY", "DIRECTION", "CHANGE"]);
    assert_eq!(of("UNIT_MULT"), ["", "", "", "0", "12", "", "", ""]);
    assert_eq!(of("CURRENCY"), ["", "", "", "VND", "VND", "", "", ""]);
    assert_eq!(of("QUALIFIER"), ["", "EXACT", "EXACT", "EXACT", "EXACT", "", "", "LESS_THAN"]);
    assert_eq!(of("UNIT_MEASURE"), ["", "", "PERCENT", "", "", "", "", ""]);
    assert_has(
        &records[7],
        &[
            ("CHANGE_UNIT", ""),
            ("CHANGE_BASELINE", "YEAR"),
            ("CHANGE_BASELINE_YEAR", "2015"),
            ("CHANGE_POSSIBLE_UNITS", "PERCENTAGE_POINT;PERCENT"),
            (
                "READINGS",
                r#"[{"unit":"PERCENTAGE_POINT","implied_baseline":"16.70","implied_baseline_qualifier":"MORE_THAN"}]"#,
            ),
        ],
    );
    // A code that looks like a number is none, and a flag is none either.
    let (_, batches) = read_arrow(file(Format::Arrow, "", Question::default(), vec![Rows::Observations(rows)]));
    let numbers = batches[0].column_by_name("obs_value_decimal").unwrap();
    assert_eq!(numbers.data_type(), &DataType::Decimal128(38, 10));
    let numbers = numbers.as_primitive::<Decimal128Type>();
    let unit = 10i128.pow(10);
    let expected = [
        None,
        Some(0),
        Some(127 * unit / 10),
        Some(100_725 * unit / 10),
        Some(100_725 * unit / 10),
        None,
        None,
        Some(-4 * unit),
    ];
    assert_eq!(numbers.iter().collect::<Vec<_>>(), expected);
}

#[test]
fn what_is_not_there_is_empty_and_a_zero_is_a_zero() {
    let missing = |missing: Missing| row(Value::Missing(missing.into()));
    let planned = |basis: Basis| with(Value::Count(0), |said| said.basis = basis.into());
    let rows = vec![
        missing(Missing::NotReported),
        missing(Missing::NotApplicable),
        missing(Missing::Withheld),
        planned(Basis::Unspecified),
        planned(Basis::Estimate),
        planned(Basis::Projection),
        planned(Basis::Planned),
    ];
    let records = read_both("", Question::default(), Rows::Observations(rows.clone()));
    let of = |name: &str| records.iter().map(|record| record[name].as_str()).collect::<Vec<&str>>();
    assert_eq!(of("OBS_VALUE"), ["", "", "", "0", "0", "0", "0"]);
    assert_eq!(of("OBS_STATUS"), ["O", "M", "Q", "A", "E", "F", "F"]);
    assert_eq!(of("BASIS"), ["", "", "", "ACTUAL", "ESTIMATE", "PROJECTION", "PLANNED"]);
    assert_eq!(of("MISSING_REASON"), ["NOT_REPORTED", "NOT_APPLICABLE", "WITHHELD", "", "", "", ""]);
    let (_, batches) = read_arrow(file(Format::Arrow, "", Question::default(), vec![Rows::Observations(rows)]));
    for name in ["obs_value", "obs_value_decimal"] {
        let array = batches[0].column_by_name(name).unwrap();
        assert_eq!(
            (0..7).map(|index| array.is_null(index)).collect::<Vec<_>>(),
            [true, true, true, false, false, false, false]
        );
    }

    let silent = Share { yes: Some(0), expected: Some(0), ..Default::default() };
    let records = read_both("flag", Question::default(), Rows::Shares(vec![silent]));
    assert_has(
        &records[0],
        &[("OBS_VALUE", ""), ("LOWER", ""), ("YES", "0"), ("NO", ""), ("EXPECTED", "0"), ("UNDATED", "")],
    );
}

#[test]
fn time_is_written_as_in_sdmx() {
    let reported = |period: &str, start: &str, end: &str| Row {
        period: period.into(),
        period_start_on: start.into(),
        period_end_on: end.into(),
        ..row(Value::Count(1))
    };
    let rows = vec![
        reported("2016-S2", "2016-07-01", "2016-12-31"),
        reported("2015/2019-11-22", "2015-01-01", "2019-11-22"),
        reported("term:2015-2020", "2015-08-01", "2020-07-31"),
        reported("2016/..", "2016-01-01", ""),
        reported("../2017-08", "", "2017-08-31"),
    ];
    let records = read_both("", Question::default(), Rows::Observations(rows));
    let times: Vec<&str> = records.iter().map(|record| record["TIME_PERIOD"].as_str()).collect();
    assert_eq!(times, ["2016-S2", "2015-01-01/P1787D", "2015-08-01/P1827D", "", ""]);
    assert_has(&records[4], &[("PERIOD", "../2017-08"), ("PERIOD_START", ""), ("PERIOD_END", "2017-08-31")]);

    let asked = |on: &str, period: &str| Question { on: on.into(), period: period.into(), ..Default::default() };
    let time = |question: Question, share: Share| {
        let records = read_both("flag", question, Rows::Shares(vec![share]));
        (records[0]["TIME_PERIOD"].clone(), records[0]["COUNTED_ON"].clone())
    };
    let same = |time: &str, on: &str| (time.to_owned(), on.to_owned());
    let own = Share { on: "2016-06-30".into(), period: "2016-Q2".into(), ..Default::default() };
    assert_eq!(time(asked("2017-08-17", ""), Share::default()), same("2017-08-17", "2017-08-17"));
    assert_eq!(time(asked("2017-12-31", "2017"), Share::default()), same("2017", "2017-12-31"));
    assert_eq!(time(asked("2017-03-31", "2016/2017-Q1"), Share::default()), same("2016-01-01/P456D", "2017-03-31"));
    assert_eq!(time(asked("2020-07-31", "term:2015-2020"), Share::default()), same("2020-07-31", "2020-07-31"));
    assert_eq!(time(asked("2017-12-31", "2017"), own), same("2016-Q2", "2016-06-30"));
}

#[test]
fn a_share_has_its_bounds_counts_and_published_claims() {
    let share = Share {
        unit: "district-171".into(),
        name: "Huyện Đại Từ".into(),
        share: Some("1.000000".into()),
        lower: Some("0.037037".into()),
        upper: Some("1.000000".into()),
        yes: Some(1),
        no: Some(0),
        not_reported: Some(26),
        expected: Some(27),
        expected_basis: share::ExpectedBasis::Assumed.into(),
        coverage: Some("0.037037".into()),
        comparability: vec![Caveat::Incomplete.into(), Caveat::CarriedForward.into()],
        published: vec![share::Published {
            percent: "90".into(),
            report: "reports/5".into(),
            period: "2010/2020".into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let empty = |reason: EmptyReason| Share { empty_reason: reason.into(), ..Default::default() };
    let rows = vec![
        share,
        empty(EmptyReason::AllNotApplicable),
        empty(EmptyReason::Withheld),
        empty(EmptyReason::NothingReported),
    ];
    let question = Question { on: "2017-08-17".into(), ..Default::default() };
    let records = read_both("flag", question, Rows::Shares(rows));
    assert_has(
        &records[0],
        &[
            ("STRUCTURE_ID", "TONGHOP:SHARES(1.0)"),
            ("REF_AREA", "district-171"),
            ("INDICATOR", "flag"),
            ("OBS_VALUE", "1.000000"),
            ("OBS_STATUS", "I"),
            ("UNIT_NAME", "Huyện Đại Từ"),
            ("LOWER", "0.037037"),
            ("UPPER", "1.000000"),
            ("YES", "1"),
            ("NO", "0"),
            ("NOT_REPORTED", "26"),
            ("WITHHELD", ""),
            ("EXPECTED_BASIS", "ASSUMED"),
            ("COMPARABILITY", "INCOMPLETE;CARRIED_FORWARD"),
            (
                "PUBLISHED",
                r#"[{"report":"reports/5","period":"2010/2020","percent":"90","qualifier":"EXACT","basis":"ACTUAL"}]"#,
            ),
        ],
    );
    let statuses: Vec<&str> = records.iter().map(|record| record["OBS_STATUS"].as_str()).collect();
    assert_eq!(statuses, ["I", "M", "Q", "O"]);
    assert_has(&records[3], &[("EMPTY_REASON", "NOTHING_REPORTED"), ("PUBLISHED", "")]);
}

#[test]
fn a_figure_says_what_was_computed_and_how_it_is_bounded() {
    let amount = Money { amount: "169".into(), scale: Scale::Billion.into(), currency: "VND".into() };
    let observation = Observation { value: Some(Value::Money(amount)), ..Default::default() };
    let figure = Figure {
        unit: "p".into(),
        value: Some("169000000000".into()),
        qualifier: Qualifier::MoreThan.into(),
        lower: Some("169000000000".into()),
        lower_exclusive: true,
        currency: "VND".into(),
        comparability: vec![Caveat::NotActual.into()],
        published: vec![figure::Published {
            observation: Some(observation),
            report: "reports/5".into(),
            value: "169000000000".into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let empty = Figure {
        unit: "q".into(),
        empty_reason: EmptyReason::OtherPeriods.into(),
        unused: vec![Unused {
            report: "reports/6".into(),
            unit: "q".into(),
            period: "2016".into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let question = Question {
        on: "2017-12-31".into(),
        period: "2017".into(),
        measure: Measure::Sum,
        by: [("fund".to_owned(), "state".to_owned())].into(),
        ..Default::default()
    };
    let records = read_both("budget", question, Rows::Figures(vec![figure, empty]));
    assert_has(
        &records[0],
        &[
            ("STRUCTURE_ID", "TONGHOP:FIGURES(1.0)"),
            ("OBS_STATUS", "E"),
            ("UNIT_MULT", "0"),
            ("QUALIFIER", "MORE_THAN"),
            ("SCOPE", "OWN"),
            ("MEASURE", "SUM"),
            ("BY", "fund=state"),
            ("LOWER_EXCLUSIVE", "true"),
            ("UPPER", ""),
            ("UPPER_EXCLUSIVE", ""),
            ("REPORTED", ""),
            (
                "PUBLISHED",
                r#"[{"report":"reports/5","value":"169000000000","obs_value":"169","value_kind":"MONEY","unit_mult":9,"currency":"VND","qualifier":"EXACT","basis":"ACTUAL","scope":"OWN"}]"#,
            ),
        ],
    );
    let unused = r#"[{"report":"reports/6","unit":"q","period":"2016","scope":"OWN"}]"#;
    assert_has(&records[1], &[("OBS_VALUE", ""), ("OBS_STATUS", "O"), ("QUALIFIER", ""), ("UNUSED", unused)]);
}
