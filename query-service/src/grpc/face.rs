//! The faces of the one plan: for each question how it is read, answered, and written. Whole answers are computed over one
//! state of knowledge; pages, citations, watching and export are made of them and are the same for all.

use jiff::{Timestamp, civil::Date};
use proto::v1;
use shared::{
    convert::query::{self as door, AnswerPage},
    limits::ANSWER_ROWS_MAX,
    model::{
        fault::{Fault, Reason},
        ids::IndicatorId,
        log::Revision,
        query::{
            CompareQuery, CompletenessQuery, Condition, DistributionOf, DistributionQuery, FigureQuery, Meta, Plan,
            RankOf, RankQuery, SeriesQuery, ShareQuery, Time,
        },
    },
    page::{Cursor, take_page},
};

use super::{
    cite::{self, Method},
    knowledge::Knowledge,
};
use crate::{index::Known, query};

/// The rows of an answer as messages, and what they rest on.
pub(super) struct Whole<R> {
    /// What names a row, and the row.
    pub(super) rows: Vec<(String, R)>,
    /// Rows that were left out for their coverage.
    pub(super) below_coverage: Option<u32>,
    /// What they rest on.
    pub(super) meta: Meta,
    /// What side a of a comparison rests on, if it is known at another time.
    pub(super) meta_a: Option<Meta>,
    /// The day by which duties were judged.
    pub(super) as_of: Option<Date>,
}

/// A page of an answer.
pub(super) struct Paged<R> {
    /// Its rows.
    pub(super) rows: Vec<R>,
    /// Token of the next page.
    pub(super) next: String,
    /// What the whole answer rests on, and what else it says.
    pub(super) whole: Whole<R>,
}

/// A question that is answered with rows.
pub(super) trait Face: 'static {
    /// Its name in a citation.
    const METHOD: Method;
    /// As it is asked.
    type Request: prost::Message + Default + Clone + Send + Sync + 'static;
    /// As it is understood.
    type Query: Send + 'static;
    /// A row.
    type Row: prost::Message + Clone + PartialEq + Send + Sync + 'static;
    /// The answer.
    type Response: Send + 'static;

    /// Reads a request.
    fn read(request: &Self::Request) -> Result<(Self::Query, AnswerPage, Option<Revision>), Fault>;
    /// All rows.
    fn whole(knowledge: &Knowledge<'_>, query: &Self::Query) -> Result<Whole<Self::Row>, Fault>;
    /// The same request for exactly what was known, and without page.
    fn pinned(request: &Self::Request, whole: &Whole<Self::Row>) -> Self::Request;
    /// The answer as a message.
    fn write(paged: Paged<Self::Row>) -> Self::Response;
}

/// The whole answer with its citation.
///
/// # Errors
/// What the question cannot ask.
pub(super) fn cited<F: Face>(
    knowledge: &Knowledge<'_>,
    request: &F::Request,
    query: &F::Query,
) -> Result<Whole<F::Row>, Fault> {
    let mut whole = F::whole(knowledge, query)?;
    let question = F::pinned(request, &whole);
    whole.meta.citation = cite::citation::<F>(&question, &whole);
    Ok(whole)
}

/// One page of an answer.
///
/// # Errors
/// What the question cannot ask; `InvalidPageToken`; `TooMany` rows where no page was asked for.
pub(super) fn page<F: Face>(
    published: &crate::view::Published,
    request: &F::Request,
    query: &F::Query,
    page: &AnswerPage,
    now: Timestamp,
) -> Result<F::Response, Fault> {
    let (store, index) = (published.store, &published.index);
    let cursor = page.page.cursor(store, index.revision())?;
    let knowledge = Knowledge::of(published, cursor.snapshot, now);
    let mut whole = cited::<F>(&knowledge, request, query)?;
    if page.is_whole && page.page.token.is_empty() && whole.rows.len() > ANSWER_ROWS_MAX {
        let message = format!(
            "the answer has {} rows, at most {ANSWER_ROWS_MAX} go into one; ask for pages with page_size, for fewer units, or group by a higher level",
            whole.rows.len()
        );
        return Err(Fault::at("page_size", Reason::TooMany, message));
    }
    let rows = after(std::mem::take(&mut whole.rows), &cursor)?;
    let (rows, next) =
        take_page(&page.page, store, &cursor, rows.iter(), |(token, _)| token.clone(), |(_, row)| row.clone());
    Ok(F::write(Paged { rows, next, whole }))
}

