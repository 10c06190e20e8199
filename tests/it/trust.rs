//! Answers that explain themselves, can be watched, cited and paged: the same whoever asks, and when.

use std::collections::{BTreeMap, BTreeSet};

use proto::v1::{
    Contribution, ExplainRequest, Share, VerifyCitationRequest, WatchRequest, WatchResponse,
    contribution::Verdict,
    explain_response::{End, Piece, end},
    query_service_client::QueryServiceClient,
    verify_citation_response::Result as Verified,
    watch_response::{self, cause::Kind},
};
use serde_json::{Value, json};
use tests::{
    harness::{FREE_PORT, Pair, Service, run, start_ingest, start_query, start_query_over},
    json::{call, read},
};
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt;

use crate::support::{eventually, flag_report, reason, small_world, submit, violations};

const QUERY: &str = "tonghop.v1.QueryService";

async fn ask(service: &Service, method: &str, request: Value) -> Value {
    eventually(async || match call(service.channel(), &format!("{QUERY}/{method}"), &request).await {
        Ok(answer) => Some(answer),
        Err(status) if status.code() == Code::Unavailable => None,
        Err(status) => panic!("{method} {request}: {status}"),
    })
    .await
}

async fn explain(pair: &Pair, request: Value) -> Result<(Vec<Contribution>, End), Status> {
    let request: ExplainRequest = read("tonghop.v1.ExplainRequest", &request).unwrap();
    let mut pieces = pair.queries().explain(request).await?.into_inner();
    let mut contributions = Vec::new();
    loop {
        match pieces.message().await?.expect("the end comes before the end of the stream").piece.unwrap() {
            Piece::Contribution(contribution) => contributions.push(contribution),
            Piece::End(end) => {
                assert!(pieces.message().await?.is_none());
                return Ok((contributions, end));
            }
        }
    }
}

