//! Every kind of bad input: one clear answer with its reason, nothing stored, the connection alive.

use prost::Message;
use proto::v1::{
    DefineIndicatorsRequest, GetReportRequest, GetShareRequest, GetUnitRequest, Indicator, Observation,
    RegisterUnitsRequest, Report, Unit, UnitSelector,
    indicator::{Dimension, ValueKind},
    observation::{Money, Value},
    unit::Level,
};
use tests::harness::Pair;
use tonic::{
    Code, Request, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};

use crate::support::{FLAG, flag_report, indicator, observation, reason, small_world, submit, unit, violations};

/// A pair with one indicator of each kind, and the revision of all that.
async fn world() -> (Pair, i64) {
    let pair = Pair::start();
    small_world(&pair).await;
    let codes = ["good", "bad"].map(str::to_owned).to_vec();
    let rated = Indicator {
        dimensions: vec![Dimension { id: "rating".into(), codes, closed: true }],
        ..indicator("rated", ValueKind::Count)
    };
    let indicators = vec![
        rated,
        indicator("members", ValueKind::Count),
        indicator("rate", ValueKind::Percent),
        indicator("revenue", ValueKind::Money),
    ];
    let late = Unit { valid_from: "2015-01-01".into(), ..unit("late", Level::Commune, "d") };
    let request = RegisterUnitsRequest { units: vec![late], ..Default::default() };
    pair.registry().register_units(request).await.unwrap();
    let request = DefineIndicatorsRequest { indicators, ..Default::default() };
    let revision = pair.registry().define_indicators(request).await.unwrap().into_inner().revision;
    (pair, revision)
}