/// The rows after that of a cursor.
fn after<R>(mut rows: Vec<(String, R)>, cursor: &Cursor) -> Result<Vec<(String, R)>, Fault> {
    if cursor.after.is_empty() {
        return Ok(rows);
    }
    let last = rows.iter().position(|(token, _)| *token == cursor.after).ok_or_else(|| {
        let message = "is of a row that is no longer there; start again without a token";
        Fault::at("page_token", Reason::InvalidPageToken, message)
    })?;
    Ok(rows.split_off(last + 1))
}

/// Writes rows as messages.
fn rows_of<T, R>(rows: query::Rows<T>, write: impl Fn(&T) -> R) -> (Vec<(String, R)>, Option<u32>) {
    (rows.rows.into_iter().map(|(token, row)| (token, write(&row))).collect(), rows.below_coverage)
}

/// Indicators that a plan and what is computed over it look at, each with the version that holds on the last day counted.
fn definitions<'a>(
    known: &Known<'_>,
    plan: &'a Plan,
    indicators: impl IntoIterator<Item = &'a IndicatorId>,
) -> Vec<(IndicatorId, u32)> {
    let conditions = plan.filters.iter().filter_map(Condition::indicator);
    let day = last_day(known, plan);
    let mut used: Vec<(IndicatorId, u32)> = indicators
        .into_iter()
        .chain(conditions)
        .filter_map(|id| Some((id.clone(), known.registry().indicator_on(id, day)?.version)))
        .collect();
    used.sort();
    used.dedup();
    used
}

fn last_day(known: &Known<'_>, plan: &Plan) -> Option<Date> {
    match &plan.time {
        Time::On(day) => Some(*day),
        Time::Series(slots) => slots.last().map(|slot| slot.day),
        Time::Period(_) => query::day_counted(known, plan),
    }
}

pub(super) fn plan_meta<'a>(
    knowledge: &Knowledge<'_>,
    known: &Known<'_>,
    plan: &'a Plan,
    indicators: impl IntoIterator<Item = &'a IndicatorId>,
) -> Meta {
    let boundaries_on = plan.boundaries_on.or_else(|| match &plan.time {
        // Each period has the map of its own last day.
        Time::Series(_) => None,
        Time::On(_) | Time::Period(_) => last_day(known, plan),
    });
    Meta { definitions: definitions(known, plan, indicators), ..knowledge.meta(known, boundaries_on) }
}

fn whole<R>((rows, below_coverage): (Vec<(String, R)>, Option<u32>), meta: Meta) -> Whole<R> {
    Whole { rows, below_coverage, meta, meta_a: None, as_of: None }
}

fn at(revision: Revision) -> Option<v1::KnownAt> {
    Some(v1::KnownAt { at: Some(v1::known_at::At::Revision(revision.as_i64())) })
}

/// The same request for a revision, without page, and for the revision that it has to know.
macro_rules! pinned {
    ($message:ident, $request:expr, $whole:expr) => {
        v1::$message {
            known_at: at($whole.meta.revision),
            page_size: 0,
            page_token: String::new(),
            at_least_revision: None,
            ..$request.clone()
        }
    };
}

/// GetShare.
pub(super) struct Share;

impl Face for Share {
    const METHOD: Method = Method::GetShare;
    type Request = v1::GetShareRequest;
    type Query = ShareQuery;
    type Row = v1::Share;
    type Response = v1::GetShareResponse;

    fn read(request: &Self::Request) -> Result<(ShareQuery, AnswerPage, Option<Revision>), Fault> {
        door::share(request)
    }

    fn whole(knowledge: &Knowledge<'_>, query: &ShareQuery) -> Result<Whole<v1::Share>, Fault> {
        let known = knowledge.at(query.plan.known_at)?;
        let rows = rows_of(query::shares(&known, query)?, door::share_row);
        Ok(whole(rows, plan_meta(knowledge, &known, &query.plan, [&query.indicator])))
    }

    fn pinned(request: &Self::Request, whole: &Whole<v1::Share>) -> Self::Request {
        pinned!(GetShareRequest, request, whole)
    }

    fn write(paged: Paged<v1::Share>) -> v1::GetShareResponse {
        door::shares(paged.rows, paged.next, paged.whole.below_coverage, &paged.whole.meta)
    }
}

/// Aggregate.
pub(super) struct Aggregate;

impl Face for Aggregate {
    const METHOD: Method = Method::Aggregate;
    type Request = v1::AggregateRequest;
    type Query = FigureQuery;
    type Row = v1::Figure;
    type Response = v1::AggregateResponse;