/// The checksum as its comment says, by whoever wants to check it.
fn checksum(contributions: &[Contribution]) -> String {
    let mut hasher = blake3::Hasher::new();
    for c in contributions {
        let Contribution { unit, report, revision, observation_index, verdict, weight, denominator_weight, .. } = c;
        let parts = [unit.clone(), report.clone(), revision.to_string(), observation_index.to_string()];
        let rest = [verdict.to_string(), weight.clone(), denominator_weight.clone()];
        hasher.update(format!("{}\t{}\n", parts.join("\t"), rest.join("\t")).as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// A report with any observations, as JSON; answers the revision and the name.
async fn report(pair: &Pair, report: Value) -> (i64, String) {
    let method = "tonghop.v1.IngestService/SubmitReport";
    let answer = call(pair.ingest.channel(), method, &json!({ "report": report })).await.unwrap();
    (answer["revision"].as_str().unwrap().parse().unwrap(), answer["report"]["name"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_explained_down_to_every_report_and_the_sum_is_proved() {
    let pair = Pair::start();
    small_world(&pair).await;
    let flag = |unit: &str, title: &str, period: &str, more: Value| {
        let mut observation = json!({"indicator": "flag"});
        observation.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"unit": unit, "period": period, "source": {"title": title, "published_on": "2018-02-01"}, "observations": [observation]})
    };
    report(&pair, flag("c0", "first", "2017", json!({"flag": false}))).await;
    let (_, corrected) = report(&pair, flag("c0", "first", "2017", json!({"flag": true}))).await;
    let (_, same) = report(&pair, flag("c0", "second", "2016/2018-01-31", json!({"flag": true}))).await;
    let (_, other) = report(&pair, flag("c0", "third", "2015/2018-01-31", json!({"flag": false}))).await;
    let (_, withdrawn) = report(&pair, flag("c1", "gone", "2017", json!({"flag": true}))).await;
    let withdraw = json!({"name": withdrawn, "reason": "by mistake"});
    call(pair.ingest.channel(), "tonghop.v1.IngestService/WithdrawReport", &withdraw).await.unwrap();
    report(&pair, flag("c2", "withheld", "2017", json!({"missing": "WITHHELD"}))).await;
    report(&pair, flag("c3", "earlier", "2016", json!({"flag": true}))).await;
    let mut later = flag("c4", "later", "2017", json!({"flag": true}));
    later["source"]["published_on"] = json!("2019-01-01");
    report(&pair, later).await;
    // Said of each unit of a group: it is listed once for each of them.
    let (_, of_each) =
        report(&pair, flag("c3", "group", "2015", json!({"scope": "GROUP", "units": ["c3", "c4"], "flag": true})))
            .await;
    let claim = flag("d", "claim", "2017", json!({"scope": "CHILDREN", "percent": "90"}));
    let (revision, _) = report(&pair, claim).await;

    let question = json!({"indicator": "flag", "units": {"under": "d", "level": "COMMUNE"}, "on": "2017-06-30",
        "published_until": "2018-12-31", "at_least_revision": revision});
    let (contributions, end) = explain(&pair, json!({"share": question})).await.unwrap();
    let verdicts: Vec<(&str, &str, Verdict)> =
        contributions.iter().map(|c| (c.unit.as_str(), c.report.as_str(), c.verdict())).collect();
    let of = |unit: &str, report: &str| -> Vec<Verdict> {
        verdicts.iter().filter(|(u, r, _)| *u == unit && *r == report).map(|(.., v)| *v).collect()
    };
    assert_eq!(of("c0", &corrected), [Verdict::Superseded, Verdict::Counts], "{verdicts:?}");
    assert_eq!(of("c0", &same), [Verdict::Outranked]);
    assert_eq!(of("c0", &other), [Verdict::Contested]);
    assert_eq!(of("c1", &withdrawn), [Verdict::Withdrawn]);
    assert_eq!(of("c1", ""), [Verdict::Silent]);
    let rest: Vec<Verdict> =
        verdicts.iter().filter(|(u, ..)| ["c2", "c3", "c4"].contains(u)).map(|(.., v)| *v).collect();
    assert_eq!(
        rest,
        [
            Verdict::Missing,
            Verdict::Silent,
            Verdict::OtherPeriod,
            Verdict::OtherPeriod,
            Verdict::Silent,
            Verdict::PublishedLater,
            Verdict::OtherPeriod
        ],
        "what a unit did not say stands before what it did"
    );
    assert_eq!((of("c3", &of_each).len(), of("c4", &of_each).len()), (1, 1));
    assert_eq!(verdicts.last().unwrap().2, Verdict::OtherScope, "the published share is shown, not used");

    let Some(end::Result::Share(row)) = &end.result else { panic!("{end:?}") };
    assert_eq!((row.yes, row.no, row.withheld, row.not_reported), (Some(1), Some(0), Some(1), Some(3)));
    assert_eq!((end.weight.as_str(), end.denominator_weight.as_str()), ("1", "1"), "yes / (yes + no)");
    assert_eq!(usize::try_from(end.contributions).unwrap(), contributions.len());
    assert_eq!(end.checksum, checksum(&contributions));
    let answer = ask(&pair.query, "GetShare", question.clone()).await;
    assert_eq!(answer["shares"][0]["share"], json!("1.000000"));
    assert_eq!(answer["shares"][0]["contested"], json!(1));

    let refused = explain(&pair, json!({"share": question, "row": "nowhere"})).await.unwrap_err();
    assert_eq!((refused.code(), violations(&refused)), (Code::NotFound, vec![("row".into(), "ROW_NOT_FOUND".into())]));
    let refused = explain(&pair, json!({})).await.unwrap_err();
    assert_eq!(violations(&refused), [("question".to_owned(), "REQUIRED_FIELD_MISSING".to_owned())]);
    let mut unheard_of = question;
    unheard_of["indicator"] = json!("unheard_of");
    let refused = explain(&pair, json!({"share": unheard_of})).await.unwrap_err();
    assert_eq!(violations(&refused), [("share.indicator".to_owned(), "INDICATOR_NOT_FOUND".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sum_is_explained_by_its_parts_whichever_way_they_came() {
    let pair = Pair::start();
    small_world(&pair).await;
    let define = json!({"indicators": [{"id": "cases", "names": {"en": "Cases"}, "value_kind": "COUNT", "temporality": "FLOW", "roll_up": "SUM"}]});
    call(pair.ingest.channel(), "tonghop.v1.RegistryService/DefineIndicators", &define).await.unwrap();
    let cases = |unit: &str, period: &str, count: &str, qualifier: &str| {
        json!({"unit": unit, "period": period, "source": {"title": "t"},
            "observations": [{"indicator": "cases", "count": count, "qualifier": qualifier}]})
    };
    report(&pair, cases("c0", "2017", "300", "EXACT")).await;
    for quarter in 1..=4 {
        report(&pair, cases("c1", &format!("2017-Q{quarter}"), &quarter.to_string(), "EXACT")).await;
    }
    let (revision, _) = report(&pair, cases("c2", "2017", "5000", "MORE_THAN")).await;
    let units = json!({"ids": ["c0", "c1", "c2"]});
    let question = json!({"indicator": "cases", "units": units, "period": "2017", "at_least_revision": revision});
    let (contributions, end) = explain(&pair, json!({"figure": question})).await.unwrap();
    let weights: Vec<(&str, &str, Verdict)> =
        contributions.iter().map(|c| (c.unit.as_str(), c.weight.as_str(), c.verdict())).collect();
    assert_eq!(
        weights,
        [
            ("c0", "300", Verdict::Counts),
            ("c1", "1", Verdict::CountsAsTile),
            ("c1", "2", Verdict::CountsAsTile),
            ("c1", "3", Verdict::CountsAsTile),
            ("c1", "4", Verdict::CountsAsTile),
            ("c2", "5000", Verdict::Counts),
        ]
    );
    let Some(end::Result::Figure(row)) = &end.result else { panic!("{end:?}") };
    assert_eq!((row.value.as_deref(), end.weight.as_str()), (Some("5310"), "5310"));
    assert_eq!(row.qualifier(), proto::v1::observation::Qualifier::MoreThan, "300 + 10 + more than 5,000");
    assert_eq!(end.checksum, checksum(&contributions));
    let mut median = question;
    median["measure"] = json!("MEDIAN");
    let refused = explain(&pair, json!({"figure": median})).await.unwrap_err();
    assert_eq!(violations(&refused), [("figure.measure".to_owned(), "MEASURE_NOT_ALLOWED".to_owned())]);
}

fn share_of_communes() -> Value {
    json!({"indicator": "flag", "units": {"under": "d", "level": "COMMUNE"}, "on": "2017-06-30", "group_by": "UNIT"})
}

async fn watch(
    client: &mut QueryServiceClient<Channel>,
    resume_token: &str,
) -> Result<Streaming<WatchResponse>, Status> {
    let request = json!({"share": share_of_communes(), "resume_token": resume_token});
    let request: WatchRequest = read("tonghop.v1.WatchRequest", &request).unwrap();
    client.watch(request).await.map(tonic::Response::into_inner)
}

/// What a watcher has seen: the rows as they are, and the revisions of the changes, in their order.
#[derive(Default)]
struct Seen {
    rows: BTreeMap<String, Share>,
    changes: Vec<watch_response::Change>,
    token: String,
    revision: i64,
}

impl Seen {
    fn take_in(&mut self, piece: WatchResponse) {
        self.token = piece.resume_token;
        match piece.piece.unwrap() {
            watch_response::Piece::Snapshot(snapshot) => {
                assert!(self.rows.is_empty(), "the snapshot comes first and once");
                self.revision = snapshot.meta.unwrap().revision;
                self.rows.extend(snapshot.shares.into_iter().map(|row| (row.unit.clone(), row)));
            }
            watch_response::Piece::Change(change) => {
                let revision = change.meta.as_ref().unwrap().revision;
                assert!(revision > self.revision, "in order, none twice");
                self.revision = revision;
                for gone in &change.removed {
                    assert!(self.rows.remove(gone).is_some(), "{gone}");
                }
                self.rows.extend(change.shares.iter().map(|row| (row.unit.clone(), row.clone())));
                self.changes.push(change);
            }
            watch_response::Piece::Progress(progress) => {
                assert!(progress.revision >= self.revision);
                self.revision = progress.revision;
            }
        }
    }

    async fn until(&mut self, pieces: &mut Streaming<WatchResponse>, revision: i64) {
        while self.revision < revision {
            self.take_in(pieces.message().await.unwrap().expect("it goes on"));
        }
    }

    async fn assert_is_the_answer(&self, pair: &Pair) {
        let mut request = share_of_communes();
        request["known_at"] = json!({"revision": self.revision});
        request["at_least_revision"] = json!(self.revision);
        let request: proto::v1::GetShareRequest = read("tonghop.v1.GetShareRequest", &request).unwrap();
        let answer = pair.queries().get_share(request).await.unwrap().into_inner();
        let rows: BTreeMap<String, Share> = answer.shares.into_iter().map(|row| (row.unit.clone(), row)).collect();
        assert_eq!(self.rows, rows);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_hears_of_every_change_with_its_cause_and_loses_nothing() {
    let mut pair = Pair::start();
    small_world(&pair).await;
    let first = submit(&pair, flag_report("c0", "t", true)).await.unwrap().revision.unwrap();
    eventually(async || {
        pair.queries()
            .get_share(proto::v1::GetShareRequest {
                at_least_revision: Some(first),
                ..read("tonghop.v1.GetShareRequest", &share_of_communes()).unwrap()
            })
            .await
            .ok()
    })
    .await;
    let mut seen = Seen::default();
    let mut pieces = watch(&mut pair.queries(), "").await.unwrap();
    seen.until(&mut pieces, first).await;
    assert_eq!(seen.rows.len(), 5);

    // New, corrected, withdrawn; another indicator, which changes nothing; a register that grows; another definition.
    submit(&pair, flag_report("c1", "t", true)).await.unwrap();
    let corrected = submit(&pair, flag_report("c1", "t", false)).await.unwrap().report.unwrap().name;
    let withdraw = json!({"name": corrected, "reason": "by mistake"});
    call(pair.ingest.channel(), "tonghop.v1.IngestService/WithdrawReport", &withdraw).await.unwrap();
    let registry = |method: &str| format!("tonghop.v1.RegistryService/{method}");
    let other = json!({"indicators": [{"id": "other", "names": {"en": "o"}, "value_kind": "FLAG", "temporality": "STATE", "roll_up": "SHARE_OF_UNITS"}]});
    call(pair.ingest.channel(), &registry("DefineIndicators"), &other).await.unwrap();
    let grow = json!({"units": [{"id": "c5", "level": "COMMUNE", "name": "Unit c5", "parent": "d"}]});
    call(pair.ingest.channel(), &registry("RegisterUnits"), &grow).await.unwrap();
    let end = json!({"events": [{"id": "merger", "type": "MERGE", "effective_on": "2017-06-01", "from": ["c4"], "into": ["c3"], "document": "d", "status": "EFFECTIVE"}]});
    call(pair.ingest.channel(), &registry("RecordUnitEvents"), &end).await.unwrap();
    let excepted = json!({"indicators": [{"id": "flag", "names": {"en": "flag"}, "value_kind": "FLAG", "temporality": "STATE", "roll_up": "SHARE_OF_UNITS",
        "version": 2, "not_applicable": [{"under": "c2", "start_on": "2017-01-01", "end_on": "2017-12-31", "reason": "r"}]}]});
    let revised = call(pair.ingest.channel(), &registry("DefineIndicators"), &excepted).await.unwrap();
    let revision: i64 = revised["revision"].as_str().unwrap().parse().unwrap();
    seen.until(&mut pieces, revision).await;
    let kinds: Vec<Kind> = seen.changes.iter().map(|change| change.causes[0].kind()).collect();
    use Kind::{Correction, Definition, New, Reorganisation, Withdrawal};
    assert_eq!(kinds, [New, Correction, Withdrawal, Reorganisation, Reorganisation, Definition]);
    let units: Vec<&str> = seen.changes.iter().map(|change| change.causes[0].unit.as_str()).collect();
    assert_eq!(units, ["c1", "c1", "c1", "c5", "c4", ""]);
    assert_eq!(seen.changes[1].causes[0].report, corrected);
    assert_eq!(seen.changes[4].causes[0].event, "merger");
    assert_eq!(seen.changes[4].removed, ["c4"]);
    assert_eq!(seen.changes[5].causes[0].indicator, "flag");
    seen.assert_is_the_answer(&pair).await;

    // The reader leaves, the service is restarted, things go on: from the token nothing is lost and nothing comes twice.
    drop(pieces);
    let before = seen.changes.len();
    submit(&pair, flag_report("c3", "t", true)).await.unwrap();
    pair.restart_query();
    let last = submit(&pair, flag_report("c5", "t", true)).await.unwrap().revision.unwrap();
    let token = seen.token.clone();
    let mut pieces = eventually(async || match watch(&mut pair.queries(), &token).await {
        Ok(pieces) => Some(pieces),
        Err(status) if status.code() == Code::Unavailable => None,
        Err(status) => panic!("{status}"),
    })
    .await;
    seen.until(&mut pieces, last).await;
    let heard: Vec<&str> = seen.changes[before..].iter().map(|change| change.causes[0].unit.as_str()).collect();
    assert_eq!(heard, ["c3", "c5"]);
    seen.assert_is_the_answer(&pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_watcher_is_cut_and_told_where_to_go_on() {
    let pair = Pair::start_with(&[], &["--slow-reader-ms-max", "300"]);
    small_world(&pair).await;
    let first = submit(&pair, flag_report("c0", "t", true)).await.unwrap().revision.unwrap();
    crate::support::yes_and_no(&pair, first).await;
    // A reader whose window is small, and who does not read.
    let endpoint = Endpoint::from_shared(pair.query.uri()).unwrap();
    let endpoint = endpoint.initial_stream_window_size(4 * 1024).initial_connection_window_size(64 * 1024);
    let mut pieces = watch(&mut QueryServiceClient::new(endpoint.connect_lazy()), "").await.unwrap();
    let mut last = first;
    for number in 0..60 {
        last = submit(&pair, flag_report("c1", "t", number % 2 == 0)).await.unwrap().revision.unwrap();
    }
    let mut seen = Seen::default();
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let cut = loop {
        match pieces.message().await {
            Ok(piece) => seen.take_in(piece.expect("a cut has a reason")),
            Err(status) => break status,
        }
    };
    assert_eq!((cut.code(), reason(&cut).as_str()), (Code::Unavailable, "SLOW_CONSUMER"));
    let token = cut.get_details_error_info().unwrap().metadata["resume_token"].clone();
    assert!(seen.revision < last, "it was cut before it had seen everything");
    let mut pieces = watch(&mut pair.queries(), &token).await.unwrap();
    seen.until(&mut pieces, last).await;
    assert_eq!(seen.changes.len(), 60, "each change once");
    seen.assert_is_the_answer(&pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resume_tokens_and_citations_of_others_are_refused() {
    let pair = Pair::start();
    small_world(&pair).await;
    let revision = submit(&pair, flag_report("c0", "t", true)).await.unwrap().revision.unwrap();
    crate::support::yes_and_no(&pair, revision).await;
    let mut pieces = watch(&mut pair.queries(), "").await.unwrap();
    let token = pieces.message().await.unwrap().unwrap().resume_token;
    let refusal = async |request: Value| {
        let request: WatchRequest = read("tonghop.v1.WatchRequest", &request).unwrap();
        let status = pair.queries().watch(request).await.unwrap_err();
        (status.code(), violations(&status).remove(0))
    };
    let mut other = share_of_communes();
    other["on"] = json!("2017-06-29");
    let invalid = |path: &str, reason: &str| (path.to_owned(), reason.to_owned());
    let of_other = refusal(json!({"share": other, "resume_token": token})).await;
    assert_eq!(of_other, (Code::InvalidArgument, invalid("resume_token", "INVALID_RESUME_TOKEN")));
    let altered = format!("A{}", &token[1..]);
    let altered = if altered == token { format!("B{}", &token[1..]) } else { altered };
    let altered = refusal(json!({"share": share_of_communes(), "resume_token": altered})).await;
    assert_eq!(altered, (Code::InvalidArgument, invalid("resume_token", "INVALID_RESUME_TOKEN")));
    let mut past = share_of_communes();
    past["known_at"] = json!({"revision": 1});
    assert_eq!(refusal(json!({"share": past})).await.1, invalid("share.known_at", "CONFLICTING_FIELDS"));
    let mut series = share_of_communes();
    series.as_object_mut().unwrap().remove("on");
    series["from"] = json!("2016");
    let several = refusal(json!({"share": series})).await;
    assert_eq!(several, (Code::InvalidArgument, invalid("share.from", "CONFLICTING_FIELDS")));
    assert_eq!(refusal(json!({})).await.1, invalid("question", "REQUIRED_FIELD_MISSING"));

    // Another store does not know what the token is of.
    let elsewhere = Pair::start();
    small_world(&elsewhere).await;
    let there = submit(&elsewhere, flag_report("c0", "t", true)).await.unwrap().revision.unwrap();
    crate::support::yes_and_no(&elsewhere, there).await;
    let expired = watch(&mut elsewhere.queries(), &token).await.unwrap_err();
    assert_eq!((expired.code(), reason(&expired).as_str()), (Code::OutOfRange, "RESUME_TOKEN_EXPIRED"));
    let answer = ask(&pair.query, "GetShare", share_of_communes()).await;
    let citation = answer["meta"]["citation"].as_str().unwrap().to_owned();
    let verify = async |pair: &Pair, citation: &str| {
        let request = VerifyCitationRequest { citation: citation.to_owned(), at_least_revision: None };
        pair.queries().verify_citation(request).await.map(tonic::Response::into_inner)
    };
    let foreign = verify(&elsewhere, &citation).await.unwrap_err();
    assert_eq!((foreign.code(), reason(&foreign).as_str()), (Code::FailedPrecondition, "STORE_MISMATCH"));
    for bad in [&citation[..citation.len() - 4], "no citation", &citation.to_lowercase()] {
        let refused = verify(&pair, bad).await.unwrap_err();
        assert_eq!(violations(&refused), [invalid("citation", "INVALID_CITATION")], "{bad}");
    }
    assert_eq!(violations(&verify(&pair, "").await.unwrap_err()), [invalid("citation", "REQUIRED_FIELD_MISSING")]);
    assert_eq!(verify(&pair, &citation).await.unwrap().result(), Verified::Match);
}

/// One call of every method whose answers can be cited.
fn citable() -> Vec<(&'static str, Value)> {
    let units = json!({"under": "d", "level": "COMMUNE"});
    vec![
        ("GetShare", share_of_communes()),
        ("GetShare", json!({"indicator": "flag", "units": units, "from": "2016", "to": "2018", "step": "YEAR"})),
        ("Aggregate", json!({"indicator": "cases", "units": units, "period": "2017", "group_by": "UNIT"})),
        ("GetSeries", json!({"indicator": "cases", "units": units, "from": "2016", "to": "2018", "step": "YEAR"})),
        ("Rank", json!({"indicator": "flag", "units": units, "group_by": "UNIT", "on": "2017-06-30"})),
        ("Rank", json!({"form": "monthly", "period": "2017", "group_by": "UNIT"})),
        ("GetDistribution", json!({"flags": ["flag", "other"], "units": units, "on": "2017-06-30"})),
        (
            "Compare",
            json!({"indicator": "flag", "units": units, "a": {"on": "2016-06-30", "known_at": {"revision": 12}}, "b": {"on": "2017-06-30"}}),
        ),
        ("GetCompleteness", json!({"form": "monthly", "period": "2017", "group_by": "UNIT"})),
    ]
}

/// A world in which all of these have an answer.
async fn citable_world(pair: &Pair) -> i64 {
    small_world(pair).await;
    let registry = |method: &str| format!("tonghop.v1.RegistryService/{method}");
    let define = json!({"indicators": [
        {"id": "cases", "names": {"en": "c"}, "value_kind": "COUNT", "temporality": "FLOW", "roll_up": "SUM"},
        {"id": "other", "names": {"en": "o"}, "value_kind": "FLAG", "temporality": "STATE", "roll_up": "SHARE_OF_UNITS"}]});
    call(pair.ingest.channel(), &registry("DefineIndicators"), &define).await.unwrap();
    let form = json!({"forms": [{"id": "monthly", "names": {"en": "m"}, "under": "d", "level": "COMMUNE", "frequency": "MONTHLY", "indicators": ["cases"]}]});
    call(pair.ingest.channel(), &registry("DefineForms"), &form).await.unwrap();
    submit(pair, flag_report("c0", "t", true)).await.unwrap();
    submit(pair, flag_report("c1", "t", false)).await.unwrap();
    let cases = json!({"unit": "c0", "period": "2017", "source": {"title": "t"}, "observations": [{"indicator": "cases", "count": "3"}]});
    report(pair, cases).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_can_be_cited_and_replayed_for_ever_by_every_service() {
    let mut pair = Pair::start();
    let revision = citable_world(&pair).await;
    let second = start_query(&pair.ingest.uri(), FREE_PORT);
    let mut answers = Vec::new();
    for (method, mut request) in citable() {
        request["at_least_revision"] = json!(revision);
        let answer = ask(&pair.query, method, request.clone()).await;
        // Two services give the same rows at the same revision, and the same citation.
        assert_eq!(ask(&second, method, request.clone()).await, answer, "{method}");
        let definitions = answer["meta"]["definitions"].as_array();
        assert!(definitions.is_some_and(|d| !d.is_empty()) || request.get("form").is_some(), "{method}: {answer}");
        answers.push((method, request, answer));
    }
    // Things go on, and both services are killed and started again.
    for unit in ["c0", "c1", "c2", "c3", "c4"] {
        submit(&pair, flag_report(unit, "t", unit > "c1")).await.unwrap();
    }
    pair.restart_ingest();
    pair.restart_query();
    for (method, request, answer) in &answers {
        let citation = answer["meta"]["citation"].as_str().unwrap();
        for service in [&pair.query, &second] {
            let verified = ask(service, "VerifyCitation", json!({ "citation": citation })).await;
            assert_eq!(verified["result"], json!("MATCH"), "{method} {request}: {verified}");
            assert_eq!(verified["method"], json!(method));
        }
        // The same question about what was known then has the same rows.
        let mut again = request.clone();
        again["known_at"] = json!({"revision": answer["meta"]["revision"]});
        let answered = ask(&pair.query, method, again).await;
        let rows = |answer: &Value| {
            let mut rows = answer.as_object().unwrap().clone();
            rows.remove("meta");
            rows
        };
        if *method != "Compare" {
            assert_eq!(rows(&answered), rows(answer), "{method}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_history_gives_other_rows_and_says_which() {
    let mut pair = Pair::start();
    small_world(&pair).await;
    submit(&pair, flag_report("c0", "t", true)).await.unwrap();
    // A copy of the store, in which things then go on otherwise.
    let copy = tempfile::tempdir().unwrap();
    let file = copy.path().join("log");
    let listen = pair.ingest.address().to_string();
    pair.ingest.tell_to_end();
    std::mem::replace(&mut pair.ingest, start_ingest(&copy.path().join("meanwhile"), FREE_PORT)).wait();
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let export = ["--data", &text(pair.directory.path()), "export", "--to", &text(&file)];
    assert!(run("ingest-service", &export).status.success());
    let import = ["--data", &text(&copy.path().join("store")), "import", "--from", &text(&file)];
    assert!(run("ingest-service", &import).status.success());
    pair.ingest = start_ingest(pair.directory.path(), &listen);
    let other_ingest = start_ingest(&copy.path().join("store"), FREE_PORT);
    let query_data = tempfile::tempdir().unwrap();
    let other_query = start_query_over(query_data.path(), &other_ingest.uri(), FREE_PORT, &[]);
    let other = Pair { directory: copy, query_data, ingest: other_ingest, query: other_query };

    let here = submit(&pair, flag_report("c1", "t", true)).await.unwrap().revision.unwrap();
    let there = submit(&other, flag_report("c1", "t", false)).await.unwrap().revision.unwrap();
    assert_eq!(here, there);
    let mut request = share_of_communes();
    request["at_least_revision"] = json!(here);
    let citation = ask(&pair.query, "GetShare", request).await["meta"]["citation"].clone();
    let verify = json!({"citation": citation, "at_least_revision": here});
    assert_eq!(ask(&pair.query, "VerifyCitation", verify.clone()).await["result"], json!("MATCH"));
    let verified = ask(&other.query, "VerifyCitation", verify).await;
    assert_eq!(verified["result"], json!("DIFFERENT"));
    let paths: Vec<&str> =
        verified["differences"].as_array().unwrap().iter().map(|d| d["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["rows", "rows[1]"], "the row of c1");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_walk_over_one_snapshot_while_things_go_on() {
    let pair = Pair::start();
    small_world(&pair).await;
    let revision = submit(&pair, flag_report("c0", "t", true)).await.unwrap().revision.unwrap();
    let mut request = share_of_communes();
    request["at_least_revision"] = json!(revision);
    let whole = ask(&pair.query, "GetShare", request.clone()).await;
    request["page_size"] = json!(2);
    let (mut rows, mut pages) = (Vec::new(), 0);
    let mut names = BTreeSet::new();
    loop {
        let page = ask(&pair.query, "GetShare", request.clone()).await;
        pages += 1;
        assert_eq!(page["meta"], whole["meta"], "the same snapshot, the same citation");
        for row in page["shares"].as_array().unwrap() {
            assert!(names.insert(row["unit"].as_str().unwrap().to_owned()), "no row twice");
            rows.push(row.clone());
        }
        // A report that comes meanwhile is not in this walk.
        let unit = format!("c{pages}");
        let last = submit(&pair, flag_report(&unit, "t", true)).await.unwrap().revision.unwrap();
        request["at_least_revision"] = json!(last);
        match page.get("nextPageToken") {
            Some(token) => request["page_token"] = token.clone(),
            None => break,
        }
    }
    assert_eq!((pages, &Value::Array(rows)), (3, &whole["shares"]));

    let token = request["page_token"].as_str().unwrap().to_owned();
    let refusal = async |request: Value| {
        let status = call(pair.query.channel(), &format!("{QUERY}/GetShare"), &request).await.unwrap_err();
        (status.code(), violations(&status).remove(0))
    };
    let invalid = (Code::InvalidArgument, ("page_token".to_owned(), "INVALID_PAGE_TOKEN".to_owned()));
    let mut other = request.clone();
    other["on"] = json!("2017-06-29");
    assert_eq!(refusal(other).await, invalid, "of another query");
    let mut altered = request;
    altered["page_token"] = json!(format!("{}A", &token[..token.len() - 1]));
    altered["page_token"] =
        if altered["page_token"] == json!(token) { json!(token[1..]) } else { altered["page_token"].clone() };
    assert_eq!(refusal(altered).await, invalid, "altered");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_in_several_rows_is_explained_as_off_the_map() {
    let pair = Pair::start();
    small_world(&pair).await;
    let registry = |method: &str| format!("tonghop.v1.RegistryService/{method}");
    let unit = |id: &str| json!({"id": id, "level": "COMMUNE", "name": id, "parent": "d"});
    let divided = json!({"units": [unit("x"), unit("y")], "events": [{"id": "division", "type": "SPLIT",
        "effective_on": "2018-01-01", "from": ["c0"], "into": ["x", "y"], "document": "d", "status": "EFFECTIVE"},
        {"id": "merger", "type": "MERGE", "effective_on": "2018-01-01", "from": ["c1"], "into": ["x"], "document": "d", "status": "EFFECTIVE"}]});
    call(pair.ingest.channel(), &registry("RecordUnitEvents"), &divided).await.unwrap();
    submit(&pair, flag_report("c0", "t", true)).await.unwrap();
    let revision = submit(&pair, flag_report("c1", "t", true)).await.unwrap().revision.unwrap();
    let question = json!({"indicator": "flag", "units": {"under": "d", "level": "COMMUNE"}, "on": "2017-06-30",
        "group_by": "COMMUNE", "boundaries_on": "2018-01-01", "at_least_revision": revision});
    let verdicts = async |row: &str| -> Vec<(String, Verdict)> {
        let (contributions, _) = explain(&pair, json!({"share": question, "row": row})).await.unwrap();
        contributions.iter().map(|c| (c.unit.clone(), c.verdict())).collect()
    };
    let of = |unit: &str, verdict: Verdict| (unit.to_owned(), verdict);
    assert_eq!(verdicts("x").await, [of("c0", Verdict::OffTheMap), of("c1", Verdict::Counts)]);
    assert_eq!(verdicts("unassignable").await, [of("c0", Verdict::Counts)]);
    assert_eq!(verdicts("c2").await, [of("c2", Verdict::Silent)]);
}
