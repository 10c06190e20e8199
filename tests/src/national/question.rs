//! The six questions, as a client asks them.

use prost::Message;
use proto::v1::{
    AggregateRequest, AggregateResponse, GetSeriesRequest, GetSeriesResponse, GetShareRequest, GetShareResponse,
    RankRequest, RankResponse, Share, UnitSelector,
    figure::Measure,
    query_service_client::QueryServiceClient,
    rank_response::place,
    series::{Step, point},
    unit::Level,
};
use tonic::{Status, transport::Channel};

use crate::workload::{
    Workload,
    answers::{FLAG, RANKED, RATIO, Row, TOP},
    indicator_id,
};

/// A question.
#[derive(Clone, Debug)]
pub enum Question {
    /// A share.
    Share(GetShareRequest),
    /// Shares over time.
    Series(GetSeriesRequest),
    /// An order.
    Rank(RankRequest),
    /// A ratio.
    Ratio(AggregateRequest),
}

/// Its answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A share.
    Share(GetShareResponse),
    /// Shares over time.
    Series(GetSeriesResponse),
    /// An order.
    Rank(RankResponse),
    /// A ratio.
    Ratio(AggregateResponse),
}

/// A question, its name, and the rows that have to come.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Q1 to Q6.
    pub name: &'static str,
    /// What it asks.
    pub what: &'static str,
    /// The question.
    pub question: Question,
    /// What has to be answered, by plain arithmetic.
    pub expected: Vec<Row>,
}

/// Q1 and Q5, which any workload can answer: those whose cost may not grow with the number of units.
pub fn local(load: &Workload) -> Vec<Asked> {
    let flag = indicator_id(FLAG);
    let period = load.period(load.last());
    let by_province = GetShareRequest {
        indicator: flag.clone(),
        units: communes("vn"),
        group_by: "PROVINCE".into(),
        period: period.clone(),
        ..Default::default()
    };
    let district = GetShareRequest { indicator: flag, units: communes(load.asked()), period, ..Default::default() };
    let asked = |name, what, question, expected| Asked { name, what, question, expected };
    vec![
        asked("Q1", "share by province, one quarter", Question::Share(by_province), load.share_by_province()),
        asked("Q5", "share in one district", Question::Share(district), load.share_in_district()),
    ]
}

/// All six.
pub fn all(load: &Workload) -> Vec<Asked> {
    let flag = indicator_id(FLAG);
    let series = GetSeriesRequest {
        indicator: flag.clone(),
        units: communes("vn"),
        from: load.period(0),
        to: load.period(load.last()),
        step: Step::Quarter.into(),
        ..Default::default()
    };
    let rank = RankRequest {
        indicator: indicator_id(RANKED),
        units: communes("vn"),
        group_by: "DISTRICT".into(),
        period: load.period(load.last()),
        measure: Measure::Sum.into(),
        top: i32::try_from(TOP).expect("it is small"),
        ..Default::default()
    };
    let ratio = AggregateRequest {
        indicator: indicator_id(RATIO.0),
        denominator: indicator_id(RATIO.1),
        units: communes("vn"),
        group_by: "PROVINCE".into(),
        period: "2024".into(),
        measure: Measure::Ratio.into(),
        ..Default::default()
    };
    let last_known = GetShareRequest {
        indicator: flag,
        units: communes("vn"),
        group_by: "PROVINCE".into(),
        on: "2024-12-31".into(),
        last_known: true,
        ..Default::default()
    };
    let asked = |name, what, question, expected| Asked { name, what, question, expected };
    let mut all = local(load);
    all.extend([
        asked("Q2", "national share, every quarter", Question::Series(series), load.share_by_quarter()),
        asked("Q3", "top 10 districts by a sum", Question::Rank(rank), load.top_districts()),
        asked("Q4", "ratio of sums by province, 4 quarters", Question::Ratio(ratio), load.ratio_by_province()),
        asked("Q6", "last known, share by province", Question::Share(last_known), load.last_known_by_province()),
    ]);
    all.sort_by_key(|asked| asked.name);
    all
}

fn communes(under: &str) -> Option<UnitSelector> {
    Some(UnitSelector { under: under.into(), level: Level::Commune.into(), ids: Vec::new() })
}

impl Question {
    /// Asks.
    ///
    /// # Errors
    /// The refusal.
    pub async fn ask(&self, client: &mut QueryServiceClient<Channel>) -> Result<Answer, Status> {
        Ok(match self {
            Self::Share(request) => Answer::Share(client.get_share(request.clone()).await?.into_inner()),
            Self::Series(request) => Answer::Series(client.get_series(request.clone()).await?.into_inner()),
            Self::Rank(request) => Answer::Rank(client.rank(request.clone()).await?.into_inner()),
            Self::Ratio(request) => Answer::Ratio(client.aggregate(request.clone()).await?.into_inner()),
        })
    }

    /// As it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Share(request) => request.encode_to_vec(),
            Self::Series(request) => request.encode_to_vec(),
            Self::Rank(request) => request.encode_to_vec(),
            Self::Ratio(request) => request.encode_to_vec(),
        }
    }
}

impl Answer {
    /// As it comes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Share(answer) => answer.encode_to_vec(),
            Self::Series(answer) => answer.encode_to_vec(),
            Self::Rank(answer) => answer.encode_to_vec(),
            Self::Ratio(answer) => answer.encode_to_vec(),
        }
    }

    /// Its rows, as plain arithmetic writes them; rows of groups in which nobody said anything are left out.
    ///
    /// # Panics
    /// If a number is none.
    pub fn rows(&self) -> Vec<Row> {
        let number = |text: &str| text.parse::<i64>().unwrap_or_else(|_| panic!("{text:?} is no whole number"));
        match self {
            Self::Share(answer) => answer.shares.iter().filter_map(|row| share(&row.unit, row)).collect(),
            Self::Series(answer) => {
                let points = answer.series.iter().flat_map(|series| &series.points);
                let row = |point: &proto::v1::series::Point| match &point.result {
                    Some(point::Result::Share(row)) => share(&point.period, row),
                    _ => None,
                };
                points.filter_map(row).collect()
            }
            Self::Rank(answer) => {
                let row = |place: &proto::v1::rank_response::Place| match &place.result {
                    Some(place::Result::Figure(row)) => Some((row.unit.clone(), vec![number(row.value.as_deref()?)])),
                    _ => None,
                };
                answer.places.iter().filter_map(row).collect()
            }
            Self::Ratio(answer) => {
                let reported = answer.figures.iter().filter(|row| !row.denominator.is_empty());
                let row = |row: &proto::v1::Figure| {
                    (row.unit.clone(), vec![number(&row.numerator), number(&row.denominator)])
                };
                reported.map(row).collect()
            }
        }
    }
}

fn share(group: &str, row: &Share) -> Option<Row> {
    let (yes, no) = (row.yes.unwrap_or_default(), row.no.unwrap_or_default());
    (yes + no > 0).then(|| (group.to_owned(), vec![yes.into(), (yes + no).into()]))
}