    fn read(request: &Self::Request) -> Result<(FigureQuery, AnswerPage, Option<Revision>), Fault> {
        door::aggregate(request)
    }

    fn whole(knowledge: &Knowledge<'_>, query: &FigureQuery) -> Result<Whole<v1::Figure>, Fault> {
        let known = knowledge.at(query.plan.known_at)?;
        let rows = rows_of(query::figures(&known, query)?, door::figure);
        Ok(whole(rows, plan_meta(knowledge, &known, &query.plan, indicators(query))))
    }

    fn pinned(request: &Self::Request, whole: &Whole<v1::Figure>) -> Self::Request {
        pinned!(AggregateRequest, request, whole)
    }

    fn write(paged: Paged<v1::Figure>) -> v1::AggregateResponse {
        door::aggregated(paged.rows, paged.next, paged.whole.below_coverage, &paged.whole.meta)
    }
}

pub(super) fn indicators(query: &FigureQuery) -> impl Iterator<Item = &IndicatorId> {
    std::iter::once(&query.indicator).chain(&query.denominator)
}

/// GetSeries.
pub(super) struct Series;

impl Face for Series {
    const METHOD: Method = Method::GetSeries;
    type Request = v1::GetSeriesRequest;
    type Query = SeriesQuery;
    type Row = v1::Series;
    type Response = v1::GetSeriesResponse;

    fn read(request: &Self::Request) -> Result<(SeriesQuery, AnswerPage, Option<Revision>), Fault> {
        door::series_question(request)
    }

    fn whole(knowledge: &Knowledge<'_>, query: &SeriesQuery) -> Result<Whole<v1::Series>, Fault> {
        let known = knowledge.at(query.figure.plan.known_at)?;
        let rows = rows_of(query::series::rows(&known, query)?, door::series);
        Ok(whole(rows, plan_meta(knowledge, &known, &query.figure.plan, indicators(&query.figure))))
    }

    fn pinned(request: &Self::Request, whole: &Whole<v1::Series>) -> Self::Request {
        pinned!(GetSeriesRequest, request, whole)
    }

    fn write(paged: Paged<v1::Series>) -> v1::GetSeriesResponse {
        door::series_answer(paged.rows, paged.next, paged.whole.below_coverage, &paged.whole.meta)
    }
}

/// Rank.
pub(super) struct Rank;

impl Face for Rank {
    const METHOD: Method = Method::Rank;
    type Request = v1::RankRequest;
    type Query = RankQuery;
    type Row = v1::rank_response::Place;
    type Response = v1::RankResponse;

    fn read(request: &Self::Request) -> Result<(RankQuery, AnswerPage, Option<Revision>), Fault> {
        door::rank(request)
    }

    fn whole(knowledge: &Knowledge<'_>, query: &RankQuery) -> Result<Whole<Self::Row>, Fault> {
        let known_at = match &query.of {
            RankOf::Figure(figure) => figure.plan.known_at,
            RankOf::Completeness(duties) => duties.known_at,
        };
        let known = knowledge.at(known_at)?;
        let (rows, as_of) = query::rank::rows(&known, query, knowledge.now)?;
        let meta = match &query.of {
            RankOf::Figure(figure) => plan_meta(knowledge, &known, &figure.plan, indicators(figure)),
            RankOf::Completeness(duties) => knowledge.meta(&known, duties.boundaries_on),
        };
        Ok(Whole { as_of, ..whole(rows_of(rows, door::place), meta) })
    }

    fn pinned(request: &Self::Request, whole: &Whole<Self::Row>) -> Self::Request {
        let as_of = whole.as_of.map(|day| day.to_string()).unwrap_or_default();
        v1::RankRequest { as_of, ..pinned!(RankRequest, request, whole) }
    }

    fn write(paged: Paged<Self::Row>) -> v1::RankResponse {
        door::ranking(paged.rows, paged.next, paged.whole.below_coverage, &paged.whole.meta)
    }
}

/// GetDistribution.
pub(super) struct Distribution;

impl Face for Distribution {
    const METHOD: Method = Method::GetDistribution;
    type Request = v1::GetDistributionRequest;
    type Query = DistributionQuery;
    type Row = v1::Distribution;
    type Response = v1::GetDistributionResponse;

    fn read(request: &Self::Request) -> Result<(DistributionQuery, AnswerPage, Option<Revision>), Fault> {
        door::by_class(request)
    }