/// Submits a report about `c0` that was changed, and answers the single violation that refused it.
async fn violation_of(pair: &Pair, change: impl FnOnce(&mut Report)) -> (String, String) {
    let mut request = flag_report("c0", "t", true);
    change(request.report.as_mut().unwrap());
    let refused = submit(pair, request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let mut violations = violations(&refused);
    assert_eq!(violations.len(), 1, "{violations:?}");
    let (path, reason_of_violation) = violations.remove(0);
    assert_eq!(reason(&refused), reason_of_violation);
    (path, reason_of_violation)
}

async fn assert_violation(pair: &Pair, expected: (&str, &str), change: impl FnOnce(&mut Report)) {
    let (path, reason) = violation_of(pair, change).await;
    assert_eq!((path.as_str(), reason.as_str()), expected);
}

/// Nothing of what was refused was stored: the next report gets the next revision.
async fn assert_nothing_stored(pair: &Pair, revision: i64) {
    assert_eq!(submit(pair, flag_report("c4", "after", true)).await.unwrap().revision, Some(revision + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_period_that_is_no_period() {
    let (pair, revision) = world().await;
    for period in ["2016-Q5", "2016-02-30", "2017/2016", "", "soon"] {
        let reason = if period.is_empty() { "REQUIRED_FIELD_MISSING" } else { "INVALID_PERIOD" };
        assert_violation(&pair, ("report.period", reason), |report| report.period = period.into()).await;
    }
    assert_nothing_stored(&pair, revision).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_term_the_unit_does_not_have_or_a_unit_alive_on_no_day() {
    let (pair, revision) = world().await;
    assert_violation(&pair, ("report.period", "UNKNOWN_TERM"), |report| report.period = "term:2015-2020".into()).await;
    let dead = |report: &mut Report| {
        report.unit = "late".into();
        report.period = "2014".into();
    };
    assert_violation(&pair, ("report.period", "UNIT_NOT_ALIVE"), dead).await;
    assert_nothing_stored(&pair, revision).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn decimals_that_are_none() {
    let (pair, revision) = world().await;
    let forty = "1".repeat(40);
    for text in ["12,7", "NaN", "1e400", forty.as_str(), "", "1.", "--1"] {
        let percent = observation("rate", Value::Percent(text.into()));
        let change = |report: &mut Report| report.observations = vec![percent];
        assert_violation(&pair, ("report.observations[0].percent", "INVALID_DECIMAL"), change).await;
        let money = Money { amount: text.into(), currency: "VND".into(), ..Default::default() };
        let money = observation("revenue", Value::Money(money));
        let change = |report: &mut Report| report.observations = vec![money];
        assert_violation(&pair, ("report.observations[0].money.amount", "INVALID_DECIMAL"), change).await;
    }
    let stated = Observation { stated_percent: "1".repeat(13), ..observation("members", Value::Count(1)) };
    let change = |report: &mut Report| report.observations = vec![stated];
    assert_violation(&pair, ("report.observations[0].stated_percent", "INVALID_DECIMAL"), change).await;
    assert_nothing_stored(&pair, revision).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_is_not_in_its_list() {
    let (pair, revision) = world().await;
    let mut rated = observation("rated", Value::Count(1));
    rated.by.insert("rating".into(), "superb".into());
    let change = |report: &mut Report| report.observations = vec![rated];
    assert_violation(&pair, ("report.observations[0].by[\"rating\"]", "UNKNOWN_CODE"), change).await;
    assert_nothing_stored(&pair, revision).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_twice_nothing_at_all_and_more_than_five_hundred() {
    let (pair, revision) = world().await;
    let twice = vec![observation("members", Value::Count(1)), observation("members", Value::Count(2))];
    let change = |report: &mut Report| report.observations = twice;
    assert_violation(&pair, ("report.observations[1]", "DUPLICATE_OBSERVATION"), change).await;
    let path = "report.observations";
    assert_violation(&pair, (path, "REQUIRED_FIELD_MISSING"), |report| report.observations.clear()).await;
    let many = vec![Observation::default(); 501];
    assert_violation(&pair, (path, "TOO_MANY"), |report| report.observations = many).await;
    assert_nothing_stored(&pair, revision).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unseen_characters_and_texts_that_are_too_long() {
    let (pair, revision) = world().await;
    for title in ["a\u{202e}b", "a\u{200b}b", "a\u{7}b", &"x".repeat(501)] {
        let change = |report: &mut Report| report.source.as_mut().unwrap().title = title.into();
        assert_violation(&pair, ("report.source.title", "INVALID_TEXT"), change).await;
    }
    for id in ["Đại-Từ", "c0 ", "commune_1"] {
        assert_violation(&pair, ("report.unit", "INVALID_ID"), |report| report.unit = id.into()).await;
    }
    let long = format!("2016{}", "0".repeat(100_000));
    let (_, reason) = violation_of(&pair, |report| report.period = long).await;
    assert_eq!(reason, "INVALID_PERIOD", "and the answer still fits");
    // Scripts that mix are flagged, not refused.
    let mut mixed = flag_report("c1", "Huy\u{435}n", true);
    mixed.report.as_mut().unwrap().period = "2016".into();
    let receipt = submit(&pair, mixed).await.unwrap();
    assert_eq!(receipt.findings[0].reason(), proto::v1::finding::Reason::MixedScripts);
    assert_nothing_stored(&pair, revision + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_is_too_large_for_an_entry() {
    let (pair, revision) = world().await;
    let long = |index: usize| Observation {
        by: [("rating".to_owned(), "good".to_owned())].into(),
        note: "n".repeat(500),
        ..observation(&format!("i{index}"), Value::Count(1))
    };
    let indicators = (0..200).map(|index| Indicator {
        dimensions: vec![Dimension { id: "rating".into(), codes: vec![], closed: false }],
        ..indicator(&format!("i{index}"), ValueKind::Count)
    });
    let request = DefineIndicatorsRequest { indicators: indicators.collect(), ..Default::default() };
    let revision = pair.registry().define_indicators(request).await.unwrap().into_inner().revision.max(revision);
    let mut request = flag_report("c0", "t", true);
    request.report.as_mut().unwrap().observations = (0..200).map(long).collect();
    let refused = submit(&pair, request).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "TOO_LARGE"));
    assert!(refused.message().contains("65536"), "the limit is named: {refused}");
    assert_nothing_stored(&pair, revision).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn things_that_a_call_names_and_that_are_not_there() {
    let (pair, _) = world().await;
    let unit = pair.registry().get_unit(GetUnitRequest { id: "nowhere".into(), on: String::new() }).await.unwrap_err();
    assert_eq!((unit.code(), reason(&unit).as_str()), (Code::NotFound, "UNIT_NOT_FOUND"));
    let request = GetReportRequest { name: "reports/999".into(), version: 0 };
    let report = pair.reports().get_report(request).await.unwrap_err();
    assert_eq!((report.code(), reason(&report).as_str()), (Code::NotFound, "REPORT_NOT_FOUND"));
    let list = proto::v1::ListReportsRequest { unit: "nowhere".into(), ..Default::default() };
    assert_eq!(reason(&pair.reports().list_reports(list).await.unwrap_err()), "UNIT_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_cannot_be() {
    let (pair, revision) = world().await;
    let register = async |units: Vec<Unit>| {
        let request = RegisterUnitsRequest { units, ..Default::default() };
        let refused = pair.registry().register_units(request).await.unwrap_err();
        (
            refused.code(),
            violations(&refused).into_iter().map(|(path, reason)| format!("{path} {reason}")).collect::<Vec<_>>(),
        )
    };
    let cycle = vec![unit("x", Level::District, "y"), unit("y", Level::Commune, "x")];
    let expected = ["units[0].parent HIERARCHY_CYCLE", "units[1].parent HIERARCHY_CYCLE"];
    assert_eq!(register(cycle).await, (Code::InvalidArgument, expected.map(str::to_owned).to_vec()));
    let cases = [
        (unit("x", Level::Commune, "nowhere"), Code::InvalidArgument, "units[0].parent UNKNOWN_PARENT"),
        (unit("x", Level::Province, "d"), Code::InvalidArgument, "units[0].level LEVEL_NOT_BELOW_PARENT"),
        (unit("x", Level::District, "d"), Code::InvalidArgument, "units[0].level LEVEL_NOT_BELOW_PARENT"),
        (unit("x", Level::Country, ""), Code::InvalidArgument, "units[0].parent SECOND_ROOT"),
        (unit("none", Level::Commune, "d"), Code::InvalidArgument, "units[0].id INVALID_ID"),
        (unit("c0", Level::Commune, "p"), Code::AlreadyExists, "units[0] EXISTS_WITH_DIFFERENT_CONTENT"),
        (
            Unit { name: " ".into(), ..unit("x", Level::Commune, "d") },
            Code::InvalidArgument,
            "units[0].name REQUIRED_FIELD_MISSING",
        ),
    ];
    for (unit, code, expected) in cases {
        assert_eq!(register(vec![unit]).await, (code, vec![expected.to_owned()]));
    }
    assert_nothing_stored(&pair, revision).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_with_a_level_that_is_none() {
    let (pair, revision) = world().await;
    let request = GetShareRequest {
        indicator: FLAG.into(),
        units: Some(UnitSelector { under: "d".into(), level: 77, ids: vec![] }),
        on: "2017-06-30".into(),
        at_least_revision: Some(revision),
        ..Default::default()
    };
    let refused = pair.queries().get_share(request).await.unwrap_err();
    assert_eq!(violations(&refused), [("units.level".to_owned(), "INVALID_ENUM_VALUE".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_faults_of_form_and_of_reference_are_named_in_one_answer() {
    let (pair, revision) = world().await;
    let ratio = proto::v1::observation::Ratio { numerator: Some(5), denominator: Some(4) };
    let mut request = flag_report("nowhere", "t", true);
    let report = request.report.as_mut().unwrap();
    report.period = "2016-Q5".into();
    report.observations = vec![
        observation("unheard_of", Value::Count(1)),
        observation("rate", Value::Percent("12,7".into())),
        observation("members", Value::Ratio(ratio)),
        observation("members", Value::Flag(true)),
    ];
    let refused = submit(&pair, request).await.unwrap_err();
    let mut named = violations(&refused);
    named.sort();
    let expected = [
        ("report.observations[0].indicator", "UNKNOWN_INDICATOR"),
        ("report.observations[1].percent", "INVALID_DECIMAL"),
        ("report.observations[2].ratio.numerator", "NUMERATOR_ABOVE_DENOMINATOR"),
        ("report.observations[3]", "DUPLICATE_OBSERVATION"),
        ("report.observations[3].flag", "WRONG_VALUE_KIND"),
        ("report.period", "INVALID_PERIOD"),
        ("report.unit", "UNKNOWN_UNIT"),
    ];
    assert_eq!(named, expected.map(|(path, reason)| (path.to_owned(), reason.to_owned())));
    assert_nothing_stored(&pair, revision).await;
}

/// Sends bytes as they are.
pub struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, bytes: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        prost::bytes::BufMut::put_slice(buffer, &bytes);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        prost::bytes::Buf::advance(buffer, prost::bytes::Buf::remaining(buffer));
        Ok(Some(()))
    }
}

/// Sends a message as these bytes.
pub async fn send(channel: &Channel, method: &'static str, bytes: Vec<u8>) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static(method);
    client.unary(Request::new(bytes), path, Raw).await.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_message_leave_the_connection_alive() {
    let (pair, revision) = world().await;
    let channel = pair.ingest.channel();
    const SUBMIT: &str = "/tonghop.v1.IngestService/SubmitReport";
    let mut invalid_utf8 = flag_report("c0", "title", true).encode_to_vec();
    let at = invalid_utf8.windows(5).position(|window| window == b"title").unwrap();
    invalid_utf8[at] = 0xff;
    // Groups within groups, which no field of ours is.
    let too_deep = [0xa3, 0x06].repeat(100_000);
    let too_large = vec![0; 5 * 1024 * 1024];
    let cases = [
        (SUBMIT, invalid_utf8, Code::InvalidArgument, "MALFORMED_MESSAGE"),
        (SUBMIT, too_deep, Code::InvalidArgument, "MALFORMED_MESSAGE"),
        (SUBMIT, vec![0x0a, 0xff], Code::InvalidArgument, "MALFORMED_MESSAGE"),
        (SUBMIT, too_large, Code::InvalidArgument, "TOO_LARGE"),
        ("/tonghop.v1.IngestService/NoSuchMethod", vec![], Code::Unimplemented, "UNKNOWN_METHOD"),
        ("/no.such.Service/Method", vec![], Code::Unimplemented, "UNKNOWN_METHOD"),
        // Empty sub-messages of two bytes each: more than are decoded, and what is decoded is refused.
        (SUBMIT, observations_of_nothing(1_900_000), Code::InvalidArgument, "TOO_MANY"),
        (SUBMIT, observations_of_nothing(90_000), Code::InvalidArgument, "SEVERAL_VIOLATIONS"),
    ];
    for (method, bytes, code, expected) in cases {
        let refused = send(&channel, method, bytes).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (code, expected), "{refused}");
        // The same connection, the next call.
        send(
            &channel,
            "/tonghop.v1.RegistryService/GetUnit",
            GetUnitRequest { id: "c0".into(), on: String::new() }.encode_to_vec(),
        )
        .await
        .unwrap();
    }
    assert_nothing_stored(&pair, revision).await;
}

/// A request whose one report has so many empty observations.
pub fn observations_of_nothing(count: usize) -> Vec<u8> {
    // Field 9 of Report, empty, again and again; as field 4 of the request.
    let report = [0x4a, 0x00].repeat(count);
    let mut request = vec![0x22];
    prost::encoding::encode_varint(report.len() as u64, &mut request);
    request.extend(report);
    request
}