    fn whole(knowledge: &Knowledge<'_>, query: &DistributionQuery) -> Result<Whole<v1::Distribution>, Fault> {
        let known = knowledge.at(query.plan.known_at)?;
        let rows = rows_of(query::distribution::rows(&known, query)?, door::distribution);
        let indicators: Vec<&IndicatorId> = match &query.of {
            DistributionOf::Classes { indicator, .. } => vec![indicator],
            DistributionOf::Flags(first, second) => vec![first, second],
        };
        Ok(whole(rows, plan_meta(knowledge, &known, &query.plan, indicators)))
    }

    fn pinned(request: &Self::Request, whole: &Whole<v1::Distribution>) -> Self::Request {
        pinned!(GetDistributionRequest, request, whole)
    }

    fn write(paged: Paged<v1::Distribution>) -> v1::GetDistributionResponse {
        door::distributions(paged.rows, paged.next, paged.whole.below_coverage, &paged.whole.meta)
    }
}

/// Compare.
pub(super) struct Compare;

impl Face for Compare {
    const METHOD: Method = Method::Compare;
    type Request = v1::CompareRequest;
    type Query = CompareQuery;
    type Row = v1::Comparison;
    type Response = v1::CompareResponse;

    fn read(request: &Self::Request) -> Result<(CompareQuery, AnswerPage, Option<Revision>), Fault> {
        door::compare(request)
    }

    fn whole(knowledge: &Knowledge<'_>, query: &CompareQuery) -> Result<Whole<v1::Comparison>, Fault> {
        let (a, b) = (&query.a.figure, &query.b.figure);
        let known_a = knowledge.at(a.plan.known_at).map_err(|fault| query.a.name(fault))?;
        let known_b = knowledge.at(b.plan.known_at).map_err(|fault| query.b.name(fault))?;
        let rows = rows_of(query::compare::rows(&known_a, &known_b, query)?, door::comparison);
        let meta_a = plan_meta(knowledge, &known_a, &a.plan, indicators(a));
        let meta = plan_meta(knowledge, &known_b, &b.plan, indicators(b));
        let differs = (meta_a.revision, meta_a.boundaries_on, &meta_a.definitions)
            != (meta.revision, meta.boundaries_on, &meta.definitions);
        Ok(Whole { meta_a: Some(meta_a).filter(|_| differs), ..whole(rows, meta) })
    }

    fn pinned(request: &Self::Request, whole: &Whole<v1::Comparison>) -> Self::Request {
        let side = |side: &Option<v1::compare_request::Side>, revision| {
            side.clone().map(|side| v1::compare_request::Side { known_at: at(revision), ..side })
        };
        let revision_a = whole.meta_a.as_ref().map_or(whole.meta.revision, |meta| meta.revision);
        v1::CompareRequest {
            a: side(&request.a, revision_a),
            b: side(&request.b, whole.meta.revision),
            ..pinned!(CompareRequest, request, whole)
        }
    }

    fn write(paged: Paged<v1::Comparison>) -> v1::CompareResponse {
        let Whole { below_coverage, meta, meta_a, .. } = paged.whole;
        door::comparisons(paged.rows, paged.next, below_coverage, &meta, meta_a.as_ref())
    }
}

/// GetCompleteness.
pub(super) struct Completeness;

impl Face for Completeness {
    const METHOD: Method = Method::GetCompleteness;
    type Request = v1::GetCompletenessRequest;
    type Query = CompletenessQuery;
    type Row = v1::Completeness;
    type Response = v1::GetCompletenessResponse;

    fn read(request: &Self::Request) -> Result<(CompletenessQuery, AnswerPage, Option<Revision>), Fault> {
        door::completeness_question(request)
    }

    fn whole(knowledge: &Knowledge<'_>, query: &CompletenessQuery) -> Result<Whole<v1::Completeness>, Fault> {
        let known = knowledge.at(query.known_at)?;
        let (rows, as_of) = query::completeness::rows(&known, query, knowledge.now)?;
        let meta = knowledge.meta(&known, query.boundaries_on);
        Ok(Whole { as_of: Some(as_of), ..whole(rows_of(rows, door::completeness_row), meta) })
    }

    fn pinned(request: &Self::Request, whole: &Whole<v1::Completeness>) -> Self::Request {
        let as_of = whole.as_of.map(|day| day.to_string()).unwrap_or_default();
        v1::GetCompletenessRequest { as_of, ..pinned!(GetCompletenessRequest, request, whole) }
    }

    fn write(paged: Paged<v1::Completeness>) -> v1::GetCompletenessResponse {
        let Whole { meta, as_of, .. } = paged.whole;
        door::completeness(paged.rows, paged.next, as_of.unwrap_or_default(), &meta)
    }
}
